"""What the figures show, and that flagged pixels are neither coloured nor counted."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text

import mnflow
from mnflow.maps.figures import _line, note, saliency_of
from mnflow.maps.pixels import FLAGS
from mnflow.plots.panels import scaled_counts
from mnflow.plots.style import UNKNOWN_COLOUR, valence_colours
from mnflow.plots.valence import round_length
from mnflow.preprocess.crops import normalise
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from tests.maps.conftest import ENERGY_EV, image, signal

pytest.importorskip("hyperspy.api")

LEFT = np.broadcast_to(np.arange(6) < 3, (4, 6))


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


@pytest.fixture
def half(predictor: Predictor, flag_only: Callable[[np.ndarray], None]) -> Any:
    flag_only(LEFT)
    return mnflow.predict(signal(image(4, 6)), predictor)


def test_flagged_pixels_are_neither_coloured_nor_counted(half: Any) -> None:
    figure = half.plot()
    valence = np.ma.asarray(figure.axes[2].images[0].get_array())
    np.testing.assert_array_equal(np.ma.getmaskarray(valence), LEFT)
    mixed = np.asarray(figure.axes[4].images[0].get_array())
    assert (mixed[LEFT] == mixed[0, 0]).all()
    counted = [int(t.get_text().split(": ")[1].split()[0]) for t in figure.axes[-1].texts]
    assert sum(counted) == 12
    assert figure.texts[0].get_text() == "grey: 12 of 24 spectra are flagged and not counted (noise 12)"


def test_maps_are_equal_in_size_and_have_scale_bars(half: Any) -> None:
    figure = half.plot()
    maps = figure.axes[0:6:2]
    assert len({tuple(np.round(axes.get_position().size, 6)) for axes in maps}) == 1
    assert [axes.texts[-1].get_text() for axes in maps] == ["2 nm"] * 3
    assert titles(figure)[1:] == ["b  mean valence", "c  fractions", "d  mean spectra of unflagged pixels"]
    assert [round_length(x) for x in (9.9, 4.0, 0.21, 1.0)] == [5, 2, 0.2, 1]


@pytest.mark.parametrize(
    ("counts", "shown", "label"),
    [
        ([0, 9999], [0, 9999], "counts"),
        ([-2e4, 1e4], [-20, 10], "counts / 10$^{3}$"),
        ([np.nan, 3.0e6], [np.nan, 3], "counts / 10$^{6}$"),
        ([5e-5], [50], "counts / 10$^{-6}$"),
        ([], [], "counts"),
    ],
)
def test_counts_are_shown_in_few_digits(counts: list[float], shown: list[float], label: str) -> None:
    values, words = scaled_counts(np.array(counts, dtype=np.float32))
    np.testing.assert_allclose(values, shown, rtol=1e-6)
    assert (values.dtype, words) == (np.float64, label)


def test_thickness_gets_a_map(predictor: Predictor) -> None:
    figure = mnflow.predict(signal(image()), predictor, thickness=np.full((3, 4), 0.5)).plot()
    assert "d  thickness" in titles(figure)


def test_a_figure_of_flagged_pixels_only_says_so(
    predictor: Predictor, flag_only: Callable[[np.ndarray], None]
) -> None:
    flag_only(np.ones((3, 4), dtype=bool))
    figure = mnflow.predict(signal(image()), predictor).plot()
    assert figure.axes[-1].texts[0].get_text() == "every pixel is flagged"


def test_a_line_scan_is_drawn_as_curves(
    predictor: Predictor, flag_only: Callable[[np.ndarray], None]
) -> None:
    flag_only(np.arange(6) < 3)
    figure = mnflow.predict(signal(image(1, 6)[0]), predictor).plot()
    valence = figure.axes[1].lines[0]
    np.testing.assert_allclose(valence.get_xdata(), 2.0 * np.arange(6))
    np.testing.assert_array_equal(np.isnan(valence.get_ydata()), np.arange(6) < 3)
    assert figure.axes[2].get_xlabel() == "position / nm"


@pytest.mark.parametrize("sure", [True, False])
def test_a_spectrums_saliency_has_the_colour_of_its_answer(predictor: Predictor, sure: bool) -> None:
    found = mnflow.predict(signal(image()[0, 1]), predictor)
    label = 1 if sure else 3
    found.pixels.label[:] = label
    figure = found.plot()
    expected = valence_colours(MN.classes)[1] if sure else UNKNOWN_COLOUR
    area, edge = figure.axes[1].collections[0], figure.axes[1].lines[0]
    assert to_hex(area.get_facecolor()[0]).lower() == to_hex(edge.get_color()).lower() == expected.lower()
    assert figure.axes[1].get_title(loc="left").startswith("b  Mn3+" if sure else "b  mixed")
    assert [line.get_label() for line in figure.axes[0].lines] == ["spectrum", "background"]
    assert area.get_paths()[0].vertices[:, 1].max() == pytest.approx(1)


def test_a_spectrum_is_drawn_around_its_edge_wherever_that_lies(predictor: Predictor) -> None:
    made = signal(image()[0, 1])
    made.axes_manager.signal_axes[0].offset += 30
    maps = mnflow.predict(made, predictor)
    moved_ev = maps.where.moved_bins * 0.1
    assert moved_ev > 5
    figure = maps.plot()
    drawn = figure.axes[0].lines[0]
    shown = ENERGY_EV[(615 + moved_ev <= ENERGY_EV + 30) & (685 + moved_ev > ENERGY_EV + 30)] + 30
    np.testing.assert_allclose(drawn.get_xdata(), shown)
    rows = np.searchsorted(maps.raw.energy_ev, shown - 1e-6)
    scaled, words = scaled_counts(image()[0, 1][rows])
    np.testing.assert_allclose(drawn.get_ydata(), scaled, rtol=1e-5)
    assert figure.axes[0].get_ylabel() == words
    background = figure.axes[0].lines[1]
    np.testing.assert_allclose(background.get_xdata(), shown)
    before = shown < 630 + 30  # where there is nothing but background
    seen = np.isfinite(background.get_ydata()) & before
    assert seen.sum() > 8
    np.testing.assert_allclose(background.get_ydata()[seen], scaled[seen], rtol=0.02)
    edge = figure.axes[1].lines[0]
    np.testing.assert_allclose(edge.get_xdata()[[0, -1]], np.array([635, 664.9]) + moved_ev)


def test_a_spectrum_whose_background_was_removed_is_drawn_without_one(predictor: Predictor) -> None:
    maps = mnflow.predict(signal(image()[0, 1]), predictor)
    position = maps.where.position.declared(True)
    figure = replace(maps, where=replace(maps.where, position=position)).plot()
    assert [line.get_label() for line in figure.axes[0].lines] == ["spectrum"]


def test_a_spectrums_flags_stand_in_its_figure(predictor: Predictor) -> None:
    maps = mnflow.predict(signal(image()[0, 1]), predictor)
    maps.pixels.flags[:] = np.isin(FLAGS, ("no_edge", "interval_unreliable"))
    words = "\n".join(t.get_text() for t in maps.plot().findobj(Text))
    region = maps.region()
    low, high = region.interval
    assert f"Mn3+, mean valence {region.mean_valence:.2f} [{low:.2f}, {high:.2f}]" in words
    assert "\nflags: no edge, interval unreliable" in words
    maps.pixels.flags[:] = False
    assert "flags" not in "\n".join(t.get_text() for t in maps.plot().findobj(Text))


def test_a_line_without_a_unit_is_drawn_by_number(predictor: Predictor) -> None:
    made = signal(image(1, 6)[0])
    made.axes_manager.navigation_axes[0].offset = 7.0
    figure = mnflow.predict(made, predictor).plot()
    np.testing.assert_allclose(figure.axes[1].lines[0].get_xdata(), 7 + 2.0 * np.arange(6))
    made.axes_manager.navigation_axes[0].units = ""
    figure = mnflow.predict(made, predictor).plot()
    np.testing.assert_allclose(figure.axes[1].lines[0].get_xdata(), np.arange(6))


def test_the_note_names_the_three_most_frequent_reasons(half: Any) -> None:
    assert note(half) == "grey: 12 of 24 spectra are flagged and not counted (noise 12)"
    for n, name in enumerate(("saturated", "no_edge", "second_opinion"), 3):
        half.pixels.flags[:n, FLAGS.index(name)] = True
    assert note(half).endswith(" are flagged and not counted (noise 12, second opinion 5, no edge 4)")
    half.pixels.flags[:] = False
    assert note(half) == "none of 24 spectra is flagged"
    assert note(half.limited(0.0)) == "grey: 24 of 24 spectra are flagged and not counted (wide intervals)"


def test_the_fractions_panel_shows_probabilities_where_the_model_has_no_fractions(half: Any) -> None:
    half.pixels.probabilities[:], half.pixels.fractions[:] = (1, 0, 0), (0, 0, 1)
    of_fractions = half.plot().axes[4].images[0].get_array()[~LEFT]
    half.pixels.fractions[:] = np.nan
    of_probabilities = half.plot().axes[4].images[0].get_array()[~LEFT]
    first, _, last = (np.round(np.array(to_rgba(c))[:3], 2) for c in valence_colours(MN.classes))
    np.testing.assert_allclose(of_fractions[0][:3], last, atol=0.02)
    np.testing.assert_allclose(of_probabilities[0][:3], first, atol=0.02)


def test_class_spectra_say_how_many_and_how_sure(half: Any) -> None:
    half.pixels.label[:] = np.arange(24) % 2
    figure, regions = half.plot(), half.by_class()
    words = [t.get_text() for t in figure.axes[-1].texts]
    for name, region in regions.items():
        low, high = region.interval
        said = f"{name}: {region.n} px\nmean valence {region.mean_valence:.2f} [{low:.2f}, {high:.2f}]"
        assert said in words
    for drawn, region in zip(figure.axes[-1].lines, regions.values(), strict=True):
        x, y = drawn.get_data()
        np.testing.assert_allclose(x, MN.crop_axis_ev)
        assert np.corrcoef(y, half.where(region.spectrum[None])[0])[0, 1] == pytest.approx(1)
    pixels = replace(half.pixels, interval=np.full((24, 2), np.nan))
    unsure = replace(half, pixels=pixels)
    region = replace(regions["Mn2+"], interval=(np.nan, np.nan), spread=0.125)
    assert _line(unsure, "Mn2+", region).words.endswith(f"{region.mean_valence:.2f} ± 0.12")


def test_saliency_is_of_the_regions_own_spectrum(half: Any) -> None:
    """Where the model looks at one channel alone, only that is salient."""
    crop = normalise(half.where(half.region().spectrum[None]))[0]

    class Looks:
        def probabilities(self, x: np.ndarray) -> np.ndarray:
            sure = np.clip(0.5 + (x[:, 100] - crop[100]), 0, 1)
            return np.stack([sure, 1 - sure, 0 * sure], axis=1)

    found = saliency_of(replace(half, predictor=Looks()), half.region())
    assert found.shape == (300,)
    assert abs(int(np.argmax(found)) - 100) < 15
    assert found[:50].max() < 0.2 * found.max()


def test_figures_are_written_as_vectors_too(half: Any, tmp_path: Any) -> None:
    for suffix in ("png", "pdf", "svg"):
        half.plot().savefig(tmp_path / f"x.{suffix}")
        assert (tmp_path / f"x.{suffix}").stat().st_size > 5000

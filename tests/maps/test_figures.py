"""What the figures show, and that flagged pixels are neither coloured nor counted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import mnflow
from mnflow.plots.panels import scaled_counts
from mnflow.plots.style import UNKNOWN_COLOUR, valence_colours
from mnflow.plots.valence import round_length
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from tests.maps.conftest import image, signal

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


def test_figures_are_written_as_vectors_too(half: Any, tmp_path: Any) -> None:
    for suffix in ("png", "pdf", "svg"):
        half.plot().savefig(tmp_path / f"x.{suffix}")
        assert (tmp_path / f"x.{suffix}").stat().st_size > 5000

"""Quantities by name, what flags hide, regions, tables and files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnflow
from mnflow.errors import InputError
from mnflow.maps.pixels import FLAGS, NO_CLASS, read_pixels
from mnflow.plots.style import VALENCE_MAP
from mnflow.preprocess.detector.gain_steps import STEP_NOTE
from mnflow.serve.predictor import Predictor
from tests.maps.conftest import ENERGY_EV, image, signal

hs: Any = pytest.importorskip("hyperspy.api")

SOME = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=bool)


@pytest.fixture
def some(predictor: Predictor, flag_only: Callable[[np.ndarray], None]) -> Any:
    flag_only(SOME)
    return mnflow.predict(signal(image()), predictor)


def test_every_quantity_is_a_signal_with_its_name(some: Any) -> None:
    assert list(some.fractions) == list(some.classes) == ["Mn2+", "Mn3+", "Mn4+"]
    assert list(some.interval) == ["low", "high"]
    assert list(some.flags) == list(FLAGS)
    assert some.flags["noise"].data.dtype == bool
    np.testing.assert_array_equal(some.flags["noise"].data, SOME)
    for name, one in some.signals().items():
        assert one.data.shape == (3, 4), name
        assert one.metadata.General.title.endswith("of a test")
    of_classes = [f"{what}_{name}" for what in ("fraction", "probability") for name in some.classes]
    named = ["mean_valence", "mean_valence_low", "mean_valence_high", *of_classes]
    named += ["valence_class", "intensity", *(f"flag_{name}" for name in FLAGS)]
    assert list(some.signals()) == [*named, *(f"t_over_lambda_{x}" for x in ("mean", "low", "high"))]
    assert some.thickness is None


def test_every_quantity_has_its_title_unit_limits_and_values(some: Any) -> None:
    maps = replace(some, thickness_ratio=np.linspace(0.1, 1, 12))
    maps.pixels.t_over_lambda[:] = np.linspace(0.1, 1, 12)[:, None] + np.arange(3)
    pixels, valence, share = maps.pixels, [2.0, 4.0], [0, 1]
    expected = {
        "mean_valence": ("mean Mn valence", valence, pixels.mean_valence),
        "mean_valence_low": ("low end of 90 %", valence, pixels.interval[:, 0]),
        "mean_valence_high": ("high end of 90 %", valence, pixels.interval[:, 1]),
        "valence_class": ("valence class", [-1, 3], pixels.label),
        "intensity": ("Mn L2,3 intensity (counts)", None, pixels.intensity),
        "thickness": ("thickness (t/lambda)", None, maps.thickness_ratio),
    }
    for i, name in enumerate(maps.classes):
        expected[f"fraction_{name}"] = (f"{name} fraction", share, pixels.fractions[:, i])
        expected[f"probability_{name}"] = (f"{name} probability", share, pixels.probabilities[:, i])
    for i, name in enumerate(FLAGS):
        expected[f"flag_{name}"] = (name, share, pixels.flags[:, i])
    for i, name in enumerate(("mean", "low", "high")):
        expected[f"t_over_lambda_{name}"] = (f"{name} t/lambda", None, pixels.t_over_lambda[:, i])
    found = maps.signals()
    assert list(found)[-1] == "thickness"
    for name, (quantity, limits, values) in expected.items():
        one = found.pop(name)
        assert one.metadata.Signal.quantity == quantity
        assert one.metadata.get_item("Valence.colour_limits") == limits, name
        np.testing.assert_array_equal(one.data.ravel(), values, err_msg=name)
        assert one.metadata.Valence.model.as_dictionary() == maps.predictor.facts
    assert found == {}
    assert maps.valence_class.metadata.Valence.classes == ["Mn2+", "Mn3+", "Mn4+", "mixed"]
    colours = {name: one.plot.keywords["cmap"] for name, one in maps.signals().items()}
    assert colours["intensity"] == colours["flag_noise"] == "gray"
    assert colours["valence_class"] == "viridis"
    assert colours["mean_valence"] == colours["mean_valence_low"] == VALENCE_MAP
    of_shares = ("fraction_Mn2+", "probability_Mn2+", "thickness", "t_over_lambda_low")
    assert {colours[name] for name in of_shares} == {"cividis"}


def test_maps_say_in_a_line_what_they_are(some: Any) -> None:
    assert repr(some) == "<ValenceMaps of a test: 4 x 3 spectra, 2 flagged>"
    pixels = replace(some.pixels, flags=some.pixels.flags[:1], interval=some.pixels.interval[:1])
    one = replace(some, axes=[], pixels=pixels)
    assert repr(one) == "<ValenceMaps of a test: one spectrum, 1 flagged>"
    untitled = replace(some, metadata={}, raw=replace(some.raw, path=Path("b/my.image.dm4")))
    assert untitled.title == "my.image"
    assert replace(untitled, metadata={"General": {"title": "mine"}}).title == "mine"


def test_maps_say_what_was_assumed_and_done(some: Any) -> None:
    assert some.notes == ["background: power law"]
    spikes = np.where(np.arange(12) < 2, 3, 0)
    mended = replace(some, raw=some.raw.noted("a note"), pixels=replace(some.pixels, spikes=spikes))
    bridged = "6 spikes, dead or hot channels were bridged in 2 of 12 spectra"
    assert mended.notes == ["a note", "background: power law", bridged]
    stepped = replace(some, where=replace(some.where, gain_step=object()))
    assert stepped.notes == ["background: power law", STEP_NOTE]


def test_reasons_are_counted_the_most_frequent_first(some: Any) -> None:
    assert some.reasons() == {"noise": 2}
    for n, name in enumerate(("saturated", "uncertain", "interval_unreliable", "no_edge"), 1):
        some.pixels.flags[:n, FLAGS.index(name)] = True
    assert list(some.reasons().items()) == [("no_edge", 4), ("noise", 2), ("saturated", 1)]
    # what is merely uncertain is counted
    assert some.flagged.tolist() == [i < 4 or i == 6 for i in range(12)]


def test_thickness_by_the_edge_goes_with_the_answer_until_it_is_measured(some: Any) -> None:
    some.pixels.t_over_lambda[:] = [0.5, 0.2, 0.9]
    assert list(some.t_over_lambda) == ["mean", "low", "high"]
    assert some.to_dataframe()["t_over_lambda_high"].tolist() == pytest.approx([0.9] * 12)
    assert np.isnan(some.masked().t_over_lambda["mean"].data[SOME]).all()
    assert some.region().t_over_lambda is not None
    measured = replace(some, raw=replace(some.raw, thickness=np.ones(12)))
    assert measured.t_over_lambda == {}
    assert "t_over_lambda_mean" not in measured.to_dataframe()
    assert measured.region().t_over_lambda is None


def test_masked_hides_flagged_pixels_and_keeps_the_others(some: Any) -> None:
    hidden = some.masked()
    np.testing.assert_array_equal(np.isnan(hidden.mean_valence.data), SOME)
    undecided = some.valence_class.data == -1
    np.testing.assert_array_equal(hidden.valence_class.data == -1, SOME | undecided)
    np.testing.assert_array_equal(hidden.mean_valence.data[~SOME], some.mean_valence.data[~SOME])
    assert np.isfinite(some.mean_valence.data).all()


def test_a_limit_on_the_interval_flags_the_wide_ones(some: Any) -> None:
    some.pixels.interval[:] = [2.5, 3.0]
    some.pixels.interval[5] = [2.0, 3.0]
    assert some.limited(0.8).flagged.sum() == 3
    assert some.limited(0.4).flagged.all()
    assert some.limited(0.5).flagged.sum() == 3  # not wider than that
    assert some.limited(0.5).max_width == 0.5
    some.pixels.interval[:] = np.nan
    assert some.limited(0.1).flagged.sum() == 2


def test_a_region_is_the_mean_of_its_unflagged_pixels(some: Any) -> None:
    mask = np.zeros((3, 4), dtype=bool)
    mask[:2, :2] = True
    region = some.region(mask)
    assert (region.n, region.n_flagged) == (4, 1)
    np.testing.assert_allclose(region.spectrum, image()[:2, :2].reshape(4, -1)[1:].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(region.energy_ev, ENERGY_EV)
    assert 2 <= region.mean_valence <= 4
    assert sum(region.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert sum(region.fractions.values()) == pytest.approx(1, abs=1e-5)
    low, high = region.interval
    assert low <= region.mean_valence <= high
    three = some.pixels.mean_valence[[1, 4, 5]]
    assert region.spread == pytest.approx(float(three.std()))
    assert list(region.probabilities) == list(region.fractions) == list(some.classes)
    assert max(region.probabilities, key=region.probabilities.__getitem__) == region.valence_class
    assert len(region.t_over_lambda) == 3
    assert region.t_over_lambda[1] <= region.t_over_lambda[0] <= region.t_over_lambda[2]
    # the mean spectrum is answered, not the pixels
    mean = replace(some.raw, counts=region.spectrum[None], nav_shape=(), nav_axes=())
    alone = read_pixels(mean, some.predictor, some.where)
    assert alone.mean_valence[0] == pytest.approx(region.mean_valence, abs=1e-3)
    assert (
        str(region) == f"Mn3+, mean valence {region.mean_valence:.2f} [{low:.2f}, {high:.2f}]; 3 of 4 spectra"
    )
    unsure = replace(region, n=1, valence_class=None, interval=(np.nan, np.nan))
    assert str(unsure) == f"no sure class, mean valence {region.mean_valence:.2f}"


def test_hyperspy_rois_are_regions(some: Any) -> None:
    rectangle = hs.roi.RectangularROI(left=2, top=0, right=6, bottom=6)  # columns 1-2, rows 0-1
    assert some.region(rectangle).n == 4
    assert some.region(hs.roi.CircleROI(cx=4, cy=3, r=2.5)).n == 2  # HyperSpy leaves out the right end
    assert some.region(some.flags["noise"]).n == 2
    assert [r.n for r in some.regions([None, rectangle])] == [12, 4]


def test_a_region_of_flagged_pixels_has_no_valence(some: Any) -> None:
    region = some.region(SOME)
    assert np.isnan(region.mean_valence)
    assert np.isnan(region.spread)
    assert np.isnan(region.spectrum).all()
    assert (region.n, region.n_flagged, region.valence_class) == (2, 2, None)
    assert all(np.isnan(x) for x in region.fractions.values())
    assert region.flags == ["unreadable"]
    assert str(region) == "all of 2 spectra are flagged"


def test_one_flagged_pixel_is_still_answered(some: Any) -> None:
    one = np.zeros((3, 4), dtype=bool)
    one[0, 0] = True
    region = some.region(one)
    assert region.mean_valence == pytest.approx(float(some.mean_valence.data[0, 0]))
    assert region.flags == ["noise"]
    assert (region.n, region.n_flagged, region.spread) == (1, 1, 0.0)
    assert region.interval == tuple(some.pixels.interval[0].tolist())
    assert list(region.probabilities.values()) == some.pixels.probabilities[0].tolist()
    assert list(region.fractions.values()) == some.pixels.fractions[0].tolist()
    assert region.t_over_lambda == tuple(some.pixels.t_over_lambda[0].tolist())
    np.testing.assert_allclose(region.spectrum, image()[0, 0], rtol=1e-5)
    two = np.zeros((3, 4), dtype=bool)
    two[0, :2] = True  # one of them counts: its own answer, and which are flagged
    both = some.region(two)
    assert (both.n, both.n_flagged) == (2, 1)
    assert both.mean_valence == float(some.mean_valence.data[0, 1])


def test_a_region_without_pixels_or_without_a_sure_class_says_so(some: Any) -> None:
    nothing = some.region(np.zeros((3, 4), dtype=bool))
    assert (nothing.n, str(nothing)) == (0, "no spectra")
    one = np.zeros((3, 4), dtype=bool)
    one[1, 1] = True
    some.pixels.label[5] = NO_CLASS
    some.pixels.fractions[5] = np.nan
    found = some.region(one)
    assert (found.valence_class, found.fractions) == (None, None)
    assert str(found).startswith("no sure class, mean valence ")
    assert some.to_dataframe()["class"][5] == ""
    some.pixels.label[5] = 3
    assert some.region(one).valence_class == some.to_dataframe()["class"][5] == "mixed"


def test_a_regions_mean_spectrum_has_no_spikes(
    predictor: Predictor, flag_only: Callable[[np.ndarray], None]
) -> None:
    flag_only(np.zeros(12, dtype=bool))  # else the spoilt pixel may not count
    clean, spoilt = image(), image()
    spoilt[1, 2, 150] *= 20
    found = [mnflow.predict(signal(counts), predictor) for counts in (clean, spoilt)]
    assert [np.flatnonzero(maps.pixels.spikes).tolist() for maps in found] == [[], [6]]
    means = [maps.region().spectrum for maps in found]
    np.testing.assert_allclose(means[1], means[0], rtol=2e-3)


def test_a_mask_of_another_shape_is_refused(some: Any) -> None:
    with pytest.raises(InputError, match=r"boolean mask of shape \(3, 4\), got int64"):
        some.region(np.zeros((3, 4), dtype=np.int64))


def test_classes_as_regions_leave_flagged_pixels_out(some: Any) -> None:
    found = some.by_class()
    assert set(found) <= set(some.classes)
    assert sum(r.n for r in found.values()) == ((some.pixels.label >= 0) & ~SOME.ravel()).sum() > 0
    assert all(r.n_flagged == 0 for r in found.values())
    some.pixels.label[:] = [NO_CLASS] + [2] * 5 + [3] * 2 + [0] * 4
    found = some.by_class()
    assert {name: r.n for name, r in found.items()} == {"Mn2+": 4, "Mn4+": 5, "mixed": 1}
    assert list(found) == ["Mn2+", "Mn4+", "mixed"]
    np.testing.assert_allclose(found["Mn2+"].spectrum, image()[2].mean(axis=0), rtol=1e-5)
    some.pixels.label[:] = NO_CLASS
    assert some.by_class() == {}


def test_the_table_has_places_and_flags(some: Any) -> None:
    table = some.to_dataframe()
    assert list(table.columns[:2]) == ["axis 2 / nm", "axis 3 / nm"]
    assert table.iloc[6, :2].tolist() == [4.0, 3.0]
    assert table["flags"].tolist() == ["noise" if x else "" for x in SOME.ravel()]
    assert table["flagged"].sum() == 2
    shares = [f"{what}_{name}" for what in ("fraction", "probability") for name in some.classes]
    assert list(table.columns[2:]) == [
        "class", "mean_valence", "low", "high", *shares, "intensity", "flagged", "flags",
        "t_over_lambda_mean", "t_over_lambda_low", "t_over_lambda_high",
    ]  # fmt: skip
    p = some.pixels
    for name, values in (
        ("mean_valence", p.mean_valence), ("low", p.interval[:, 0]), ("high", p.interval[:, 1]),
        ("fraction_Mn4+", p.fractions[:, 2]), ("probability_Mn2+", p.probabilities[:, 0]),
        ("intensity", p.intensity), ("t_over_lambda_high", p.t_over_lambda[:, 2]), ("flagged", some.flagged),
    ):  # fmt: skip
        np.testing.assert_array_equal(table[name], values, err_msg=name)
    assert "thickness" not in table
    thick = replace(some, thickness_ratio=np.arange(12.0)).to_dataframe()
    assert (thick.columns[-1], thick["thickness"].tolist()) == ("thickness", list(range(12)))


def test_the_table_names_places_as_the_axes_do(some: Any) -> None:
    rows, columns = some.axes
    assert some.to_dataframe()["axis 3 / nm"].tolist() == np.repeat([0.0, 3.0, 6.0], 4).tolist()
    rows = {**rows, "units": "", "offset": 1.0}
    columns = {"name": None, "units": None, "size": 4, "axis": [1.0, 2.0, 4.0, 8.0]}
    table = replace(some, axes=[rows, columns]).to_dataframe()
    assert list(table.columns[:2]) == ["axis 0", "axis 3"]
    assert table["axis 0"].tolist() == [1.0, 2.0, 4.0, 8.0] * 3
    assert table["axis 3"].tolist() == np.repeat([1.0, 4.0, 7.0], 4).tolist()


def test_the_table_of_one_spectrum_has_no_place(predictor: Predictor) -> None:
    table = mnflow.predict(signal(image()[0, 0]), predictor).to_dataframe()
    assert (len(table), table.columns[0]) == (1, "class")


def test_several_flags_are_joined(some: Any) -> None:
    some.pixels.flags[5] = np.isin(FLAGS, ("noise", "no_edge", "unreadable"))
    some.pixels.flags[3] = True
    flags = some.to_dataframe()["flags"]
    assert flags[5] == "noise;no_edge;unreadable"
    assert flags[3] == ";".join(FLAGS)
    assert (flags[0], flags[1]) == ("noise", "")


def test_files_come_back(some: Any, tmp_path: Path) -> None:
    import pandas as pd
    from PIL import Image

    back = hs.load(some.save(tmp_path / "new" / "x.hspy"))
    assert [s.metadata.General.title for s in back] == [
        s.metadata.General.title for s in some.signals().values()
    ]
    np.testing.assert_array_equal(back[0].data, some.mean_valence.data)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["x.hspy"]

    table = pd.read_csv(some.save(tmp_path / "x.csv"))
    np.testing.assert_allclose(table["mean_valence"], some.pixels.mean_valence, rtol=1e-5)

    with Image.open(some.save(tmp_path / "x.tif")) as pages:
        assert pages.n_frames == len(back)
        np.testing.assert_array_equal(np.isnan(np.array(pages)), SOME)
        assert float(pages.tag_v2[282]) == pytest.approx(0.5)
        assert "unit=nm" in pages.tag_v2[270]
        assert "mean_valence".encode("utf-16-le") in pages.tag_v2[50839]

    with pytest.raises(InputError, match=r"ends in .hspy, .csv, .tif"):
        some.save(tmp_path / "x.png")

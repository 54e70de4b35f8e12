"""Quantities by name, what flags hide, regions, tables and files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnflow
from mnflow.errors import InputError
from mnflow.maps.pixels import FLAGS, NO_CLASS
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
    assert some.intensity.metadata.Signal.quantity == "Mn L2,3 intensity (counts)"
    assert some.thickness is None


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
    assert str(region) == "all of 2 spectra are flagged"


def test_one_flagged_pixel_is_still_answered(some: Any) -> None:
    one = np.zeros((3, 4), dtype=bool)
    one[0, 0] = True
    region = some.region(one)
    assert region.mean_valence == pytest.approx(float(some.mean_valence.data[0, 0]))
    assert region.flags == ["noise"]


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


def test_a_regions_mean_spectrum_has_no_spikes(predictor: Predictor) -> None:
    clean, spoilt = image(), image()
    spoilt[1, 2, 100] *= 20
    means = [mnflow.predict(signal(counts), predictor).region().spectrum for counts in (clean, spoilt)]
    np.testing.assert_allclose(means[1], means[0], rtol=2e-3)


def test_a_mask_of_another_shape_is_refused(some: Any) -> None:
    with pytest.raises(InputError, match=r"boolean mask of shape \(3, 4\), got int64"):
        some.region(np.zeros((3, 4), dtype=np.int64))


def test_classes_as_regions_leave_flagged_pixels_out(some: Any) -> None:
    found = some.by_class()
    assert set(found) <= set(some.classes)
    assert sum(r.n for r in found.values()) == ((some.pixels.label >= 0) & ~SOME.ravel()).sum() > 0
    assert all(r.n_flagged == 0 for r in found.values())


def test_the_table_has_places_and_flags(some: Any) -> None:
    table = some.to_dataframe()
    assert list(table.columns[:2]) == ["axis 2 / nm", "axis 3 / nm"]
    assert table.iloc[6, :2].tolist() == [4.0, 3.0]
    assert table["flags"].tolist() == ["noise" if x else "" for x in SOME.ravel()]
    assert table["flagged"].sum() == 2


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

"""Spectra of HyperSpy's signals, and maps as its signals: without what it can do without, or its warnings."""

import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnflow
from mnflow.errors import InputError
from mnflow.maps.signals import axes_and_metadata, map_signal, mask_of, navigation_axes, raw_of_signal
from mnflow.runtime.project import ROOT
from mnflow.serve.predictor import Predictor
from mnflow.spectra.raw import NavAxis
from tests.maps.conftest import ENERGY_EV, image, signal

hs: Any = pytest.importorskip("hyperspy.api")

_CODE = """
import sys
for name in ("numba", "llvmlite", "sparse"):
    sys.modules[name] = None
import mnflow
from mnflow.pretrained.shipped import EXAMPLE
maps = mnflow.predict(EXAMPLE, "shipped")
maps.save("maps.hspy")
maps.mean_valence.plot()
"""


def axis(name: str, size: int, scale: float = 2.0, offset: float = -1.0) -> dict[str, Any]:
    return {"name": name, "units": "nm", "scale": scale, "offset": offset, "size": size}


@pytest.mark.slow
def test_maps_need_no_numba_and_print_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-c", _CODE], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "maps.hspy").is_file()


def test_only_the_warning_about_numba_is_kept_back(caplog: pytest.LogCaptureFixture) -> None:
    map_signal(np.zeros(3), [axis("x", 3)], {}, "zeros")
    logger = logging.getLogger("hyperspy.decorators")
    logger.warning("Numba is not installed, falling back to slower functions.")
    logger.warning("Something else.")
    assert [r.getMessage() for r in caplog.records if r.name == logger.name] == ["Something else."]


def test_a_signals_spectra_have_its_energies_in_ev_and_its_scan() -> None:
    made = signal(image())
    made.axes_manager.navigation_axes[0].offset = -5.0
    energy = made.axes_manager.signal_axes[0]
    energy.offset, energy.scale, energy.units = 0.6, 0.25e-3, "keV"
    raw = raw_of_signal(made)
    np.testing.assert_allclose(raw.energy_ev, ENERGY_EV)
    np.testing.assert_array_equal(raw.counts, image().reshape(12, -1))
    assert np.shares_memory(raw.counts, made.data)
    assert (raw.nav_shape, raw.columns, raw.valence) == ((3, 4), 4, None)
    assert (raw.group, str(raw.path)) == ("a test", "a test")
    described, metadata = axes_and_metadata(raw)
    assert described == [axis("axis 3", 3, 3.0, 0.0), axis("axis 2", 4, 2.0, -5.0)]
    assert metadata == {"General": {"title": "a test"}}
    known = navigation_axes(made)
    assert [{key: a[key] for key in described[0]} for a in known] == described


@pytest.mark.parametrize("lines", [3, 1])
def test_a_scan_of_any_steps_is_kept_as_it_is(predictor: Predictor, tmp_path: Path, lines: int) -> None:
    made = signal(image(lines) if lines > 1 else image()[0])
    places = made.axes_manager.navigation_axes[0]
    places.convert_to_non_uniform_axis()
    places.axis = np.array([1.0, 2.0, 4.0, 8.0])
    raw = raw_of_signal(made)
    assert raw.nav_axes[-1] == NavAxis("axis 2", 1.0, 0.0, "nm")
    maps = mnflow.predict(made, predictor)
    assert maps.shape == ((3, 4) if lines > 1 else (4,))
    np.testing.assert_array_equal(maps.mean_valence.axes_manager.signal_axes[0].axis, [1, 2, 4, 8])
    assert maps.to_dataframe()["axis 2 / nm"].tolist() == [1.0, 2.0, 4.0, 8.0] * lines
    for suffix in ("hspy", "csv", "tif"):
        assert maps.save(tmp_path / f"x.{suffix}").is_file()
    assert maps.plot().axes


def test_energies_that_fall_are_turned_and_lazy_ones_stay_lazy() -> None:
    made = signal(image(), lazy=True)
    energy = made.axes_manager.signal_axes[0]
    energy.offset, energy.scale = 699.75, -0.25
    raw = raw_of_signal(made)
    np.testing.assert_allclose(raw.energy_ev, ENERGY_EV)
    assert not isinstance(raw.counts, np.ndarray)
    np.testing.assert_array_equal(np.asarray(raw.counts[5]), image()[1, 1, ::-1])


def test_errors_name_the_signal_by_its_title() -> None:
    made = signal(image())
    made.axes_manager.signal_axes[0].units = "nm"
    with pytest.raises(InputError, match=r"^a test: expected an energy axis"):
        raw_of_signal(made)
    made.metadata.General.title = ""
    with pytest.raises(InputError, match=r"^The signal: expected an energy axis"):
        raw_of_signal(made)
    with pytest.raises(InputError, match=r"^Expected a signal with one energy axis, got one with 2 signal"):
        raw_of_signal(hs.signals.Signal2D(np.ones((3, 4, 5))))


def test_a_files_scan_and_metadata_are_put_where_hyperspy_has_them() -> None:
    known = {
        "title": "from the file", "beam_energy_kev": 80.0, "convergence_mrad": 10.0, "collection_mrad": 20.0,
        "dwell_time_s": 0.5,
    }  # fmt: skip
    raw = replace(raw_of_signal(signal(image())), nav_axes=(), metadata=known, path=Path("my.file.dm4"))
    axes, metadata = axes_and_metadata(raw)
    assert axes == [
        {"name": f"axis {i}", "units": "", "scale": 1.0, "offset": 0.0, "size": n}
        for i, n in enumerate((3, 4))
    ]
    eels = {"collection_angle": 20.0, "dwell_time": 0.5}
    tem = {"beam_energy": 80.0, "convergence_angle": 10.0, "Detector": {"EELS": eels}}
    assert metadata == {"General": {"title": "from the file"}, "Acquisition_instrument": {"TEM": tem}}
    assert axes_and_metadata(replace(raw, metadata={}))[1] == {"General": {"title": "my.file"}}


@pytest.mark.parametrize("sizes", [(), (3,), (3, 4), (2, 3, 4)])
def test_a_map_is_a_signal_on_the_scans_axes(sizes: tuple[int, ...]) -> None:
    axes = [axis(f"axis {i}", n, 2.0 + i) for i, n in enumerate(sizes)]
    values = np.arange(np.prod(sizes, dtype=int), dtype=np.float32)
    metadata = {"General": {"title": "mine"}, "Sample": {"elements": ["Mn"]}}
    made = map_signal(values, axes, metadata, "thickness", "t/lambda", (0, 5))
    assert made.data.shape == (sizes or (1,))
    np.testing.assert_array_equal(made.data.ravel(), values)
    if sizes:
        dictionaries = [a.get_axis_dictionary() for a in made.axes_manager._axes]
        assert [{key: d[key] for key in axes[0]} for d in dictionaries] == axes
        assert [d["navigate"] for d in dictionaries] == [i < len(sizes) - 2 for i in range(len(sizes))]
    assert made.axes_manager.signal_dimension == min(len(sizes), 2)
    assert made.metadata.General.title == "thickness of mine"
    assert made.metadata.Sample.elements == ["Mn"]
    assert made.metadata.Signal.quantity == "thickness (t/lambda)"
    assert made.metadata.Valence.colour_limits == [0, 5]
    plain = map_signal(values, axes, {}, "thickness")
    assert (plain.metadata.General.title, plain.metadata.Signal.quantity) == ("thickness", "thickness")
    assert not plain.metadata.has_item("Valence")


@pytest.mark.parametrize(
    ("settings", "shown"), [((None,), ("gray", (0.0, 11.0))), (((2, 4), "cividis"), ("cividis", (2.0, 4.0)))]
)
def test_a_map_is_plotted_in_its_colours_and_limits(
    settings: tuple[Any, ...], shown: tuple[str, tuple[float, float]]
) -> None:
    import matplotlib.pyplot as plt

    made = map_signal(np.arange(12.0), [axis("y", 3), axis("x", 4)], {}, "numbers", "", *settings)
    made.plot()
    (drawn,) = made._plot.signal_plot.ax.images
    assert (drawn.get_cmap().name, drawn.get_clim()) == shown
    plt.close("all")


def test_a_line_is_plotted_as_a_curve() -> None:
    import matplotlib.pyplot as plt

    made = map_signal(np.arange(4.0), [axis("x", 4)], {}, "numbers", "", (2, 4), "cividis")
    made.plot()
    (line,) = made._plot.signal_plot.ax.lines
    np.testing.assert_allclose(line.get_xdata(), [-1, 1, 3, 5])
    plt.close("all")


def test_a_mask_is_an_array_a_signal_or_what_a_roi_holds() -> None:
    axes = [axis("y", 3), axis("x", 4)]
    inside = np.zeros((3, 4), dtype=bool)
    inside[1:, 1:3] = True
    for given in (inside, inside.ravel(), hs.signals.Signal2D(inside)):
        np.testing.assert_array_equal(mask_of(given, axes), inside.ravel())
    # x and y from -1 on in steps of 2
    roi = hs.roi.RectangularROI(left=1, top=1, right=5, bottom=5)
    np.testing.assert_array_equal(mask_of(roi, axes), inside.ravel())
    one = hs.roi.RectangularROI(left=-1, top=-1, right=1, bottom=1)
    assert np.flatnonzero(mask_of(one, axes)).tolist() == [0]
    span = hs.roi.SpanROI(left=1, right=5)
    assert mask_of(span, [axis("x", 4)]).tolist() == [False, True, True, False]
    for wrong, came in (
        (inside[:2], r"bool of shape \(2, 4\)"),
        (inside.astype(int), r"int64 of shape \(3, 4\)"),
    ):
        with pytest.raises(
            InputError,
            match=rf"^Expected a region as a HyperSpy ROI or a boolean mask of shape \(3, 4\), got {came}\.$",
        ):
            mask_of(wrong, axes)

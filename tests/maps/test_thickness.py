"""t/lambda of low-loss spectra whose thickness is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnflow
from mnflow.errors import InputError
from mnflow.maps import relative_thickness
from mnflow.maps.export import methods
from mnflow.serve.predictor import Predictor
from mnflow.spectra import RawSpectra
from tests.maps.conftest import image, signal

hs: Any = pytest.importorskip("hyperspy.api")

ENERGY_EV = -20 + 0.1 * np.arange(1200)


def low_loss(thickness: np.ndarray, offset_ev: float = -20.0) -> Any:
    """Spectra whose scattered part is a plasmon at 20 eV, of the share that belongs to `thickness`."""
    peak, plasmon = (np.exp(-(((ENERGY_EV - e) / w) ** 2)) for e, w in ((0.0, 0.6), (22.0, 4.0)))
    elastic = np.exp(-thickness)[..., None]
    made = hs.signals.Signal1D(1e6 * (elastic * peak / peak.sum() + (1 - elastic) * plasmon / plasmon.sum()))
    axis = made.axes_manager.signal_axes[0]
    axis.offset, axis.scale, axis.units, axis.name = offset_ev, 0.1, "eV", "Energy loss"
    return made


def test_thickness_of_spectra_and_of_a_file(tmp_path: Path) -> None:
    true = np.array([[0.2, 0.5, 1.0], [0.05, 0.3, 1.4]])
    made = low_loss(true)
    np.testing.assert_allclose(relative_thickness(made), true, atol=2e-3)
    made.save(tmp_path / "low.hspy")
    np.testing.assert_allclose(relative_thickness(tmp_path / "low.hspy"), true, atol=2e-3)
    np.testing.assert_allclose(relative_thickness(str(tmp_path / "low.hspy")), true, atol=2e-3)


def test_thickness_is_found_block_by_block_and_where_there_are_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true = np.array([[0.2, 0.5, 1.0], [0.05, 0.3, 1.4]])
    made = low_loss(true)
    made.data[0, 1], made.data[1, 2, 5] = 0.0, np.nan
    monkeypatch.setattr(RawSpectra.blocks, "__defaults__", (made.data[0, 0].nbytes,))
    found = relative_thickness(made)
    assert np.isnan(found[0, 1])
    assert found.dtype == np.float64
    true[0, 1] = np.nan
    np.testing.assert_allclose(found, true, atol=2e-3)


def test_thickness_goes_into_the_maps(predictor: Predictor) -> None:
    true = np.linspace(0.1, 1.2, 12).reshape(3, 4)
    maps = mnflow.predict(signal(image()), predictor, thickness=relative_thickness(low_loss(true)))
    assert maps.thickness is not None
    np.testing.assert_allclose(maps.thickness.data, true, atol=2e-3)


def test_a_low_loss_signal_takes_plural_scattering_out(predictor: Predictor) -> None:
    true = np.linspace(0.1, 0.8, 12).reshape(3, 4)
    plain = mnflow.predict(signal(image()), predictor)
    maps = mnflow.predict(signal(image()), predictor, low_loss=low_loss(true))
    assert maps.thickness is not None
    np.testing.assert_allclose(maps.thickness.data, true, atol=2e-3)
    assert maps.notes[0] == "plural scattering was taken out with the low loss, t/lambda 0.10 to 0.80"
    assert plain.notes == maps.notes[1:]
    assert "Plural scattering was taken out with the low loss, t/lambda 0.10 to 0.80." in methods(maps)
    # what lies above the lines is less, the more so the thicker
    above = maps.raw.energy_ev > 660
    kept = np.isin(plain.raw.energy_ev.round(3), maps.raw.energy_ev[above].round(3))
    less = np.asarray(plain.raw.counts)[:, kept].mean(axis=1) - np.asarray(maps.raw.counts)[:, above].mean(
        axis=1
    )
    assert less[-4:].mean() > less[:4].mean() > 0


def test_spectra_without_a_zero_loss_peak_are_refused() -> None:
    with pytest.raises(InputError, match="a low loss from before the zero-loss peak"):
        relative_thickness(low_loss(np.array([0.3]), offset_ev=600.0))


def test_a_real_line_scan_is_thin_and_smooth(real_data: Path) -> None:
    found = relative_thickness(real_data / "foreign" / "lsmo_linescan_low_loss.hspy")
    assert found.shape == (40,)
    assert 0.1 < np.nanmedian(found) < 2
    assert np.abs(np.diff(found)).max() < 0.3

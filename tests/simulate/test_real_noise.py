"""The noise of simulated MnO beside that of 448 measured spectra (docs/figures/simulated_noise.png)."""

import numpy as np
import pytest

from mnflow.preprocess import preprocess
from mnflow.read import read_file, read_source
from mnflow.simulate import simulate_images
from mnflow.valence import MN


def noise(intensity):
    """Level (N,), standard deviation of differences over root 2 and the maximum, and medians of the lags 1 and 2."""
    pre = intensity[:, 60:190]  # 621 ... 634 eV
    channel = np.arange(pre.shape[1])
    rest = pre - np.polynomial.polynomial.polyval(channel, np.polynomial.polynomial.polyfit(channel, pre.T, 2))
    lags = [np.median((rest[:, k:] * rest[:, :-k]).mean(axis=1) / (rest**2).mean(axis=1)) for k in (1, 2)]
    return np.diff(rest, axis=1).std(axis=1) / np.sqrt(2) / intensity.max(axis=1), lags


def test_simulated_noise_is_that_of_measured_spectra(real_data, tmp_path):
    real = np.asarray(read_file(next((real_data / "published").glob("*.pkl")), "Mn2+", "MnO", MN).counts)
    simulate_images(tmp_path, seed=1)
    spectra = preprocess(read_source(tmp_path, MN), MN).spectra
    simulated = spectra.intensity[spectra.valence == 0]
    (level, lags), (simulated_level, simulated_lags) = noise(real), noise(simulated)
    assert simulated_lags == pytest.approx(lags, abs=0.1)
    # levels spread over a decade in both, from session to session: the median and the noisy tail within a factor of two
    for percentile in (50, 95):
        assert 0.5 < np.percentile(simulated_level, percentile) / np.percentile(level, percentile) < 2

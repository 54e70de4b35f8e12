"""The noise of simulated MnO and of 448 measured spectra (docs/figures/simulated_noise.png)."""

import numpy as np
import pytest

from benchmarks.figures import noise_lags, noise_level
from mnflow.preprocess.pipeline import preprocess
from mnflow.read import read_file, read_source
from mnflow.simulate import simulate_images
from mnflow.spectra import MN


def test_simulated_noise_is_that_of_measured_spectra(real_data, tmp_path):
    real = np.asarray(read_file(next((real_data / "published").glob("*.pkl")), "Mn2+", "MnO", MN).counts)
    simulate_images(tmp_path, seed=1)
    spectra = preprocess(read_source(tmp_path, MN), MN).spectra
    simulated = spectra.intensity[spectra.valence == 0]
    assert noise_lags(simulated, 3)[1:] == pytest.approx(noise_lags(real, 3)[1:], abs=0.1)
    level, simulated_level = noise_level(real), noise_level(simulated)
    # levels spread over a decade in both, from session to session: the median and the noisy tail within a
    # factor of two
    for percentile in (50, 95):
        assert 0.5 < np.percentile(simulated_level, percentile) / np.percentile(level, percentile) < 2

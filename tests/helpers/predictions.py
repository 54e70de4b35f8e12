"""Made-up spectra, curves and points for the tests of figures."""

import numpy as np

from mnflow.spectra import MN, SpectrumSet


def spectra(n_per_class: int = 12, seed: int = 0) -> SpectrumSet:
    """Two Gaussian lines a spectrum, on the wide window, with noise; the L3 line moves by 1.5 eV a class."""
    rng = np.random.default_rng(seed)
    energy_ev = MN.wide_ev[0] + MN.dispersion_ev * np.arange(MN.n_wide)
    valence = np.repeat(np.arange(3), n_per_class)
    centre = (641.0 + 1.5 * valence + rng.normal(0, 0.2, len(valence)))[:, None]  # (N, 1)
    ratio = (0.3 + 0.12 * valence)[:, None]
    lines = np.exp(-(((energy_ev - centre) / 1.2) ** 2)) + ratio * np.exp(
        -(((energy_ev - centre - 11) / 1.6) ** 2)
    )
    noise = rng.normal(0, 0.01, lines.shape)
    group = [f"SI {i % 4}" for i in range(len(valence))]
    return SpectrumSet(energy_ev, lines + noise, valence, group, source="synthetic")


def shift_curve(width_ev: float, n_folds: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(shift_ev (101,), accuracy (F, 101)) that falls to a third outside `width_ev`."""
    rng = np.random.default_rng(seed)
    shift_ev = np.arange(-50, 51) / 10
    mean = 0.33 + 0.66 / (1 + np.exp((np.abs(shift_ev) - width_ev) * 3))
    return shift_ev, np.clip(mean + rng.normal(0, 0.01, (n_folds, 1)), 0, 1)

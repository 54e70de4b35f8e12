"""Degraded copies never reach the side that tests their originals."""

import numpy as np

from mnflow.augment.copies import with_copies
from mnflow.folds import Fold
from mnflow.spectra import MN, SpectrumSet


def made_up(n):
    energy_ev = MN.wide_ev[0] + MN.dispersion_ev * np.arange(MN.n_wide)
    intensity = np.exp(-0.5 * ((energy_ev - 644) / np.linspace(0.5, 2, n)[:, None]) ** 2)
    return SpectrumSet(energy_ev, intensity, np.arange(n) % 3, np.array([f"image {i}" for i in range(n)]))


def test_copies_follow_their_originals():
    spectra, fold = made_up(6), Fold(0, np.array([0, 2, 3, 5]), np.array([1, 4]))
    more, (wider,) = with_copies(spectra, [fold], 2, np.random.default_rng(0))
    assert len(more) == 18
    assert (more.intensity[:6] == spectra.intensity).all()
    assert wider.test.tolist() == [1, 4]
    assert sorted(set(wider.train % 6)) == [0, 2, 3, 5]
    assert len(wider.train) == 12
    assert (more.valence[wider.train] == spectra.valence[wider.train % 6]).all()
    assert (more.group == np.tile(spectra.group, 3)).all()


def test_no_copies_change_nothing():
    spectra, fold = made_up(6), Fold(0, np.arange(4), np.arange(4, 6))
    more, (same,) = with_copies(spectra, [fold], 0, np.random.default_rng(0))
    assert more.digest() == spectra.digest()
    assert same.train.tolist() == fold.train.tolist()

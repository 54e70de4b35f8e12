"""Mixtures hold what they say, and least squares finds it where the references are known."""

import numpy as np
import pytest

from mnflow import mixtures
from mnflow.folds import split
from tests.made_up_net import made_up_net
from tests.made_up_spectra import spectra


def test_fractions_add_up_and_some_are_pure_or_pairs() -> None:
    crops, fractions = mixtures.draw_mixtures(spectra(), 300, np.random.default_rng(0), spectra())
    assert crops.shape == (300, 300)
    np.testing.assert_allclose(fractions.sum(axis=1), 1)
    present = (fractions > 0).sum(axis=1)
    assert set(present.tolist()) == {1, 2, 3}


def test_least_squares_finds_the_mean_valence_when_it_knows_the_spectra() -> None:
    data = spectra(noise=0.0005)
    crops, fractions = mixtures.draw_mixtures(data, 200, np.random.default_rng(1), data)
    charges = np.array(data.edge.charges)
    found = mixtures.least_squares(crops, data) @ charges
    assert np.corrcoef(found, fractions @ charges)[0, 1] > 0.7


def test_measures_the_nets_beside_least_squares() -> None:
    data = spectra(48)
    result = mixtures.measure_mixtures(made_up_net(3), 1.0, data, split(data, "stratified", 3), np.random.default_rng(2))
    assert result.nets == pytest.approx(0.6, abs=0.5)
    assert 0 < result.least_squares < 1.5

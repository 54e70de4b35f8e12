"""Baselines learn what they should, alignment undoes a shift, least squares agree with scipy's."""

import numpy as np
import pytest
from scipy.optimize import nnls
from sklearn.base import clone

from mnflow.errors import InputError
from mnflow.models import baselines
from mnflow.preprocess import crop, normalise
from mnflow.spectra import MN, SpectrumSet

WIDTH_EV, L2_STRENGTH = np.array([1.0, 1.4, 1.0]), np.array([0.25, 0.45, 0.55])


def _edges(n_per_class: int = 25, seed: int = 0) -> SpectrumSet:
    """Two lines on two steps; the classes differ in the position, the width of L3 and the strength of L2."""
    rng = np.random.default_rng(seed)
    energy_ev = MN.wide_ev[0] + MN.dispersion_ev * np.arange(MN.n_wide)
    valence = np.repeat(np.arange(3), n_per_class)
    l3 = (641.0 + valence + rng.normal(0, 0.15, len(valence)))[:, None]
    l2 = l3 + 11
    width, strength = WIDTH_EV[valence][:, None], L2_STRENGTH[valence][:, None]
    lines = np.exp(-(((energy_ev - l3) / width) ** 2)) + strength * np.exp(-(((energy_ev - l2) / 1.2) ** 2))
    steps = 0.1 * (
        0.5 + (2 * np.arctan(2 * (energy_ev - l3)) + np.arctan(2 * (energy_ev - l2))) / (3 * np.pi)
    )
    intensity = lines + steps + rng.normal(0, 0.005, lines.shape)
    return SpectrumSet(energy_ev, intensity, valence, np.full(len(valence), "SI"), source="synthetic")


@pytest.mark.parametrize("align", [False, True], ids=["as-is", "aligned"])
@pytest.mark.parametrize("method", baselines.METHODS)
def test_every_baseline_learns_and_gives_probabilities(method: str, align: bool) -> None:
    train, test = _edges(seed=0), _edges(seed=1)
    model = clone(baselines.build(method, align)).fit(crop(train), train.valence)
    p = model.predict_proba(crop(test))
    assert p.shape == (75, 3)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(p.argmax(axis=1), model.predict(crop(test)))
    assert (p.argmax(axis=1) == test.valence).mean() > 0.9


@pytest.mark.parametrize("method", baselines.METHODS)
def test_alignment_makes_a_baseline_stand_a_shift(method: str) -> None:
    train, test = _edges(seed=0), _edges(seed=1)
    aligned = baselines.build(method, align=True).fit(crop(train), train.valence)
    assert (aligned.predict(crop(test, 35)) == test.valence).mean() > 0.9


def test_alignment_interpolates_between_channels_and_continues_the_ends() -> None:
    # more than are moved together, some shifted so far that an end value fills much of the crop
    crops = np.concatenate([crop(_edges(seed=seed), shift) for seed in range(4) for shift in (-45, 0, 45)])
    align = baselines.AlignEdge().fit(crops)
    align.position_ += 100.25
    channels = np.arange(crops.shape[1])
    moved = [
        np.interp(channels + by, channels, spectrum)
        for spectrum, by in zip(crops, baselines._vertex(crops.astype(float)) - align.position_, strict=True)
    ]
    np.testing.assert_allclose(align.transform(crops), normalise(np.array(moved)), atol=1e-12)


@pytest.mark.parametrize("method", ["least_squares", "cosine_svm", "random_forest", "nearest_neighbours"])
def test_without_alignment_a_shift_misleads(method: str) -> None:
    train, test = _edges(seed=0), _edges(seed=1)
    model = baselines.build(method).fit(crop(train), train.valence)
    assert (model.predict(crop(test, 35)) == test.valence).mean() < 0.7


def test_least_squares_agree_with_scipy() -> None:
    rng = np.random.default_rng(3)
    references = rng.normal(size=(4, 30))
    spectra = rng.normal(size=(50, 4)) @ references + 0.3 * rng.normal(size=(50, 30))
    expected = np.array([nnls(references.T, s)[0] for s in spectra])
    np.testing.assert_allclose(baselines.non_negative_weights(spectra, references), expected, atol=1e-9)
    assert (expected == 0).any()


def test_least_squares_find_the_shares_of_a_mixture() -> None:
    pure = crop(_edges(n_per_class=1))
    model = baselines.ReferenceLeastSquares().fit(pure, [0, 1, 2])
    np.testing.assert_allclose(
        model.predict_proba(0.3 * pure[:1] + 0.7 * pure[1:2]), [[0.3, 0.7, 0]], atol=1e-5
    )


def test_the_white_line_ratio_is_the_ratio_of_the_lines_areas() -> None:
    spectra = _edges(seed=0)
    ratio = np.exp(baselines.WhiteLineRatio().fit_transform(crop(spectra))[:, 0])
    expected = WIDTH_EV[spectra.valence] / (L2_STRENGTH[spectra.valence] * 1.2)
    assert np.abs(ratio / expected - 1).max() < 0.1


def test_gain_and_offset_do_not_change_the_ratio_and_noise_gives_no_nan() -> None:
    flat_and_noise = np.concatenate([np.zeros((2, 300)), np.random.default_rng(0).normal(size=(20, 300))])
    assert np.isfinite(baselines.WhiteLineRatio().fit_transform(flat_and_noise)).all()
    assert np.isfinite(baselines.AlignEdge().fit_transform(flat_and_noise)).all()


def test_an_unknown_baseline_is_refused_with_the_names() -> None:
    with pytest.raises(InputError, match=r"least_squares, cosine_svm"):
        baselines.build("magic")

"""Augmentation shifts by real crops, scales what PCA takes for noise, and keeps the order of spectra."""

import numpy as np
import pytest

from mnflow.augment import pca_noise
from mnflow.augment.energy_shift import crops, draw_shifts
from mnflow.errors import InputError
from mnflow.preprocess import crop
from tests.helpers.spectra import COARSE
from tests.helpers.spectra import spectra as made_up


def test_without_shift_and_noise_a_crop_is_what_evaluation_sees() -> None:
    spectra = made_up(9, edge=COARSE)
    drawn = pca_noise.augment(spectra.intensity, None, COARSE, np.random.default_rng(0), max_shift=0)
    np.testing.assert_array_equal(drawn, crop(spectra))


def test_every_spectrum_is_shifted_by_a_draw_of_its_own() -> None:
    wide = made_up(6, edge=COARSE).intensity
    drawn = pca_noise.augment(wide, None, COARSE, np.random.default_rng(0), max_shift=20)
    shifts = draw_shifts(np.random.default_rng(0), 6, 20)
    assert len(set(shifts)) > 3
    np.testing.assert_array_equal(drawn, crops(wide, shifts, COARSE))


def test_drawing_follows_from_the_generator() -> None:
    wide, noise = made_up(20, edge=COARSE).intensity, made_up(20, seed=1, edge=COARSE).intensity
    first, again, other = (
        pca_noise.augment(wide, noise, COARSE, np.random.default_rng(s), 10) for s in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_signal_and_noise_add_up_to_the_spectra() -> None:
    wide = pca_noise.to_unit_range(made_up(80, edge=COARSE).intensity, COARSE)
    cleaned, noise = pca_noise.fit_noise(wide[:60], 10).split(wide)
    np.testing.assert_allclose(cleaned + noise, wide, atol=1e-6)
    assert noise[60:].std() == pytest.approx(noise[:60].std(), rel=0.25)
    single = pca_noise.fit_noise(wide.astype(np.float64), 10).split(wide.astype(np.float64))
    assert [part.dtype for part in single] == [np.float32, np.float32]


def test_noise_has_the_level_that_was_put_in() -> None:
    quiet, loud = (
        pca_noise.to_unit_range(made_up(300, noise=level, edge=COARSE).intensity, COARSE)
        for level in (0.005, 0.02)
    )
    ratio = pca_noise.fit_noise(loud).split(loud)[1].std() / pca_noise.fit_noise(quiet).split(quiet)[1].std()
    assert ratio == pytest.approx(4, rel=0.2)


def test_components_agree_with_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    wide = pca_noise.to_unit_range(made_up(80, edge=COARSE).intensity, COARSE)
    theirs = PCA(5).fit(wide)
    cleaned, _ = pca_noise.fit_noise(wide, 5).split(wide)
    np.testing.assert_allclose(cleaned, theirs.inverse_transform(theirs.transform(wide)), atol=1e-4)


def test_unit_range_holds_in_the_crop_whatever_gain_and_offset() -> None:
    # its top is the crop's end
    wide = made_up(5, edge=COARSE).intensity + 0.05 * np.arange(COARSE.n_wide, dtype=np.float32)
    scaled = pca_noise.to_unit_range(3 * wide + 7, COARSE)
    inside = scaled[:, COARSE.crop_start : COARSE.crop_start + COARSE.n_crop]
    np.testing.assert_allclose([inside.min(axis=1), inside.max(axis=1)], [np.zeros(5), np.ones(5)], atol=1e-6)
    np.testing.assert_allclose(scaled, pca_noise.to_unit_range(wide, COARSE), atol=1e-5)


def test_what_is_flat_in_the_crop_is_not_scaled() -> None:
    wide = np.full((1, COARSE.n_wide), 2.0, dtype=np.float32)
    wide[0, :3] = 5
    np.testing.assert_array_equal(pca_noise.to_unit_range(wide, COARSE), wide - 2)


def test_factors_on_the_noise_have_uniform_roots() -> None:
    scales = pca_noise.draw_scales(np.random.default_rng(0), 4000, 3.0)
    assert scales.dtype == np.float32
    assert 0 <= scales.min() < 0.01
    assert 2.99 < scales.max() < 3
    assert np.mean(scales < 3 / 4) == pytest.approx(1 / 2, abs=0.03)
    assert np.mean(scales < 3 / 16) == pytest.approx(1 / 4, abs=0.03)


def test_noise_is_added_times_a_factor_of_each_spectrum() -> None:
    noise = made_up(6, edge=COARSE).intensity
    signal = np.zeros_like(noise)
    drawn = pca_noise.augment(signal, noise, COARSE, np.random.default_rng(0), max_shift=0)
    # a factor is a gain
    np.testing.assert_allclose(drawn, crops(noise, np.zeros(6, dtype=int), COARSE), atol=1e-6)
    noise = np.abs(noise)
    noise[:, COARSE.crop_start : COARSE.crop_start + 2] = 0
    signal[:, COARSE.crop_start] = 100  # beside this spike the noise's height shows the factor
    drawn = pca_noise.augment(signal, noise, COARSE, np.random.default_rng(0), max_shift=0, max_scale=2.0)
    factors = pca_noise.draw_scales(np.random.default_rng(0), 6, 2.0)
    top = noise[:, COARSE.crop_start : COARSE.crop_start + COARSE.n_crop].max(axis=1)
    np.testing.assert_allclose(drawn[:, 1:].max(axis=1) - drawn[:, 1], factors * top / 100, atol=1e-6)


def test_too_many_or_no_components_give_a_clear_error() -> None:
    for kept in (0, 8, 10):
        with pytest.raises(InputError, match=f"Cannot keep {kept} components of 8 spectra"):
            pca_noise.fit_noise(made_up(8, edge=COARSE).intensity, kept)
    assert [
        len(pca_noise.fit_noise(made_up(8, edge=COARSE).intensity, kept).components) for kept in (1, 7)
    ] == [1, 7]

"""Augmentation shifts by real crops, scales what PCA takes for noise, and keeps the order of spectra."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_spectra import COARSE
from made_up_spectra import spectra as made_up

from mnflow import augment
from mnflow.errors import InputError
from mnflow.preprocess import crop, normalise


@given(shift=st.integers(-25, 25))
@settings(max_examples=20, deadline=None)
def test_a_crop_of_the_shifted_is_a_shifted_crop(shift: int) -> None:
    wide = made_up(6, edge=COARSE).intensity
    start = COARSE.crop_start
    moved = np.roll(wide, shift, axis=1)[:, start : start + COARSE.n_crop]  # what rolls in stays outside of the crop
    np.testing.assert_array_equal(augment.crops(wide, np.full(6, shift), COARSE), normalise(moved))


def test_without_shift_and_noise_a_crop_is_what_evaluation_sees() -> None:
    spectra = made_up(9, edge=COARSE)
    drawn = augment.augment(spectra.intensity, None, COARSE, np.random.default_rng(0), max_shift=0)
    np.testing.assert_array_equal(drawn, crop(spectra))


def test_every_shift_is_drawn() -> None:
    shifts = augment.draw_shifts(np.random.default_rng(0), 5000, 7)
    counts = np.bincount(shifts + 7)
    assert len(counts) == 15
    assert counts.min() > 250


def test_drawing_follows_from_the_generator() -> None:
    wide, noise = made_up(20, edge=COARSE).intensity, made_up(20, seed=1, edge=COARSE).intensity
    first, again, other = (augment.augment(wide, noise, COARSE, np.random.default_rng(s), 10) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_signal_and_noise_add_up_to_the_spectra() -> None:
    wide = augment.to_unit_range(made_up(80, edge=COARSE).intensity, COARSE)
    cleaned, noise = augment.fit_noise(wide[:60], 10).split(wide)
    np.testing.assert_allclose(cleaned + noise, wide, atol=1e-6)
    assert noise[60:].std() == pytest.approx(noise[:60].std(), rel=0.25)


def test_noise_has_the_level_that_was_put_in() -> None:
    quiet, loud = (augment.to_unit_range(made_up(300, noise=level, edge=COARSE).intensity, COARSE) for level in (0.005, 0.02))
    ratio = augment.fit_noise(loud).split(loud)[1].std() / augment.fit_noise(quiet).split(quiet)[1].std()
    assert ratio == pytest.approx(4, rel=0.2)


def test_components_agree_with_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    wide = augment.to_unit_range(made_up(80, edge=COARSE).intensity, COARSE)
    theirs = PCA(5).fit(wide)
    cleaned, _ = augment.fit_noise(wide, 5).split(wide)
    np.testing.assert_allclose(cleaned, theirs.inverse_transform(theirs.transform(wide)), atol=1e-4)


def test_unit_range_holds_in_the_crop_whatever_gain_and_offset() -> None:
    wide = made_up(5, edge=COARSE).intensity
    scaled = augment.to_unit_range(3 * wide + 7, COARSE)
    inside = scaled[:, COARSE.crop_start : COARSE.crop_start + COARSE.n_crop]
    np.testing.assert_allclose([inside.min(axis=1), inside.max(axis=1)], [np.zeros(5), np.ones(5)], atol=1e-6)
    np.testing.assert_allclose(scaled, augment.to_unit_range(wide, COARSE), atol=1e-5)


def test_what_does_not_fit_is_refused_in_words() -> None:
    assert augment.max_shift_bins(COARSE) == 25
    with pytest.raises(InputError, match=r"0 \.\.\. 8 eV"):
        augment.max_shift_bins(COARSE, 9.0)
    with pytest.raises(InputError, match="Cannot keep 10 components of 8 spectra"):
        augment.fit_noise(made_up(8, edge=COARSE).intensity, 10)

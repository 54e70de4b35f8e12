"""The crop, its normalisation, and what shifts of the energy axis do to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnflow.errors import InputError
from mnflow.preprocess.crops import (
    around_l3,
    around_l3_channels,
    binned,
    crop,
    crop_start,
    l3_channel,
    normalise,
)
from mnflow.spectra import MN, SpectrumSet


@pytest.fixture(scope="module")
def spectra() -> SpectrumSet:
    rng = np.random.default_rng(0)
    energy_ev = 615 + 0.1 * np.arange(700)
    return SpectrumSet(energy_ev, rng.normal(size=(5, 700)), np.zeros(5), np.full(5, "si"))


def test_normalise_spans_one_with_zero_mean() -> None:
    out = normalise(np.array([[1.0, 2.0, 5.0], [-3.0, 0.0, 3.0]]))
    np.testing.assert_allclose(np.ptp(out, axis=-1), 1)
    np.testing.assert_allclose(out.mean(axis=-1), 0, atol=1e-15)


def test_normalise_of_a_flat_spectrum_is_zero() -> None:
    assert not normalise(np.full((2, 7), 3.5)).any()


def test_normalise_takes_integers_without_overflow() -> None:
    np.testing.assert_allclose(normalise(np.array([-32768, 32767], dtype=np.int16)), [-0.5, 0.5])


@given(
    gain=st.floats(1e-6, 1e6),
    offset=st.floats(-100, 100),
    seed=st.integers(0, 99),
    channels=st.integers(1, 400),
)
def test_normalise_is_unchanged_by_gain_and_offset(
    gain: float, offset: float, seed: int, channels: int
) -> None:
    x = np.random.default_rng(seed).normal(size=channels)
    np.testing.assert_allclose(normalise(gain * (x + offset)), normalise(x), atol=1e-6)


@given(shift=st.integers(-200, 200))
def test_a_shifted_crop_is_a_crop_of_the_shifted(spectra: SpectrumSet, shift: int) -> None:
    rolled = SpectrumSet(
        spectra.energy_ev, np.roll(spectra.intensity, shift, axis=1), spectra.valence, spectra.group
    )
    np.testing.assert_array_equal(crop(spectra, shift), crop(rolled))


def test_crop_takes_a_shift_for_every_spectrum(spectra: SpectrumSet) -> None:
    shifts = np.array([-200, -3, 0, 7, 200])
    each = [crop(spectra.select([i]), int(s))[0] for i, s in enumerate(shifts)]
    np.testing.assert_allclose(crop(spectra, shifts), each, atol=1e-6)


def test_nominal_crop_starts_at_635_ev(spectra: SpectrumSet) -> None:
    np.testing.assert_allclose(crop(spectra), normalise(spectra.intensity[:, 200:500]), atol=1e-6)


@pytest.mark.parametrize("shift", [-201, 201])
def test_crop_refuses_a_shift_out_of_the_window(spectra: SpectrumSet, shift: int) -> None:
    least, most = sorted((shift, 3))
    said = rf"A shift must lie within -200 \.\.\. 200 .*; got {least} \.\.\. {most}\."
    with pytest.raises(InputError, match=said):
        crop(spectra, np.array([3, shift, 3, 3, 3]))


def test_a_crop_starts_earlier_for_a_positive_shift() -> None:
    assert crop_start(MN) == 200
    assert crop_start(MN, [-200, 3, 200]).tolist() == [400, 197, 0]


def test_crop_refuses_another_window() -> None:
    short = SpectrumSet(635 + 0.1 * np.arange(300), np.ones((1, 300)), np.zeros(1), np.array(["a"]))
    with pytest.raises(InputError, match="Expected spectra of 700 channels"):
        crop(short)


def test_normalise_keeps_the_precision_and_takes_lists() -> None:
    assert normalise(np.arange(3, dtype=np.float32)).dtype == np.float32
    for whole in ([1, 2, 5], np.array([1, 2, 5]), np.array([1, 2, 5], dtype=np.uint8)):
        np.testing.assert_allclose(normalise(whole), np.array([0, 0.25, 1]) - 1.25 / 3)


def test_the_stretch_around_l3() -> None:
    assert around_l3_channels(300) == (30, 180, 20)
    assert around_l3_channels(8) == (0, 4, 1)
    bump = np.exp(-(((np.arange(300) - 90) / 6) ** 2))
    crops = np.stack([np.roll(bump, shift) for shift in (-60, 0, 60, 200)]).astype(np.float32)
    crops[0, 250] = 3.0  # a spike is narrower than what the maximum is averaged over
    assert l3_channel(crops, 20).tolist() == [30, 90, 150, 290]
    assert l3_channel(crops, 1)[0] == 250
    found = around_l3(crops, 5)
    assert found.shape == (4, 36)
    assert found.argmax(axis=1).tolist() == [6, 6, 6, 34]  # 30 channels before L3, as far as the crop reaches
    np.testing.assert_allclose(found[1], found[2], atol=1e-5)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose((found**2).mean(axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(binned(np.arange(7.0)[None], 2), [[-np.sqrt(1.5), 0, np.sqrt(1.5)]], rtol=1e-6)

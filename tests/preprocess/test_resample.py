import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter1d

from mnflow.errors import InputError
from mnflow.preprocess.resample import median, moving_average, resampler
from mnflow.spectra.axis import axis_ev, ordered

TARGET = axis_ev(615.0, 700, 0.1)


def test_equal_axes_change_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(3, 900)).astype(np.float32)
    x[:, ::3] *= 1e15  # not even a rounding error of a neighbour
    np.testing.assert_array_equal(resampler(axis_ev(605.0, 900, 0.1), TARGET)(x), x[:, 100:800])


@pytest.mark.parametrize("step", [0.02, 0.05, 0.1, 0.13, 0.25, 0.4])
@pytest.mark.parametrize("offset", [0.0, 0.013, 0.05])
def test_straight_lines_stay_straight(step: float, offset: float) -> None:
    energy_ev = axis_ev(610.0 + offset, int(80 / step), step)
    line = (3 * energy_ev - 7)[None]
    np.testing.assert_allclose(resampler(energy_ev, TARGET)(line)[0], 3 * TARGET - 7, rtol=3e-5)


@pytest.mark.parametrize("factor", [2, 5, 40])
def test_finer_channels_are_averaged(factor: int) -> None:
    """No counts are wasted: noise falls with the root of the channels that are put together."""
    step = 0.1 / factor
    energy_ev = axis_ev(610.0, 80 * 10 * factor, step)
    noise = np.random.default_rng(0).normal(size=(20, len(energy_ev))).astype(np.float32)
    out = resampler(energy_ev, TARGET)(noise)
    assert out.std() == pytest.approx(factor**-0.5, rel=0.25)


def test_beyond_the_ends_the_end_values_go_on() -> None:
    out = resampler(axis_ev(640.0, 100, 0.1), TARGET)(np.linspace(2, 5, 100)[None])
    np.testing.assert_allclose(out[0, :250], 2, rtol=1e-6)
    np.testing.assert_allclose(out[0, 350:], 5, rtol=1e-6)


@given(seed=st.integers(0, 200), channels=st.integers(2, 400))
def test_any_increasing_axis_keeps_bounds_and_constants(seed: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    energy_ev = np.unique(rng.uniform(600, 700, channels))
    x = rng.normal(size=(2, len(energy_ev))).astype(np.float32)
    resample = resampler(energy_ev, TARGET)
    np.testing.assert_allclose(resample.weight.sum(axis=0), 1, rtol=1e-5)
    assert resample.weight.min() >= 0
    assert resample(x).max() <= x.max() + 1e-5


def test_a_million_channels() -> None:
    energy_ev = axis_ev(600.0, 1_000_000, 1e-4)
    out = resampler(energy_ev, TARGET)(energy_ev[None].astype(np.float32))
    np.testing.assert_allclose(out[0], TARGET, atol=1e-3)


def test_ordered_refuses_what_is_no_axis() -> None:
    for energy in ([640.0], [640.0, np.nan], [640.0, 640.0], [640.0, 641.0, 642.0]):
        with pytest.raises(InputError, match="the file: expected"):
            ordered(np.array(energy), np.ones((1, 2)), "the file")


@pytest.mark.parametrize("width", [1, 2, 5, 6])
def test_a_moving_average_is_scipys(width: int) -> None:
    spectra = np.random.default_rng(0).normal(size=(3, 40))
    expected = uniform_filter1d(spectra, width, axis=-1, mode="nearest")
    np.testing.assert_allclose(moving_average(spectra, width), expected, atol=1e-12)


@pytest.mark.parametrize("channels", [70, 900, 3000])
def test_a_target_channel_is_the_mean_of_the_broken_line_over_it(channels: int) -> None:
    """As finely as the source has channels, no finer: a target's box is narrower by the source's step."""
    rng = np.random.default_rng(channels)
    energy_ev = np.sort(rng.uniform(610, 690, channels))
    x = rng.normal(size=(1, channels)).astype(np.float32)
    width = max(0.0, 0.1 - float(np.median(np.diff(energy_ev[(energy_ev > 614.9) & (energy_ev < 685)]))))
    within = np.linspace(-width / 2, width / 2, 4001)
    expected = np.interp(TARGET[:, None] + within, energy_ev, x[0]).mean(axis=1)
    resample = resampler(energy_ev, TARGET)
    np.testing.assert_allclose(resample(x)[0], expected, atol=3e-3)
    assert (resample.weight.dtype, resample(x).dtype) == (np.float32, np.float32)


def test_ordered_turns_and_sorts_counts_with_their_energies() -> None:
    rising = np.array([1, 2])
    energy_ev, counts = ordered(rising, np.array([[3, 4]]), "the file")
    assert (energy_ev.dtype, energy_ev.tolist(), counts.tolist()) == (np.float64, [1, 2], [[3, 4]])
    energy_ev, counts = ordered(rising[::-1], np.array([[3, 4], [5, 6]]), "the file")
    assert (energy_ev.tolist(), counts.tolist()) == ([1, 2], [[4, 3], [6, 5]])
    energy_ev, counts = ordered(
        np.array([2, 1, 2, 0, 2]), np.array([[1, 2, 3, 4, 5], [0, 1, 0, 1, 1]]), "the file"
    )
    assert energy_ev.tolist() == [0, 1, 2]
    assert ordered(np.array([2, 1, 2]), np.array([[1, 2, 3]]), "the file")[1].tolist() == [[2, 2]]
    np.testing.assert_allclose(counts, [[4, 2, 3], [1, 1, 1 / 3]])


def test_a_kept_axis_serves_no_other() -> None:
    axes = [axis_ev(start_ev, 800, 0.1) for start_ev in (610.0, 611.0, 610.0)]
    first, other, again = (resampler(energy_ev, TARGET)(energy_ev[None]) for energy_ev in axes)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(other[0, 10:690], TARGET[10:690], rtol=1e-6)
    shorter = resampler(axes[0], TARGET[:300])(axes[0][None])
    np.testing.assert_allclose(shorter[0], TARGET[:300], rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 7, 10])
def test_a_median_is_numpys(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(4, n))
    np.testing.assert_array_equal(median(values), np.median(values, axis=1))

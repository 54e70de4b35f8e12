"""Spikes and dead channels are bridged; clean spectra stay as they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnflow.preprocess.detector.spikes import spikes_note, without_spikes, without_spikes_of_scan
from mnflow.preprocess.window import place_windows
from mnflow.spectra import MN
from tests.helpers.spectra import edge_shape

ENERGY_EV = np.arange(600, 700, 0.1)


def _counts(
    rng: np.random.Generator, dose: float, background: float, energy_ev: np.ndarray = ENERGY_EV
) -> np.ndarray:
    clean = edge_shape(energy_ev, [0, 1, 2]) + background * (energy_ev / 642) ** -3
    return rng.poisson(dose * clean).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    dose=st.sampled_from([1.0, 10.0, 1e3, 1e6]), background=st.floats(0.05, 5), seed=st.integers(0, 99),
    step_ev=st.sampled_from([0.02, 0.1, 0.3, 1.0]),
)  # fmt: skip
def test_clean_spectra_stay_to_the_last_bit(
    dose: float, background: float, seed: int, step_ev: float
) -> None:
    energy_ev = np.arange(600, 700, step_ev)
    counts = _counts(np.random.default_rng(seed), dose, background, energy_ev)
    mended, found = without_spikes(energy_ev, counts)
    assert mended is counts
    assert not found.any()


@pytest.mark.parametrize("height", [-1.0, 0.5, 1.0, 2.0, 20.0, 500.0])
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("at_ev", [625.0, 642.0, 645.0, 653.0, 660.0])
@pytest.mark.parametrize("kind", ["f4", "u4"])
def test_spikes_are_bridged(height: float, width: int, at_ev: float, kind: str) -> None:
    dose = 1e4
    clean = _counts(np.random.default_rng(0), dose, 1.5).astype(kind)
    at = round((at_ev - 600) * 10)
    spoilt = clean.astype(np.float64)
    spoilt[1, at : at + width] += dose * height
    mended, found = without_spikes(ENERGY_EV, spoilt.astype(kind))
    assert found.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(mended[[0, 2]], clean[[0, 2]])
    assert mended.dtype == kind
    assert np.abs(mended[1].astype(float) - clean[1]).max() < 0.15 * dose
    np.testing.assert_array_equal(
        np.delete(mended[1], np.s_[at - 3 : at + 6]), np.delete(clean[1], np.s_[at - 3 : at + 6])
    )


def test_how_many_were_bridged_is_said() -> None:
    assert spikes_note(1) == "1 spike, dead or hot channel was bridged"
    assert spikes_note(2) == "2 spikes, dead or hot channels were bridged"


@pytest.mark.parametrize("kind", ["f4", "f8", "u2", "i4"])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_straight_line_takes_the_place_of_a_spike_in_whole_counts(kind: str, width: int) -> None:
    clean = np.rint(1e4 * (edge_shape(ENERGY_EV, [0, 1]) + 1.5 * (ENERGY_EV / 642) ** -3)).astype(kind)
    for at in (100, 300, 700, 996 - width):
        spoilt = clean.copy()
        spoilt[1, at : at + width] += np.array(20_000).astype(kind)
        mended, found = without_spikes(ENERGY_EV, spoilt)
        line = np.interp(np.arange(at, at + width), [at - 1, at + width], clean[1, [at - 1, at + width]])
        expected = clean.copy()
        expected[1, at : at + width] = line if kind[0] == "f" else np.rint(line)
        assert found.tolist() == [0, 1]
        np.testing.assert_array_equal(mended, expected)
        assert spoilt[1, at] > 20_000, "what was given stays as it is"
    spoilt = clean.copy()
    spoilt[0, [50, 400, 800]] += np.array(20_000).astype(kind)
    assert without_spikes(ENERGY_EV, spoilt)[1].tolist() == [3, 0]


def test_what_is_wider_than_a_spike_stays() -> None:
    clean = _counts(np.random.default_rng(0), 1e4, 1.5)
    clean[1, 200:206] += 2e4
    clean[2, 200:205] += [2e4, -1e4, 2e4, -1e4, 2e4]
    mended, found = without_spikes(ENERGY_EV, clean)
    assert mended is clean
    assert not found.any()
    spoilt = clean.copy()
    spoilt[2, 700] += 2e4  # is one beside what is none
    mended, found = without_spikes(ENERGY_EV, spoilt)
    assert found.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(np.delete(mended, 700, axis=1), np.delete(clean, 700, axis=1))


@pytest.mark.parametrize(
    ("share", "is_spike", "in_coarse"), [(0.15, False, False), (0.24, True, False), (0.85, True, True)]
)
def test_a_spike_is_a_fifth_as_high_as_the_edge(share: float, is_spike: bool, in_coarse: bool) -> None:
    """At 0.1 eV a channel; at 0.2 eV it must be four times as high."""
    clean = 1e6 * (edge_shape(ENERGY_EV, [1]) + 1.5 * (ENERGY_EV / 642) ** -3)
    clean[0, 700] += share * (clean.max() - np.percentile(clean, 10))
    for step_ev, found in ((0.1, is_spike), (0.2, in_coarse), (0.02, is_spike)):
        mended, n = without_spikes(600 + step_ev * np.arange(1000), clean)
        assert n.tolist() == [found]
        assert (mended is clean) != found


def test_few_channels_are_left_alone() -> None:
    for channels, found in ((10, 0), (11, 1)):
        counts = np.linspace(100, 200, channels)[None].repeat(3, axis=0)
        counts[1, 5] = 1e5
        energy_ev = 640 + 0.1 * np.arange(channels)
        assert without_spikes(energy_ev, counts)[1].tolist() == [0, found, 0]
        assert without_spikes_of_scan(energy_ev, counts, 3, slice(0, 3))[1].tolist() == [0, found, 0]


def test_more_candidates_than_are_looked_at_together_are_all_found() -> None:
    clean = 1e4 * (edge_shape(ENERGY_EV, [1] * 150) + 1.5 * (ENERGY_EV / 642) ** -3)
    spoilt = clean.copy()
    rows = np.arange(150)[np.arange(150) % 3 != 0]
    spoilt[rows, 200 + rows] += 5e4
    mended, found = without_spikes(ENERGY_EV, spoilt)
    np.testing.assert_array_equal(np.flatnonzero(found), rows)
    np.testing.assert_allclose(mended, clean, atol=50)


def test_a_spike_is_counted_and_moves_no_window() -> None:
    clean = _counts(np.random.default_rng(0), 1e4, 1.5)
    spoilt = clean.copy()
    spoilt[0, 250] = 1e6
    good, bad = (place_windows(ENERGY_EV, c, MN) for c in (clean, spoilt))
    assert bad.spikes.tolist() == [1, 0, 0]
    assert bad.moved_bins.tolist() == good.moved_bins.tolist()
    np.testing.assert_allclose(bad.intensity, good.intensity, atol=300)
    assert not bad.faults.any()


@settings(max_examples=30, deadline=None)
@given(
    dose=st.sampled_from([10.0, 1e3, 1e6]), background=st.floats(0.05, 5), seed=st.integers(0, 99),
    step_ev=st.sampled_from([0.05, 0.1, 0.3, 1.0]), columns=st.sampled_from([0, 1, 2, 6, 9]),
    vacuum=st.booleans(),
)  # fmt: skip
def test_clean_scans_stay_to_the_last_bit(
    dose: float, background: float, seed: int, step_ev: float, columns: int, vacuum: bool
) -> None:
    """Each pixel is another compound than its neighbours, of another thickness and 0.2 eV off, or alone."""
    energy_ev, rng = np.arange(600, 700, step_ev), np.random.default_rng(seed)
    offsets_ev = rng.uniform(-0.2, 0.2, 36)
    clean = np.stack(
        [edge_shape(energy_ev - d, [k])[0] for d, k in zip(offsets_ev, rng.integers(0, 3, 36), strict=True)]
    )
    if vacuum:
        clean[rng.uniform(size=36) < 0.7] = 0
    clean = (clean + background * (energy_ev / 642) ** -3) * rng.uniform(0.3, 3, (36, 1))
    counts = rng.poisson(dose * clean).astype(np.float32)
    mended, found = without_spikes_of_scan(energy_ev, counts, columns, slice(0, 36))
    np.testing.assert_array_equal(mended, counts)
    assert not found.any()


@pytest.mark.parametrize("columns", [1, 6])
@pytest.mark.parametrize("rows", [slice(0, 36), slice(12, 20), slice(14, 15)])
@pytest.mark.parametrize("at_ev", [625.0, 640.5, 645.0, 653.0])
@pytest.mark.parametrize("kind", ["f4", "u4"])
def test_a_low_spike_that_no_neighbour_in_the_scan_has_is_taken_out(
    columns: int, rows: slice, at_ev: float, kind: str
) -> None:
    rng, dose = np.random.default_rng(0), 1e6
    clean = edge_shape(ENERGY_EV, [1] * 36) + 1.5 * (ENERGY_EV / 642) ** -3
    clean = rng.poisson(dose * clean * rng.uniform(0.5, 2, (36, 1))).astype(kind)
    at = round((at_ev - 600) * 10)
    spoilt = clean.astype(np.float64)
    spoilt[14, at : at + 3] += 0.13 * (clean[14].max() - clean[14].min())
    spoilt[3, 400] = np.nan if kind == "f4" else 0
    alone, _ = without_spikes(ENERGY_EV, spoilt[14:15].astype(kind))
    np.testing.assert_array_equal(alone[0], spoilt[14].astype(kind))  # by itself it may be a line
    mended, found = without_spikes_of_scan(ENERGY_EV, spoilt.astype(kind), columns, rows)
    row = 14 - rows.start
    assert found[row] == 1
    np.testing.assert_allclose(mended[row], clean[14], atol=0.03 * clean[14].max())
    other = np.setdiff1d(np.arange(36)[rows], [3, 14])
    np.testing.assert_array_equal(mended[other - rows.start], clean[other])


def test_what_all_pixels_of_a_scan_have_is_no_low_spike() -> None:
    clean = 1e6 * (edge_shape(ENERGY_EV, [1] * 36) + 1.5 * (ENERGY_EV / 642) ** -3)
    clean[:, 450:453] += 1e5
    mended, found = without_spikes_of_scan(ENERGY_EV, clean, 6, slice(0, 36))
    np.testing.assert_array_equal(mended, clean)
    assert not found.any()


@pytest.mark.parametrize(("columns", "neighbours"), [(6, (1, 5, 6, 7)), (1, (1, 2)), (2, (1, 2))])
def test_what_a_neighbour_has_is_no_low_spike(columns: int, neighbours: tuple[int, ...]) -> None:
    """A pixel is compared with those beside, above and below it; in a line scan with two on either side."""
    plain = 1e6 * (edge_shape(ENERGY_EV, [1] * 36) + 1.5 * (ENERGY_EV / 642) ** -3)
    plain = np.random.default_rng(0).poisson(plain).astype(np.float64)
    for aside in (-13, -7, -6, -5, -3, -2, -1, 1, 2, 3, 5, 6, 7, 13):
        counts = plain.copy()
        counts[14, 450:453] += 1.4e5
        counts[14 + aside, 450:453] += 1.4e5
        mended, found = without_spikes_of_scan(ENERGY_EV, counts, columns, slice(14, 15))
        assert found.tolist() == [0 if abs(aside) in neighbours else 1], aside
        assert np.any(mended % 1) == bool(found[0])  # whole counts stay whole only where their type is
    _, found = without_spikes_of_scan(ENERGY_EV, counts, 0, slice(14, 15))  # no scan
    assert found.tolist() == [0]

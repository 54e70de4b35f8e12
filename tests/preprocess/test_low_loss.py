"""Thickness as eXSpy finds it, and plural scattering taken out of edges in which it is known."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from math import factorial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnflow.errors import InputError
from mnflow.preprocess.low_loss import single_scattering, thickness, without_plural_scattering, zero_loss_ev
from mnflow.preprocess.window import placement
from mnflow.spectra import MN, RawSpectra
from tests.helpers.spectra import edge_shape

STEP_EV = 0.5
ENERGY_EV = np.arange(-50, 460, STEP_EV)


def _low_loss(t: float) -> np.ndarray:
    """Counts (C,) of a specimen of relative thickness `t`: Poisson's series of one broad plasmon."""
    elastic = np.exp(-0.5 * (ENERGY_EV / 0.6) ** 2)
    elastic /= elastic.sum()
    single = np.where(ENERGY_EV > 3, np.exp(-0.5 * ((ENERGY_EV - 22) / 5) ** 2), 0)
    single /= single.sum()
    total, power = np.zeros_like(ENERGY_EV), elastic
    zero = int(np.argmin(np.abs(ENERGY_EV)))
    for order in range(8):
        total += np.exp(-t) * t**order / factorial(order) * power
        power = np.convolve(power, single)[zero : zero + len(ENERGY_EV)]
    return total


@pytest.mark.parametrize("t", [0.1, 0.4, 1.0, 1.5])
def test_thickness_of_known_specimens(t: float) -> None:
    assert thickness(ENERGY_EV, _low_loss(t)[None])[0] == pytest.approx(t, abs=0.02)


@pytest.mark.parametrize("t", [0.3, 0.8, 1.5])
def test_plural_scattering_is_taken_out(t: float) -> None:
    energy_ev = np.arange(620, 720, STEP_EV)
    lines = np.exp(-0.5 * ((energy_ev - 642) / 1.2) ** 2) + 0.5 * np.exp(
        -0.5 * ((energy_ev - 653) / 1.2) ** 2
    )
    single = lines + 0.15 / (1 + np.exp(-(energy_ev - 643)))
    low_loss = _low_loss(t)
    zero = int(np.argmin(np.abs(ENERGY_EV)))
    thick = np.convolve(single, low_loss)[zero : zero + len(energy_ev)]
    elastic = np.where(ENERGY_EV <= 3, low_loss, 0)
    wanted = np.convolve(single, elastic)[zero : zero + len(energy_ev)]
    found = without_plural_scattering(STEP_EV, thick[None], ENERGY_EV, low_loss[None])[0]
    inside = energy_ev < 690
    assert np.abs(thick - wanted)[inside].max() > 0.05 * wanted.max()
    np.testing.assert_allclose(found[inside], wanted[inside], atol=0.02 * wanted.max())


@pytest.mark.parametrize("t", [0.5, 1.5])
@pytest.mark.parametrize("zero_loss_ev", [0.0, 1.3, -2.6])
def test_what_lies_beyond_an_end_changes_nothing_before_it(t: float, zero_loss_ev: float) -> None:
    energy_ev = np.arange(620, 720, STEP_EV)
    zero = int(np.argmin(np.abs(ENERGY_EV)))
    thick = np.convolve(edge_shape(energy_ev, 1, 643.0), _low_loss(t))[zero : zero + len(energy_ev)][None]
    at_ev = ENERGY_EV + zero_loss_ev
    whole = without_plural_scattering(STEP_EV, thick, at_ev, _low_loss(t)[None])
    short = energy_ev < 668
    found = without_plural_scattering(STEP_EV, thick[:, short], at_ev, _low_loss(t)[None])
    np.testing.assert_allclose(found, whole[:, short], atol=1e-6 * whole.max())
    low = at_ev < 27  # in the middle of the plasmon
    found = without_plural_scattering(STEP_EV, thick, at_ev[low], _low_loss(t)[None, low])
    seen = energy_ev < 638 + 23
    np.testing.assert_allclose(found[:, seen], whole[:, seen], atol=0.003 * whole.max())


def _dual(
    thicknesses: list[float], background: float = 3.0, dose: float = 1e5
) -> tuple[RawSpectra, np.ndarray]:
    """Mn edges on a power law, thickened, with their low losses; and the same as thin specimens give them."""
    core_ev = np.arange(560, 720, STEP_EV)
    single = edge_shape(core_ev, 1, 643.0)
    zero = int(np.argmin(np.abs(ENERGY_EV)))
    lows = np.array([_low_loss(t) for t in thicknesses])
    thick = np.array([np.convolve(single, low)[zero : zero + len(core_ev)] for low in lows])
    elastic = np.where(ENERGY_EV <= 3, _low_loss(0), 0)
    thin = np.convolve(single, elastic)[zero : zero + len(core_ev)] * np.exp(-np.array(thicknesses))[:, None]
    under = background * (core_ev / 640) ** -3
    low = RawSpectra(ENERGY_EV, dose * lows, (len(lows),), None, "", Path("low"))
    raw = RawSpectra(core_ev, dose * (thick + under), (len(lows),), None, "", Path("core"), low_loss=low)
    return raw, dose * (thin + under)


def _crops(raw: RawSpectra) -> np.ndarray:
    counts = np.asarray(raw.counts)
    found = placement(raw.energy_ev, counts.mean(axis=0), MN, "it")(counts)
    return found / found.max(axis=1, keepdims=True)


@pytest.mark.parametrize("background", [0.0, 0.5, 3.0])
def test_thick_specimens_become_thin_ones(background: float) -> None:
    raw, thin = _dual([0.1, 0.5, 1.0, 1.5], background)
    found = single_scattering(raw, MN)
    assert found.low_loss is None
    np.testing.assert_allclose(found.thickness, [0.1, 0.5, 1.0, 1.5], atol=0.03)
    assert "plural scattering was taken out with the low loss, t/lambda 0.10 to 1.50" in found.notes[-1]
    wanted = _crops(replace(raw, counts=thin, low_loss=None))
    assert np.abs(_crops(replace(raw, low_loss=None)) - wanted).max() > 0.1
    np.testing.assert_allclose(_crops(found), wanted, atol=0.02)


def test_a_low_loss_holds_the_zero_loss_peak_and_20_ev() -> None:
    for first, last, fits in ((-1.0, 20.0, True), (-0.5, 60.0, False), (-5.0, 19.5, False)):
        energy_ev = np.arange(first, last + 0.1, 0.5)
        low = np.exp(-(energy_ev**2))[None]
        if fits:
            assert zero_loss_ev(energy_ev, low)[0] == pytest.approx(0, abs=0.1)
            continue
        with pytest.raises(InputError) as error:
            zero_loss_ev(energy_ev, low)
        assert str(error.value) == (
            "Expected a low loss from before the zero-loss peak to 20 eV or more, got "
            f"{first:.1f} ... {last:.1f} eV."
        )


def test_the_zero_loss_peak_lies_where_what_exceeds_half_of_it_does() -> None:
    energy_ev = np.arange(-5.0, 40.0)
    low = np.zeros((2, 45))
    low[0, 5:8] = 10, 8, 4  # 5 and 3 over half
    assert zero_loss_ev(energy_ev, low).tolist() == [pytest.approx(3 / 8), 0]


def test_edges_are_moved_in_whole_channels_and_their_ends_are_held() -> None:
    edges = np.random.default_rng(0).uniform(1, 2, (3, 40))
    low = (ENERGY_EV == 0)[None] * 7.0  # of a specimen of no thickness
    found = without_plural_scattering(STEP_EV, edges, ENERGY_EV, low, np.array([-2, 0, 3]))
    expected = [[*edges[0, [0, 0]], *edges[0, :-2]], edges[1], [*edges[2, 3:], *edges[2, [-1, -1, -1]]]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_spectra_without_a_low_loss_stay_as_they_are() -> None:
    raw = replace(_dual([0.5])[0], low_loss=None)
    assert single_scattering(raw, MN) is raw


def test_one_low_loss_serves_all_and_other_numbers_are_refused() -> None:
    raw, thin = _dual([0.7, 0.7, 0.7])
    assert raw.low_loss is not None
    one = replace(raw.low_loss, counts=raw.low_loss.counts[:1])
    found = single_scattering(replace(raw, low_loss=one), MN)
    np.testing.assert_allclose(found.thickness, [0.7] * 3, atol=0.03)
    np.testing.assert_allclose(_crops(found), _crops(replace(raw, counts=thin)), atol=0.02)
    with pytest.raises(InputError, match="a low loss for each of 3 spectra, or one for all, got 2"):
        single_scattering(replace(raw, low_loss=replace(one, counts=raw.low_loss.counts[:2])), MN)


def test_an_empty_low_loss_leaves_its_edge_alone() -> None:
    raw, _ = _dual([0.5, 0.5])
    assert raw.low_loss is not None
    raw.low_loss.counts[1] = 0
    found = single_scattering(raw, MN)
    assert np.isnan(found.thickness[1])  # type: ignore[index]
    kept = np.searchsorted(raw.energy_ev, found.energy_ev)
    np.testing.assert_allclose(found.counts[1], raw.counts[1][kept], rtol=1e-4)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda low: 0 * low, lambda low: 0 * low + 7, lambda low: -low,
        lambda low: np.where(ENERGY_EV < 5, 0, low), lambda low: np.minimum(low, 0.3 * low.max()),
        lambda low: np.where(np.abs(ENERGY_EV) < 3, np.nan, low),
    ],
    ids=["empty", "flat", "negative", "a plasmon alone", "cut off", "not a number"],
)  # fmt: skip
def test_a_low_loss_without_a_whole_zero_loss_peak_is_said_to_do_nothing(
    spoil: Callable[[np.ndarray], np.ndarray],
) -> None:
    raw, _ = _dual([0.8] * 3)
    assert raw.low_loss is not None
    bad = spoil(np.asarray(raw.low_loss.counts))
    found = single_scattering(replace(raw, low_loss=replace(raw.low_loss, counts=bad)), MN)
    assert "plural scattering was left in" in found.notes[-1]
    assert np.isnan(found.thickness).all()  # type: ignore[arg-type]
    kept = np.searchsorted(raw.energy_ev, found.energy_ev)
    np.testing.assert_allclose(np.asarray(found.counts), raw.counts[:, kept], rtol=1e-4, atol=1e-6)
    some = np.concatenate([bad[:1], raw.low_loss.counts[1:]])
    found = single_scattering(replace(raw, low_loss=replace(raw.low_loss, counts=some)), MN)
    assert "it was left in where the low loss is no specimen's, 33.3% of the spectra" in found.notes[-1]
    assert "aligned" not in found.notes[-1]


def test_what_is_spoilt_stays_so() -> None:
    raw, _ = _dual([0.5] * 4, background=1.0)
    raw.counts[:] = np.round(raw.counts)
    spoilt = raw.counts.copy()
    spoilt[0, 170] += 40 * raw.counts.max()  # 645 eV
    spoilt[1, 165:175] = np.nan
    spoilt[2] = np.minimum(spoilt[2], 0.7 * spoilt[2].max())
    clean, found = (single_scattering(replace(raw, counts=c), MN) for c in (raw.counts, spoilt))
    at = int(np.searchsorted(found.energy_ev, raw.energy_ev[170]))
    good, bad = np.asarray(clean.counts), np.asarray(found.counts)
    assert bad[0, at] - good[0, at] == pytest.approx(40 * raw.counts.max(), rel=0.02)
    np.testing.assert_allclose(
        np.delete(bad[0], np.s_[at - 3 : at + 4]), np.delete(good[0], np.s_[at - 3 : at + 4]), rtol=0.02
    )
    assert np.isnan(bad[1]).sum() == 10
    faults = placement(clean.energy_ev, good.mean(axis=0), MN, "it").faults(bad)
    assert faults.tolist() == [0, 1, 3, 0]


def test_a_channel_at_the_end_of_integers_stays_saturated() -> None:
    raw, _ = _dual([0.5, 0.5], dose=1.3e4)
    counts = np.minimum(raw.counts, 65535).astype(np.uint16)
    assert (counts == 65535).any() or counts.max() < 65535
    counts[1, 166] = 65535  # near L3's maximum
    found = np.asarray(single_scattering(replace(raw, counts=counts), MN).counts)
    faults = placement(single_scattering(raw, MN).energy_ev, found[0], MN, "it").faults(found)
    assert faults.tolist() == [0, 3]


def test_edges_are_aligned_by_their_zero_loss_peaks() -> None:
    raw, _ = _dual([0.5] * 3)
    assert raw.low_loss is not None
    drifted = np.stack([np.roll(row, k) for k, row in zip((0, 4, 0), np.asarray(raw.counts), strict=True)])
    lows = np.stack([np.roll(row, k) for k, row in zip((0, 4, 0), raw.low_loss.counts, strict=True)])
    found = single_scattering(replace(raw, counts=drifted, low_loss=replace(raw.low_loss, counts=lows)), MN)
    assert "1 of 3 were aligned" in found.notes[-1]
    top = np.asarray(found.counts).argmax(axis=1)
    assert top[0] == top[1] == top[2]


def test_a_zero_loss_peak_is_needed() -> None:
    with pytest.raises(InputError, match="Expected a low loss from before the zero-loss peak"):
        thickness(np.arange(5, 100, 0.5), np.ones((1, 190)))


def test_thickness_as_exspy_finds_it(real_data: object) -> None:
    from mnflow.read.formats import signals

    path = real_data / "foreign" / "lsmo_linescan_low_loss.hspy"  # type: ignore[operator]
    (signal,) = signals(path)
    counts, axis = np.asarray(signal["data"]), signal["axes"][-1]
    energy_ev = axis["offset"] + axis["scale"] * np.arange(axis["size"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from exspy.signals import EELSSpectrum

        theirs = EELSSpectrum(counts)
        theirs.axes_manager[-1].offset, theirs.axes_manager[-1].scale = axis["offset"], axis["scale"]
        threshold = theirs.estimate_elastic_scattering_threshold(window=8.0)
        expected = theirs.estimate_thickness(threshold=threshold).data
    np.testing.assert_allclose(thickness(energy_ev, counts), np.ravel(expected), rtol=0.012)


def test_a_low_loss_that_no_specimen_has_leaves_its_edge_alone() -> None:
    raw, _ = _dual([1.5])
    assert raw.low_loss is not None
    peak, plasmon = np.exp(-(ENERGY_EV**2)), np.exp(-(((ENERGY_EV - 24) / 4) ** 2))
    once = (peak / peak.sum() + 3.4 * plasmon / plasmon.sum())[None]
    found = single_scattering(replace(raw, low_loss=replace(raw.low_loss, counts=once)), MN)
    np.testing.assert_allclose(
        found.counts[0], raw.counts[0][np.isin(raw.energy_ev, found.energy_ev)], rtol=1e-4
    )


@settings(max_examples=12, deadline=None)
@given(
    low_step_ev=st.sampled_from([0.05, 0.1, 0.3, 0.5]),
    core_step_ev=st.sampled_from([0.1, 0.25, 0.5, 1.0]),
    zero_loss_ev=st.floats(-5, 5),
    t=st.floats(0.05, 1.5),
    kinds=st.tuples(
        st.sampled_from(["f4", ">f4", "f8", "u2", "i4", ">u4"]), st.sampled_from(["f4", "u4", ">u2"])
    ),
    fall=st.floats(0, 4),
    nothing=st.lists(st.integers(0, 150), max_size=3),
)
def test_any_axes_and_numbers(
    low_step_ev: float,
    core_step_ev: float,
    zero_loss_ev: float,
    t: float,
    kinds: tuple[str, str],
    fall: float,
    nothing: list[int],
) -> None:
    low_ev, core_ev = np.arange(-20, 120, low_step_ev), np.arange(570, 700, core_step_ev)
    # Poisson's series as a Fourier transform
    omega = 2 * np.pi * np.fft.rfftfreq(4 * len(low_ev), low_step_ev)
    plasmon = np.exp(-24j * omega - 0.5 * (4 * omega) ** 2)
    peak = np.exp(-1j * (zero_loss_ev + 20) * omega - 0.5 * (0.4 * omega) ** 2)
    low = np.fft.irfft(peak * np.exp(t * (plasmon - 1)), 4 * len(low_ev))[: len(low_ev)]
    low = np.maximum(4e4 * low / low.max(), 0)
    counts = 1e4 * (edge_shape(core_ev, 1, 643.0) + fall * (core_ev / 640) ** -3)
    core = np.repeat(counts[None], 3, axis=0).astype(kinds[0])
    if core.dtype.kind == "f":
        core[1, [n % len(core_ev) for n in nothing]] = np.nan
    beside = RawSpectra(low_ev, np.repeat(low[None], 3, axis=0).astype(kinds[1]), (3,), None, "", Path("low"))
    raw = RawSpectra(core_ev, core, (3,), None, "", Path("core"), low_loss=beside)
    found = single_scattering(raw, MN)
    assert found.thickness is not None
    np.testing.assert_allclose(found.thickness, t, atol=0.05)
    thin = np.asarray(found.counts)
    assert thin.shape == (3, len(found.energy_ev))
    window = np.isin(core_ev, found.energy_ev)
    np.testing.assert_array_equal(np.isnan(thin), np.isnan(core.astype(float))[:, window])
    before = found.energy_ev < 630
    np.testing.assert_allclose(thin[0, before], core[0].astype(float)[window][before], atol=300)
    assert thin[0].max() <= core[0].max() * 1.01
    np.testing.assert_allclose(thin[0], thin[2], rtol=1e-5, atol=0.1)
    np.testing.assert_allclose(found.counts[1:2], thin[1:2], rtol=1e-5, atol=0.1)

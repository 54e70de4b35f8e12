"""How far O K's threshold is from L3, and what that says of the dispersion."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnflow.opinions.oxygen import dispersion_note, o_k_distance_ev
from mnflow.read import read_file
from mnflow.spectra import MN
from tests.helpers.spectra import edge_shape


def spectrum(energy_ev: np.ndarray, o_k_ev: float, step: float = 1.0, noise: float = 0.0) -> np.ndarray:
    """O K with a prepeak, and Mn L at 642 eV, on a power law."""
    prepeak = 0.7 * np.exp(-(((energy_ev - o_k_ev - 1.2) / 0.8) ** 2))
    oxygen = prepeak + 1 / (1 + np.exp(-(energy_ev - o_k_ev - 6) / 1.0))
    counts = 8 * (energy_ev / 640) ** -3 + step * oxygen + 4 * edge_shape(energy_ev, [1])[0]
    return np.asarray(counts + noise * np.random.default_rng(0).standard_normal(len(energy_ev)))


@pytest.mark.parametrize("step_ev", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("o_k_ev", [528.0, 530.5, 534.0])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_the_threshold_is_found(step_ev: float, o_k_ev: float, noise: float) -> None:
    energy_ev = np.arange(480, 700, step_ev)
    found = o_k_distance_ev(energy_ev, spectrum(energy_ev, o_k_ev, noise=noise), 642.0, MN)
    assert found == pytest.approx(642 - o_k_ev, abs=1.0)


def ramp(energy_ev: np.ndarray, first_ev: float, high: float = 1.0, noise: float = 0.0) -> np.ndarray:
    """O K that rises over 4 eV to a step, on a power law."""
    step = high * np.clip((energy_ev - first_ev) / 4, 0, 1)
    return 8 * (energy_ev / 640) ** -3 + step + noise * np.random.default_rng(1).normal(size=len(energy_ev))


@pytest.mark.parametrize("first_ev", [523.1, 530.0, 534.77])
@pytest.mark.parametrize("step_ev", [0.1, 0.5])
def test_the_threshold_is_at_three_tenths_of_the_step_between_channels(
    first_ev: float, step_ev: float
) -> None:
    energy_ev = np.arange(480, 600, step_ev)
    found = o_k_distance_ev(energy_ev, ramp(energy_ev, first_ev), 642.0, MN)
    assert found == pytest.approx(642 - (first_ev + 0.3 * 4), abs=0.03)


def test_a_threshold_is_looked_for_where_an_oxide_may_have_it() -> None:
    """Within 14 % of 111 eV: from 515.5 to 557.5 eV on this axis."""
    energy_ev = np.arange(480, 600, 0.1)
    for first_ev, there in ((514.2, False), (514.5, True), (545.0, True), (546.6, False)):
        found = o_k_distance_ev(energy_ev, ramp(energy_ev, first_ev), 642.0, MN)
        assert (found is not None) == there, first_ev


@pytest.mark.parametrize(("high", "there"), [(0.3, True), (0.09, False)])
def test_a_step_must_be_fifteen_times_the_noise(high: float, there: bool) -> None:
    """Means over 15 channels have a quarter of their noise: here 0.01."""
    energy_ev = np.arange(480, 600, 0.1)
    counts = ramp(energy_ev, 530.0, high, noise=0.01 * np.sqrt(15))
    found = o_k_distance_ev(energy_ev, counts, 642.0, MN)
    assert (found is not None) == there


def test_an_axis_must_begin_a_third_before_and_have_some_channels() -> None:
    for first_ev, step_ev, there in (
        (497.0, 0.1, True),
        (498.0, 0.1, False),
        (480.3, 3.85, True),
        (480.3, 4.2, False),
    ):
        energy_ev = np.arange(first_ev, 600, step_ev)
        found = o_k_distance_ev(energy_ev, ramp(energy_ev, 530.0), 642.0, MN)
        assert (found is not None) == there, (first_ev, step_ev)
        if found is not None:
            assert found == pytest.approx(110.8, abs=2)


def test_the_step_is_measured_behind_where_a_threshold_may_be() -> None:
    """There it has risen further; where nothing of it is on the axis, there is no distance."""
    energy_ev = np.arange(480, 600, 0.1)
    signal = np.clip((energy_ev - 541) / 4, 0, 1) * (1 + np.maximum(energy_ev - 545, 0) / 30)
    step = np.median(signal[(energy_ev > 546.5) & (energy_ev < 575.4)])
    counts = 8 * (energy_ev / 640) ** -3 + signal
    found = o_k_distance_ev(energy_ev, counts, 642.0, MN)
    assert found == pytest.approx(642 - (541 + 0.3 * step * 4), abs=0.05)
    short = energy_ev < 546
    assert o_k_distance_ev(energy_ev[short], counts[short], 642.0, MN) is None


def test_without_oxygen_or_room_before_it_there_is_no_distance() -> None:
    energy_ev = np.arange(480, 700, 0.5)
    assert o_k_distance_ev(energy_ev, spectrum(energy_ev, 530, step=0.0, noise=0.03), 642.0, MN) is None
    late = energy_ev[energy_ev > 520]
    assert o_k_distance_ev(late, spectrum(late, 530), 642.0, MN) is None
    assert o_k_distance_ev(energy_ev, spectrum(energy_ev, 530), 642.0, replace(MN, element="Fe")) is None


@pytest.mark.parametrize("stretch", [0.9, 0.94, 1.0, 1.06, 1.1])
def test_a_wrong_dispersion_is_noted(stretch: float) -> None:
    energy_ev = np.arange(480, 700, 0.2)
    seen_ev = 642 + stretch * (energy_ev - 642)
    distance = o_k_distance_ev(seen_ev, spectrum(energy_ev, 531.0), 642.0, MN)
    assert distance == pytest.approx(stretch * 111, abs=1.0)
    notes = dispersion_note(distance, MN)
    if stretch == 1:
        assert notes == []
        return
    assert notes[0].startswith(f"O K and L3 are {distance:.1f} eV apart, in oxides 106 to 116")
    assert ("by -" in notes[0]) == (stretch < 1)
    assert dispersion_note(None, MN) == []


@pytest.mark.parametrize(
    ("distance_ev", "off"),
    [(100.0, "-6%"), (105.9, "-0%"), (106.0, ""), (116.0, ""), (116.1, "+0%"), (127.6, "+10%")],
)
def test_a_note_says_by_how_much_the_dispersion_is_off_at_least(distance_ev: float, off: str) -> None:
    apart = f"O K and L3 are {distance_ev:.1f} eV apart, in oxides 106 to 116"
    expected = [f"{apart}: the dispersion is off by {off} or more"] if off else []
    assert dispersion_note(distance_ev, MN) == expected


def test_measured_oxides_are_within_what_is_expected(real_data: Path) -> None:
    for name, l3_ev in (("vendor/coreloss_spectrum.msa", 648.6), ("foreign/atlas_MnO2_0.5eV.dm3", 642.5)):
        raw = read_file(real_data / name)
        distance = o_k_distance_ev(raw.energy_ev, np.asarray(raw.counts[0]), l3_ev, MN)
        assert distance is not None
        assert dispersion_note(distance, MN) == []

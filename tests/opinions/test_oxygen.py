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


def test_measured_oxides_are_within_what_is_expected(real_data: Path) -> None:
    for name, l3_ev in (("vendor/coreloss_spectrum.msa", 648.6), ("foreign/atlas_MnO2_0.5eV.dm3", 642.5)):
        raw = read_file(real_data / name)
        distance = o_k_distance_ev(raw.energy_ev, np.asarray(raw.counts[0]), l3_ev, MN)
        assert distance is not None
        assert dispersion_note(distance, MN) == []

"""Numbers of the whole folder, held: places of edges, backgrounds, repairs, windows, low losses, clusters."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnflow.opinions.oxygen import o_k_distance_ev
from mnflow.preprocess.background import fit_power_law, subtract_background
from mnflow.preprocess.clusters import edge_jump, plural_scattering, reject_substrate, reject_thick
from mnflow.preprocess.detector.faults import find_faults
from mnflow.preprocess.detector.gain_steps import find_gain_steps
from mnflow.preprocess.detector.spikes import without_spikes, without_spikes_of_scan
from mnflow.preprocess.locate import locate_edges
from mnflow.preprocess.low_loss import single_scattering, thickness, without_plural_scattering, zero_loss_ev
from mnflow.preprocess.resample import moving_average, resampler
from mnflow.preprocess.window import place_windows
from mnflow.spectra import MN, RawSpectra
from tests.helpers.kept_numbers import check, keep
from tests.helpers.spectra import edge_shape

KEPT = Path(__file__).parent / "kept_numbers.json"
AXES = {
    "usual": (600.0, 700.0, 0.1),
    "coarse": (590.0, 720.0, 1.0),
    "0.3 eV": (612.0, 690.0, 0.3),
    "short": (637.0, 662.0, 0.2),
    "far": (500.0, 800.0, 0.5),
    "begins late": (640.5, 680.0, 0.1),
    "ends early": (600.0, 657.0, 0.25),
}


def _spectra(
    axis: str, noise: float = 0.01, level: float = 2.0, moved_ev: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Axis (C,), and spectra (9, C): three valences on three backgrounds."""
    energy_ev = np.arange(*AXES[axis])
    rng = np.random.default_rng(len(axis))
    edges = np.repeat(edge_shape(energy_ev, [0, 1, 2], 642 + moved_ev), 3, axis=0)
    levels = level * np.tile([0.0, 0.3, 1.0], 3)[:, None]
    spectra = edges + levels * (energy_ev / 642) ** -3.0
    return energy_ev, spectra + noise * rng.standard_normal(spectra.shape)


def _low_losses() -> tuple[np.ndarray, np.ndarray]:
    """Axis (L,), and low losses (5, L): of thin and thick specimens, one 0.7 eV off, and one of none."""
    energy_ev = np.arange(-12.0, 150.0, 0.4)
    rows = []
    for at_ev, t in ((0.0, 0.2), (0.0, 1.1), (0.7, 0.5), (0.0, 0.0)):
        zero_loss = np.exp(-(((energy_ev - at_ev) / 0.5) ** 2))
        plasmons = sum(
            t**k * np.exp(-(((energy_ev - at_ev - 22 * k) / (5 * k)) ** 2)) / (10 * k**2) for k in (1, 2, 3)
        )
        rows.append(1e4 * (zero_loss + plasmons))
    return energy_ev, np.array([*rows, np.ones(len(energy_ev))])


def _located(axis: str, noise: float, level: float, moved_ev: float) -> dict[str, Any]:
    energy_ev, spectra = _spectra(axis, noise, level, moved_ev)
    found = locate_edges(energy_ev, spectra, MN)
    return {
        "l3_ev": [p.l3_ev for p in found], "onset_ev": [p.onset_ev for p in found],
        "contrast": [p.contrast for p in found], "room_ev": [p.room_ev for p in found],
        "background": [p.background for p in found],
    }  # fmt: skip


def _no_edges() -> dict[str, Any]:
    """Noise, a background, a line alone, and lines too close: nothing that is a pair."""
    energy_ev = np.arange(600.0, 700.0, 0.2)
    rng = np.random.default_rng(1)
    line = np.exp(-(((energy_ev - 650) / 1.2) ** 2))
    rows = [0 * line, 3 * (energy_ev / 642) ** -3.0, line, line + np.exp(-(((energy_ev - 653) / 1.2) ** 2))]
    found = locate_edges(energy_ev, np.array(rows) + 0.02 * rng.standard_normal((4, len(line))), MN)
    return {"l3_ev": [p.l3_ev for p in found], "contrast": [p.contrast for p in found]}


def _placed(axis: str) -> dict[str, Any]:
    energy_ev, spectra = _spectra(axis)
    spectra[1, len(energy_ev) // 2] += 4  # a spike
    spectra[4, energy_ev > 630] *= 1.1  # a step of gain
    placed = place_windows(energy_ev, spectra, MN)
    return {
        "crops": placed.intensity, "rows": placed.intensity.mean(axis=1), "moved": placed.moved_bins,
        "faults": placed.faults, "spikes": placed.spikes,
        "steps": [0 if s is None else 1 for s in placed.gain_steps],
    }  # fmt: skip


def _background(axis: str) -> dict[str, Any]:
    energy_ev, spectra = _spectra(axis, 0.05)
    before = energy_ev < 636
    law = fit_power_law(energy_ev[before], spectra[:, before])
    free, again = subtract_background(energy_ev, spectra.astype(np.float32), 638.0, MN)
    return {
        "amplitude": law.amplitude, "exponent": law.exponent, "at": law(energy_ev[::40]),
        "free": free, "rows": free.mean(axis=1), "binned exponent": again.exponent,
    }  # fmt: skip


def _spikes(axis: str) -> dict[str, Any]:
    energy_ev, spectra = _spectra(axis)
    rng = np.random.default_rng(3)
    for row, width in enumerate((1, 1, 2, 2, 3, 3, 1, 1)):
        at = rng.integers(10, len(energy_ev) - 10)
        spectra[row, at : at + width] += (0.15, 0.6, 0.3, 1.5, 0.6, 3.0, -0.7, -0.3)[row]
    # beside a spike its skirts; and one at either end
    spectra[3, 100 : 103 + 1] += (0.3, 2.0, 2.0, 0.2)
    spectra[8, [0, 1, -1]] += (1.5, 0.4, 2.0)
    mended, found = without_spikes(energy_ev, spectra)
    many, in_many = without_spikes(energy_ev, np.tile(spectra, (30, 1)).astype(np.float32))
    image, in_image = without_spikes_of_scan(energy_ev, np.tile(spectra, (2, 1)), 6, slice(2, 16))
    return {
        "mended": (mended - spectra).sum(axis=1), "found": found,
        "many": (many - np.tile(spectra, (30, 1))).sum(axis=1)[-9:], "in many": in_many.sum(),
        "image": (image - np.tile(spectra, (2, 1))[2:16]).sum(axis=1), "in image": in_image,
    }  # fmt: skip


def _faults(axis: str) -> dict[str, Any]:
    energy_ev, spectra = _spectra(axis, 0.005)
    rng = np.random.default_rng(2)
    found = {}
    for share in (0.5, 0.7, 0.85, 0.95):
        for ripple in (0.0, 0.002, 0.005, 0.01):
            top = share * np.ptp(spectra, axis=1, keepdims=True) + spectra.min(axis=1, keepdims=True)
            cut_off = np.minimum(spectra, top * (1 + ripple * rng.uniform(-1, 1, spectra.shape)))
            found[f"{share} {ripple}"] = find_faults(energy_ev, cut_off, 642.0, MN)
    return found


def _gain_steps() -> dict[str, Any]:
    energy_ev, spectra = _spectra("usual")
    for row, (at_ev, gain) in enumerate(
        ((630, 1.1), (637, 0.9), (643, 1.1), (647, 0.9), (655, 1.2), (660, 0.95))
    ):
        spectra[row, energy_ev > at_ev] *= gain
    found = find_gain_steps(energy_ev, spectra, np.full(9, 642.0), MN)
    mended = [
        row if step is None else step.mended(row[None])[0] for step, row in zip(found, spectra, strict=True)
    ]
    return {"found": [step is not None for step in found], "mended": np.mean(mended, axis=1)}


def _plural(moved: Any) -> dict[str, Any]:
    spectra = _spectra("usual", 0.0, 0.0)[1]
    low_ev, low = _low_losses()
    out = without_plural_scattering(0.1, spectra[:5], low_ev, low, moved)
    return {"rows": out.mean(axis=1), "ends": out[:, [0, -1]], "some": out[:, ::90]}


def _without_plural(axis: str, removed: bool) -> dict[str, Any]:
    """Spectra of a file with a low loss of each: a spike, NaN, a plateau and a step of gain among them."""
    energy_ev, spectra = _spectra(axis)
    low_ev, low = _low_losses()
    spectra = spectra[:5] - removed * spectra[:5, :20].mean(axis=1, keepdims=True)
    middle = np.searchsorted(energy_ev, 650.0)
    spectra[0, middle] += 4
    spectra[1, middle + 10] = np.nan
    spectra[2] = np.minimum(spectra[2], spectra[2, middle - 50 : middle + 50].max() * 0.7)
    spectra[:, energy_ev > 633] *= 1.15
    beside = RawSpectra(low_ev, low, (5,), None, "", Path("low"))
    found = single_scattering(
        RawSpectra(energy_ev, spectra, (5,), None, "", Path("core"), low_loss=beside), MN
    )
    counts = np.nan_to_num(np.asarray(found.counts), nan=-9)
    return {
        "rows": counts.mean(axis=1), "some": counts[:, ::40], "thickness": found.thickness,
        "axis": found.energy_ev[[0, 1, -1]], "notes": list(found.notes),
    }  # fmt: skip


def _clusters() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    points = np.abs(rng.normal(size=(60, len(MN.feature_ev)))).astype(np.float32)
    points[:15] *= 0.05
    points[15:30, -3:] *= 4
    kept, rounds = reject_substrate(points, "auto", 3, 0.5, MN)
    thin, thick = reject_thick(points, "auto", 3, 0.8, MN)
    return {
        "kept": kept, "rounds": len(rounds), "thin": thin, "thick": len(thick),
        "jump": edge_jump(points, MN), "plural": plural_scattering(points, MN),
    }  # fmt: skip


def _resampled() -> dict[str, Any]:
    energy_ev, spectra = _spectra("usual")
    targets = {"coarser": (610, 690, 0.37), "finer": (595, 660, 0.04), "alike": (600, 700, 0.1)}
    found = {name: resampler(energy_ev, np.arange(*t))(spectra) for name, t in targets.items()}
    return found | {f"mean of {n}": moving_average(spectra, n)[:, ::50] for n in (1, 4, 9)}


def _oxygen() -> dict[str, Any]:
    energy_ev = np.arange(480.0, 700.0, 0.3)
    edges = edge_shape(energy_ev) + 3 * (energy_ev / 642) ** -3.0
    noise = 0.03 * np.random.default_rng(0).standard_normal(len(energy_ev))
    found = [
        o_k_distance_ev(energy_ev, edges + noise + height / (1 + np.exp(at_ev - energy_ev)), 642.0, MN)
        for at_ev, height in ((531, 3.0), (527, 1.0), (537, 0.5), (531, 0.05), (560, 3.0), (481, 3.0))
    ]
    return {"distance_ev": [-1.0 if x is None else x for x in found]}


CASES: dict[str, Callable[[], Any]] = {
    **{
        f"located, {axis}, noise {noise}, level {level}, {moved_ev:+} eV": partial(
            _located, axis, noise, level, moved_ev
        )
        for axis in AXES
        for noise, level, moved_ev in ((0.01, 2.0, 0.0), (0.1, 0.6, 0.7), (0.02, 5.0, -0.9))
    },
    "located, usual, +20 eV": partial(_located, "far", 0.02, 2.0, 20.0),
    "located, usual, -28 eV": partial(_located, "far", 0.02, 2.0, -28.0),
    "no edges": _no_edges,
    **{f"placed, {axis}": partial(_placed, axis) for axis in AXES if axis != "begins late"},
    **{f"background, {axis}": partial(_background, axis) for axis in ("usual", "coarse", "far")},
    **{f"spikes, {axis}": partial(_spikes, axis) for axis in ("usual", "0.3 eV", "far")},
    **{f"faults, {axis}": partial(_faults, axis) for axis in ("usual", "0.3 eV", "short")},
    "gain steps": _gain_steps,
    "thickness": lambda: thickness(*_low_losses()),
    "zero loss": lambda: zero_loss_ev(*_low_losses()),
    "plural scattering": partial(_plural, 0),
    "plural scattering, moved": partial(_plural, np.array([0, 3, -2, 50, 1])),
    "without plural scattering": partial(_without_plural, "usual", False),
    "without plural scattering, coarse and removed": partial(_without_plural, "far", True),
    "clusters": _clusters,
    "resampled": _resampled,
    "oxygen": _oxygen,
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_what_they_were_when_they_were_looked_at(name: str) -> None:
    check(CASES, name, KEPT)


if __name__ == "__main__":
    keep(CASES, KEPT)

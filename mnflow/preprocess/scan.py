"""One file of raw spectra, block by block: which pixels cannot be used, where the edge lies, what clusters
are made of.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.preprocess.background import BACKGROUND_BINS, EdgePosition, locate_edge, subtract_background
from mnflow.preprocess.resample import Resampler, resampler
from mnflow.preprocess.window import MAX_INTENSITY, check_step
from mnflow.spectra import Edge
from mnflow.spectra.axis import axis_ev

if TYPE_CHECKING:
    from mnflow.spectra import RawSpectra

FEATURE_EV = axis_ev(-8.0, 38, 1.0)
"""Energies of the features relative to L3, in eV: left ends of bins of 1 eV."""

REASONS = ("used", "not finite", "empty", "saturated")
"""What a pixel's code in `bad_pixels` means."""

_SAMPLE_BLOCKS = 8
_SATURATED_RUN = 5


def bad_pixels(counts: NDArray[Any], saturation_counts: float = 0.0) -> NDArray[np.uint8]:
    """Why spectra (N, C) cannot be used: indices into `REASONS`, (N,).

    Not finite: NaN, infinity or beyond `MAX_INTENSITY`. Empty: the same value in every channel. Saturated: a
    channel at the integer type's maximum or at `saturation_counts` (if given), or a plateau of five channels
    at the greatest value.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        high, low = counts.max(axis=1), counts.min(axis=1)
        finite = (
            np.maximum(np.abs(high.astype(np.float64)), np.abs(low.astype(np.float64))) <= MAX_INTENSITY
        ) & (high >= low)
    code = np.where(finite, 0, 1).astype(np.uint8)
    full = np.zeros(len(counts), dtype=bool)
    if counts.dtype.kind in "iu":
        full |= high == np.iinfo(counts.dtype).max
    if saturation_counts > 0:
        full |= high >= saturation_counts
    at_top = counts == high[:, None]  # (N, C)
    many = np.flatnonzero(np.count_nonzero(at_top, axis=1) >= _SATURATED_RUN)
    if len(many):
        runs = np.lib.stride_tricks.sliding_window_view(at_top[many], _SATURATED_RUN, axis=1)
        full[many] |= runs.all(axis=-1).any(axis=-1)
    code[finite & full] = 3
    code[finite & (high == low)] = 2
    return code


@dataclass(frozen=True)
class Scan:
    """What one pass over a file's N spectra leaves in memory.

    Attributes
    ----------
    raw : RawSpectra
        The file.
    position : EdgePosition
        L3 and onset of this file's mean spectrum: the calibration differs between files.
    bad : ndarray of uint8, shape (N,)
        Index into `REASONS`.
    features : ndarray of float32, shape (N, F)
        Background-free intensity on `FEATURE_EV`, means over 1 eV, aligned at L3.
    level : ndarray of float32, shape (N,)
        Background at L3, in counts; 1 where the background had been removed before.
    wide : ndarray of float32, shape (N, n_wide), or None
        The spectra on the wide window, if they are few enough to be kept.
    """

    raw: "RawSpectra"
    position: EdgePosition
    bad: NDArray[np.uint8]
    features: NDArray[np.float32]
    level: NDArray[np.float32]
    wide: NDArray[np.float32] | None


class Processor:
    """Turns blocks of one file's counts into background-free spectra on the edge's wide window."""

    def __init__(self, raw: "RawSpectra", edge: Edge, background_bins: int = BACKGROUND_BINS) -> None:
        check_window(raw, edge)
        self.raw, self.edge, self.bins = raw, edge, background_bins
        margin = edge.dispersion_ev + float(np.median(np.diff(raw.energy_ev)))
        low, high = np.searchsorted(raw.energy_ev, [edge.wide_ev[0] - margin, edge.wide_ev[1] + margin])
        self.channels = slice(int(low), int(high))
        self.energy_ev = axis_ev(edge.wide_ev[0], edge.n_wide, edge.dispersion_ev)
        self.resample: Resampler = resampler(raw.energy_ev[self.channels], self.energy_ev)
        self.position = self._locate()

    def _locate(self) -> EdgePosition:
        """L3 and onset of the mean of all good pixels (of evenly spaced blocks, if there are many)."""
        slices = self.raw.block_slices()
        total, n = np.zeros(self.channels.stop - self.channels.start), 0
        for rows in slices[:: max(1, len(slices) // _SAMPLE_BLOCKS)]:
            counts = np.asarray(self.raw.counts[rows, self.channels])
            good = counts[bad_pixels(counts) == 0]
            total, n = total + good.sum(axis=0, dtype=np.float64), n + len(good)
        mean = self.resample((total / max(n, 1))[None])[0]
        position = locate_edge(self.energy_ev, mean, self.edge)
        declared = self.raw.background_removed
        return (
            position
            if declared is None
            else EdgePosition(position.l3_ev, position.onset_ev, declared, position.contrast)
        )

    def __call__(self, resampled: NDArray[np.float32]) -> NDArray[np.float32]:
        """Background-free intensity (n, n_wide) of resampled spectra (n, n_wide)."""
        if self.position.background_removed:
            return resampled
        return subtract_background(self.energy_ev, resampled, self.position.onset_ev, self.edge, self.bins)[0]

    def blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Walk through the file: rows and counts (n, channels) within the wide window."""
        for rows in self.raw.block_slices():
            yield rows, np.asarray(self.raw.counts[rows, self.channels])

    def features(self, resampled: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What clusters are made of, from resampled spectra (n, n_wide): features (n, F) and background level
        (n,).

        The background is fitted here to means over 1 eV of all that lies before the onset: the 5 eV of
        `__call__` leave a tilt that would drown what tells thin from thick.
        """
        per_bin = round(1.0 / self.edge.dispersion_ev)
        first = round((self.position.l3_ev + FEATURE_EV[0] - self.edge.wide_ev[0]) / self.edge.dispersion_ev)
        first = min(max(first, 0), self.edge.n_wide - per_bin * len(FEATURE_EV))
        before = first // per_bin  # whole bins before the features
        part = resampled[:, first - before * per_bin : first + len(FEATURE_EV) * per_bin]
        binned = part @ np.kron(np.eye(before + len(FEATURE_EV)), np.full((per_bin, 1), 1 / per_bin)).astype(
            np.float32
        )  # (n, bins)
        if self.position.background_removed:
            return binned[:, before:], np.ones(len(binned), dtype=np.float32)
        energy = (
            self.energy_ev[first]
            + (per_bin - 1) / 2 * self.edge.dispersion_ev
            + axis_ev(-before, binned.shape[1], 1.0)
        )
        free, background = subtract_background(
            energy, binned, self.position.onset_ev, self.edge, bins=len(energy)
        )
        return free[:, before:], background(np.array([self.position.l3_ev]))[:, 0]


def scan(processor: Processor, saturation_counts: float, keep_wide: bool) -> Scan:
    """One pass over a file; see `Scan`."""
    raw, edge = processor.raw, processor.edge
    n = len(raw)
    bad, level = np.zeros(n, dtype=np.uint8), np.ones(n, dtype=np.float32)
    features = np.zeros((n, len(FEATURE_EV)), dtype=np.float32)
    wide = np.zeros((n, edge.n_wide), dtype=np.float32) if keep_wide else None
    for rows, counts in processor.blocks():
        bad[rows] = bad_pixels(counts, saturation_counts)
        good = bad[rows] == 0
        index: Any = rows if good.all() else np.arange(rows.start, rows.stop)[good]
        if not good.any():
            continue
        resampled = processor.resample(counts if good.all() else counts[good])
        features[index], level[index] = processor.features(resampled)
        if wide is not None:
            wide[index] = processor(resampled)
    return Scan(raw, processor.position, bad, features, level, wide)


def check_window(raw: "RawSpectra", edge: Edge) -> None:
    """Raise `InputError` unless the file's axis covers the wide window with channels that are fine enough."""
    low, high = edge.wide_ev
    energy = raw.energy_ev
    slack = 1.5 * edge.dispersion_ev
    if energy[0] > low + slack or energy[-1] < high - slack - float(np.max(np.diff(energy[-3:]))):
        raise InputError(
            f"{raw.path}: expected energies that cover {low:g} ... {high:g} eV, got {energy[0]:.1f} ... "
            f"{energy[-1]:.1f} eV; "
            "check the calibration and the units of the axis."
        )
    check_step(energy, edge, str(raw.path))

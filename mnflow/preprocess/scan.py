"""Scan a file of raw spectra in blocks: unusable pixels, position of the edge, features for k-means."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.preprocess.background import BACKGROUND_BINS, subtract_background, without_background
from mnflow.preprocess.detector.faults import find_faults, interpolated
from mnflow.preprocess.detector.spikes import without_spikes_of_scan
from mnflow.preprocess.locate import EdgePosition
from mnflow.preprocess.resample import Resampler, resampler
from mnflow.preprocess.window import least_move, placement
from mnflow.spectra import Edge, RawSpectra
from mnflow.spectra.arrays import Array, Floats, Floats32, Ints
from mnflow.spectra.axis import axis_ev
from mnflow.spectra.raw import BLOCK_BYTES

_SAMPLE_BLOCKS = 8
_FEW_PIXELS = 2000  # of a file with at most so many spectra, all are looked at
_GROUPS = 11
_FAR = 8.0  # median deviations


def typical_spectrum(raw: RawSpectra, block_bytes: int = BLOCK_BYTES) -> Floats:
    """A spectrum (C,) typical of a file, robust against spikes in single pixels.

    It is the mean of the means of eleven groups of pixels from evenly spaced blocks; where a group is far off
    in a channel, the median is taken.
    """
    slices = raw.block_slices(block_bytes)
    total, n = np.zeros((_GROUPS, len(raw.energy_ev))), np.zeros(_GROUPS)
    every = max(1, min(len(slices) // _SAMPLE_BLOCKS, len(raw) // _FEW_PIXELS))
    for rows in slices[::every]:
        counts = interpolated(np.asarray(raw.counts[rows]))
        for group in range(_GROUPS):
            part = counts[(group - rows.start) % _GROUPS :: _GROUPS]
            total[group] += part.sum(axis=0, dtype=np.float64)
            n[group] += len(part)
    groups = total[n > 0] / n[n > 0, None]  # (G, C)
    middle = np.median(groups, axis=0)
    away = np.abs(groups - middle)
    spread = np.median(away, axis=0)
    far = away > _FAR * (spread + np.median(spread))
    return np.asarray(np.average(np.where(far, middle, groups), axis=0, weights=n[n > 0]))


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
        Background-free intensity on the bins of `Edge.feature_ev`, means over 1 eV, aligned at L3.
    level : ndarray of float32, shape (N,)
        Background at L3, in counts; 1 where the background had been removed before.
    wide : ndarray of float32, shape (N, n_wide), or None
        The spectra on the wide window, if they are few enough to be kept.
    spikes : ndarray of int64, shape (N,)
        How many spikes and dead or hot channels were bridged.
    """

    raw: RawSpectra
    position: EdgePosition
    bad: NDArray[np.uint8]
    features: Floats32
    level: Floats32
    wide: Floats32 | None
    spikes: Ints


class Processor:
    """Turns blocks of one file's counts into background-free spectra on the edge's wide window."""

    def __init__(self, raw: RawSpectra, edge: Edge, background_bins: int = BACKGROUND_BINS) -> None:
        self.raw, self.edge, self.bins = raw, edge, background_bins
        self.placed = placement(
            raw.energy_ev, typical_spectrum(raw), edge, str(raw.path), raw.background_removed
        )
        self.position = self.placed.position
        start_ev = edge.wide_ev[0] + least_move(self.position.l3_ev, edge) * edge.dispersion_ev
        self.energy_ev = axis_ev(start_ev, edge.n_wide, edge.dispersion_ev)
        margin = edge.dispersion_ev + float(np.median(np.diff(raw.energy_ev)))
        low, high = np.searchsorted(raw.energy_ev, [self.energy_ev[0] - margin, self.energy_ev[-1] + margin])
        self.channels = slice(int(low), int(high))
        self.resample: Resampler = resampler(raw.energy_ev[self.channels], self.energy_ev)

    def __call__(self, resampled: Floats32) -> Floats32:
        """Background-free intensity (n, n_wide) of resampled spectra (n, n_wide)."""
        kind, onset_ev = self.position.background, self.position.onset_ev
        start_ev = float(self.raw.energy_ev[0])
        return without_background(kind, self.energy_ev, resampled, onset_ev, self.edge, self.bins, start_ev)

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Walk through the file: rows and counts (n, channels) within the wide window."""
        for rows in self.raw.block_slices():
            yield rows, np.asarray(self.raw.counts[rows, self.channels])

    def _without_step(self, counts: Array) -> Array:
        """Counts (n, channels) with a step of gain repaired."""
        step = self.placed.gain_step
        if step is None:
            return counts
        first = step.channel + self.placed.channels.start - self.channels.start
        return replace(step, channel=max(0, first)).mended(counts)

    def mended(self, counts: Array) -> tuple[Array, Ints]:
        """Counts (n, channels) without spikes and what is no number, and how many spikes each had (n,)."""
        energy_ev = self.raw.energy_ev[self.channels]
        mended, spikes = without_spikes_of_scan(energy_ev, counts, self.raw.columns, slice(None))
        return self._without_step(mended), spikes

    def faults(self, counts: Array, saturation_counts: float) -> NDArray[np.uint8]:
        """What is wrong with counts (n, channels): indices (n,) into `faults.REASONS`."""
        energy_ev = self.raw.energy_ev[self.channels]
        return find_faults(energy_ev, counts, self.position.l3_ev, self.edge, saturation_counts)

    def features(self, resampled: Floats32) -> tuple[Floats32, Floats32]:
        """Features (n, F) for k-means and background levels (n,), from resampled spectra (n, n_wide).

        The background is fitted here to means over 1 eV of all that lies before the onset: the 5 eV of
        `__call__` leave a tilt that would drown what tells thin from thick.
        """
        step_ev, feature_ev = self.edge.dispersion_ev, self.edge.feature_ev
        per_bin = round(1.0 / step_ev)
        first = round((self.position.l3_ev + feature_ev[0] - self.energy_ev[0]) / step_ev)
        first = min(max(first, 0), self.edge.n_wide - per_bin * len(feature_ev))
        before = first // per_bin  # whole bins before the features
        part = resampled[:, first - before * per_bin : first + len(feature_ev) * per_bin]
        means = np.kron(np.eye(before + len(feature_ev)), np.full((per_bin, 1), 1 / per_bin))
        binned = part @ means.astype(np.float32)  # (n, bins)
        if self.position.background != "power law":
            level = 0 if self.position.background_removed else binned[:, :2].mean(axis=1, keepdims=True)
            return (binned - level)[:, before:], np.ones(len(binned), dtype=np.float32)
        energy = self.energy_ev[first] + (per_bin - 1) / 2 * step_ev + axis_ev(-before, binned.shape[1], 1.0)
        onset_ev = self.position.onset_ev
        free, background = subtract_background(energy, binned, onset_ev, self.edge, bins=len(energy))
        return free[:, before:], background(np.array([self.position.l3_ev]))[:, 0]


def scan(processor: Processor, saturation_counts: float, keep_wide: bool) -> Scan:
    """One pass over a file; see `Scan`."""
    raw, edge = processor.raw, processor.edge
    n = len(raw)
    bad, level = np.zeros(n, dtype=np.uint8), np.ones(n, dtype=np.float32)
    spikes = np.zeros(n, dtype=np.int64)
    features = np.zeros((n, len(edge.feature_ev)), dtype=np.float32)
    wide = np.zeros((n, edge.n_wide), dtype=np.float32) if keep_wide else None
    for rows, counts in processor.blocks():
        bad[rows] = processor.faults(counts, saturation_counts)
        counts, spikes[rows] = processor.mended(counts)
        good = bad[rows] == 0
        index: Any = rows if good.all() else np.arange(rows.start, rows.stop)[good]
        if not good.any():
            continue
        resampled = processor.resample(counts if good.all() else counts[good])
        features[index], level[index] = processor.features(resampled)
        if wide is not None:
            wide[index] = processor(resampled)
    return Scan(raw, processor.position, bad, features, level, wide, spikes)

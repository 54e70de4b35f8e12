"""Steps of the detector's gain, where a part of its channels counts more: found by fits on either side."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mnflow.preprocess.detector.faults import REPEATED
from mnflow.preprocess.resample import few_rows
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Array, Bools, Floats

_GAP = 2.5  # usual channels: wider ones are gaps of the axis, over which a line rises as by a step
_STEP_STRETCHES = ((3, 1), (5, 1), (8, 1), (14, 1), (24, 1), (4, 3), (5, 3), (10, 3), (16, 3))
"""Channels on either side of a step, and degree of the polynomial."""

_LEAST_STEP_SIGMA = 10.0
_SPIKE_CHANNELS, _STEP_BACK = 4, 0.6  # a step back by as much within as many channels makes it a spike
_LEAST_STEP = 0.01  # of the edge's height

STEP_NOTE = "a step of the detector's gain was repaired"
"""Note for the user about a `GainStep`."""


@dataclass(frozen=True)
class GainStep:
    """A sudden change of the detector's gain: all channels from `channel` on count `ratio` times as much, or
    `offset` more where a background had been removed.
    """

    channel: int
    ratio: float
    offset: float

    def mended(self, counts: Array) -> Floats:
        """Spectra (N, C) without the step."""
        out = np.array(counts, dtype=np.float64)
        out[:, self.channel :] = (out[:, self.channel :] - self.offset) / self.ratio
        return out


def find_gain_steps(energy_ev: Floats, counts: Array, l3_ev: Floats, edge: Edge) -> list[GainStep | None]:
    """The step of gain (N,) in each of N spectra (N, C), where there clearly is one.

    Around every channel, polynomials with and without a step are fitted to stretches of several lengths:
    straight lines to the background, cubics to the lines. A step counts if it is `_LEAST_STEP_SIGMA` times
    its error, more than `_LEAST_STEP` of the edge's height, leaves nothing but noise, and does not step back
    within a few channels, as a spike does. Values that were repeated in rebinning, or rounded to few, are
    stairs anyway.
    """
    found: list[GainStep | None] = [None] * len(counts)
    width_ev = np.diff(energy_ev)
    gaps = width_ev > _GAP * np.median(width_ev)
    stairs = (counts[:, 1:] == counts[:, :-1]).mean(axis=1) > REPEATED
    for near_ev in np.unique(l3_ev).tolist():
        rows = np.flatnonzero((l3_ev == near_ev) & ~stairs)
        end_ev = near_ev + edge.splitting_ev + 2 * edge.guard_ev
        ends = [near_ev - 5 * edge.guard_ev, near_ev - edge.guard_ev, end_ev]
        first, foot, last = np.searchsorted(energy_ev, ends).tolist()
        if last - first < 12:
            continue
        for some in few_rows(len(rows)):
            y = counts[rows[some], first:last].astype(np.float64)
            steps = _gain_steps(y, foot - first, gaps[first : last - 1])
            for row, step in zip(rows[some].tolist(), steps, strict=True):
                found[row] = step and GainStep(first + step.channel, step.ratio, step.offset)
    return found


def _gain_steps(y: Floats, foot: int, gaps: Bools) -> list[GainStep | None]:
    """The steps of spectra (n, C) outside of `gaps` (C - 1,); no line begins before channel `foot`."""
    # over two channels each way: neighbours share what a detector spreads
    second = np.abs(y[:, 4:] + y[:, :-4] - 2 * y[:, 2:-2])
    sigma = np.median(second, axis=1) / (0.6745 * np.sqrt(6))
    level = np.median(y[:, : max(foot, 1)], axis=1)
    height = y.max(axis=1) - level
    sigma = np.maximum(sigma, _LEAST_STEP / 10 * height)  # drawn curves have no noise, but corners
    best = np.full(len(y), _LEAST_STEP_SIGMA)
    found: list[GainStep | None] = [None] * len(y)
    for half, degree in _STEP_STRETCHES:
        fit, design, spread = _step_fit(half, degree)
        stop = (foot if degree == 1 else y.shape[1]) - half
        if stop <= half:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(y[:, : stop + half - 1], 2 * half, axis=1)
        parts = windows @ fit.T  # (n, K, degree + 2): the polynomial's, and the step
        freedom = 2 * half - degree - 2
        left = ((windows - parts @ design.T) ** 2).sum(axis=2) / freedom
        error = np.sqrt(np.maximum(sigma[:, None] ** 2, left)) * spread
        jump = parts[..., -1]
        sure = np.abs(jump) / np.where(error > 0, error, np.inf)
        # more is left than noise leaves in one of forty
        sure[left > ((1.1 + np.sqrt(2 / freedom)) * sigma[:, None]) ** 2] = 0.0
        sure[np.abs(jump) < _LEAST_STEP * height[:, None]] = 0.0
        within = np.lib.stride_tricks.sliding_window_view(gaps[: stop + half - 2], 2 * half - 1)
        sure[:, within.any(axis=1)] = 0.0
        at = sure.argmax(axis=1)
        for row in np.flatnonzero(sure.max(axis=1) > best).tolist():
            near = jump[row, max(0, at[row] - _SPIKE_CHANNELS) : at[row] + _SPIKE_CHANNELS + 1]
            if (near / jump[row, at[row]]).min() < -_STEP_BACK:
                continue
            best[row] = sure[row, at[row]]
            low, more = float(parts[row, at[row], 0]), float(jump[row, at[row]])
            on_background = level[row] > 0.1 * height[row]
            ratio, offset = ((low + more) / low, 0.0) if on_background else (1.0, more)
            found[row] = GainStep(half + int(at[row]), ratio, offset)
    return found


@lru_cache
def _step_fit(half: int, degree: int) -> tuple[Floats, Floats, float]:
    """Fit of a polynomial and a step in the middle of a stretch of 2 `half` channels.

    Returns the matrix that fits (degree + 2, 2 half), the functions fitted (2 half, degree + 2), and the
    step's error at noise of 1.
    """
    x = (np.arange(2 * half) - half + 0.5) / half
    design = np.column_stack([np.vander(x, degree + 1, increasing=True), x > 0])
    fit = np.linalg.pinv(design)
    return fit, design, float(np.linalg.norm(fit[-1]))

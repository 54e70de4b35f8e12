"""X-ray spikes, dead and hot channels: found by their neighbours in energy and in the scan, and bridged."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mnflow.preprocess.detector.faults import interpolated
from mnflow.preprocess.resample import few_rows
from mnflow.spectra.arrays import Array, Bools, Floats, Ints

_ASIDE = 2  # channels: a spike is up to three wide, and what lies two aside is none of it
_LEAST_SIGMA = 10.0  # clean spectra stay as they are, to the last bit
_LEAST_HEIGHT = 0.18  # of the edge's height, at `_FINE_EV` a channel: a line's foot and flanks are flatter
_LEAST_ON_TOP = 0.36  # the same within `_TOP` channels of the greatest one: the sharpest of lines is there
_TOP = 3
_FINE_EV = 0.1
_CANDIDATE = 0.1  # of a spectrum's whole range
_LEAST_IN_SCAN, _CANDIDATE_IN_SCAN = 0.1, 0.05  # the same two, of what no neighbour in the scan has
_MEDIAN_NETWORK = (
    (0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6), (2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4),
)  # fmt: skip
_TOGETHER = 64  # candidates that are looked at together


def spikes_note(n: int) -> str:
    """What was done to n channels, as it is told: "3 spikes, dead or hot channels were bridged"."""
    what = "spikes, dead or hot channels were" if n > 1 else "spike, dead or hot channel was"
    return f"{n} {what} bridged"


def without_spikes(energy_ev: Floats, counts: Array) -> tuple[Array, Ints]:
    """Spectra (N, C) on axis (C,) with straight lines for spikes, and how many spikes each had (N,).

    A spike is up to three channels wide, and rises over (a dead channel falls below) its neighbours by ten
    times the noise and more than any line could within as many channels. The coarser the channels, the higher
    it must be; those of 1 eV hide all but giants. Spectra without spikes are returned as they are.
    """
    n, channels = counts.shape
    found = np.zeros(n, dtype=np.int64)
    if channels < 4 * _ASIDE + 3:
        return counts, found
    step = float(np.median(np.diff(energy_ev)))
    repaired = counts
    candidates = _far_from_both_sides(counts)
    for some in np.split(candidates, range(_TOGETHER, len(candidates), _TOGETHER)):
        y = counts[some].astype(np.float64)
        for i, away, sigma, height, bad in _suspects(y, step):
            mended, found[some[i]] = _mended(y[i], away, sigma, height, bad)
            if found[some[i]]:
                if repaired is counts:
                    repaired = counts.copy()
                repaired[some[i]] = np.rint(mended) if counts.dtype.kind in "iu" else mended
    return repaired, found


def without_spikes_of_scan(energy_ev: Floats, counts: Array, columns: int, rows: slice) -> tuple[Array, Ints]:
    """As `without_spikes`, of some `rows` of consecutive pixels' spectra (N, C): also of what is lower.

    In a scan with lines of `columns` pixels (1 for a line scan, 0 for spectra that are no scan), a spike need
    only be a tenth of the edge's height if no neighbour in the scan has it.
    """
    given = counts[rows]
    mended, found = without_spikes(energy_ev, interpolated(given))
    channels = counts.shape[1]
    if not columns or len(counts) < 3 or channels < 4 * _ASIDE + 3:
        return mended, found
    step_ev, first = float(np.median(np.diff(energy_ev))), rows.indices(len(counts))[0]
    aside = [1, columns - 1, columns, columns + 1] if columns > 2 else [1, 2]
    repaired = mended
    for i in _differing(mended).tolist():
        near = [k for a in aside for k in (first + i - a, first + i + a) if 0 <= k < len(counts)]
        better, n = _over_neighbours(mended[i].astype(np.float64), interpolated(counts[near]), step_ev)
        if n:
            if repaired is mended:
                repaired = mended.copy()
            repaired[i] = np.rint(better) if counts.dtype.kind in "iu" else better
            found[i] += n
    return repaired, found


def _far_from_both_sides(counts: Array) -> Ints:
    """Rows of spectra (N, C) with a channel far beyond what lies on either side: a quick look."""
    kind = np.float32 if counts.dtype.itemsize < 8 else np.float64
    found = [np.empty(0, dtype=np.int64)]
    for rows in few_rows(len(counts)):
        y = counts[rows].astype(kind)
        left, middle, right = y[:, : -2 * _ASIDE], y[:, _ASIDE:-_ASIDE], y[:, 2 * _ASIDE :]
        beyond = np.maximum(middle - np.maximum(left, right), np.minimum(left, right) - middle).max(axis=1)
        far = beyond > _CANDIDATE * (y.max(axis=1) - y.min(axis=1))
        found.append(rows.start + np.flatnonzero(far))
    return np.concatenate(found)


def _over_neighbours(y: Floats, others: Array, step_ev: float) -> tuple[Floats, int]:
    """A pixel's spectrum (C,) without spikes that none of its neighbours (n, C) has, and how many it had.

    They are scaled to it, and what differs smoothly in energy (thickness, phase) is no spike. No matter that
    for a pixel at a line's end some of the next line are taken for neighbours: it must differ from all.
    """
    total = others.sum(axis=1, dtype=np.float64, keepdims=True)
    scaled = others * (y.sum() / np.where(total > 0, total, np.inf))
    away = (y - scaled) - _median_of_seven(y - scaled)
    spread = _spread(away)
    nearest, sigma = scaled[spread.argmin()], float(spread.min())
    alone = (away > 0).all(axis=0) | (away < 0).all(axis=0)
    least = np.where(alone, np.abs(away).min(axis=0), 0.0)
    calm = _median_of_seven(y[None])
    bad = least > np.maximum(_LEAST_SIGMA * sigma, _least(calm, step_ev, _LEAST_IN_SCAN)[0])
    if not bad.any():
        return y, 0
    mended, n = _mended(y - nearest, least, sigma, float(_height(calm)[0]), bad)
    return mended + nearest, n


def _differing(counts: Array) -> Ints:
    """Rows of spectra (N, C) with a channel that is far from the row before and the one after, in shape.

    A quick look, before `_over_neighbours` decides.
    """
    if len(counts) < 2:
        return np.arange(len(counts))
    found = []
    for rows in few_rows(len(counts)):
        first = max(0, rows.start - 1)
        y = counts[first : rows.stop + 1].astype(np.float32)
        total = y.sum(axis=1, keepdims=True)
        y /= np.where(total > 0, total, 1)
        change = np.diff(y, axis=0, prepend=y[1:2], append=y[-2:-1])  # at either end, one neighbour twice
        apart = np.minimum(np.abs(change[:-1]), np.abs(change[1:])) * (change[:-1] * change[1:] < 0)
        # no difference of thickness or phase
        sharp = apart[:, 4:-4] - np.maximum(apart[:, :-8], apart[:, 8:])
        high = sharp.max(axis=1)
        far = high > _CANDIDATE_IN_SCAN * (y.max(axis=1) - y.min(axis=1))
        far &= high > _LEAST_SIGMA * np.abs(sharp).mean(axis=1)
        at = first + np.flatnonzero(far)
        found.append(at[(at >= rows.start) & (at < rows.stop)])
    return np.concatenate(found)


def _suspects(y: Floats, step_ev: float) -> Iterator[tuple[int, Floats, float, float, Bools]]:
    """Spectra (n, C) with channels that neither noise nor lines explain.

    Returns their rows, the distance of every channel from the median of its neighbours, the noise, the height
    of the edge, and those channels.
    """
    calm = _median_of_seven(y)
    away = y - calm
    sigma = _spread(away)
    # few counts scatter more than most of their values say: by the root of their number
    quanta = np.abs(np.diff(y, axis=1))
    quantum = np.where(quanta > 0, quanta, np.inf).min(axis=1)
    quantum = np.where(np.isfinite(quantum), quantum, 0.0)
    sigma = np.maximum(sigma, np.sqrt(quantum * (np.maximum(calm.max(axis=1), 0.0) + quantum)))
    height = _height(calm)
    bad = np.abs(away) > np.maximum(_LEAST_SIGMA * sigma[:, None], _least(calm, step_ev, _LEAST_HEIGHT))
    for i in np.flatnonzero(bad.any(axis=1)).tolist():
        yield i, away[i], float(sigma[i]), float(height[i]), bad[i]


def _spread(away: Floats) -> Floats:
    """Noise (n,) of distances (n, C) from the medians of neighbours, whatever a few channels hold."""
    ordinary = np.sort(np.abs(away), axis=1)[:, : max(4, int(0.97 * away.shape[1]))]
    return np.maximum(1.4826 * np.median(ordinary, axis=1), ordinary.mean(axis=1))


def _height(calm: Floats) -> Floats:
    """Height of the edge (n,) in spectra (n, C) without spikes."""
    return np.asarray(calm.max(axis=1) - np.percentile(calm, 10, axis=1))


def _least(calm: Floats, step_ev: float, share: float) -> Floats:
    """How far a channel of spectra (n, C) must be from its neighbours to be a spike: more than any line.

    That is `share` of the edge's height, more at the top, and more in coarser channels.
    """
    on_top = np.abs(np.arange(calm.shape[1]) - calm.argmax(axis=1)[:, None]) <= _TOP
    coarser = max(1.0, (step_ev / _FINE_EV) ** 2)
    return np.where(on_top, _LEAST_ON_TOP, share) * coarser * _height(calm)[:, None]


def _median_of_seven(y: Floats) -> Floats:
    """The median of every channel and three on either side, of spectra (n, C); end values are continued.

    A sorting network on whole arrays: five times as fast as `numpy.median` on windows.
    """
    padded = np.pad(y, ((0, 0), (3, 3)), mode="edge")
    x: list[Any] = [padded[:, i : i + y.shape[1]] for i in range(7)]
    for a, b in _MEDIAN_NETWORK:
        x[a], x[b] = np.minimum(x[a], x[b]), np.maximum(x[a], x[b])
    return np.asarray(x[3])


def _mended(y: Floats, away: Floats, sigma: float, height: float, bad: Bools) -> tuple[Floats, int]:
    """One spectrum (C,) without its spikes, and their number; see `_suspects`."""
    # what is beside a spike and shares its charge goes with it, if it is clearly off too
    near = np.convolve(bad, np.ones(3), mode="same") > 0
    bad |= near & (np.abs(away) > 4 * sigma) & (np.abs(away) > 0.1 * height)
    runs = np.split(np.flatnonzero(bad), np.flatnonzero(np.diff(np.flatnonzero(bad)) > 1) + 1)
    wide = [run for run in runs if len(run) > 2 * _ASIDE]
    for run in wide:  # no spike is that wide
        bad[run] = False
    if not bad.any():
        return y, 0
    good = np.flatnonzero(~bad)
    return np.interp(np.arange(len(y)), good, y[good]), len(runs) - len(wide)

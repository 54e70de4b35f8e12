"""What is wrong with spectra within the window of an edge: nothing outside of it is judged."""

import numpy as np
from numpy.typing import NDArray

from mnflow.preprocess.resample import moving_average
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Array, Bools, Floats, Ints

REASONS = ("used", "not finite", "empty", "saturated")
"""What a spectrum's code means."""

MAX_INTENSITY = 1e15
"""Beyond any detector; larger values would overflow in the fits."""

_RUN = 5
"""Equal channels at the greatest value that are a plateau."""

_RIPPLE = 0.011  # how much a plateau may ripple, as a share of what the detector counted there
_RIPPLES = (0.015, 0.033)  # and of the edge's height, if a background had been removed: of little and of much
_MOST_RIPPLE = 0.05  # an edge that is lower on its background cannot be judged channel by channel
_MEAN_EV = 0.5  # but by means over so much: they lower a ripple, and a plateau's ends stay abrupt
_MOST_RIPPLE_OF_MEANS = 0.1
_MOST_NOISE_OF_MEANS = _RIPPLES[1] / 2  # standard deviation before the edge: noise may look like it
_NEAR_TOP = 0.8  # of the height: the lower line is not the one that is cut off
_ABRUPT = 1.25  # a plateau is hardly broader three ripples below its top; lines are 1.7 times as broad there
_TILTS = np.linspace(-0.03, 0.03, 5)  # of the height per eV, of a plateau whose background was removed
_LEAST_PLATEAU_EV = 0.45
REPEATED = 0.3
"""Share of equal neighbours from which on values were repeated in rebinning."""


def interpolated(counts: Array) -> Array:
    """Spectra (N, C) with invalid values (not finite, beyond `MAX_INTENSITY`) interpolated linearly.

    Spectra without a valid channel become zeros.
    """
    if counts.dtype.kind in "iu":
        return counts
    bad = ~(np.abs(counts) <= MAX_INTENSITY)
    if not bad.any():
        return counts
    counts = np.array(counts, dtype=np.float64)
    channels = np.arange(counts.shape[1])
    for row in np.flatnonzero(bad.any(axis=1)):
        good = ~bad[row]
        counts[row] = np.interp(channels, channels[good], counts[row][good]) if good.any() else 0.0
    return counts


def judged(energy_ev: Floats, l3_ev: float, edge: Edge) -> slice:
    """The channels of an axis (C,) that an answer depends on: from the background's fit to the crop's end."""
    first, last = np.searchsorted(
        energy_ev, [l3_ev - 4 * edge.guard_ev, l3_ev + edge.splitting_ev + 2 * edge.guard_ev]
    )
    return slice(int(first), int(last))


def find_faults(
    energy_ev: Floats, counts: Array, l3_ev: float, edge: Edge, saturation_counts: float = 0.0
) -> NDArray[np.uint8]:
    """Why spectra (N, C) with their L3 line at `l3_ev` cannot be used: indices into `REASONS`, (N,).

    Not finite: NaN, infinity or beyond `MAX_INTENSITY`. Empty: the same value in every channel. Saturated: a
    channel at the integer type's maximum or at `saturation_counts` (if given), or a plateau at the top: it
    may ripple by 0.5 % or be tilted by a background that was removed, but ends abruptly, which no line does.
    """
    window = judged(energy_ev, l3_ev, edge)
    energy_ev, counts = energy_ev[window], counts[:, window]
    if counts.shape[1] == 0:
        return np.full(len(counts), REASONS.index("empty"), dtype=np.uint8)
    with np.errstate(invalid="ignore", over="ignore"):
        high, low = counts.max(axis=1), counts.min(axis=1)
        largest = np.maximum(np.abs(high.astype(np.float64)), np.abs(low.astype(np.float64)))
        finite = (largest <= MAX_INTENSITY) & (high >= low)
    code = np.where(finite, 0, 1).astype(np.uint8)
    full = np.zeros(len(counts), dtype=bool)
    if counts.dtype.kind in "iu":
        full |= high == np.iinfo(counts.dtype).max
    if saturation_counts > 0:
        full |= high >= saturation_counts
    full[finite] |= _cut_off(energy_ev - l3_ev, counts[finite], edge)
    code[finite & full] = 3
    code[finite & (high == low)] = 2
    return code


def _cut_off(energy_ev: Floats, counts: Array, edge: Edge) -> Bools:
    """Whose white lines end in a plateau, of finite spectra (N, C); energies (C,) in eV from L3."""
    equal = float((counts[:, 1:] == counts[:, :-1]).mean()) if counts.size else 0.0
    # values that were repeated in rebinning: one of each run is enough
    every = round(1 / max(1e-3, 1 - equal)) if equal > REPEATED else 1
    energy, y = energy_ev[every // 2 :: every], counts[:, every // 2 :: every].astype(np.float64)
    before = energy < -2 * edge.guard_ev
    lines = (energy > -1.5 * edge.guard_ev) & (energy < edge.splitting_ev + edge.guard_ev)
    if lines.sum() < 3 * _RUN or len(y) == 0:
        return np.zeros(len(counts), dtype=bool)
    found = _equal_top(y[:, lines])
    ripple = _RIPPLE * np.abs(y[:, lines]).max(axis=1)
    if before.sum() > 2:  # a background falls below the lines, and their top with it
        y = y - np.outer(_slopes(energy[before], y[:, before]), energy)
        level = y[:, before].mean(axis=1, keepdims=True)
    else:
        level = y[:, lines].min(axis=1, keepdims=True)
    height = y[:, lines].max(axis=1) - level[:, 0]
    height = np.where(height > 1e-9 * np.abs(counts).max(axis=1), height, np.inf)  # else there is no line
    y, ripple = (y - level) / height[:, None], ripple / height
    rows = np.flatnonzero((ripple < _MOST_RIPPLE) & ~found)
    depths = [np.maximum(_RIPPLES[0], ripple[rows]), np.full(len(rows), _RIPPLES[1])]
    found[rows] = _ends_abruptly(energy[lines], y[np.ix_(rows, lines)], depths, edge)
    channels = round(_MEAN_EV / float(np.diff(energy).max()))
    rows = np.flatnonzero((ripple < _MOST_RIPPLE_OF_MEANS) & ~found)
    if len(rows) and 1 < channels < before.sum():
        quiet = moving_average(y[np.ix_(rows, before)], channels).std(axis=1) < _MOST_NOISE_OF_MEANS
        rows = rows[quiet]
        means = moving_average(y[np.ix_(rows, lines)], channels)
        top = means.max(axis=1, keepdims=True)
        means /= np.where(top > _RIPPLES[0], top, np.inf)
        found[rows] = _ends_abruptly(energy[lines], means, [np.full(len(rows), _RIPPLES[1])], edge)
    return found


def _ends_abruptly(energy_ev: Floats, y: Floats, depths: list[Floats], edge: Edge) -> Bools:
    """Which spectra (N, C) are hardly broader three depths (N,) below the top of a line than one below."""
    found = np.zeros(len(y), dtype=bool)
    # by chance, noise has a run of channels near its greatest value
    noise = np.median(np.abs(np.diff(y, 2, axis=1)), axis=1) / (0.6745 * np.sqrt(6))
    step = float(np.diff(energy_ev).max())
    least = max(_LEAST_PLATEAU_EV, 3 * step)
    reach = 0.45 * edge.splitting_ev
    for line_ev in (0.0, edge.splitting_ev):
        near = np.abs(energy_ev - line_ev) <= reach
        if near.sum() < 2 * _RUN:
            continue
        one = np.where(near, y, -np.inf)
        high = np.flatnonzero((one.max(axis=1) > _NEAR_TOP) & ~found)
        around = np.convolve(near, np.ones(3), mode="same") > 0  # a channel more at either end, of -inf
        away = energy_ev[around] - energy_ev[one[high].argmax(axis=1)][:, None]  # (rows, channels near it)
        for tilt in _TILTS:
            tilted = one[high][:, around] - tilt * away
            for depth in depths:
                narrow = _width(energy_ev[around], tilted, depth[high])
                # a few channels in a row may be a line's top, or noise
                certain = (noise[high] < depth[high] / 2.5) | (narrow >= 7 * step)
                some = np.flatnonzero(certain & (narrow >= least))
                broad = _width(energy_ev[around], tilted[some], 3 * depth[high][some])
                found[high[some]] |= broad < _ABRUPT * narrow[some]
    return found


def _equal_top(y: Floats) -> Bools:
    """Which spectra (N, C) have `_RUN` channels in a row at their greatest value."""
    at_top = y == y.max(axis=1, keepdims=True)
    runs = np.lib.stride_tricks.sliding_window_view(at_top, _RUN, axis=1)
    return np.asarray(runs.all(axis=-1).any(axis=-1))


def _slopes(x: Floats, y: Floats) -> Floats:
    """Slopes (N,) of straight lines through spectra (N, M) at x (M,)."""
    x = x - x.mean()
    return np.asarray(y @ x / (x @ x))


def _width(energy_ev: Floats, y: Floats, depth: Floats) -> Floats:
    """Width (N,) in eV in which spectra (N, C) stay within `depth` (N,) of their maximum.

    Spectra that do so up to an end of the axis have no width.
    """
    rows, channels = np.arange(len(y)), np.arange(y.shape[1])
    at = y.argmax(axis=1)
    threshold = y[rows, at] - depth
    low = y < threshold[:, None]
    right = np.where(low & (channels > at[:, None]), channels, y.shape[1] - 1).min(axis=1)
    left = np.where(low & (channels < at[:, None]), channels, 0).max(axis=1)

    def crossing(outer: Ints, inner: Ints) -> Floats:
        a, b = y[rows, outer], y[rows, inner]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(np.isfinite(a) & (b > a), (threshold - a) / (b - a), 0.0)
        return energy_ev[outer] + np.clip(share, 0, 1) * (energy_ev[inner] - energy_ev[outer])

    ends = crossing(right, np.maximum(right - 1, 0)) - crossing(left, np.minimum(left + 1, y.shape[1] - 1))
    return np.where(low[rows, right] & low[rows, left], ends, 0.0)

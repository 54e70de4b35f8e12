"""L3/L2 intensity ratio and L2-L3 distance of an edge, and the mean valences that either goes with.

`python -m mnflow.pretrained.white_line_table mn` makes the table of valences from simulated mixtures.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mnflow.spectra import Edge
from mnflow.spectra.arrays import Array, Bools, Floats, Floats32, Ints
from mnflow.spectra.edge import SPLITTING_EV

WINDOW_EV, STEP_EV = (-7.0, 20.0), 0.2
"""What is looked at from L3 on, and in which steps, in eV for Mn; other edges in proportion to the splitting.
"""

_REACH_EV = (2.0, 3.0)  # of a line below and above its maximum
_SEARCH_EV = 2.5  # L2 lies within this of its nominal distance
_AROUND = np.arange(-5, 6)  # steps from a maximum, through which a parabola is put
_PARABOLA = np.linalg.pinv(np.vander(_AROUND, 3))


class WhiteLines(NamedTuple):
    """Of N spectra: L3/L2 intensity ratio above the continuum, and distance of the maxima in eV."""

    l3_l2_ratio: Floats
    l2_l3_distance_ev: Floats


def measure(smooth: Array, l3: Ints, edge: Edge) -> WhiteLines:
    """Measure smoothed crops (N, C) with their L3 maxima at channels `l3` (N,).

    The continuum is two arctangent steps at the two maxima, 2 : 1 in height. Their height, not below zero,
    and the zero level are fitted to what lies before L3 and behind L2. After van Aken & Liebscher (2002),
    https://doi.org/10.1007/s00269-001-0222-6; as a measure of the valence of Mn: Schmid & Mader (2006),
    https://doi.org/10.1016/j.micron.2005.12.004.
    """
    find = _finder(edge)
    rows = np.arange(len(l3))
    place = np.minimum(np.maximum(l3[:, None] + find.channels, 0), smooth.shape[1] - 1)
    y = smooth[rows[:, None], place]  # (N, P)
    l2 = y[:, find.searched].argmax(axis=1)  # (N,)
    means = (y @ find.weights).reshape(len(y), 4, -1)[rows, :, l2].T.astype(np.float64)
    height, steps = np.maximum(means[1], 0), find.steps[:, l2]
    level = means[0] - height * steps[0]
    lines = means[2:] - level - height * steps[1:]  # of equal spans
    lines = np.maximum(lines, 1e-3 * np.abs(lines).sum(axis=0) + 1e-12)  # one that is lost in noise
    distance = find.searched.start + l2 + _vertex(y, find.searched.start + l2) - find.l3 - _vertex(y, find.l3)
    return WhiteLines(lines[0] / lines[1], find.step_ev * distance)


class _Finder(NamedTuple):
    """What `measure` needs of an edge, for each of S channels that L2 may lie at.

    Attributes
    ----------
    channels : ndarray, shape (P,)
        Those looked at, from L3 on.
    l3, searched, step_ev
        Index of L3 and those of L2 among them, and their distance.
    weights : ndarray, shape (P, 4 S)
        They give the mean of what the continuum is fitted to, the height of its steps, and the means over L3
        and over L2.
    steps : ndarray, shape (3, S)
        The same three means of the steps.
    """

    channels: Ints
    l3: int
    searched: slice
    step_ev: float
    weights: Floats32
    steps: Floats


@lru_cache
def _finder(edge: Edge) -> _Finder:
    scale = edge.splitting_ev / SPLITTING_EV["Mn"]
    every = max(1, round(scale * STEP_EV / edge.dispersion_ev))
    step_ev = every * edge.dispersion_ev
    low, high = (round(scale * end / step_ev) for end in WINDOW_EV)
    from_l3 = step_ev * np.arange(low, high)  # (P,)
    searched = np.flatnonzero(np.abs(from_l3 - edge.splitting_ev) <= scale * _SEARCH_EV)  # (S,)
    from_l2 = from_l3 - from_l3[searched, None]  # (S, P)
    below, above = (scale * reach for reach in _REACH_EV)
    outside = (from_l3 < -below) | (from_l2 > above)
    steps = 0.5 + (2 * np.arctan(2 / scale * from_l3) + np.arctan(2 / scale * from_l2)) / (3 * np.pi)
    spans = [outside, np.broadcast_to((from_l3 > -below) & (from_l3 < above), steps.shape),
             (from_l2 > -below) & (from_l2 < above)]  # fmt: skip
    mean, l3, l2 = (span / span.sum(axis=1, keepdims=True) for span in spans)
    height = (steps - (mean * steps).sum(axis=1, keepdims=True)) * outside
    height /= (height**2).sum(axis=1, keepdims=True)
    return _Finder(
        every * np.arange(low, high),
        -low,
        slice(int(searched[0]), int(searched[-1]) + 1),
        step_ev,
        np.concatenate([mean, height, l3, l2]).T.astype(np.float32),
        np.stack([(weight * steps).sum(axis=1) for weight in (mean, l3, l2)]),
    )


def _vertex(y: Array, near: Any) -> Floats:
    """Place (N,) of the vertex of a parabola through spectra (N, P) `near` a maximum, as an index from it."""
    rows, near = np.arange(len(y))[:, None], np.broadcast_to(near, len(y))[:, None]
    a, b, _ = _PARABOLA @ y[rows, near + _AROUND].T
    falls = a < 0
    return np.where(falls, np.clip(-b / np.where(falls, 2 * a, 1), _AROUND[0], _AROUND[-1]), 0)


def implied_valence(lines: WhiteLines, edge: Edge) -> dict[str, Floats]:
    """By the name of each opinion, the range (N, 2) of the mean valence that goes with it.

    It held 98 % of simulated mixtures with about the same value. Empty for an edge without a table.
    """
    tables = _tables(edge.element)
    if tables is None or tuple(tables["charges"]) != tuple(edge.charges):
        return {}
    ranges = {}
    for name, values in zip(lines._fields, lines, strict=True):
        table = tables[name]
        ends = [np.interp(values, table["value"], table[end]) for end in ("low", "high")]
        ranges[name] = np.stack(ends, axis=1)
    return ranges


def contradict(ranges: dict[str, Floats], interval: Floats) -> Bools:
    """Whether an opinion's range lies wholly outside the interval (N, 2) of an answer: (N,)."""
    low, high = interval.T
    apart = np.zeros(len(interval), dtype=bool)
    for found in ranges.values():
        apart |= (found[:, 0] > high) | (found[:, 1] < low)
    return apart


def table_path(element: str) -> Path:
    """The file of an element's table."""
    return Path(__file__).with_name(f"{element.lower()}.json")


@lru_cache
def _tables(element: str) -> dict[str, Any] | None:
    path = table_path(element)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

"""Where an edge lies on a calibrated or miscalibrated axis: found from its pair of white lines."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from mnflow.preprocess.background import fit_power_law
from mnflow.preprocess.resample import few_rows, median, moving_average
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Array, Floats

Background = Literal["power law", "level", "removed"]
"""What is done about the background: a power law is fitted where there is room before the edge; a level is
left (normalisation takes it out) where there is none; and nothing is to be done where it had been removed.
"""

MIN_CONTRAST = 5.0
"""Least height of the white lines over what a pair of lines leaves unexplained; below, no edge is to be seen.
"""

SEARCH_EV = 35.0
"""How far L3 may be from the middle of where it belongs: 30 eV by the axis, and 5 eV by the valence."""

LEAST_ROOM_EV = 3.0
"""Least range before the edge for a power law: fitted to less, it would diverge under the edge."""

_BIN_EV = 0.5  # of the search: white lines are broader
_SCALES = (0.9, 1.0, 1.1)  # of the lines' distance: valences and dispersion errors change it
_LEAST_RISE = 0.03  # of L2 over the valley before it, as a share of L3
_REMOVED_LEVEL = 0.1  # of the edge's height


@dataclass(frozen=True)
class EdgePosition:
    """Where an edge lies on a (mis)calibrated axis.

    Attributes
    ----------
    l3_ev : float
        Maximum of the L3 line in eV.
    onset_ev : float
        Energy below which no edge intensity is left, in eV: the background's fit ends here.
    background : str
        What is done about the background; see `Background`.
    contrast : float
        Height of the white lines over what they leave unexplained; below `MIN_CONTRAST` no edge is to be
        seen, and the energies are where the edge's windows would have it.
    room_ev: float
        How much of the axis lies below the onset, in eV.
    """

    l3_ev: float
    onset_ev: float
    background: Background
    contrast: float
    room_ev: float

    @property
    def background_removed(self) -> bool:
        """Whether the intensity before the edge is next to nothing beside the edge."""
        return self.background == "removed"

    def declared(self, background_removed: bool | None) -> "EdgePosition":
        """The same place, but for the background what its file says of it, if anything."""
        if background_removed is None or background_removed == self.background_removed:
            return self
        kept: Background = "power law" if self.room_ev >= LEAST_ROOM_EV else "level"
        return replace(self, background="removed" if background_removed else kept)


def locate_edge(energy_ev: Floats, intensity: Array, edge: Edge) -> EdgePosition:
    """Find L3 and the edge's onset in one spectrum (C,); see `locate_edges`."""
    return locate_edges(energy_ev, np.asarray(intensity)[None], edge)[0]


def locate_edges(energy_ev: Floats, intensity: Array, edge: Edge) -> list[EdgePosition]:
    """Find L3 and the onset in each of N spectra (N, C) on a uniform axis in eV, background on or off.

    The pair of lines is looked for up to `SEARCH_EV` from where it belongs, at several distances of the
    lines, over any smooth background. L3 then is the maximum of what lies over a first background near there.
    """
    step = float(energy_ev[1] - energy_ev[0])
    smooth = moving_average(np.asarray(intensity, dtype=np.float64), max(1, round(0.5 / step)))
    found_ev, contrast = _search(energy_ev, smooth, edge)
    positions: dict[int, EdgePosition] = {}
    for near_ev in np.unique(found_ev).tolist():
        rows = np.flatnonzero(found_ev == near_ev)
        found = _near(energy_ev, smooth[rows], near_ev, contrast[rows], edge)
        positions |= zip(rows.tolist(), found, strict=True)
    return [positions[i] for i in range(len(smooth))]


def _near(
    energy_ev: Floats, smooth: Floats, near_ev: float, contrast: Floats, edge: Edge
) -> list[EdgePosition]:
    """Positions of spectra (N, C) whose pair of lines was found at `near_ev`."""
    step = float(energy_ev[1] - energy_ev[0])
    span = 0.5 * edge.guard_ev + 1.0
    start, stop = np.searchsorted(energy_ev, [near_ev - span, near_ev + span])
    start, stop = min(int(start), len(energy_ev) - 1), max(int(stop), int(start) + 1)
    before = int(np.searchsorted(energy_ev, near_ev - 2 * edge.guard_ev))
    first = max(0, before - round(30.0 / step))
    room = before - first >= round(LEAST_ROOM_EV / step)
    # without room for a fit: the little that comes before the lines' tail
    stretch = slice(first, before) if room else slice(0, max(1, min(round(0.5 / step), start)))
    level = median(smooth[:, stretch])
    height = smooth[:, start:stop].max(axis=1) - level
    removed = np.abs(level) < _REMOVED_LEVEL * height  # (N,)
    flat = removed | (not room)
    signal = smooth - level[:, None]
    if room and not flat.all():
        fitted = fit_power_law(energy_ev[first:before], smooth[~flat, first:before])
        signal[~flat] = smooth[~flat] - fitted(energy_ev)
    peak = start + signal[:, start:stop].argmax(axis=1)
    top = signal[np.arange(len(signal)), peak][:, None]
    if room:  # lines that do not rise over the noise before them are none
        noise = signal[:, first:before].std(axis=1) + 1e-12 * np.abs(height)
        contrast = np.minimum(contrast, top[:, 0] / np.where(noise > 0, noise, np.inf))
    # a line without a second one is another edge's; a background that could not be fitted hides how it rises
    split = edge.splitting_ev
    valley, second = (
        slice(*np.searchsorted(energy_ev, [near_ev + low * split, near_ev + high * split]))
        for low, high in ((0.3, 0.8), (0.8, 1.2))
    )
    if valley.stop > valley.start and second.stop > second.start:
        rise = signal[:, second].max(axis=1) - signal[:, valley].min(axis=1)
        alone = (rise < _LEAST_RISE * top[:, 0]) & (room | (np.abs(level) < 0.5 * height))
        contrast = np.where(alone, 0.0, contrast)
    # the last channel up to L3 that is still low, or none
    low = (signal < 0.1 * top) & (np.arange(len(energy_ev)) <= peak[:, None])
    last = len(energy_ev) - 1 - low[:, ::-1].argmax(axis=1)
    onset_ev = np.where(low.any(axis=1), energy_ev[last] - edge.guard_ev, energy_ev[0])
    seen = contrast >= MIN_CONTRAST
    l3_ev, onset_ev = np.where(seen, energy_ev[peak], edge.l3_ev), np.where(seen, onset_ev, edge.crop_ev[0])
    room_ev = onset_ev - energy_ev[0] + step / 2
    background = np.where(removed, "removed", np.where(room_ev >= LEAST_ROOM_EV, "power law", "level"))
    columns = (a.tolist() for a in (l3_ev, onset_ev, background, contrast, room_ev))
    return [EdgePosition(*row) for row in zip(*columns, strict=True)]


def _search(energy_ev: Floats, smooth: Floats, edge: Edge) -> tuple[Floats, Floats]:
    """Position (N,) in eV of L3, within a bin, from the pair of white lines, and its contrast (N,).

    At every place, a smooth background (a parabola) and a pair of lines are fitted to a window; at the axis'
    ends, to what there is of it. The pair that is both high and explains what is there wins.
    """
    every = max(1, round(_BIN_EV / float(energy_ev[1] - energy_ev[0])))
    l3_ev, bins = energy_ev[every // 2 :: every], smooth[:, every // 2 :: every]
    width = every * float(energy_ev[1] - energy_ev[0])
    before, after = _reach(edge, width)
    score, contrast = np.zeros(bins.shape), np.zeros(bins.shape)
    bins = bins - bins.mean(axis=1, keepdims=True)
    inside = (np.abs(l3_ev - edge.l3_ev) <= SEARCH_EV) & (l3_ev + 0.85 * edge.splitting_ev <= energy_ev[-1])
    places = np.flatnonzero(inside & (l3_ev >= energy_ev[0] + 1.0))
    if len(places) == 0:
        return np.full(len(bins), edge.l3_ev), np.zeros(len(bins))
    whole = places[(places >= before) & (places + after < bins.shape[1])]
    if len(whole):
        windows = np.lib.stride_tricks.sliding_window_view(bins, before + after + 1, axis=1)  # (N, P, L)
        for rows in few_rows(len(bins)):
            some = windows[rows, whole[0] - before : whole[-1] - before + 1]
            score[rows, whole], contrast[rows, whole] = _explained(some, _templates(edge, width, 0, 0))
    for at in np.setdiff1d(places, whole).tolist():
        cut = max(0, before - at), max(0, at + after + 1 - bins.shape[1])
        window = bins[:, None, max(0, at - before) : at + after + 1]
        found = _explained(window, _templates(edge, width, *cut))
        score[:, at], contrast[:, at] = found[0][:, 0], found[1][:, 0]
    best = score.argmax(axis=1)
    return l3_ev[best], contrast[np.arange(len(best)), best]


def _explained(windows: Floats, templates: Floats) -> tuple[Any, Any]:
    """How well a pair of lines fits windows (n, P, L), and its height over the residual: (n, P) each."""
    projected = windows @ templates  # (n, P, 3 + K)
    smooth = (projected[..., :3] ** 2).sum(axis=-1)
    total = np.maximum((windows**2).sum(axis=-1) - smooth, 0)
    pair = projected[..., 3:].max(axis=-1)
    left = np.maximum(total - pair**2, 0) + 1e-12 * (total + smooth) + 1e-300
    score = np.where(pair > 0, pair**3 / (pair**2 + left), 0)
    return score, pair / np.sqrt(left / max(windows.shape[-1] - 4, 1))


def _reach(edge: Edge, width_ev: float) -> tuple[int, int]:
    """Bins of a window before and after L3."""
    before_ev, after_ev = 2 * edge.guard_ev, 1.1 * edge.splitting_ev + 2 * edge.guard_ev
    return round(before_ev / width_ev), round(after_ev / width_ev)


@lru_cache(maxsize=128)
def _templates(edge: Edge, width_ev: float, cut_before: int, cut_after: int) -> Floats:
    """Unit columns (L, 3 + K) of a window: a parabola's three, and K pairs of lines without these.

    Some bins at the window's ends are left out.
    """
    split = edge.splitting_ev
    before, after = _reach(edge, width_ev)
    x = width_ev * np.arange(cut_before - before, after + 1 - cut_after)
    smooth = np.linalg.qr(np.stack([np.ones_like(x), x, x**2], axis=1))[0]
    pairs = []
    for scale in _SCALES:
        for fwhm in (0.2 * split, 0.35 * split):
            line = [1 / (1 + ((x - at) / (fwhm / 2)) ** 2) for at in (0.0, scale * split)]
            steps = [0.5 + np.arctan((x - at) / (fwhm / 2)) / np.pi for at in (0.0, scale * split)]
            pair = line[0] + 0.5 * line[1] + 0.1 * (steps[0] + 0.5 * steps[1])
            pair = pair - smooth @ (smooth.T @ pair)
            pairs.append(pair / np.linalg.norm(pair))
    return np.column_stack([smooth, *pairs])

"""Where the crop window lies on a file's energy axis, and the spectra cut to it, background removed."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.preprocess.background import BACKGROUND_BINS, without_background
from mnflow.preprocess.crops import L3_RANGE
from mnflow.preprocess.detector.faults import find_faults, interpolated
from mnflow.preprocess.detector.gain_steps import GainStep, find_gain_steps
from mnflow.preprocess.detector.spikes import without_spikes, without_spikes_of_scan
from mnflow.preprocess.locate import MIN_CONTRAST, SEARCH_EV, EdgePosition, locate_edge, locate_edges
from mnflow.preprocess.resample import Resampler, resampler
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Array, Floats, Floats32, Ints
from mnflow.spectra.axis import axis_ev

MAX_STEP_EV = 1.05
"""Coarsest channels, and widest gaps of a digitized curve, that still tell the white lines apart, in eV."""

LEAST_WINDOW_EV = (2.5, 4.2)
"""What a spectrum must hold below L3 and above L2, in eV: 3 and 5 eV on an axis compressed by a tenth."""

_LEAST_SPLITTING = 0.9  # the lines' distance varies by a tenth with the valence and the dispersion's error


def check_axis(energy_ev: Floats, edge: Edge, where: str) -> None:
    """Raise `InputError` unless an increasing axis (C,) may hold both white lines, however far it is off."""
    low = edge.l3_ev - SEARCH_EV - LEAST_WINDOW_EV[0]
    high = edge.l3_ev + SEARCH_EV + edge.splitting_ev + LEAST_WINDOW_EV[1]
    least = _LEAST_SPLITTING * edge.splitting_ev + sum(LEAST_WINDOW_EV)
    first, last = _ends(energy_ev)
    if min(high, last) - max(low, first) < least:
        raise InputError(_uncovered(energy_ev, edge, where))
    if np.count_nonzero((energy_ev >= low) & (energy_ev <= high)) < least / MAX_STEP_EV:
        raise InputError(_too_coarse(float(np.diff(energy_ev).max()), low, high, edge, where))


def _ends(energy_ev: Floats) -> tuple[float, float]:
    """Where the first channel of an axis (C,) begins and its last one ends."""
    first, last = (np.diff(energy_ev[part]).sum() / 2 for part in (slice(2), slice(-2, None)))
    return float(energy_ev[0] - first), float(energy_ev[-1] + last)


def _uncovered(energy_ev: Floats, edge: Edge, where: str) -> str:
    low, high = edge.crop_ev
    return (
        f"{where}: expected energies that cover {low:g} ... {high:g} eV or most of it, got "
        f"{energy_ev[0]:.1f} ... {energy_ev[-1]:.1f} eV; check the calibration and the units of the axis."
    )


def check_place(energy_ev: Floats, position: EdgePosition, edge: Edge, where: str) -> None:
    """Raise `InputError` unless an increasing axis (C,) holds the whole edge in fine enough channels.

    Where no edge was found, half of the crop window is enough.
    """
    low = position.l3_ev - LEAST_WINDOW_EV[0]
    high = position.l3_ev + _LEAST_SPLITTING * edge.splitting_ev + LEAST_WINDOW_EV[1]
    if position.contrast < MIN_CONTRAST:
        low, high = edge.crop_ev
        if min(high, energy_ev[-1]) - max(low, energy_ev[0]) < (high - low) / 2:
            raise InputError(_uncovered(energy_ev, edge, where))
    elif _ends(energy_ev)[0] > low or _ends(energy_ev)[1] < high:
        raise InputError(
            f"{where}: expected the whole edge, {low:.1f} ... {high:.1f} eV for an L3 line at "
            f"{position.l3_ev:.1f} eV, got {energy_ev[0]:.1f} ... {energy_ev[-1]:.1f} eV."
        )
    first, last = np.searchsorted(energy_ev, [low, high])
    inside = energy_ev[max(0, first - 1) : last + 1]
    step = float(np.diff(inside).max()) if len(inside) > 1 else np.inf
    if step > MAX_STEP_EV:
        raise InputError(_too_coarse(step, low, high, edge, where))


def _too_coarse(step_ev: float, low_ev: float, high_ev: float, edge: Edge, where: str) -> str:
    got = f"{step_ev:.3g} eV" if np.isfinite(step_ev) else "hardly a channel there"
    return (
        f"{where}: expected at most {MAX_STEP_EV:.0f} eV per channel between {low_ev:.0f} and {high_ev:.0f} "
        f"eV, got {got}; record the {edge.element} L2,3 edge with a finer dispersion."
    )


def looked_at(energy_ev: Floats, edge: Edge) -> slice:
    """Channels of an axis (C,) that are used: for the edge, its background and what follows it."""
    low = edge.l3_ev - SEARCH_EV - (edge.crop_ev[0] - edge.wide_ev[0]) - edge.splitting_ev
    high = edge.l3_ev + SEARCH_EV + (edge.crop_ev[1] - edge.crop_ev[0])
    first, last = np.searchsorted(energy_ev, [low, high])
    return slice(int(first), int(last))


@dataclass(frozen=True)
class Placement:
    """Where the crop window lies on a file's energy axis: found once for all spectra on this axis.

    Attributes
    ----------
    edge : Edge
        Its crop window and dispersion.
    channels : slice
        Of the foreign axis, that are looked at.
    energy_ev : ndarray, shape (C,)
        The foreign axis there.
    grid_ev : ndarray, shape (G,)
        What is needed of it, on the edge's dispersion: from the background to the crop's end.
    resample : Resampler
        From `energy_ev` onto `grid_ev`.
    position : EdgePosition
        Where the edge lies.
    index : ndarray of int, shape (n_crop,)
        Channels of `grid_ev` that make the crop.
    gain_step : GainStep or None
        A step of the detector's gain that is repaired, as a channel of `energy_ev`.
    moved_bins : int
        By how many channels the window was moved.
    """

    edge: Edge
    channels: slice
    energy_ev: Floats
    grid_ev: Floats
    resample: Resampler
    position: EdgePosition
    index: Ints
    gain_step: GainStep | None
    moved_bins: int

    def __call__(self, intensity: Array) -> Floats32:
        """Crops (N, n_crop) of spectra (N, C) on the file's axis, background removed, not yet normalised."""
        return self.cut(intensity)[0]

    def cut(self, intensity: Array, columns: int = 0, rows: slice = slice(None)) -> tuple[Floats32, Ints]:
        """The crops, and the number of spikes and dead or hot channels bridged in each spectrum (N,).

        Of a scan with lines of `columns` pixels, `rows` of these consecutive ones are cut; the others are
        their neighbours (`without_spikes_of_scan`).
        """
        mended, spikes = self.bridged(intensity, columns, rows)
        if self.gain_step is not None:
            mended = self.gain_step.mended(mended)
        spectra = self.resample(mended)  # (N, C) -> (N, G)
        kind, onset_ev = self.position.background, self.position.onset_ev
        spectra = without_background(kind, self.grid_ev, spectra, onset_ev, self.edge)
        return np.asarray(spectra[:, self.index], dtype=np.float32), spikes

    def bridged(self, intensity: Array, columns: int, rows: slice) -> tuple[Array, Ints]:
        """Some rows of spectra (N, C) where they are looked at, without spikes, and how many each had."""
        return without_spikes_of_scan(self.energy_ev, intensity[:, self.channels], columns, rows)

    def faults(self, intensity: Array, saturation_counts: float = 0.0) -> NDArray[np.uint8]:
        """What is wrong with spectra (N, C) within the window: indices (N,) into `faults.REASONS`."""
        return find_faults(
            self.energy_ev, intensity[:, self.channels], self.position.l3_ev, self.edge, saturation_counts
        )


def placement(
    energy_ev: Floats, intensity: Array, edge: Edge, where: str, background_removed: bool | None = None
) -> Placement:
    """Position of the crop window on an increasing axis (C,), from one spectrum; see `place_windows`."""
    check_axis(energy_ev, edge, where)
    channels = looked_at(energy_ev, edge)
    energy = energy_ev[channels]
    values = interpolated(np.asarray(intensity, dtype=np.float64)[None, channels])
    values = without_spikes(energy, values)[0]
    first, grid = _grid(energy, edge)
    position = locate_edge(grid, resampler(energy, grid)(values)[0], edge)
    (gain_step,) = find_gain_steps(energy, values, np.array([position.l3_ev]), edge)
    if gain_step is not None:
        position = locate_edge(grid, resampler(energy, grid)(gain_step.mended(values))[0], edge)
    position = position.declared(background_removed)
    check_place(energy_ev, position, edge, where)
    if find_faults(energy, np.asarray(intensity)[None, channels], position.l3_ev, edge)[0] in (1, 2):
        raise InputError(
            f"{where}: expected a spectrum, got the same intensity or no number where its edge is."
        )
    moved = _window_start(first, len(grid), position.l3_ev, edge)
    start = min(moved - first, int(np.searchsorted(grid, position.onset_ev)) - BACKGROUND_BINS)
    needed = slice(max(0, start), max(2, moved - first + edge.n_crop))
    index = _window_index(moved, first + needed.start, len(grid[needed]), edge)
    to_grid = resampler(energy, grid[needed])
    return Placement(edge, channels, energy, grid[needed], to_grid, position, index, gain_step, moved)


class Windows(NamedTuple):
    """Spectra (N, C) cut to what a net takes.

    Attributes
    ----------
    intensity : ndarray of float32, shape (N, n_crop)
        Not normalised yet.
    moved_bins : ndarray of int64, shape (N,)
        By how many channels each window was moved.
    positions : list of EdgePosition
        Where each edge lies, and what was done about its background.
    faults : ndarray of uint8, shape (N,)
        What is wrong within each window: index into `faults.REASONS`.
    spikes : ndarray of int64, shape (N,)
        How many spikes and dead or hot channels were bridged in each.
    gain_steps : list of GainStep or None
        The step of gain that was repaired in each.
    """

    intensity: Floats32
    moved_bins: Ints
    positions: list[EdgePosition]
    faults: NDArray[np.uint8]
    spikes: Ints
    gain_steps: list[GainStep | None]


def place_windows(
    energy_ev: Floats,
    intensity: Array,
    edge: Edge,
    background_removed: bool | None = None,
    where: str = "The spectrum",
) -> Windows:
    """Crop windows of spectra (N, C) on one increasing axis, each placed by its own L3.

    Whether the background was removed before is seen from each spectrum unless `background_removed` says it.

    Raises `InputError` if one of them does not hold the edge in channels that are fine enough.
    """
    check_axis(energy_ev, edge, where)
    channels = looked_at(energy_ev, edge)
    energy, counts = energy_ev[channels], intensity[:, channels]
    first, grid = _grid(energy, edge)
    mended, spikes = without_spikes(energy, interpolated(counts))
    judged = np.where(np.isfinite(counts), mended, counts) if spikes.any() else counts
    spectra = resampler(energy, grid)(mended)  # (N, G)
    positions = locate_edges(grid, spectra, edge)
    gain_steps = find_gain_steps(energy, mended, np.array([p.l3_ev for p in positions]), edge)
    for row, gain_step in enumerate(gain_steps):
        if gain_step is not None:
            spectra[row] = resampler(energy, grid)(gain_step.mended(mended[row : row + 1]))[0]
            positions[row] = locate_edge(grid, spectra[row], edge)
    positions = [p.declared(background_removed) for p in positions]
    start: dict[float, int] = {}
    faults = np.zeros(len(spectra), dtype=np.uint8)
    l3_ev = np.array([p.l3_ev for p in positions])
    for position in {p.l3_ev: p for p in positions}.values():  # thousands share a few channels
        check_place(energy_ev, position, edge, where)
        start[position.l3_ev] = _window_start(first, len(grid), position.l3_ev, edge)
        rows = l3_ev == position.l3_ev
        faults[rows] = find_faults(energy, judged[rows], position.l3_ev, edge)
    backgrounds = [(p.background, p.onset_ev) for p in positions]
    for kind, onset_ev in set(backgrounds):
        rows = np.array([b == (kind, onset_ev) for b in backgrounds])
        spectra[rows] = without_background(kind, grid, spectra[rows], onset_ev, edge)
    moved = np.array([start[p.l3_ev] for p in positions])
    index = _window_index(moved[:, None], first, len(grid), edge)
    crops = spectra[np.arange(len(spectra))[:, None], index]
    return Windows(crops, moved, positions, faults, spikes, gain_steps)


def _grid(energy_ev: Floats, edge: Edge) -> tuple[int, Floats]:
    """The edge's channels within an axis: offset of the first from the nominal crop, and their energies."""
    step = edge.dispersion_ev
    first = int(np.ceil((energy_ev[0] - edge.crop_ev[0]) / step - 1e-6))
    last = int(np.floor((energy_ev[-1] - edge.crop_ev[0]) / step + 1e-6))
    return first, axis_ev(edge.crop_ev[0] + step * first, last + 1 - first, step)


def _window_index(moved: Any, first: int, n_grid: int, edge: Edge) -> Ints:
    """Channels of the covered part that make the crop, the end values continued beyond its ends."""
    return np.asarray(np.clip(moved + np.arange(edge.n_crop) - first, 0, n_grid - 1))


def _starts(l3_ev: float, edge: Edge) -> tuple[int, int]:
    """First and last start of a window, in channels from the nominal one, with L3 where training has it."""
    l3 = round((l3_ev - edge.crop_ev[0]) / edge.dispersion_ev)
    return l3 - round(L3_RANGE[1] * edge.n_crop), l3 - round(L3_RANGE[0] * edge.n_crop)


def least_move(l3_ev: float, edge: Edge) -> int:
    """Least channels by which a window must move for an L3 line at `l3_ev` to lie where training has it."""
    lowest, highest = _starts(l3_ev, edge)
    return min(max(0, lowest), highest)


def _window_start(first: int, n_grid: int, l3_ev: float, edge: Edge) -> int:
    """Start of the window in channels from the nominal one, for `n_grid` channels from `first` on."""
    lowest, highest = _starts(l3_ev, edge)
    starts = np.arange(min(lowest, 0), max(highest, 0) + 1)
    starts = starts[(starts >= lowest) & (starts <= highest)]
    uncovered = np.maximum(first - starts, 0) + np.maximum(starts + edge.n_crop - first - n_grid, 0)
    return int(starts[np.lexsort((np.abs(starts), uncovered))[0]])

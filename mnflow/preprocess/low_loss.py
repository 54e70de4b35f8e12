"""Low losses beside a core loss (dual EELS): relative thickness, and the edge without plural scattering."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.preprocess.background import fit_power_law
from mnflow.preprocess.detector.faults import MAX_INTENSITY, REASONS, find_faults, interpolated
from mnflow.preprocess.detector.gain_steps import STEP_NOTE, GainStep
from mnflow.preprocess.detector.spikes import without_spikes
from mnflow.preprocess.locate import MIN_CONTRAST, EdgePosition
from mnflow.preprocess.resample import few_rows, resampler
from mnflow.preprocess.scan import typical_spectrum
from mnflow.preprocess.window import looked_at, placement
from mnflow.spectra import Edge, RawSpectra
from mnflow.spectra.arrays import Array, Bools, Floats, Floats32, Ints
from mnflow.spectra.axis import axis_ev
from mnflow.spectra.raw import CountsOnDemand

_BACKGROUND_EV = 15.0  # before the onset, that a background is fitted to
_MOST_RATIO = 10.0  # t/lambda up to 2.3
_WRAPPED = 1e-8
_MOST_PEAK_EV = 6.0  # full width at half maximum of a zero-loss peak; plasmons of solids like these are wider
_CUT_OFF = 3  # channels at the maximum: a zero-loss peak is narrow, and its counts are many
_JUDGED = 1000  # low losses of an image by which it is said how many are used
_TOP = 5  # channels in a row at the greatest value, which `find_faults` takes for a plateau


def thickness(energy_ev: Floats, low_loss: Array) -> Floats:
    """Relative thickness t/lambda (N,) of low-loss spectra (N, C) that begin before the zero-loss peak.

    The logarithm of all counts over those of the zero-loss peak, which ends at the first minimum after it.
    NaN where there is no such peak, or one that is cut off. Egerton, doi:10.1007/978-1-4419-9583-4.

    Raises
    ------
    InputError
        If the zero-loss peak is not on the axis (C,).

    Examples
    --------
    >>> import numpy as np
    >>> energy_ev = np.arange(-20, 200, 0.5)
    >>> zero_loss = 1000 * np.exp(-energy_ev**2)
    >>> losses = 20 * np.exp(-(((energy_ev - 22) / 6) ** 2))
    >>> thickness(energy_ev, (zero_loss + losses)[None]).round(2)
    array([0.11])
    """
    spectra = np.asarray(low_loss, dtype=np.float64)
    elastic = np.where(_elastic(energy_ev, spectra), spectra, 0).sum(axis=1)
    total = spectra.sum(axis=1)
    good = (elastic > 0) & (total > 0) & _has_whole_peak(energy_ev, spectra)
    return np.where(good, np.log(np.where(good, total, 1) / np.where(good, elastic, 1)), np.nan)


def without_plural_scattering(
    step_ev: float, edge: Array, energy_ev: Floats, low_loss: Array, moved: Ints | int = 0
) -> Floats:
    """The edges (N, C), free of background, without plural scattering: divided by their low losses.

    The zero-loss peak is taken for infinitely sharp and of height 1, which keeps the edge's counts,
    resolution and noise. Losses only move intensity to higher energies, so the division is one of power
    series: what lies beyond the end of either spectrum changes nothing before it. The Fourier ratio is the
    same for endless spectra. Egerton, doi:10.1007/978-1-4419-9583-4.

    Parameters
    ----------
    step_ev : float
        Channel width of the edges' uniform axis.
    edge : ndarray, shape (N, C)
        Edges from before their onset, on a uniform axis.
    energy_ev : ndarray, shape (L,)
        The low losses' axis.
    low_loss : ndarray, shape (N, L) or (1, L)
        Low losses of the same places, or one for all. Where a low loss is empty or impossible for a specimen
        (a zero-loss peak that is cut off gives such ones), the edge is returned unchanged.
    moved : int or ndarray of int, shape (N,)
        Channels by which edges are moved to lower energies.

    Raises
    ------
    InputError
        If the zero-loss peak is not on the axis.
    """
    channels = edge.shape[1]
    ratio = _inverse(step_ev, channels, energy_ev, np.asarray(low_loss, dtype=np.float64))[0]
    size, damping = _damping(channels)
    factor = np.fft.rfft(ratio, size, axis=1)
    source = np.arange(channels) + np.reshape(moved, (-1, 1))  # (N or 1, C)
    out = np.empty(edge.shape)
    for rows in few_rows(len(edge)):
        by = factor[rows] if len(factor) > 1 else factor
        out[rows] = np.fft.irfft(np.fft.rfft(edge[rows] * damping, size, axis=1) * by, size)[:, :channels]
    out /= damping
    return np.take_along_axis(out, np.broadcast_to(source.clip(0, channels - 1), out.shape), axis=1)


def _damping(channels: int) -> tuple[int, Floats]:
    """Size of the transforms, and a damping (C,) after which what they wrap around is nothing."""
    size = 1 << int(np.ceil(np.log2(2 * channels)))
    return size, _WRAPPED ** (np.arange(channels) / size)


def _inverse(step_ev: float, channels: int, energy_ev: Floats, spectra: Floats) -> tuple[Floats, Bools]:
    """Damped reciprocals (N, C) of low losses (N, L), and which of these are a specimen's, others being 1."""
    inside = _elastic(energy_ev, spectra)
    elastic = np.where(inside, spectra, 0).sum(axis=1)
    good = (elastic > 0) & _has_whole_peak(energy_ev, spectra)
    counted = np.where(inside, 0, spectra) / np.where(good, elastic, 1)[:, None]
    counted[~good] = 0
    # losses on the edges' channels, from the zero-loss peak on: counts per channel
    first, share = np.divmod(zero_loss_ev(energy_ev, spectra) / step_ev, 1.0)
    place = (first - first.min()).astype(np.int64)[:, None] + np.arange(channels - 1)
    loss_ev = step_ev * (first.min() + np.arange(1, place.max() + 3))
    losses = resampler(energy_ev, loss_ev)(counted) * np.float64(step_ev / np.median(np.diff(energy_ev)))
    losses[:, loss_ev > energy_ev[-1]] = 0
    near, far = (np.take_along_axis(losses, place + i, axis=1) for i in (0, 1))
    plural = np.ones((len(spectra), channels))
    plural[:, 1:] = near + share[:, None] * (far - near)
    size, damping = _damping(channels)
    ratio = np.fft.irfft(1 / np.fft.rfft(plural * damping, size, axis=1), size)[:, :channels]
    # that of a specimen, exp(-t / lambda S) of its losses S, is nowhere large
    good &= np.abs(np.fft.rfft(ratio / damping, size, axis=1)).max(axis=1) <= _MOST_RATIO
    ratio[~good] = np.arange(channels) == 0
    return ratio, good


def zero_loss_ev(energy_ev: Floats, low_loss: Array) -> Floats:
    """Positions (N,) in eV of the zero-loss peaks of low losses (N, L); 0 where there are no counts.

    Centre of gravity of what exceeds half of the peak's height.
    """
    spectra = np.where(_elastic(energy_ev, np.asarray(low_loss)), low_loss, 0).astype(np.float64)
    weight = np.maximum(spectra - spectra.max(axis=1, keepdims=True) / 2, 0)
    total = weight.sum(axis=1)
    return np.asarray(weight @ energy_ev / np.where(total > 0, total, 1))


def _elastic(energy_ev: Floats, spectra: Array) -> Bools:
    """The channels (N, C) of the zero-loss peak: up to the first minimum of spectra within 8 eV after it."""
    if energy_ev[0] > -1.0 or energy_ev[-1] < 20.0:
        raise InputError(
            "Expected a low loss from before the zero-loss peak to 20 eV or more, got "
            f"{energy_ev[0]:.1f} ... {energy_ev[-1]:.1f} eV."
        )
    peak = spectra.argmax(axis=1)
    step = float(np.median(np.diff(energy_ev)))
    reach = max(2, round(8.0 / step))
    index = np.minimum(peak[:, None] + np.arange(reach + 1), spectra.shape[1] - 1)
    # equal neighbours at the top, of whole numbers or a peak that is cut off, are no minimum
    rises = np.diff(np.take_along_axis(spectra, index, axis=1).astype(np.float64), axis=1) > 0
    end = peak + np.where(rises.any(axis=1), rises.argmax(axis=1), reach)
    return np.arange(len(energy_ev)) < end[:, None]


def _has_peak(energy_ev: Floats, spectra: Floats) -> Bools:
    """Which spectra (N, C) have a zero-loss peak at their maximum: narrow, and risen on the axis."""
    rows, peak, last = np.arange(len(spectra)), spectra.argmax(axis=1), spectra.shape[1] - 1
    low = spectra <= spectra[rows, peak][:, None] / 2
    channels = np.arange(spectra.shape[1])
    left = np.where(low & (channels < peak[:, None]), channels, 0).max(axis=1)
    right = np.where(low & (channels > peak[:, None]), channels, last).min(axis=1)
    narrow = energy_ev[right] - energy_ev[left] < _MOST_PEAK_EV
    return np.asarray(narrow & low[rows, left] & low[rows, right] & (spectra[rows, peak] > 0))


def _has_whole_peak(energy_ev: Floats, spectra: Floats) -> Bools:
    """Which spectra (N, C) have a zero-loss peak that is not cut off: few channels are at its maximum."""
    at_top = (spectra == spectra.max(axis=1, keepdims=True)).sum(axis=1)
    return np.asarray(_has_peak(energy_ev, spectra) & (at_top < _CUT_OFF))


def single_scattering(raw: RawSpectra, edge: Edge) -> RawSpectra:
    """Spectra without plural scattering, if their low loss is known (`raw.low_loss`); else unchanged.

    The background is fitted, left out of the deconvolution and added again, and edges are aligned by their
    zero-loss peaks, in whole channels. Faults stay visible: spikes and NaN are put back, saturated spectra
    keep a flat top. Edges are computed when their counts are read.

    Returns
    -------
    RawSpectra
        Of the window of the edge only, with `thickness` and a note that says what was done.

    Raises
    ------
    InputError
        If the spectra do not hold the edge, or the low losses no zero-loss peak or are of another number.
    """
    low = raw.low_loss
    if low is None:
        return raw
    if len(low) not in (1, len(raw)):
        raise InputError(
            f"{low.path}: expected a low loss for each of {len(raw)} spectra, or one for all, got {len(low)}."
        )
    ratio, centre = np.empty(len(low)), np.empty(len(low))
    channels = looked_at(raw.energy_ev, edge)
    energy_ev = raw.energy_ev[channels]
    step_ev = float(np.median(np.diff(energy_ev)))
    grid_ev = axis_ev(energy_ev[0], 1 + int((energy_ev[-1] - energy_ev[0]) / step_ev + 1e-6), step_ev)
    used: list[bool] = []
    for rows, block in low.blocks():
        spectra = _numbers(block)
        ratio[rows], centre[rows] = thickness(low.energy_ev, spectra), zero_loss_ev(low.energy_ev, spectra)
        centre[rows][~_has_peak(low.energy_ev, spectra)] = np.nan
        some = spectra[:: max(1, len(low) // _JUDGED)]
        used += _inverse(step_ev, len(grid_ev), low.energy_ev, some)[1].tolist()
    placed = placement(raw.energy_ev, typical_spectrum(raw), edge, str(raw.path), raw.background_removed)
    if placed.position.contrast < MIN_CONTRAST:
        return replace(raw, thickness=np.broadcast_to(ratio, len(raw)))
    usual = np.nanmedian(centre) if np.isfinite(centre).any() else 0.0
    moved = np.round(np.nan_to_num(centre - usual) / step_ev).astype(np.int64)
    counts = SingleScattering(raw, low, channels, grid_ev, placed.position, placed.gain_step, edge, moved)
    note = f"plural scattering was taken out with the low loss, t/lambda {_range(ratio)}"
    if not any(used):
        note = "plural scattering was left in: the low loss is no specimen's (no whole zero-loss peak?)"
    elif not all(used):
        note += (
            f"; it was left in where the low loss is no specimen's, {1 - np.mean(used):.1%} of the spectra"
        )
    if moved.any():
        note += f"; {int(np.count_nonzero(moved))} of {len(moved)} were aligned by their zero-loss peaks"
    if placed.gain_step is not None:
        note += f"; {STEP_NOTE}"
    thin = replace(raw, energy_ev=grid_ev, counts=counts, low_loss=None)
    return replace(thin, thickness=np.broadcast_to(ratio, len(raw))).noted(note)


def _range(values: Floats) -> str:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return "unknown"
    low, high = finite.min(), finite.max()
    return f"{low:.2f}" if len(values) == 1 else f"{low:.2f} to {high:.2f}"


def _numbers(low_loss: Array) -> Floats:
    return interpolated(low_loss).astype(np.float64)


@dataclass(frozen=True)
class SingleScattering(CountsOnDemand):
    """Counts (N, C) without plural scattering, of `single_scattering`."""

    raw: RawSpectra
    low: RawSpectra
    channels: slice
    grid_ev: Floats
    position: EdgePosition
    gain_step: GainStep | None
    edge: Edge
    moved: Ints

    dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, C)."""
        return len(self.raw), len(self.grid_ev)

    @property
    def chunks(self) -> Any:
        """For `RawSpectra.block_slices`: those of the file."""
        return getattr(self.raw.counts, "chunks", ((len(self.raw),),))

    def _rows(self, rows: slice, channels: slice) -> Array:
        counts = np.asarray(self.raw.counts[rows])[:, self.channels]
        own = slice(1) if len(self.low) == 1 else rows
        low = _numbers(np.asarray(self.low.counts[own]))
        return self._thin(counts, low, self.moved[own])[:, channels]

    def _thin(self, counts: Array, low: Floats, moved: Ints) -> Floats32:
        energy_ev = self.raw.energy_ev[self.channels]
        l3_ev, onset_ev = self.position.l3_ev, self.position.onset_ev
        if self.gain_step is not None:
            counts = self.gain_step.mended(counts)
        cut_off = find_faults(energy_ev, counts, l3_ev, self.edge) == REASONS.index("saturated")
        mended, spikes = without_spikes(energy_ev, interpolated(counts))
        to_grid = resampler(energy_ev, self.grid_ev)
        y = to_grid(mended).astype(np.float64)
        before = (self.grid_ev < onset_ev) & (self.grid_ev >= onset_ev - _BACKGROUND_EV)
        if self.position.background == "power law":
            background = fit_power_law(self.grid_ev[before], y[:, before])(self.grid_ev).astype(np.float64)
        elif before.any():  # what little a removed background may have left is no edge, either
            background = np.broadcast_to(y[:, before].mean(axis=1, keepdims=True), y.shape)
        else:
            background = np.zeros_like(y)
        step_ev = float(self.grid_ev[1] - self.grid_ev[0])
        out = background + without_plural_scattering(step_ev, y - background, self.low.energy_ev, low, moved)
        spoilt = spikes > 0
        if spoilt.any():
            out[spoilt] += to_grid(interpolated(counts[spoilt]).astype(np.float64) - mended[spoilt])
        if cut_off.any():
            out[cut_off] = _flat_top(to_grid(mended[cut_off]))
        if counts.dtype.kind == "f":
            out[to_grid(~(np.abs(counts) <= MAX_INTENSITY) * 1.0) > 0] = np.nan
        return out.astype(np.float32)


def _flat_top(y: Array) -> Array:
    """Saturated spectra (n, C) with maximum and neighbours made equal, as `find_faults` expects."""
    rows, top = np.arange(len(y)), y.argmax(axis=1)
    y = y.copy()
    for aside in range(-(_TOP // 2), _TOP // 2 + 1):
        y[rows, np.clip(top + aside, 0, y.shape[1] - 1)] = y[rows, top]
    return y

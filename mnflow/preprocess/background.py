"""The power-law background under an edge."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mnflow.errors import InputError
from mnflow.preprocess.resample import FEW, few_rows
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Array, Floats, Floats32

BACKGROUND_BINS = 50
"""Channels (of the edge's dispersion) before the onset that the background is fitted to, as in the paper."""

MIN_BINS = 10
"""Fewer channels than this before the onset are no background to fit."""

_USUAL_EXPONENT = 3.0  # of the power law that a level is taken to be part of
_LEVEL_EV = 0.5  # of an axis, from its beginning: the level

_ITERATIONS = 3
_TERMS = 12
_ORDERS = np.arange(_TERMS, dtype=np.float64)[:, None]
_FACTORIALS = np.cumprod([1.0, *range(1, _TERMS)])
_MAX_EXPONENT = 100.0


@dataclass(frozen=True)
class PowerLaw:
    """Background amplitude x (E / reference)^-exponent of N spectra.

    Attributes
    ----------
    amplitude : ndarray of float64, shape (N,)
        Intensity at the reference energy.
    exponent : ndarray of float64, shape (N,)
        Exponent r.
    reference_ev : float
        Reference energy in eV, within the window of the fit.
    """

    amplitude: Floats
    exponent: Floats
    reference_ev: float

    def __call__(self, energy_ev: Floats) -> Floats32:
        """Background (N, C) at the energies (C,) in eV."""
        return -self.subtracted(energy_ev, np.zeros((len(self.exponent), len(energy_ev)), dtype=np.float32))

    def subtracted(self, energy_ev: Floats, counts: Floats32) -> Floats32:
        """Counts (N, C) at the energies (C,) in eV without the background."""
        x = np.log(energy_ev / self.reference_ev).astype(np.float32)
        exponent, amplitude = -self.exponent.astype(np.float32), self.amplitude.astype(np.float32)[:, None]
        out = np.empty(counts.shape, dtype=np.float32)
        part = np.empty((FEW, len(x)), dtype=np.float32)
        for rows in few_rows(len(out)):
            background = np.multiply.outer(exponent[rows], x, out=part[: len(out[rows])])
            np.exp(background, out=background)
            background *= amplitude[rows]
            np.subtract(counts[rows], background, out=out[rows])
        return out


def fit_power_law(energy_ev: Floats, counts: Array) -> PowerLaw:
    """Fit A E^-r by least squares to all spectra at once.

    With x = ln(E / reference), the model is A exp(-r x). For a given r the best A is known, so that
    Gauss-Newton runs on r alone; and since r x is small, every sum over channels is a short series in r of
    the moments of x, which are taken once. The start is the straight line through each spectrum: no logarithm
    of counts, which may be negative. A spectrum without a positive mean gets a constant background, its mean.
    Egerton, doi:10.1007/978-1-4419-9583-4.

    Parameters
    ----------
    energy_ev : ndarray, shape (M,)
        Energies before the onset in eV, positive.
    counts : ndarray, shape (N, M)
        Intensities there.

    Returns
    -------
    PowerLaw
        The exponents are bounded, to +-100 and to |r x| <= 1, where the series holds to 1e-7.
    """
    channels = _channels(np.asarray(energy_ev, dtype=np.float64).tobytes())
    y = channels.powers @ counts.T.astype(np.float64)  # (K, N), sums of counts x^k / k!
    if y.shape[1] == 1:
        one_amplitude, one_exponent = _fit_one(channels, y[:, 0].tolist())
        return PowerLaw(np.array([one_amplitude]), np.array([one_exponent]), channels.reference_ev)
    limit, (one, one1, one2) = channels.limit, channels.one
    mean = y[0] / len(energy_ev)
    good = mean > 0
    y1 = _times_x(y)
    exponent = np.clip(-y[1] / (2 * one[2]) / np.where(good, mean, 1.0), -limit, limit)
    for _ in range(_ITERATIONS):
        s0, s1, s2 = (_series(m, 2 * exponent) for m in (one, one1, one2))  # sums of x^n exp(-2 r x)
        amplitude = _series(y, exponent) / s0
        gradient = _series(y1, exponent) - amplitude * s1
        step = s0 * gradient / (s0 * s2 - s1 * s1) / np.where(good, amplitude, 1.0)
        exponent = np.clip(exponent - step, -limit, limit)
    amplitude = _series(y, exponent) / _series(one, 2 * exponent)
    return PowerLaw(np.where(good, amplitude, mean), np.where(good, exponent, 0.0), channels.reference_ev)


class _Channels(NamedTuple):
    """The part of a fit that depends on energies only: powers (K, M) x^k / k!, and moments.

    Moments (K,), (K - 1,), ... are of 1, x, x^2.
    """

    reference_ev: float
    limit: float
    powers: Floats
    one: tuple[list[float], list[float], list[float]]


@lru_cache(maxsize=256)
def _channels(energies: bytes) -> _Channels:
    """Cached `_Channels`: few different energy axes occur."""
    energy_ev = np.frombuffer(energies)
    reference = float(np.exp(np.log(energy_ev).mean()))
    x = np.log(energy_ev / reference)  # (M,), zero mean
    powers = x**_ORDERS / _FACTORIALS[:, None]
    one = powers.sum(axis=1)[:, None]
    moments = tuple(m[:, 0].tolist() for m in (one, _times_x(one), _times_x(_times_x(one))))
    return _Channels(reference, min(_MAX_EXPONENT, float(1.0 / np.abs(x).max())), powers, moments)


def _times_x(moments: Floats) -> Floats:
    """Moments (K - 1, N) of y x from those (K, N) of y: x x^j / j! = (j + 1) x^(j + 1) / (j + 1)!."""
    return moments[1:] * _ORDERS[1 : len(moments)]


def _series(moments: Any, exponent: Any) -> Any:
    """Sum over channels of y exp(-r x), from the K moments of y, by Horner's rule; r is (N,) or a number."""
    total = 0.0
    for moment in moments[::-1]:
        total = moment - exponent * total
    return total


def _fit_one(channels: _Channels, y: list[float]) -> tuple[float, float]:
    """Amplitude and exponent of a single spectrum from its moments, without numpy's cost per call."""
    limit, (one, one1, one2) = channels.limit, channels.one
    mean = y[0] / one[0]
    if not mean > 0:
        return mean, 0.0
    y1 = [k * moment for k, moment in enumerate(y)][1:]
    exponent = min(max(-y[1] / (2 * one[2]) / mean, -limit), limit)
    for _ in range(_ITERATIONS):
        s0, s1, s2 = (_series(m, 2 * exponent) for m in (one, one1, one2))
        amplitude = _series(y, exponent) / s0
        if amplitude == 0:
            break
        gradient = _series(y1, exponent) - amplitude * s1
        exponent = min(max(exponent - s0 * gradient / (s0 * s2 - s1 * s1) / amplitude, -limit), limit)
    return _series(y, exponent) / _series(one, 2 * exponent), exponent


def without_background(
    kind: str,
    energy_ev: Floats,
    counts: Floats32,
    onset_ev: float,
    edge: Edge,
    bins: int = BACKGROUND_BINS,
    start_ev: float = 0.0,
) -> Floats32:
    """Spectra (N, C) with what is done about a background of a `kind`, as `EdgePosition.background` names it.

    Of a level, the slope is taken out that a power law of the usual exponent has: it begins at `start_ev`, or
    where the axis does. The level itself stays.
    """
    if kind == "power law":
        return subtract_background(energy_ev, counts, onset_ev, edge, bins)[0]
    if kind == "removed":
        return counts
    start_ev = max(start_ev, float(energy_ev[0]))
    first, last = np.searchsorted(energy_ev, [start_ev, start_ev + _LEVEL_EV])
    level = np.maximum(np.median(counts[:, first : max(last, first + 1)], axis=1), 0)
    fallen = 1 - (np.maximum(energy_ev, start_ev) / start_ev) ** -_USUAL_EXPONENT
    return (counts + level[:, None] * fallen).astype(np.float32)


def subtract_background(
    energy_ev: Floats, counts: Floats32, onset_ev: float, edge: Edge, bins: int = BACKGROUND_BINS
) -> tuple[Floats32, PowerLaw]:
    """Fit the power law to the `bins` channels before the onset of all spectra (N, C), and subtract it.

    Returns
    -------
    tuple
        Background-free intensity (N, C), and the background.

    Raises
    ------
    InputError
        If there are fewer than `MIN_BINS` channels before the onset.
    """
    stop = int(np.searchsorted(energy_ev, onset_ev))
    start = max(0, stop - bins)
    if stop - start < MIN_BINS:
        raise InputError(
            f"Expected {bins} channels before the {edge.element} edge's onset ({onset_ev:.1f} eV) to fit the "
            f"background to, got {stop - start}: the spectra must begin earlier, or come with the background "
            "removed."
        )
    background = fit_power_law(energy_ev[start:stop], counts[:, start:stop])
    return background.subtracted(energy_ev, counts), background

"""X-ray spikes and dead or hot channels of a spectrum: found beside their neighbours in energy, and bridged."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ASIDE = 2  # channels: a spike is up to three wide, and what lies two aside is none of it
_LEAST_SIGMA = 10.0  # clean spectra stay as they are, to the last bit
_LEAST_HEIGHT = 0.25  # of the edge's height, at `_FINE_EV` a channel: a line's own top is flatter
_FINE_EV = 0.1
_CANDIDATE = 0.2  # of a spectrum's whole range


def without_spikes(
    energy_ev: NDArray[np.float64], counts: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
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
    left, middle, right = counts[:, : -2 * _ASIDE], counts[:, _ASIDE:-_ASIDE], counts[:, 2 * _ASIDE :]
    kind = np.float32 if counts.dtype.itemsize < 8 else np.float64
    high, low = np.maximum(left, right).astype(kind), np.minimum(left, right).astype(kind)
    beyond = np.maximum(middle - high, low - middle).max(axis=1)  # (N,)
    span = counts.max(axis=1).astype(kind) - counts.min(axis=1).astype(kind)
    repaired = counts
    for row in np.flatnonzero(beyond > _CANDIDATE * span).tolist():
        mended, found[row] = _mended(counts[row].astype(np.float64), step)
        if found[row]:
            if repaired is counts:
                repaired = counts.copy()
            repaired[row] = np.rint(mended) if counts.dtype.kind in "iu" else mended
    return repaired, found


def _mended(y: NDArray[np.float64], step_ev: float) -> tuple[NDArray[np.float64], int]:
    """One spectrum (C,) without its spikes, and their number."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(y, 3, mode="edge"), 7)
    calm = np.median(around, axis=1)
    away = y - calm
    ordinary = np.sort(np.abs(away))[: max(4, int(0.97 * len(y)))]
    sigma = max(1.4826 * float(np.median(ordinary)), float(ordinary.mean()))
    # few counts scatter more than most of their values say: by the root of their number
    quanta = np.abs(np.diff(y))
    quantum = float(quanta[quanta > 0].min(initial=np.inf))
    if np.isfinite(quantum):
        sigma = max(sigma, float(np.sqrt(quantum * (max(calm.max(), 0.0) + quantum))))
    height = float(calm.max() - np.percentile(calm, 10))
    least = max(_LEAST_SIGMA * sigma, _LEAST_HEIGHT * height * max(1.0, (step_ev / _FINE_EV) ** 2))
    bad = np.abs(away) > least
    if not bad.any():
        return y, 0
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

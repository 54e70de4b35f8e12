"""Relative thickness t/lambda of a specimen from its low-loss spectra."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.maps.signals import raw_of_signal
from mnflow.preprocess.resample import moving_average
from mnflow.spectra import Edge, RawSpectra

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal

ZERO_LOSS = Edge("zero loss", ("zero loss",), (0.0,), wide_ev=(-2.0, 10.0), crop_ev=(-1.0, 5.0))
"""What a low-loss spectrum must cover; chooses it in a file that holds core losses, too (dual EELS)."""

_SEARCHED_EV = (0.5, 10.0)  # beyond the zero-loss peak: where the minimum between it and the plasmons lies
_SMOOTHED_EV = 0.5


def relative_thickness(low_loss: "BaseSignal | str | Path") -> NDArray[np.float64]:
    """t/lambda of every pixel by the log-ratio method: ln(I_total / I_zero-loss).

    The zero-loss peak ends at the minimum between it and the first plasmon in the mean spectrum. Malis, Cheng &
    Egerton, https://doi.org/10.1002/jemt.1060080206.

    Parameters
    ----------
    low_loss : hyperspy signal, str or Path
        Low-loss spectra with their zero-loss peak, or the path of a file that holds them.

    Returns
    -------
    ndarray
        Of the image's shape, for `mnflow.predict(image, thickness=...)`; NaN where there are no counts.

    Raises
    ------
    InputError
        If the spectra do not cover the zero-loss peak and 10 eV beyond.

    Examples
    --------
    >>> thickness = mnflow.maps.relative_thickness("low_loss.dm4")
    >>> maps = mnflow.predict("core_loss.dm4", thickness=thickness)
    """
    if isinstance(low_loss, str | Path):
        from mnflow.read import read_file

        raw = read_file(low_loss, edge=ZERO_LOSS)
    else:
        raw = raw_of_signal(low_loss)
    total, mean = np.zeros(len(raw)), np.zeros(len(raw.energy_ev))
    for _, counts in raw.blocks():
        mean += np.nan_to_num(counts).sum(axis=0, dtype=np.float64)
    end = _end_of_zero_loss(raw, mean / len(raw))
    elastic = np.zeros(len(raw))
    for rows, counts in raw.blocks():
        positive = np.clip(np.nan_to_num(counts), 0, None)
        total[rows] = positive.sum(axis=1, dtype=np.float64)
        elastic[rows] = positive[:, :end].sum(axis=1, dtype=np.float64)
    ratio = np.divide(total, elastic, out=np.full(len(raw), np.nan), where=elastic > 0)
    return np.log(ratio).reshape(raw.nav_shape)


def _end_of_zero_loss(raw: RawSpectra, mean: NDArray[np.float64]) -> int:
    """The channel at which the zero-loss peak of a mean spectrum (C,) ends."""
    energy, step = raw.energy_ev, float(np.median(np.diff(raw.energy_ev)))
    peak = int(mean.argmax())
    near, far = (energy[peak] + d for d in _SEARCHED_EV)
    if abs(energy[peak]) > 20 or energy[-1] < far:
        raise InputError(
            f"{raw.path}: expected low-loss spectra with a zero-loss peak near 0 eV and {_SEARCHED_EV[1]:g} eV beyond, "
            f"got {energy[0]:.1f} ... {energy[-1]:.1f} eV with the maximum at {energy[peak]:.1f} eV."
        )
    smooth = moving_average(mean[None], max(1, round(_SMOOTHED_EV / step) | 1))[0]
    inside = np.flatnonzero((energy >= near) & (energy <= far))
    return int(inside[smooth[inside].argmin()])

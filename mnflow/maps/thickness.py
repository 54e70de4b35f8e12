"""Relative thickness t/lambda of a specimen from its low-loss spectra."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mnflow.maps.signals import raw_of_signal
from mnflow.preprocess.low_loss import thickness
from mnflow.spectra import RawSpectra
from mnflow.spectra.arrays import Floats

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal


def relative_thickness(low_loss: "BaseSignal | str | Path") -> Floats:
    """t/lambda of every pixel by the log-ratio method: ln(I_total / I_zero-loss).

    See `mnflow.preprocess.low_loss.thickness`.

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
        If the spectra do not begin before the zero-loss peak.

    Examples
    --------
    >>> thickness = mnflow.maps.relative_thickness("low_loss.dm4")
    >>> maps = mnflow.predict("core_loss.dm4", thickness=thickness)
    """
    raw = raw_of_low_loss(low_loss)
    found = np.full(len(raw), np.nan)
    for rows, counts in raw.blocks():
        found[rows] = thickness(raw.energy_ev, np.nan_to_num(counts).astype(np.float64))
    return found.reshape(raw.nav_shape)


def raw_of_low_loss(low_loss: "BaseSignal | str | Path") -> RawSpectra:
    """The spectra of a low-loss signal or of a file that holds one."""
    if isinstance(low_loss, str | Path):
        from mnflow.read import read_low_loss

        return read_low_loss(low_loss)
    return raw_of_signal(low_loss)

"""Relative thickness t/lambda of a specimen from its low-loss spectra."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnflow.maps.signals import raw_of_signal
from mnflow.preprocess.low_loss import thickness
from mnflow.spectra import Edge

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal

ZERO_LOSS = Edge("zero loss", ("zero loss",), (0.0,), wide_ev=(-2.0, 10.0), crop_ev=(-1.0, 5.0))
"""What a low-loss spectrum must cover; chooses it in a file that holds core losses, too (dual EELS)."""


def relative_thickness(low_loss: "BaseSignal | str | Path") -> NDArray[np.float64]:
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
    if isinstance(low_loss, str | Path):
        from mnflow.read import read_file

        raw = read_file(low_loss, edge=ZERO_LOSS)
    else:
        raw = raw_of_signal(low_loss)
    found = np.full(len(raw), np.nan)
    for rows, counts in raw.blocks():
        found[rows] = thickness(raw.energy_ev, np.nan_to_num(counts).astype(np.float64))
    return found.reshape(raw.nav_shape)

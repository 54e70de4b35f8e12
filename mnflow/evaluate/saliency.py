"""Saliency by occlusion: how a probability changes when a stretch of the spectrum is removed."""

from collections.abc import Callable

import numpy as np

from mnflow.preprocess.crops import normalise
from mnflow.spectra.arrays import Array, Floats, Floats32

WIDTH, STEP = 15, 5
"""Channels that are taken away together, and from one place to the next: 1.5 and 0.5 eV for Mn."""


def occlusion(probabilities: Callable[[Floats32], Array], crops: Floats32) -> Floats:
    """How much the probability of each crop's favourite class changes when a stretch of it is taken away.

    A stretch of `WIDTH` channels is replaced by the straight line between its ends, so that what is left is
    still a spectrum; a channel's value is the mean change over the stretches that it lies in. Zeiler &
    Fergus, doi:10.1007/978-3-319-10590-1_53.

    Parameters
    ----------
    probabilities : callable
        From normalised crops (N, n_crop) to probabilities (F, N, K) of F models.
    crops : ndarray, shape (N, n_crop)
        Normalised.

    Returns
    -------
    ndarray, shape (N, n_crop)
        Mean over the models of the absolute change of probability, 0 ... 1.
    """
    before = probabilities(crops)  # (F, N, K)
    favourite = before.mean(axis=0).argmax(axis=1)[None, :, None]
    held = np.take_along_axis(before, favourite, axis=2)
    change = np.zeros(crops.shape)
    times = np.zeros(crops.shape[1])
    for start in range(0, crops.shape[1] - WIDTH + 1, STEP):
        stretch = slice(start, start + WIDTH)
        occluded = crops.copy()
        occluded[:, stretch] = np.linspace(crops[:, start], crops[:, start + WIDTH - 1], WIDTH, axis=1)
        after = np.take_along_axis(probabilities(normalise(occluded)), favourite, axis=2)
        change[:, stretch] += np.abs(after - held).mean(axis=0)
        times[stretch] += 1
    return change / np.maximum(times, 1)

"""The stretch of a crop around L3: the same part of a spectrum, however far its energy axis is off."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.preprocess.window import L3_RANGE, normalise


def around_l3_channels(n_crop: int) -> tuple[int, int, int]:
    """The stretch around L3 that is inside a crop of `n_crop` channels wherever L3 lies in `L3_RANGE`.

    Returns
    -------
    before, length, smooth : int
        Channels before the maximum, of the whole stretch, and over which the maximum is averaged: 30, 180 and
        15 of 300, that is 3, 18 and 1.5 eV.
    """
    before = int(L3_RANGE[0] * n_crop)
    return before, n_crop - int(L3_RANGE[1] * n_crop) + before, max(n_crop // 20, 1)


def l3_channel(crops: Any, smooth: int) -> Any:
    """Channel (N,) of the largest mean over `smooth` channels in crops (N, C); of numpy or jax arrays."""
    n = crops.shape[1] - smooth + 1
    return sum(crops[:, i : i + n] for i in range(smooth)).argmax(axis=1) + smooth // 2


def around_l3(crops: NDArray[np.float32]) -> NDArray[np.float32]:
    """The stretch around L3 of normalised crops, normalised again: what an energy shift does not change.

    Parameters
    ----------
    crops : ndarray, shape (N, C)

    Returns
    -------
    ndarray, shape (N, length)
        See `around_l3_channels`.
    """
    before, length, smooth = around_l3_channels(crops.shape[1])
    start = (l3_channel(crops, smooth) - before).clip(0, crops.shape[1] - length)
    return np.asarray(normalise(np.take_along_axis(crops, start[:, None] + np.arange(length), axis=1)))

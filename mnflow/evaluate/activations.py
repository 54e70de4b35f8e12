"""Mean activations of a network's convolutional blocks by class (the paper's Fig. 1b-d)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnflow.models.keras_import import keras
from mnflow.spectra.arrays import Floats32, Ints


def mean_activations(
    model: keras.Model, crops: Floats32, valence: Ints, classes: Sequence[str]
) -> dict[str, list[Floats32]]:
    """Mean input and mean output of every block by class; empty for a net without convolutions.

    Parameters
    ----------
    model : keras.Model
        One that `mnflow.models.keras_nets.build` made.
    crops : ndarray, shape (N, C)
        Normalised crops.
    valence : ndarray of int, shape (N,)
        Index into `classes`; classes without spectra are left out.

    Returns
    -------
    dict of str to list of ndarray
        By class the mean crop (C, 1), then for every block (positions, filters).
    """
    pools = [layer.output for layer in model.layers if layer.name.startswith("pool")]
    if not pools:
        return {}
    blocks: list[Any] = keras.Model(model.inputs, pools).predict(
        np.asarray(crops, dtype=np.float32), verbose=0
    )
    layers = [np.asarray(crops)[:, :, None], *blocks]  # each (N, positions, filters)
    present = [(i, name) for i, name in enumerate(classes) if (valence == i).any()]
    return {name: [layer[valence == i].mean(axis=0) for layer in layers] for i, name in present}


def last_block_agreement(
    acquired: dict[str, list[Floats32]], foreign: dict[str, list[Floats32]]
) -> dict[str, float]:
    """How alike the last block's mean activations of foreign and acquired spectra are.

    Returns
    -------
    dict of str to float
        Mean correlation with the same valence (`same`), and the highest with another one (`other`).
    """
    rows = []
    for name in foreign:
        known = {
            other: np.corrcoef(foreign[name][-1].ravel(), acquired[other][-1].ravel())[0, 1]
            for other in acquired
        }
        rows.append((known.pop(name), max(known.values())))
    same, other = np.mean(rows, axis=0)
    return {"same": float(same), "other": float(other)}

"""How accuracy oscillates with the shift in channels: the effect of pooling without a low-pass filter."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from mlflow.entities import Run as MlflowRun

from mnflow import plots
from mnflow.models.architectures import FULLY_CONVOLUTIONAL
from mnflow.report.gather import evaluations
from mnflow.report.tables import read_table
from mnflow.spectra.arrays import Floats

STRIDES = (16, 8)
"""Periods in channels that are looked at: those of the published weights, and of the nets that are trained
here.
"""

_WHOLE = 16  # a multiple of every stride: curves are cut to whole periods
# cycles between a stride's line and the background that it is held against; nearer ones hold some of the line
_BESIDE = 2


def amplitudes(accuracy: Floats) -> tuple[Floats, Floats]:
    """Amplitudes of the waves that make up curves of accuracy against shift.

    Parameters
    ----------
    accuracy : ndarray, shape (..., S)
        At every channel. What falls off towards the ends (a cubic) is taken away first.

    Returns
    -------
    period_channels : ndarray, shape (K,)
        Falling, down to 2.
    amplitude : ndarray, shape (..., K)
    """
    shifts = accuracy.shape[-1]
    length = shifts // _WHOLE * _WHOLE
    start = (shifts - length) // 2
    x = np.linspace(-1, 1, length)
    middle = accuracy[..., start : start + length]
    powers = np.vander(x, 4)  # (length, 4)
    smooth = middle @ np.linalg.pinv(powers).T @ powers.T
    cycles = np.arange(1, length // 2 + 1)
    return length / cycles, 2 * np.abs(np.fft.rfft(middle - smooth))[..., 1:] / length


def swing(accuracy: Floats, period: int) -> Floats:
    """Amplitude at a period above its neighbours' geometric mean, (...) from (..., S).

    A curve without any swing has amplitudes, too, which fall with the period: they are the background.
    """
    period_channels, amplitude = amplitudes(accuracy)
    at = int(np.abs(period_channels - period).argmin())
    background = np.sqrt(amplitude[..., at - _BESIDE] * amplitude[..., at + _BESIDE])
    return np.asarray(amplitude[..., at] - background)


def figures(runs: Sequence[MlflowRun]) -> dict[str, Figure]:
    """The figure of amplitude against period for the fully convolutional networks at 10x, by name."""
    found: dict[str, list[Floats]] = {}
    for run in runs:
        tags = run.data.tags
        kind = tags["augmentation"], tags["noise_augmentation"], tags["folds"]
        if tags["arch"] in FULLY_CONVOLUTIONAL and kind == ("10x", "false", "stratified"):
            tables = (read_table(evaluation, "shift") for evaluation in evaluations(run))
            found.setdefault(f"{tags['arch']} 10x", []).extend(
                by_fold(t).to_numpy() for t in tables if t is not None
            )
    curves = {label: amplitudes(np.concatenate(folds)) for label, folds in found.items() if folds}
    return {"swing": plots.swing_spectrum(curves)} if curves else {}


def by_fold(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy (folds, shifts) of a table with a row for every fold and shift."""
    return table.pivot_table(index="fold", columns="shift_ev", values="accuracy")

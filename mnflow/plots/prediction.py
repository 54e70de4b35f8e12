"""How far a champion's probabilities hold, and which energies they depend on."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mnflow.plots.panels import energy_axis, to_unit
from mnflow.plots.style import UNKNOWN_COLOUR, new_figure, styled, valence_colours


@styled
def reliability_diagram(confidence: ArrayLike, accuracy: ArrayLike, count: ArrayLike, error: float) -> Figure:
    """Accuracy against confidence in bins (B,), with the number of spectra per bin below.

    Points on the diagonal are perfectly calibrated.
    """
    x, n = np.asarray(confidence), np.asarray(count)
    figure = new_figure(3.8, 4.2)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color=UNKNOWN_COLOUR, ls="--", lw=1.0, label="perfectly calibrated")
    axes.plot(x, np.asarray(accuracy), "o-", color="#1B1464", label="held-out spectra")
    axes.set_title(f"expected calibration error {error:.4f}")
    axes.set_ylabel("accuracy")
    axes.legend(loc="lower right")
    below.bar(x, n, width=0.03, color="#1B1464")
    below.set_yscale("log")
    below.set_ylabel("spectra")
    below.set_xlabel("confidence")
    return figure


@styled
def saliency(energy_ev: ArrayLike, spectra: ArrayLike, weights: ArrayLike, classes: Sequence[str]) -> Figure:
    """Mean spectrum of every class (K, C), and how much its answer depends on each energy (K, C)."""
    x = np.asarray(energy_ev)
    figure = new_figure(1.5 * len(classes) + 0.6)
    panels = figure.subplots(len(classes), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name, colour, spectrum, weight in zip(
        panels, classes, valence_colours(classes), np.asarray(spectra), np.asarray(weights), strict=True
    ):
        share = weight / weight.max()
        axes.fill_between(x, share, color=colour, alpha=0.3, lw=0, label="saliency, of its maximum")
        axes.plot(x, share, color=colour, lw=0.6)
        axes.plot(x, to_unit(spectrum), color="black", lw=1.2, label="mean spectrum")
        axes.set_title(name)
        energy_axis(axes)
    for axes in panels[:-1]:
        axes.set_xlabel("")
    panels[0].legend(loc="upper right")
    return figure

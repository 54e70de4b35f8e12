"""A fit of the simulator under the spectrum that it was fitted to."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mnflow.plots.style import UNKNOWN_COLOUR, new_figure, styled, valence_colours


@styled
def fit_figure(
    energy_ev: ArrayLike,
    measured: ArrayLike,
    fitted: ArrayLike,
    components: ArrayLike,
    classes: Sequence[str],
    title: str,
) -> Figure:
    """A spectrum (C,), its fit (C,) and what each class adds to it (K, C); below, what is left (C,)."""
    x, y, model = (np.asarray(a) for a in (energy_ev, measured, fitted))
    figure = new_figure(4.2, 5.4)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for name, colour, part in zip(classes, valence_colours(classes), np.asarray(components), strict=True):
        if part.any():
            axes.fill_between(x, part, color=colour, alpha=0.3, lw=0, label=name)
    axes.plot(x, y, ".", ms=2.5, color=UNKNOWN_COLOUR, label="measured")
    axes.plot(x, model, color="black", lw=1.0, label="fitted")
    axes.set_title(title)
    axes.set_ylabel("intensity")
    axes.legend(loc="upper right")
    below.axhline(0, color=UNKNOWN_COLOUR, lw=0.6)
    below.plot(x, y - model, color="black", lw=0.8)
    below.set(xlabel="energy loss / eV", ylabel="residual")
    below.margins(x=0.01)
    return figure

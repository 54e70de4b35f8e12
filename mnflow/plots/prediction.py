"""A prediction for one spectrum, a fit to it, its saliency, and the calibration of probabilities."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mnflow.plots.panels import Line, class_colour, energy_axis, scaled_counts, to_unit
from mnflow.plots.style import UNKNOWN_COLOUR, WIDTH_IN, new_figure, styled, valence_colours


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
    """Mean spectrum of every class (K, C), and the change of probability without each energy (K, C)."""
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
        axes.set_title(f"{name}: the probability changes by {weight.max():.1%} at most")
        energy_axis(axes)
    for axes in panels[:-1]:
        axes.set_xlabel("")
    panels[0].legend(loc="upper right")
    return figure


@styled
def valence_spectrum(
    spectrum: Line,
    recorded: tuple[ArrayLike, ArrayLike, ArrayLike | None],
    saliency: ArrayLike,
    classes: Sequence[str],
) -> Figure:
    """One spectrum: as recorded with its background and the window, and what the answer depends on.

    Parameters
    ----------
    spectrum : Line
        In the window, without background; its name is the answer's class, its words the answer.
    recorded : tuple of array (C,), (C,), (C,) or None
        Energies in eV, counts, and the fitted background (None if it had been removed).
    saliency : array
        How much the answer depends on each energy of `spectrum`.
    classes : sequence of K str
    """
    energy_ev, counts, background = recorded
    scaled, label = scaled_counts(counts)
    figure = Figure(figsize=(WIDTH_IN, 3.3), layout="constrained")
    above, window = figure.subplots(1, 2)
    colour = class_colour(spectrum.name, classes)
    ends = spectrum.energy_ev[0], spectrum.energy_ev[-1]
    above.axvspan(*ends, facecolor="#EEEEEE", edgecolor="#BBBBBB", lw=0.5, label="window")
    above.plot(energy_ev, scaled, color="black", lw=1.0, label="spectrum")
    if background is not None:
        fitted = np.asarray(background) * (scaled.max() / np.max(counts))
        above.plot(energy_ev, fitted, color=UNKNOWN_COLOUR, ls="--", lw=1.0, label="background")
    above.set_xlabel("energy loss / eV")
    above.set_ylabel(label)
    above.margins(x=0)
    above.legend(loc="upper right")
    above.set_title("a  spectrum")
    weight = np.asarray(saliency)
    weight = weight / max(float(weight.max()), 1e-12)
    window.fill_between(spectrum.energy_ev, weight, color=colour, alpha=0.3, lw=0, label="saliency")
    window.plot(spectrum.energy_ev, to_unit(spectrum.intensity), color=colour, lw=1.4, label="edge")
    energy_axis(window)
    window.legend(loc="upper right")
    window.set_title(f"b  {spectrum.words}")
    return figure


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

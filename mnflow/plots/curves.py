"""Curves: accuracy against energy shift (Fig. 3) and noise (Fig. 4), and learning curves."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, ScalarFormatter
from numpy.typing import ArrayLike

from mnflow.plots.panels import energy_axis, to_unit
from mnflow.plots.style import (
    NET_TITLES,
    accuracy_axis,
    legend_beside,
    name_band,
    new_figure,
    sequence_colours,
    series_styles,
    styled,
)
from mnflow.spectra.arrays import Floats

Curve = tuple[ArrayLike, ArrayLike]
"""Abscissa (S,), and accuracy (F, S) of F folds (or (S,) of one)."""

_LEARNING_STYLES = (("#1B1464", "-"), ("#B8860B", "--"), ("#8C8C8C", "-."), ("#C2185B", ":"))


@styled
def shift_curves(curves: Mapping[str, Curve]) -> Figure:
    """Accuracy against the energy shift of the test spectra: mean over folds, band from lowest to highest.

    Parameters
    ----------
    curves : mapping of str to (shift_ev (S,), accuracy (F, S))
        By label: nets, augmentations, or both.
    """
    figure = new_figure(3.2)
    axes = figure.subplots()
    _draw(axes, curves, series_styles(list(curves)))
    axes.set_xlabel("energy shift / eV")
    axes.margins(x=0.01)
    legend_beside(axes)
    return figure


@styled
def shift_grid(curves: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """The paper's Fig. 3: a panel per net, a curve per augmentation.

    Parameters
    ----------
    curves : mapping of net to mapping of augmentation to (shift_ev (S,), accuracy (F, S))
    """
    return _grid(curves, "energy shift / eV")


@styled
def noise_grid(curves: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Accuracy against noise, as in the paper's Fig. 4: (scale (S,), accuracy (F, S)) by model."""
    return _grid(curves, "noise, times the measured")


def _grid(curves: Mapping[str, Mapping[str, Curve]], x_label: str) -> Figure:
    """A panel a net, a curve an augmentation, in the order of their numbers of crops."""
    figure = new_figure(2.2 * len(curves) + 0.5)
    panels = figure.subplots(len(curves), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    found = {a for rows in curves.values() for a in rows}
    augmentations = sorted(found, key=lambda a: (a != "none", len(a), a))
    colours = dict(zip(augmentations, sequence_colours(len(augmentations)), strict=True))
    places = {net: place for place, net in enumerate(NET_TITLES)}
    for axes, net in zip(panels, sorted(curves, key=lambda n: places.get(n, len(places))), strict=True):
        rows = curves[net]
        ordered = {a: rows[a] for a in augmentations if a in rows}
        _draw(axes, ordered, [(colours[a], "-") for a in ordered], band=False)
        axes.set_title(NET_TITLES.get(net, net))
        accuracy_axis(axes, [0.0])
    panels[-1].set_xlabel(x_label)
    panels[-1].margins(x=0.01)
    longest = max(panels, key=lambda axes: len(axes.get_lines()))
    figure.legend(*longest.get_legend_handles_labels(), loc="outside right center", title="augmentation")
    return figure


@styled
def swing_spectrum(curves: Mapping[str, Curve]) -> Figure:
    """Periods of the swing of accuracy against shift; pooling shows as peaks.

    Parameters
    ----------
    curves : mapping of str to (period_channels (K,), amplitude (F, K))
        By label, which begins with a net's name.
    """
    figure = new_figure(3.2)
    axes = figure.subplots()
    styles = series_styles(list(curves))
    for (label, (period, amplitude)), (colour, dashes) in zip(curves.items(), styles, strict=True):
        folds = np.atleast_2d(np.asarray(amplitude, dtype=np.float64))  # (F, K)
        axes.plot(np.asarray(period), folds.mean(axis=0), linestyle=dashes, color=colour, label=label)
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=2))
    axes.set_xlabel("period / channels")
    axes.set_ylabel("amplitude of accuracy")
    axes.legend()
    return figure


@styled
def noise_curves(
    curves: Mapping[str, Curve], examples: tuple[ArrayLike, Mapping[float, ArrayLike]] | None = None
) -> Figure:
    """Accuracy against the factor on the noise (the paper's Fig. 4), with example spectra beside.

    Parameters
    ----------
    curves : mapping of str to (scale (S,), accuracy (F, S))
        By label; the scale is 1 for the noise as measured and 0 for cleaned spectra.
    examples : (energy_ev (C,), mapping of scale to intensity (C,)), optional
        One spectrum under several factors.
    """
    figure = new_figure(3.2)
    if examples is None:
        axes = figure.subplots()
    else:
        axes, beside = figure.subplots(1, 2, width_ratios=[3, 2])
        _stack_examples(beside, np.asarray(examples[0]), examples[1])
    _draw(axes, curves, series_styles(list(curves)))
    axes.set_xlabel("noise, times the measured")
    axes.legend(loc="lower left")
    return figure


@styled
def learning_curves(per_fold: Sequence[Mapping[str, ArrayLike]]) -> Figure:
    """Loss and accuracy against epoch: a thin line per fold, a thick one for their mean.

    Parameters
    ----------
    per_fold : sequence of mapping of str to array (epochs,)
        Keys with `loss` in them go left, all others right.
    """
    figure = new_figure(2.9)
    left, right = figure.subplots(1, 2)
    names = list(dict.fromkeys(name for fold in per_fold for name in fold))
    losses = [n for n in names if "loss" in n]
    for axes, chosen in ((left, losses), (right, [n for n in names if n not in losses])):
        for i, name in enumerate(chosen):
            colour, dashes = _LEARNING_STYLES[i % len(_LEARNING_STYLES)]
            lines = [np.asarray(f[name]) for f in per_fold if name in f]
            _draw_folds(axes, name.replace("_", " "), lines, colour, dashes)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if chosen:
            axes.legend()
    left.set_ylabel("cross-entropy")
    accuracy_axis(right, [0.0])
    return figure


def _draw_folds(axes: Axes, label: str, lines: Sequence[Floats], colour: str, dashes: str) -> None:
    for line in lines:
        axes.plot(np.arange(1, len(line) + 1), line, color=colour, lw=0.5, alpha=0.35)
    shortest = min(map(len, lines))  # early stopping ends folds at different epochs
    mean = np.mean([line[:shortest] for line in lines], axis=0)
    axes.plot(np.arange(1, shortest + 1), mean, dashes, color=colour, label=label)


def _draw(
    axes: Axes, curves: Mapping[str, Curve], styles: Sequence[tuple[str, str]], band: bool = True
) -> None:
    lowest, banded = [], False
    for (label, (x, accuracy)), (colour, dashes) in zip(curves.items(), styles, strict=True):
        folds = np.atleast_2d(np.asarray(accuracy, dtype=np.float64))  # (F, S)
        axes.plot(np.asarray(x), folds.mean(axis=0), linestyle=dashes, color=colour, label=label)
        if band and len(folds) > 1:
            low, high = folds.min(axis=0), folds.max(axis=0)
            axes.fill_between(np.asarray(x), low, high, color=colour, alpha=0.15, lw=0)
            banded = True
        lowest.append(float(folds.min()))
    if banded:
        name_band(axes, "lowest to highest fold")
    accuracy_axis(axes, lowest)


def _stack_examples(axes: Axes, energy_ev: Floats, by_scale: Mapping[float, ArrayLike]) -> None:
    colours = sequence_colours(len(by_scale))
    for i, ((scale, intensity), colour) in enumerate(zip(by_scale.items(), colours, strict=True)):
        y = to_unit(intensity) - i
        axes.plot(energy_ev, y, color=colour, lw=0.9)
        axes.annotate(
            f"{scale:g}x", (energy_ev[-1], float(y[-20:].mean())), xytext=(3, 0), textcoords="offset points"
        )
    energy_axis(axes)

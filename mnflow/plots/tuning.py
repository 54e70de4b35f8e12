"""A parameter study: history, importance, slices, and score against number of weights.

Drawn by hand: Optuna's Matplotlib figures are experimental, set ggplot's style for the whole process, and
know neither the knee nor the colours of the other figures.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from mnflow.plots.style import NET_STYLES, UNKNOWN_COLOUR, new_figure, styled

_TRIAL = NET_STYLES["fcn"][0]
_CHOSEN = NET_STYLES["fcn_antialiased"][0]
_COLUMNS = 4


@styled
def study_history(number: ArrayLike, score: ArrayLike, pruned: ArrayLike) -> Figure:
    """Score of every trial in its order, and the best so far; pruned trials are hollow.

    Parameters
    ----------
    number, score : array, shape (T,)
        A pruned trial's score is the mean of the folds that it saw.
    pruned : array of bool, shape (T,)
    """
    x, y, hollow = np.asarray(number), np.asarray(score), np.asarray(pruned, dtype=bool)
    figure = new_figure(2.9)
    axes = figure.subplots()
    axes.scatter(x[hollow], y[hollow], s=16, facecolors="none", edgecolors=UNKNOWN_COLOUR, label="pruned")
    axes.scatter(x[~hollow], y[~hollow], s=16, color=_TRIAL, label="complete")
    best = np.maximum.accumulate(y[~hollow])
    axes.step(x[~hollow], best, where="post", color=_CHOSEN, lw=1.2, label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel("score of the inner validation")
    axes.legend(loc="lower right")
    return figure


@styled
def parameter_importance(importance: Mapping[str, float]) -> Figure:
    """How much of the score's variance each parameter explains (fANOVA), the largest on top."""
    figure = new_figure(0.28 * len(importance) + 0.9)
    axes = figure.subplots()
    names = sorted(importance, key=importance.__getitem__)
    share = [importance[n] for n in names]
    axes.hlines(range(len(names)), 0, share, color=_TRIAL, lw=1.2)
    axes.plot(share, range(len(names)), "o", color=_TRIAL)
    axes.set_yticks(range(len(names)), [n.replace("_", " ") for n in names])
    for i, x in enumerate(share):
        axes.annotate(f"{x:.2f}", (x, i), xytext=(6, 0), textcoords="offset points", va="center")
    axes.set_xlabel("share of the score's variance")
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.1)
    return figure


@styled
def parameter_slices(
    parameters: Mapping[str, ArrayLike], score: ArrayLike, logarithmic: Sequence[str] = ()
) -> Figure:
    """Score against every parameter, a panel each; later trials are darker.

    Parameters
    ----------
    parameters : mapping of str to array (T,)
        Values by the parameter's name.
    score : array, shape (T,)
    logarithmic : sequence of str
        Names whose axis is logarithmic.
    """
    columns = min(_COLUMNS, len(parameters))
    rows = -(-len(parameters) // columns)
    figure = new_figure(1.7 * rows + 0.4)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    order = np.arange(len(np.asarray(score)))
    for axes, (name, values) in zip(panels, parameters.items(), strict=False):
        axes.scatter(np.asarray(values), score, c=order, cmap="viridis_r", s=10)
        axes.set_xlabel(name.replace("_", " "))
        if name in logarithmic:
            axes.set_xscale("log")
        elif np.asarray(values).dtype.kind == "i":
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for axes in panels[len(parameters) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("score")
    return figure


@styled
def pareto_front(
    weights: ArrayLike,
    score: ArrayLike,
    front: Sequence[int],
    knee: int | None,
    marks: Mapping[str, tuple[float, float]],
) -> Figure:
    """Score against number of weights: all trials, the Pareto front, and its knee.

    Parameters
    ----------
    weights, score : array, shape (T,)
    front : sequence of int
        Trials of the front, by increasing weights.
    knee : int or None
        The trial that is proposed.
    marks : mapping of str to (weights, score)
        Points to name, such as the paper's net.
    """
    x, y = np.asarray(weights), np.asarray(score)
    figure = new_figure(3.4)
    axes = figure.subplots()
    axes.scatter(x, y, s=14, color=UNKNOWN_COLOUR, alpha=0.6, label="trials")
    axes.plot(x[list(front)], y[list(front)], "o-", color=_TRIAL, ms=4, drawstyle="steps-post", label="front")
    if knee is not None:
        words = f"knee: {x[knee]:.0f} weights, {y[knee]:.4f}"
        axes.plot(x[knee], y[knee], "D", color=_CHOSEN, ms=8, label=words)
    for name, point in marks.items():
        words = f"{name}: {point[0]:.0f} weights, {point[1]:.4f}"
        axes.plot(*point, "*", color="#D55E00", ms=12, label=words)
    _weights_axis(axes)
    return figure


def _weights_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("trainable weights")
    axes.set_ylabel("score of the inner validation")
    axes.legend(loc="lower right")

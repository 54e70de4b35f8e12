"""Matrices: confusion, Table 1, activations of every block (Fig. 1), maps of kept pixels."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import ArrayLike

from mnflow.plots.style import WIDTH_IN, new_figure, styled, valence_colours
from mnflow.spectra import UNLABELLED
from mnflow.spectra.arrays import Floats

_RIGHT, _WRONG = "#1B1464", "#D55E00"


@styled
def confusion(matrix: ArrayLike, classes: Sequence[str]) -> Figure:
    """Numbers and shares of spectra by true (rows) and predicted (columns) class.

    Parameters
    ----------
    matrix : array of int (K, K)
    classes : sequence of K str
    """
    counts = np.asarray(matrix)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure(0.75 * len(classes) + 1.0, 0.95 * len(classes) + 1.1)
    axes = figure.subplots()
    _shade(axes, share)
    for (row, column), value in np.ndenumerate(counts):
        text = f"{value}\n{share[row, column]:.1%}"
        axes.text(column, row, text, ha="center", va="center", color=_ink(share[row, column]))
    _names(axes, classes, classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return figure


@styled
def reference_matrix(
    probabilities: ArrayLike, names: Sequence[str], truth: ArrayLike, classes: Sequence[str]
) -> Figure:
    """Probabilities of every reference spectrum, sorted by valence.

    The true class is framed; a wrong answer is orange.

    Parameters
    ----------
    probabilities : array (N, K)
        Mean over the fold models.
    names : sequence of N str
    truth : array of int (N,)
        Index into `classes`, or `UNLABELLED` (then nothing is framed).
    """
    label = np.asarray(truth)
    order = np.argsort(np.where(label == UNLABELLED, len(classes), label), kind="stable")
    p = np.asarray(probabilities)[order]
    figure = new_figure(0.19 * len(order) + 0.9, 0.6 * len(classes) + 3.2)
    axes = figure.subplots()
    _shade(axes, p, aspect="auto")
    for (row, column), value in np.ndenumerate(p):
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=_ink(value))
    _names(axes, [names[i] for i in order], classes, fontsize=7)
    axes.xaxis.tick_top()
    for row, true in enumerate(label[order]):
        if true != UNLABELLED:
            colour = _RIGHT if p[row].argmax() == true else _WRONG
            axes.add_patch(Rectangle((true - 0.48, row - 0.46), 0.96, 0.92, fill=False, ec=colour, lw=1.6))
            axes.get_yticklabels()[row].set_color("black" if colour == _RIGHT else colour)
    return figure


@styled
def activations(mean: Mapping[str, Sequence[ArrayLike]], window_ev: tuple[float, float]) -> Figure:
    """The paper's Fig. 1b-d: mean activation after every block, a column per valence, a row per block.

    Parameters
    ----------
    mean : mapping of class to sequence of array (L, F)
        For every block, positions by filters; an array (L, 1), such as the spectrum itself, is drawn as a
        line.
    window_ev : tuple of float
        Start and end of the crop in eV.
    """
    depth = max(len(blocks) for blocks in mean.values())
    height_in = 0.75 * depth + 0.7
    # So many panels take seconds to be arranged; these are all alike, and their margins are known.
    margins = {"left": 0.06, "right": 0.985, "hspace": 0.12, "wspace": 0.09}
    margins |= {"top": 1 - 0.32 / height_in, "bottom": 0.48 / height_in}
    figure = Figure(figsize=(WIDTH_IN, height_in))
    with mpl.rc_context({"axes.grid": False}):
        panels = figure.subplots(depth, len(mean), squeeze=False, sharex=True, gridspec_kw=margins)
    coloured = zip(mean.items(), valence_colours(list(mean)), strict=True)
    for column, ((name, blocks), colour) in enumerate(coloured):
        for row, block in enumerate(blocks):
            axes = panels[row, column]
            _activation(axes, np.asarray(block), _scale(mean, row), window_ev, colour)
            if column == 0:
                axes.set_ylabel(f"block {row}" if row else "input", fontsize=8)
        panels[0, column].set_title(name, color=colour)
        panels[-1, column].set_xlabel("energy loss / eV")
    return figure


def _activation(
    axes: Axes, block: Floats, scale: tuple[float, float], window_ev: tuple[float, float], colour: str
) -> None:
    axes.set_yticks([])
    if block.shape[1] == 1:
        axes.plot(np.linspace(*window_ev, len(block)), block[:, 0], color=colour, lw=1.2)
        axes.set_ylim(*scale)
        return
    axes.imshow(
        block.T, aspect="auto", cmap="cividis", vmin=scale[0], vmax=scale[1],
        extent=(*window_ev, block.shape[1], 0), interpolation="nearest",
    )  # fmt: skip


def _scale(mean: Mapping[str, Sequence[ArrayLike]], row: int) -> tuple[float, float]:
    """One scale for a block in all valences, so that they can be compared."""
    shown = [np.asarray(blocks[row]).ravel() for blocks in mean.values() if row < len(blocks)]
    values = np.concatenate(shown)
    return float(values.min()), float(max(values.max(), values.min() + 1e-9))


@styled
def kept_maps(maps: Mapping[str, ArrayLike], categories: Sequence[str]) -> Figure:
    """What preprocessing made of every pixel of every spectrum image.

    Parameters
    ----------
    maps : mapping of str to array of int (H, W)
        For every spectrum image, an index into `categories` for each pixel.
    categories : sequence of str
        Names, `kept` among them.
    """
    columns = min(7, max(len(maps), 1))
    rows = max(-(-len(maps) // columns), 1)
    figure = new_figure(1.15 * rows + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    colours = _category_colours(categories)
    for axes, (name, codes) in zip(panels, maps.items(), strict=False):
        shades, last = mpl.colors.ListedColormap(colours), len(colours) - 0.5
        image = np.atleast_2d(np.asarray(codes))
        axes.imshow(image, cmap=shades, vmin=-0.5, vmax=last, interpolation="nearest")
        axes.set_title(name, fontsize=6.5)
    for axes in panels:
        axes.axis("off")
    patches = [Patch(color=c, label=n) for c, n in zip(colours, categories, strict=True)]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches))
    return figure


def _category_colours(categories: Sequence[str]) -> list[str]:
    """Kept pixels dark, the reasons for rejection in colours that differ in lightness."""
    reasons = iter(("#D9D9D9", "#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#F0E442"))
    return ["#1B1464" if name == "kept" else next(reasons, "#777777") for name in categories]


def _shade(axes: Axes, share: Floats, aspect: str = "equal") -> None:
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect=aspect)  # type: ignore[arg-type]
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)


def _names(axes: Axes, rows: Sequence[str], columns: Sequence[str], fontsize: float = 9.0) -> None:
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows, fontsize=fontsize)


def _ink(value: float) -> str:
    return "white" if value > 0.6 else "black"

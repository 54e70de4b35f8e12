"""Spectra as lines: per class (Fig. 2), references, the clusters that preprocessing chose from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mnflow.plots.style import (
    UNKNOWN_COLOUR,
    name_band,
    new_figure,
    sequence_colours,
    styled,
    valence_colours,
)
from mnflow.preprocess import crop, normalise
from mnflow.preprocess.clusters import Clusters
from mnflow.spectra import UNLABELLED, SpectrumSet
from mnflow.spectra.arrays import Array, Floats


@dataclass(frozen=True)
class Line:
    """A mean spectrum in the figure and its caption.

    `energy_ev`, `intensity` (C,) without background, its class (or "mixed"), and the text beside it.
    """

    energy_ev: Floats
    intensity: Array
    name: str
    words: str


@styled
def spectra_per_class(spectra: SpectrumSet) -> Figure:
    """The paper's Fig. 2: mean spectrum of every class in the crop, and the band that holds 90 % of them."""
    figure = new_figure(3.4)
    axes = figure.subplots()
    edge = spectra.edge
    energy_ev = spectra.energy_ev[edge.crop_start : edge.crop_start + edge.n_crop]
    crops = crop(spectra)  # (N, n_crop)
    for i, (name, colour) in enumerate(zip(edge.classes, valence_colours(edge.classes), strict=True)):
        mine = crops[spectra.valence == i]
        if len(mine):
            low, high = np.quantile(mine, [0.05, 0.95], axis=0)
            axes.fill_between(energy_ev, low - i, high - i, color=colour, alpha=0.25, lw=0)
            mean = mine.mean(axis=0) - i
            axes.plot(energy_ev, mean, color=colour, label=name)
            end = float(energy_ev[-1]), float(mean[-20:].mean())
            name_beside(axes, end, f"{name}\n{len(mine)} spectra", colour)
    name_band(axes, "5th to 95th percentile of the spectra")
    axes.legend(handles=axes.collections[-1:], loc="upper right")
    energy_axis(axes)
    return figure


@styled
def reference_spectra(
    energy_ev: ArrayLike, crops: ArrayLike, names: Sequence[str], truth: ArrayLike, classes: Sequence[str]
) -> Figure:
    """Reference spectra as a net sees them, a panel per class; those without a single valence in the last.

    Parameters
    ----------
    energy_ev : array (C,)
    crops : array (N, C)
    names : sequence of N str
    truth : array of int (N,)
        Index into `classes`, or `UNLABELLED`.
    """
    label, lines = np.asarray(truth), np.asarray(crops)
    shown = [i for i in [*range(len(classes)), UNLABELLED] if (label == i).any()]
    most = max(int((label == i).sum()) for i in shown)
    figure = new_figure(0.42 * most + 1.2)
    panels = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    for axes, i in zip(panels, shown, strict=True):
        colour = UNKNOWN_COLOUR if i == UNLABELLED else valence_colours(classes)[i]
        axes.set_title("mixed or unknown" if i == UNLABELLED else classes[i])
        for row, n in enumerate(np.flatnonzero(label == i).tolist()):
            axes.plot(np.asarray(energy_ev), to_unit(lines[n]) - 1.2 * row, color=colour, lw=1.0)
            axes.text(np.asarray(energy_ev)[-1], 0.7 - 1.2 * row, names[n], fontsize=6, ha="right")
        energy_axis(axes)
    for axes in panels[1:]:
        axes.set_ylabel("")
    return figure


@styled
def cluster_rounds(rounds: Sequence[Clusters]) -> Figure:
    """The centres of every round of k-means in one class: kept clusters drawn full, rejected ones dashed.

    The legend gives each cluster's pixels and the measure by which it was judged.
    """
    columns = min(3, max(len(rounds), 1))
    rows = max(-(-len(rounds) // columns), 1)
    figure = new_figure(2.5 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, found in zip(panels, rounds, strict=False):
        axes.set_title(f"{found.step}: {found.measure_name}", fontsize=8)
        shades = sequence_colours(len(found.centres))
        for line, measure, size, rejected, colour in zip(
            found.centres, found.measure, found.sizes, found.rejected, shades, strict=True
        ):
            label = f"{round(measure, 2) + 0.0:.2f}, {size} pixels, {'rejected' if rejected else 'kept'}"
            axes.plot(found.energy_ev, line, "--" if rejected else "-", color=colour, lw=1.2, label=label)
        energy_axis(axes)
        axes.set_xlabel("energy above L3 / eV")
        axes.legend(fontsize=6, loc="upper right", handlelength=2.5)
    for axes in panels[len(rounds) :]:
        axes.set_visible(False)
    return figure


def to_unit(intensity: ArrayLike) -> Floats:
    """A spectrum (C,) scaled to [0, 1] for drawing."""
    scaled = normalise(np.asarray(intensity, dtype=np.float64))
    return np.asarray(scaled - scaled.min())


def energy_axis(axes: Axes) -> None:
    """Energy loss below; intensity without numbers, since every spectrum has its own scale."""
    axes.set_xlabel("energy loss / eV")
    axes.set_ylabel("intensity / a.u.")
    axes.set_yticks([])
    axes.margins(x=0.01)


def name_beside(axes: Axes, place: tuple[float, float], text: str, colour: str, **options: Any) -> None:
    """Write a line's name to the right of `place`, where its axes end."""
    beside: Any = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "annotation_clip": False}
    axes.annotate(text, place, color=colour, **beside, **options)


def scaled_counts(counts: ArrayLike) -> tuple[Floats, str]:
    """Counts divided by a power of ten that leaves few digits, and the label that says so."""
    values = np.asarray(counts, dtype=np.float64)
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    power = 3 * int(np.floor(np.log10(largest) / 3)) if largest >= 1e4 or 0 < largest < 0.1 else 0
    return values / 10.0**power, f"counts / 10$^{{{power}}}$" if power else "counts"


def class_colour(name: str, classes: Sequence[str]) -> str:
    """A class's own colour; grey for mixed and for no class."""
    return dict(zip(classes, valence_colours(classes), strict=True)).get(name, UNKNOWN_COLOUR)

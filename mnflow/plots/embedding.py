"""t-SNE of spectra and references (the paper's Fig. 5)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from mnflow.plots.style import UNKNOWN_COLOUR, new_figure, styled, valence_colours
from mnflow.spectra import UNLABELLED


@styled
def embeddings(
    points: Mapping[str, ArrayLike],
    labels: ArrayLike,
    reference_points: Mapping[str, ArrayLike],
    reference_labels: ArrayLike,
    classes: Sequence[str],
    titles: Mapping[str, str] | None = None,
) -> Figure:
    """The paper's Fig. 5: a panel per space, spectra as dots, references as triangles, colours by valence.

    Parameters
    ----------
    points, reference_points : mapping of space to array (N, 2), (M, 2)
    labels, reference_labels : array of int (N,), (M,)
        Index into `classes`, or `UNLABELLED` (grey).
    titles : mapping of space to str, optional
        A panel's title, for example with its neighbour agreement; the space's name if there is none.
    """
    figure = new_figure(3.9)
    panels = figure.subplots(1, len(points), squeeze=False)[0]
    for axes, (space, dots) in zip(panels, points.items(), strict=True):
        _scatter(axes, np.asarray(dots), np.asarray(labels), classes, marker="o", s=6, alpha=0.5, lw=0)
        if space in reference_points:
            triangles = {"marker": "^", "s": 42, "edgecolors": "black", "lw": 0.8, "zorder": 3}
            _scatter(
                axes, np.asarray(reference_points[space]), np.asarray(reference_labels), classes, **triangles
            )
        axes.set_title((titles or {}).get(space, space))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel("t-SNE 1")
        axes.set_ylabel("t-SNE 2")
    key = _key(classes, reference_labels if reference_points else [])
    figure.legend(handles=key, loc="outside lower center", ncols=len(classes) + 2)
    return figure


def _scatter(axes: Axes, xy: np.ndarray, labels: np.ndarray, classes: Sequence[str], **look: object) -> None:
    for i, colour in [*enumerate(valence_colours(classes)), (UNLABELLED, UNKNOWN_COLOUR)]:
        mine = labels == i
        if mine.any():
            name = classes[i] if i != UNLABELLED else "mixed"
            axes.scatter(xy[mine, 0], xy[mine, 1], color=colour, label=name, **look)  # type: ignore[arg-type]


def _key(classes: Sequence[str], reference_labels: ArrayLike) -> list[Line2D]:
    coloured = zip(classes, valence_colours(classes), strict=True)
    key = [Line2D([], [], ls="", marker="o", color=c, label=n) for n, c in coloured]
    labels = np.asarray(reference_labels)
    if len(labels):
        key.append(Line2D([], [], ls="", marker="^", mfc="white", mec="black", label="reference"))
    if (labels == UNLABELLED).any():
        mixed = Line2D([], [], ls="", marker="^", mfc=UNKNOWN_COLOUR, mec="black", label="mixed reference")
        key.append(mixed)
    return key

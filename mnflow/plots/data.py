"""The numbers behind a figure, read off the figure itself, so that the two cannot differ."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    import pandas as pd


def figure_data(figure: Figure) -> "pd.DataFrame":
    """Everything that a figure draws, as one long table for a CSV beside the PNG.

    Parameters
    ----------
    figure : Figure
        Any of this package's.

    Returns
    -------
    DataFrame
        Columns `panel` (its title, or its number), `kind` (line, points, image), `series` (label), `x`, `y`,
        `value` (images). Bands and mixed colours are left out: they follow from the data that a step logs as
        a table.
    """
    import pandas as pd  # a quarter of a second, and the page shows its map without

    parts = [part for i, axes in enumerate(figure.axes) if axes.get_visible() for part in _panel(axes, i)]
    columns = ["panel", "kind", "series", "x", "y", "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _panel(axes: Axes, number: int) -> "list[pd.DataFrame]":
    name = axes.get_title(loc="left") or axes.get_title() or f"panel {number + 1}"
    parts = [
        _table(name, "line", _label(line.get_label()), *np.asarray(line.get_data(), dtype=float))
        for line in axes.get_lines()
    ]
    for dots in axes.collections:
        offsets = np.asarray(np.ma.filled(dots.get_offsets(), np.nan), dtype=float)
        if type(dots).__name__ == "PathCollection":
            parts.append(_table(name, "points", _label(dots.get_label()), offsets[:, 0], offsets[:, 1]))
    for image in axes.get_images():
        values: np.ndarray = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)
        if values.ndim == 2:  # not mixed colours: their numbers are in the step's own files
            y, x = np.indices(values.shape)
            parts.append(_table(name, "image", "", x.ravel(), y.ravel()).assign(value=values.ravel()))
    return parts


def _table(panel: str, kind: str, series: str, x: np.ndarray, y: np.ndarray) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({"panel": panel, "kind": kind, "series": series, "x": x, "y": y, "value": np.nan})


def _label(text: object) -> str:
    """A label that was given; matplotlib's own begin with an underscore."""
    return "" if str(text).startswith("_") else str(text)

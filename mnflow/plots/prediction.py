"""What a champion says: how far its probabilities hold, where it looked, and valence maps with a scale
bar.
"""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mnflow.plots.panels import energy_axis, to_unit
from mnflow.plots.style import UNKNOWN_COLOUR, new_figure, styled, valence_colours

_BAR_SHARE = 0.3  # largest share of a map's width that its scale bar may take


@styled
def reliability_diagram(confidence: ArrayLike, accuracy: ArrayLike, count: ArrayLike, error: float) -> Figure:
    """Accuracy against confidence in bins (B,), with the number of spectra in each below; on the line is
    honest.
    """
    x, n = np.asarray(confidence), np.asarray(count)
    figure = new_figure(3.8, 4.2)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color=UNKNOWN_COLOUR, ls="--", lw=1.0, label="honest")
    axes.plot(x, np.asarray(accuracy), "o-", color="#1B1464", label="held-out spectra")
    axes.set_title(f"expected calibration error {error:.4f}")
    axes.set_ylabel("accuracy")
    axes.legend(loc="upper left")
    below.bar(x, n, width=0.03, color="#1B1464")
    below.set_yscale("log")
    below.set_ylabel("spectra")
    below.set_xlabel("confidence")
    return figure


@styled
def saliency(energy_ev: ArrayLike, spectra: ArrayLike, weights: ArrayLike, classes: Sequence[str]) -> Figure:
    """Mean spectrum of every class (K, C), coloured by how much the net's answer hangs on each energy (K,
    C).
    """
    x = np.asarray(energy_ev)
    figure = new_figure(1.5 * len(classes) + 0.6)
    panels = figure.subplots(len(classes), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name, colour, spectrum, weight in zip(
        panels, classes, valence_colours(classes), np.asarray(spectra), np.asarray(weights), strict=True
    ):
        axes.fill_between(
            x, weight / weight.max(), color=colour, alpha=0.3, lw=0, label="where the net looked"
        )
        axes.plot(x, weight / weight.max(), color=colour, lw=0.6)
        axes.plot(x, to_unit(spectrum), color="black", lw=1.2, label="mean spectrum")
        axes.set_title(name)
        energy_axis(axes)
    for axes in panels[:-1]:
        axes.set_xlabel("")
    panels[0].legend(loc="upper right")
    return figure


@styled
def valence_maps(
    maps: Mapping[str, NDArray[np.float32]],
    classes: Sequence[str],
    charges: Sequence[float],
    pixel: float,
    units: str,
) -> Figure:
    """Mean valence, class, confidence and flagged pixels of a spectrum image, with a scale bar.

    Parameters
    ----------
    maps : mapping of str to array (Y, X)
        `mean_valence`, `class`, `confidence` and `flags`; NaN where a pixel could not be read. A line scan
        has Y = 1.
    classes, charges : sequence of K
    pixel : float
        Width of a pixel in `units`; 0 or no units for no scale bar.
    """
    rows, columns = maps["class"].shape
    figure = new_figure(float(np.clip(7.0 * rows / columns / 2 + 1.2, 2.4, 8.0)))
    panels = figure.subplots(2, 2).ravel()
    colours = valence_colours(classes)
    steps = mpl.colors.ListedColormap(colours)
    ramp = LinearSegmentedColormap.from_list("valence", colours)
    shown = [
        ("mean valence", maps["mean_valence"], {"cmap": ramp, "vmin": min(charges), "vmax": max(charges)}),
        ("class", maps["class"], {"cmap": steps, "vmin": -0.5, "vmax": len(classes) - 0.5}),
        ("confidence", maps["confidence"], {"cmap": "cividis", "vmin": 1 / len(classes), "vmax": 1}),
        ("flagged", (maps["flags"] > 0).astype(float), {"cmap": "Greys", "vmin": 0, "vmax": 1}),
    ]
    for axes, (title, image, style) in zip(panels, shown, strict=True):
        aspect = "equal" if rows > 1 else "auto"
        picture = axes.imshow(image, interpolation="nearest", aspect=aspect, **style)
        axes.set_title(title)
        axes.set_axis_off()
        if title == "flagged":
            axes.set_title(f"flagged: {image.mean():.1%}")
            continue
        bar = figure.colorbar(picture, ax=axes, shrink=0.85)
        if title == "class":
            bar.set_ticks(range(len(classes)), labels=list(classes))
    if pixel > 0 and units:
        _scale_bar(panels[0], pixel, columns, units)
    return figure


def _scale_bar(axes: Axes, pixel: float, columns: int, units: str) -> None:
    """A bar of a round length (1, 2 or 5 times a power of ten) in the lower left corner."""
    length = round_length(_BAR_SHARE * columns * pixel)
    left, bottom = 0.05, 0.06
    right = left + length / (columns * pixel)
    axes.plot(
        [left, right], [bottom] * 2, transform=axes.transAxes, color="white", lw=5, solid_capstyle="butt"
    )
    axes.plot(
        [left, right], [bottom] * 2, transform=axes.transAxes, color="black", lw=3, solid_capstyle="butt"
    )
    text = axes.text(
        (left + right) / 2,
        bottom + 0.03,
        f"{length:g} {units}",
        transform=axes.transAxes,
        ha="center",
        va="bottom",
    )
    text.set_bbox({"facecolor": "white", "alpha": 0.7, "pad": 1, "lw": 0})


def round_length(longest: float) -> float:
    """The greatest of 1, 2 or 5 times a power of ten that is not longer."""
    power = 10.0 ** np.floor(np.log10(longest))
    return float(max(f * power for f in (1, 2, 5) if f * power <= longest * (1 + 1e-9)))

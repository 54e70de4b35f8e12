"""Valences as figures for a paper: of a spectrum image and of a line scan."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mnflow.plots.panels import Line, class_colour, energy_axis, name_beside, scaled_counts, to_unit
from mnflow.plots.style import FLAGGED_COLOUR, VALENCE_MAP, WIDTH_IN, styled, valence_colours
from mnflow.spectra.arrays import Array, Bools

_BAR_SHARE = 0.4  # largest share of a map's width that its scale bar may take
_LEFT, _MARGIN, _GAP, _TITLE, _STRIP, _UNDER = 0.3, 0.12, 0.22, 0.28, 0.1, 0.68  # inches
_LINES, _LABELS = 0.62, 2.1  # height of one spectrum's row, and width of the words beside it, in inches


@dataclass(frozen=True)
class Answers:
    """What the figures of an image (Y, X) or a line scan (X,) show.

    Attributes
    ----------
    element : str
    classes, charges : sequence of K
    intensity, mean_valence : ndarray, shape (Y, X) or (X,)
    interval : ndarray, shape (..., 2)
    fractions : ndarray, shape (..., K)
    flagged : ndarray of bool
        Shown grey.
    lines : sequence of Line
        Mean spectra of what is not flagged.
    note : str
        One line below the figure: how many are flagged, and why.
    pixel, unit : float, str
        Width of a pixel; 0 or no unit for no scale bar.
    thickness : ndarray, optional
        t/lambda.
    """

    element: str
    classes: Sequence[str]
    charges: Sequence[float]
    intensity: Array
    mean_valence: Array
    interval: Array
    fractions: Array
    flagged: Bools
    lines: Sequence[Line]
    note: str
    pixel: float = 0.0
    unit: str = ""
    thickness: Array | None = None


@styled
def valence_image(answers: Answers) -> Figure:
    """Maps of intensity, mean valence, fractions (and thickness), and mean spectra of unflagged pixels."""
    rows, columns = answers.flagged.shape
    maps = 3 + (answers.thickness is not None)
    width = (WIDTH_IN - 2 * _MARGIN - (maps - 1) * _GAP) / maps
    height = float(np.clip(width * rows / columns, 0.5, 1.6 * width))
    below = _LINES * max(len(answers.lines), 1) + 0.5
    total = _TITLE + height + _UNDER + _TITLE + below + 0.45
    figure = Figure(figsize=(WIDTH_IN, total))
    top = total - _TITLE - height

    def place(i: int) -> tuple[Axes, Axes]:
        left = _MARGIN + i * (width + _GAP)
        axes = _axes(figure, (left, top, width, height))
        return axes, _axes(figure, (left, top - 0.08 - _STRIP, width, _STRIP))

    intensity = f"a  {answers.element} L$_{{2,3}}$ intensity"
    _map(*place(0), intensity, answers, answers.intensity, "gray", "counts")
    ends = (min(answers.charges), max(answers.charges))
    valence = np.where(answers.flagged, np.nan, answers.mean_valence)
    _map(*place(1), "b  mean valence", answers, valence, VALENCE_MAP, f"mean {answers.element} valence", ends)
    _fractions(*place(2), answers)
    if answers.thickness is not None:
        _map(*place(3), "d  thickness", answers, answers.thickness, "cividis", "t/$\\lambda$")
    spectra = _axes(figure, (_LEFT, 0.72, WIDTH_IN - _LEFT - _LABELS, below - 0.2))
    _mean_spectra(spectra, "abcde"[maps], answers)
    figure.text(_MARGIN / WIDTH_IN, 0.1 / total, answers.note, fontsize=7.5, color="#444444")
    return figure


@styled
def valence_profile(answers: Answers, position: ArrayLike) -> Figure:
    """Intensity, mean valence with its interval, and fractions along a line scan (X,), and mean spectra.

    Parameters
    ----------
    answers : Answers
    position : array (X,)
        In `answers.unit`, or numbers of the spectra.
    """
    x = np.asarray(position, dtype=np.float64)
    below = _LINES * max(len(answers.lines), 1) + 0.5
    heights = [1.0, 1.6, 1.2]
    total = sum(heights) + 0.3 * 3 + 0.5 + _TITLE + below + 0.45
    figure = Figure(figsize=(WIDTH_IN, total))
    left, width, bottom = 0.62, WIDTH_IN - 0.62 - 1.4, total - 0.05
    panels = []
    for height in heights:
        bottom -= height + 0.3
        panels.append(_axes(figure, (left, bottom, width, height)))
    counted = ~answers.flagged
    counts, label = scaled_counts(answers.intensity)
    panels[0].plot(x, counts, color="black", lw=1.0)
    panels[0].set_ylabel(label)
    panels[0].set_title(f"a  {answers.element} L$_{{2,3}}$ intensity")
    valence = np.where(counted, answers.mean_valence, np.nan)
    low, high = (np.where(counted, answers.interval[:, i], np.nan) for i in range(2))
    panels[1].fill_between(x, low, high, color="#1B1464", alpha=0.2, lw=0, label="90 % interval")
    panels[1].plot(x, valence, ".-", color="#1B1464", ms=4, lw=1.0)
    grey = np.where(counted, np.nan, answers.mean_valence)
    if answers.flagged.any():
        panels[1].plot(x, grey, ".", color=FLAGGED_COLOUR, ms=4, label="flagged")
    panels[1].set_ylim(min(answers.charges) - 0.1, max(answers.charges) + 0.1)
    panels[1].set_ylabel(f"mean {answers.element} valence")
    panels[1].set_title("b  mean valence")
    panels[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    for i, (name, colour) in enumerate(zip(answers.classes, valence_colours(answers.classes), strict=True)):
        panels[2].plot(x, np.where(counted, answers.fractions[:, i], np.nan), color=colour, label=name)
    panels[2].set_ylim(-0.03, 1.03)
    panels[2].set_ylabel("fraction")
    panels[2].set_title("c  fractions")
    panels[2].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    panels[2].set_xlabel(f"position / {answers.unit}" if answers.unit else "number of the spectrum")
    for axes in panels:
        axes.set_xlim(x.min(), x.max())
    for axes in panels[:2]:
        axes.tick_params(labelbottom=False)
    spectra = _axes(figure, (left, 0.72, WIDTH_IN - left - _LABELS, below - 0.2))
    _mean_spectra(spectra, "d", answers)
    figure.text(_MARGIN / WIDTH_IN, 0.1 / total, answers.note, fontsize=7.5, color="#444444")
    return figure


def _axes(figure: Figure, inches: tuple[float, float, float, float]) -> Axes:
    """Axes at (left, bottom, width, height) in inches."""
    width, height = figure.get_size_inches()
    left, bottom, wide, high = inches
    return figure.add_axes((left / width, bottom / height, wide / width, high / height))


def _map(
    axes: Axes,
    strip: Axes,
    title: str,
    answers: Answers,
    image: Array,
    colours: str,
    label: str,
    limits: tuple[float, float] | None = None,
) -> None:
    if label == "counts":
        image, label = scaled_counts(image)
    shades = mpl.colormaps[colours].with_extremes(bad=FLAGGED_COLOUR)
    finite = image[np.isfinite(image)]
    low, high = limits or (np.percentile(finite, [0.5, 99.5]).tolist() if finite.size else (0.0, 1.0))
    values = np.ma.masked_invalid(image)
    shown = axes.imshow(values, cmap=shades, vmin=low, vmax=high, interpolation="nearest")
    _finish(axes, title, answers)
    bar = axes.figure.colorbar(shown, cax=strip, orientation="horizontal")
    bar.set_label(label)
    bar.outline.set_visible(False)
    strip.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4))


def _fractions(axes: Axes, strip: Axes, answers: Answers) -> None:
    """Each pixel in the mixture of its classes' colours; grey where flagged."""
    colours = np.array([mpl.colors.to_rgb(c) for c in valence_colours(answers.classes)])
    mixed = np.nan_to_num(answers.fractions) @ colours
    mixed[answers.flagged | np.isnan(answers.fractions).any(axis=-1)] = mpl.colors.to_rgb(FLAGGED_COLOUR)
    axes.imshow(np.clip(mixed, 0, 1), interpolation="nearest")
    _finish(axes, "c  fractions", answers)
    strip.set_axis_off()
    strip.imshow(colours[None], extent=(0, len(colours), 0, 1), aspect="auto", interpolation="nearest")
    for i, (name, colour) in enumerate(zip(answers.classes, colours, strict=True)):
        strip.text(i + 0.5, -0.4, name, color=colour, ha="center", va="top", fontweight="bold")


def _finish(axes: Axes, title: str, answers: Answers) -> None:
    axes.set_aspect("equal" if answers.flagged.shape[0] > 1 else "auto")
    axes.set_title(title)
    axes.set_axis_off()
    if answers.pixel > 0 and answers.unit:
        _scale_bar(axes, answers.pixel, answers.flagged.shape[1], answers.unit)


def _mean_spectra(axes: Axes, letter: str, answers: Answers) -> None:
    axes.set_title(f"{letter}  mean spectra of unflagged pixels")
    energy_axis(axes)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_ylabel("")
    if not answers.lines:
        axes.text(0.5, 0.5, "every pixel is flagged", ha="center", va="center", transform=axes.transAxes)
        return
    for i, line in enumerate(answers.lines):
        colour = class_colour(line.name, answers.classes)
        axes.plot(line.energy_ev, to_unit(line.intensity) + 0.9 * i, color=colour)
        end = axes.get_yaxis_transform()
        name_beside(axes, (1.0, 0.9 * i + 0.12), line.words, colour, xycoords=end)
    axes.margins(x=0)


def _scale_bar(axes: Axes, pixel: float, columns: int, units: str) -> None:
    """A bar of a round length (1, 2 or 5 times a power of ten) in the lower left corner."""
    length = round_length(_BAR_SHARE * columns * pixel)
    left, bottom = 0.05, 0.06
    right = left + length / (columns * pixel)
    for colour, lw in (("white", 5), ("black", 3)):
        axes.plot(
            [left, right], [bottom] * 2, transform=axes.transAxes, color=colour, lw=lw, solid_capstyle="butt"
        )
    middle, words = (left + right) / 2, f"{length:g} {units}"
    text = axes.text(middle, bottom + 0.03, words, transform=axes.transAxes, ha="center", va="bottom")
    text.set_bbox({"facecolor": "white", "alpha": 0.7, "pad": 1, "lw": 0})


def round_length(longest: float) -> float:
    """The greatest of 1, 2 or 5 times a power of ten that is not longer."""
    power = 10.0 ** np.floor(np.log10(longest))
    return float(max(f * power for f in (1, 2, 5) if f * power <= longest * (1 + 1e-9)))

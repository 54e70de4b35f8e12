"""The style of all figures: sizes, fonts, and the colours of valences, models and augmentations."""

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

P = ParamSpec("P")

_SETTINGS = threading.RLock()  # matplotlib's settings are the process's: one thread at a time may change them

WIDTH_IN = 7.2
"""Width of a full figure in inches: two columns of a journal."""

_DPI = 150

# Okabe & Ito, https://jfly.uni-koeln.de/color/: told apart with any colour vision. Valences take the strong
# ones, ...
_VALENCE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
UNKNOWN_COLOUR = "#777777"
"""For a spectrum without a single valence."""

VALENCE_MAP = "viridis"
"""Colour map of the mean valence: perceptually uniform, and readable with any colour vision."""

FLAGGED_COLOUR = "#D9D9D9"
"""For pixels that are flagged and not counted."""

# ... nets differ from them and from each other in lightness and in line style too, for print in grey.
NET_STYLES: dict[str, tuple[str, str]] = {
    "dense": ("#8C8C8C", "--"),
    "conv_dense": ("#B8860B", "-."),
    "fcn": ("#1B1464", "-"),
    "fcn_antialiased": ("#C2185B", (0, (6, 1))),  # type: ignore[dict-item]
    "fcn_wide": ("#9911FF", "-"),
}
"""Colour and line style of every net."""

NET_TITLES = {
    "dense": "dense net",
    "conv_dense": "convolutions + dense net",
    "fcn": "fully convolutional net",
    "fcn_antialiased": "fully convolutional net, anti-aliased",
    "fcn_wide": "wide fully convolutional net",
}
"""What a net is called in a title."""

_DASHES = ("-", "--", "-.", ":")

_RC: Any = {
    "text.usetex": False,  # a user's own setting needs a LaTeX that may not be there
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.dpi": _DPI,
}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a plotting function under the project's style, leaving matplotlib's settings as they were."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _SETTINGS, mpl.rc_context(_RC):
            return draw(*args, **kwargs)

    return wrapper


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure that arranges its panels itself."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def valence_colours(classes: Sequence[str]) -> list[str]:
    """A colour for every class, by its place."""
    return [_VALENCE_COLOURS[i % len(_VALENCE_COLOURS)] for i in range(len(classes))]


def series_styles(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Colour and line style for every curve.

    A label that begins with a net's name gets that net's, as long as each net is there once; augmentations
    (none, 1x ... 10x) get colours from light to dark in their order; others differ in line style, too.
    """
    nets = [label.split()[0] if label.split() else "" for label in labels]
    if all(net in NET_STYLES for net in nets) and len(set(nets)) == len(nets):
        return [NET_STYLES[net] for net in nets]
    ordered = len({re.sub(r"\b(none|\d+x)\b", "", label) for label in labels}) == 1
    colours = sequence_colours(len(labels))
    return [(colour, "-" if ordered else _DASHES[i % 4]) for i, colour in enumerate(colours)]


def sequence_colours(n: int) -> list[str]:
    """`n` colours from light green to dark violet, for something that grows; a few start at a darker one."""
    shades, first = mpl.colormaps["viridis_r"], 0.08 if n > 5 else 0.35
    return [mpl.colors.to_hex(shades(1 - (1 - first) * i / max(n - 1, 1))) for i in range(n)][::-1]


def accuracy_axis(axes: Axes, values: Iterable[float]) -> None:
    """A percent axis that holds all values, and shows what happens near 100 % when all are there."""
    lowest = min(values, default=0.0)
    bottom = 0.9 if lowest > 0.92 else 0.5 if lowest > 0.52 else 0.0
    axes.set_ylim(bottom, 1.0 + 0.03 * (1 - bottom))
    axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("accuracy")


def legend_beside(axes: Axes) -> None:
    """The legend to the right of the panel, where it hides no data."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def name_band(axes: Axes, name: str) -> None:
    """What the bands of all colours show, as one grey entry of the legend."""
    axes.fill_between([], [], color=UNKNOWN_COLOUR, alpha=0.3, lw=0, label=name)

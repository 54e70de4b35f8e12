"""Every figure as words: its lines, colours, limits, words and legends, against those that were looked at.

After a wanted change look at the figure, then write the words anew: `python -m tests.plots.test_pictures`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from mnflow import plots
from mnflow.plots.panels import Line
from mnflow.plots.prediction import fit_figure
from mnflow.plots.valence import Answers
from tests.helpers.spectra import spectra
from tests.plots.test_plots import CLASSES, _clusters, _made_up

LOOKED_AT = Path(__file__).with_name("pictures.txt")


def _numbers(values: Any) -> str:
    """How many, the ends, mean and spread of numbers, and where the mass lies."""
    x = np.ma.filled(np.ma.asarray(values, dtype=float), np.nan).ravel()
    x = x[np.isfinite(x)]
    if not len(x):
        return "none"
    lean = x @ np.linspace(-1, 1, len(x)) / len(x)
    ends = f"{round(x[0], 4) + 0.0:.4g} {round(x[-1], 4) + 0.0:.4g}"
    return f"{len(x)}: {ends} " + " ".join(f"{round(v, 4) + 0.0:.3g}" for v in (x.mean(), x.std(), lean))


def _colours(values: Any) -> str:
    return " ".join(to_hex(c, keep_alpha=True) for c in np.atleast_2d(mpl.colors.to_rgba_array(values))[:6])


def _words(artist: Any) -> str | None:
    """One artist in a line; None for what only frames others."""
    kind = type(artist).__name__
    if isinstance(artist, Axes):
        limits = " ".join(f"{v:.4g}" for v in (*artist.get_xlim(), *artist.get_ylim()))
        ticks = [t.get_text() for a in (artist.xaxis, artist.yaxis) for t in a.get_ticklabels()]
        scales = f"{artist.get_xscale()} {artist.get_yscale()} {artist.get_aspect()}"
        shown = [word for word, there in _parts_of(artist).items() if there]
        looks = " ".join(_ticks(axis) for axis in (artist.xaxis, artist.yaxis))
        return f"axes {limits} {scales} {_place(artist)} {' '.join(shown)} ticks {looks} {'|'.join(ticks)}"
    if isinstance(artist, Line2D):
        if not artist.get_label():  # of a tick or the grid
            return None
        look = (
            artist.get_linestyle(),
            artist.get_marker(),
            f"{artist.get_linewidth():g}",
            f"{artist.get_markersize():g}",
            artist.get_drawstyle(),
            artist.get_zorder(),
            artist.get_alpha(),
        )
        faces = _colours([artist.get_color(), artist.get_markerfacecolor(), artist.get_markeredgecolor()])
        x, y = (
            _numbers(np.asarray(v, dtype=float))
            for v in (artist.get_xdata(orig=False), artist.get_ydata(orig=False))
        )
        return f"{kind} {artist.get_label()} x {x} y {y} {look} {faces}"
    if isinstance(artist, AxesImage):
        colours = artist.get_cmap().name
        extent = _numbers(artist.get_extent())
        bad = _colours(artist.get_cmap().get_bad())
        look = f"{colours} {bad} {artist.get_interpolation()}"
        return f"{kind} {_numbers(artist.get_array())} {artist.get_clim()} {look} {extent}"
    if isinstance(artist, Collection):
        points = np.concatenate([_numbers_of(p) for p in artist.get_paths()] or [np.empty(0)])
        places = _numbers(artist.get_offsets())
        values = artist.get_array()
        shown = "" if values is None else f"{_numbers(values)} {artist.get_cmap().name}"
        faces, edges = (
            _colours(c) if len(c) else "" for c in (artist.get_facecolor(), artist.get_edgecolor())
        )
        look = f"{faces} {edges} {artist.get_alpha()} {artist.get_zorder()}"
        sizes = getattr(artist, "get_sizes", lambda: [])()
        look += "".join(f" {v:g}" for v in (*artist.get_linewidths()[:1], *sizes[:1]))
        return f"{kind} {artist.get_label()} {_numbers(points)} at {places} {shown} {look}"
    if isinstance(artist, Legend):
        anchor = artist._bbox_to_anchor  # None: where `loc` says
        beside = "" if anchor is None else " beside"
        look = f"{artist._ncols} columns {artist.handlelength:g} {artist.get_frame_on()}"
        return f"legend {artist._loc}{beside} {look} {artist.get_title().get_text()}"
    if isinstance(artist, Text):
        text = artist.get_text()
        if not text or not artist.get_visible():
            return None
        place = " ".join(f"{v:.3g}" for v in artist.get_unitless_position())
        place += " ".join(f" {v:.4g}" for v in getattr(artist, "xy", ()))  # what an annotation points at
        clipped = getattr(artist, "get_annotation_clip", lambda: None)()
        look = (
            f"{clipped} {artist.get_fontsize():g} {artist.get_weight()} {artist.get_ha()} {artist.get_va()}"
        )
        box = artist.get_bbox_patch()
        behind = "" if box is None else f"on {_colours(box.get_facecolor())} {box.get_linewidth():g}"
        look += f" {artist.get_rotation():g} {_colours(artist.get_color())} {behind}"
        return f"text {text!r} at {place} {look}"
    if isinstance(artist, Patch) and type(artist).__name__ == "Rectangle" and artist.get_visible():
        x, y, width, height = artist.get_bbox().bounds
        place = f"{x:.3g} {y:.3g} {width:.3g} {height:.3g}"
        edge = (
            f"{_colours(artist.get_edgecolor())} {artist.get_linewidth():g}" if artist.get_linewidth() else ""
        )
        return f"bar {place} {artist.get_label()} {_colours(artist.get_facecolor())} {edge}"
    return None


def _parts_of(axes: Axes) -> dict[str, bool]:
    """What of its frame an axes shows."""
    return {
        "hidden": not axes.get_visible(),
        "off": not axes.axison,
        "x-grid": any(line.get_visible() for line in axes.get_xgridlines()),
        "y-grid": any(line.get_visible() for line in axes.get_ygridlines()),
        **{side: spine.get_visible() for side, spine in axes.spines.items()},
    }


def _place(axes: Axes) -> str:
    """Where it lies: in a grid of panels, or as shares of the figure."""
    spec = axes.get_subplotspec()
    if spec is None:
        return " ".join(f"{v:.3g}" for v in axes.get_position().bounds)
    grid = spec.get_gridspec()
    ratios = [*(grid.get_height_ratios() or []), *(grid.get_width_ratios() or [])]
    margins = grid.get_subplot_params(axes.figure)
    sides = [getattr(margins, side) for side in ("left", "right", "top", "bottom", "hspace", "wspace")]
    shared = [bool(group.joined(axes, other)) for group in _shared(axes) for other in axes.figure.axes[:1]]
    return " ".join(f"{v:g}" for v in (*spec.get_geometry(), *ratios, *np.round(sides, 3), *shared))


def _shared(axes: Axes) -> list[Any]:
    return [axes.get_shared_x_axes(), axes.get_shared_y_axes()]


def _ticks(axis: Any) -> str:
    """On which sides ticks and their labels are, and how they differ from the usual ones."""
    look = axis.get_tick_params()
    sides = [side for side, there in look.items() if there is True and side != "gridOn"]
    return " ".join([*sides, *(f"{key}={v:g}" for key, v in look.items() if not isinstance(v, bool))])


def _numbers_of(path: Any) -> np.ndarray:
    return np.asarray(path.vertices, dtype=float).ravel()


def words(figure: Figure) -> Iterator[str]:
    """A figure in lines of words."""
    layout = type(figure.get_layout_engine()).__name__
    yield f"figure {' '.join(f'{v:g}' for v in figure.get_size_inches())} inches {layout}"
    for artist in figure.findobj():
        line = _words(artist)
        if line is not None:
            yield " ".join(line.split())
    data = plots.figure_data(figure)
    yield f"data {len(data)} {' '.join(map(str, data.index[-1:]))} {' '.join(data.columns)}"
    for (panel, kind, series), part in data.groupby(["panel", "kind", "series"], sort=False):
        numbers = " ".join(_numbers(part[column]) for column in ("x", "y", "value"))
        yield " ".join(f"data {panel} {kind} {series or 'unnamed'} {numbers}".split())


def _answers(shape: tuple[int, ...], **settings: Any) -> Answers:
    rng = np.random.default_rng(1)
    energy_ev = np.linspace(635, 665, 60)
    named = zip(CLASSES, (3, 4, 5), strict=True)
    lines = [Line(energy_ev, rng.random(60), name, f"{name}: {n}") for name, n in named]
    mean = rng.uniform(2, 4, shape)
    return Answers(
        "Mn", CLASSES, (2, 3, 4), rng.random(shape), mean, np.stack([mean - 0.1, mean + 0.2], axis=-1),
        rng.dirichlet([1, 1, 1], shape), rng.random(shape) < 0.2, lines, "two are flagged", **settings,
    )  # fmt: skip


def _more() -> dict[str, Any]:
    """What draws the figures of answers."""
    rng = np.random.default_rng(2)
    x, some = np.linspace(635, 665, 60), spectra(36)
    counts = {"spectra": [10, 20], "Mn2+": [4, 5], "noise": [1, 2]}
    moved = {"moved_ev": [0.1, 0.2], "moved_std_ev": [0.0, 0.1]}
    days = pd.DataFrame(counts | moved, index=pd.to_datetime(["2026-01-01", "2026-01-02"]))
    return {
        "valence_image": lambda: plots.valence_image(_answers((6, 8), pixel=2.0, unit="nm")),
        "valence_image_with_thickness": lambda: plots.valence_image(
            _answers((6, 8), thickness=rng.random((6, 8)))
        ),
        "valence_image_all_flagged": lambda: plots.valence_image(
            replace(_answers((2, 8)), flagged=np.ones((2, 8), dtype=bool), lines=[])
        ),
        "valence_image_of_one_line": lambda: plots.valence_image(_answers((1, 30), pixel=35.0, unit="nm")),
        "shift_curves_of_augmentations": lambda: plots.shift_curves(
            {f"fcn {a}": (x, 0.94 + 0.05 * rng.random((3, 60))) for a in ("none", "1x", "10x")}
        ),
        "valence_profile": lambda: plots.valence_profile(_answers((9,), pixel=1.0, unit="nm"), np.arange(9)),
        "valence_profile_without_unit_or_flags": lambda: plots.valence_profile(
            replace(_answers((9,)), flagged=np.zeros(9, dtype=bool)), 3 * np.arange(9)
        ),
        "spectra_of_one_class": lambda: plots.spectra_per_class(
            some.select(np.flatnonzero(some.valence == 1))
        ),
        "cluster_rounds_in_two_rows": lambda: plots.cluster_rounds(
            [_clusters(f"round {i}") for i in range(4)]
        ),
        "cluster_round": lambda: plots.cluster_rounds([_clusters("alone")]),
        "cluster_rounds_of_nothing": lambda: plots.cluster_rounds([]),
        "kept_maps_of_nothing": lambda: plots.kept_maps({}, ["kept", "substrate"]),
        "kept_map": lambda: plots.kept_maps({"SI": np.arange(6).reshape(2, 3) % 2}, ["substrate", "kept"]),
        "reference_spectra_of_two_classes": lambda: plots.reference_spectra(
            x, rng.random((4, 60)), "abcd", [0, 2, 2, 0], CLASSES
        ),
        "reference_matrix_of_wrong_and_mixed_ones": lambda: plots.reference_matrix(
            rng.dirichlet([1, 1, 1], 5), "abcde", [2, -1, 0, 1, 0], CLASSES
        ),
        "kept_maps_in_two_rows": lambda: plots.kept_maps(
            {f"SI {i}": rng.integers(0, 3, (4, 5)) for i in range(9)}, ["kept", "substrate", "thick"]
        ),
        "embeddings_without_references": lambda: plots.embeddings(
            {"inputs": rng.normal(size=(6, 2))}, [0, 1, 2, 2, -1, -1], {}, [], CLASSES, {"inputs": "0.93"}
        ),
        "parameter_slices_in_two_rows": lambda: plots.parameter_slices(
            {f"filters_{i}": rng.integers(1, 20, 5) for i in range(6)}, rng.random(5)
        ),
        "pareto_front_without_knee": lambda: plots.pareto_front(
            [100, 200, 400, 300], [0.5, 0.8, 0.9, 0.7], [0, 1, 2], None, {}
        ),
        "learning_curves_of_losses": lambda: plots.learning_curves(
            [{"train_loss": np.arange(n), "test_loss": np.ones(n)} for n in (5, 8)]
        ),
        "noise_curves_without_examples": lambda: plots.noise_curves(
            {"fcn": (np.arange(6), rng.random(6)), "dense": (np.arange(6), rng.random(6))}
        ),
        "noise_grid_of_other_nets": lambda: plots.noise_grid(
            {n: {"none": (x, rng.random(60)), "10x": (x, rng.random(60))} for n in ("forest", "fcn", "dense")}
        ),
        "reliability_diagram": lambda: plots.reliability_diagram(
            [0.3, 0.6, 0.9], [0.2, 0.7, 0.9], [5, 10, 50], 0.03
        ),
        "served_counts": lambda: plots.served_counts(days, ["Mn2+"], ["noise"]),
        "served_counts_of_nothing_flagged": lambda: plots.served_counts(days, ["noise"], []),
        "served_counts_of_many_days": lambda: plots.served_counts(
            pd.concat([days] * 20).set_index(pd.date_range("2026-01-01", periods=40)), ["Mn2+"], ["noise"]
        ),
        "fit": lambda: fit_figure(x, rng.random(60), rng.random(60), rng.random((3, 60)), CLASSES, "a fit"),
        "valence_spectrum": lambda: plots.valence_spectrum(
            Line(x, rng.random(60), "Mn2+", "Mn2+ 2.00"),
            (x, rng.random(60), rng.random(60)),
            rng.random(60),
            CLASSES,
        ),
        "valence_spectrum_without_background": lambda: plots.valence_spectrum(
            Line(x, rng.random(60), "", "no sure class"),
            (x, 1e6 * rng.random(60), None),
            np.zeros(60),
            CLASSES,
        ),
    }


def _drawn(name: str) -> str:
    figures = _made_up() | _more()  # anew, so that each draws the same numbers in any order
    return "\n".join([f"== {name}", *words(figures[name]())])


NAMES = [*_made_up(), *_more()]


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_looks_as_it_did_when_it_was_looked_at(name: str) -> None:
    looked_at = {part.partition("\n")[0]: part for part in LOOKED_AT.read_text().split("\n\n")}
    assert _drawn(name).splitlines() == looked_at[f"== {name}"].strip().splitlines()


if __name__ == "__main__":
    LOOKED_AT.write_text("\n\n".join(_drawn(name) for name in NAMES) + "\n")

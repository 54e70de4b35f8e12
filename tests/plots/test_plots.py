"""Figures: what they show can be read off them, and colours can be told apart by everyone."""

import io
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from mnflow import plots
from mnflow.plots import panels, style
from mnflow.plots.prediction import fit_figure
from mnflow.preprocess import crop
from mnflow.preprocess.clusters import Clusters
from mnflow.runtime.project import ROOT
from mnflow.spectra import UNLABELLED
from tests.helpers.spectra import spectra

CLASSES = ("Mn2+", "Mn3+", "Mn4+")
AUGMENTATIONS = ["none", *(f"{k}x" for k in range(1, 11))]


def _text(figure: mpl.figure.Figure) -> str:
    """All words that a figure shows."""
    return "\n".join(t.get_text() for t in figure.findobj(mpl.text.Text))


def _clusters(step: str) -> Clusters:
    """A round of k-means with one kept and one rejected cluster."""
    energy_ev = np.arange(-10.0, 30.0)
    centres = np.stack([0.1 * np.exp(-(energy_ev**2)), np.exp(-(energy_ev**2))]).astype(np.float32)
    jump, sizes, rejected = np.array([0.1, 1.0]), np.array([5, 95]), np.array([True, False])
    return Clusters(step, energy_ev, centres, jump, "edge jump", sizes, rejected)


def shift_curve(width_ev: float, n_folds: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(shift_ev (101,), accuracy (F, 101)) that falls to a third outside `width_ev`."""
    rng = np.random.default_rng(seed)
    shift_ev = np.arange(-50, 51) / 10
    mean = 0.33 + 0.66 / (1 + np.exp((np.abs(shift_ev) - width_ev) * 3))
    return shift_ev, np.clip(mean + rng.normal(0, 0.01, (n_folds, 1)), 0, 1)


def _made_up() -> dict[str, Callable[[], mpl.figure.Figure]]:
    """For every figure what draws it."""
    rng = np.random.default_rng(0)
    some = spectra(36)
    energy_ev = some.energy_ev[200:500]
    truth = np.repeat([0, 1, 2, UNLABELLED], 3)
    points = {space: rng.normal(size=(36, 2)) for space in ("300 inputs", "72 features")}
    references = {space: rng.normal(size=(12, 2)) for space in points}
    laboratories = [f"lab {i}" for i in range(12)]
    blocks = [crop(some)[0][:, None], rng.random((146, 2)), rng.random((70, 4))]
    scale = np.arange(6.0)
    return {
        "spectra_per_class": lambda: plots.spectra_per_class(some),
        "shift_curves": lambda: plots.shift_curves({"dense": shift_curve(1), "fcn": shift_curve(4)}),
        "shift_grid": lambda: plots.shift_grid(
            {n: {a: shift_curve(2) for a in AUGMENTATIONS} for n in ("dense", "fcn")}
        ),
        "noise_grid": lambda: plots.noise_grid(
            {n: {a: (scale, rng.random(6)) for a in AUGMENTATIONS[::-1]} for n in ("dense", "fcn")}
        ),
        "swing_spectrum": lambda: plots.swing_spectrum(
            {f"{n} 10x": (96 / np.arange(1, 49), rng.random((10, 48))) for n in ("fcn", "dense")}
        ),
        "noise_curves": lambda: plots.noise_curves(
            {"fcn": (scale, rng.random((10, 6)))}, (energy_ev, {0: crop(some)[0], 5: crop(some)[1]})
        ),
        "learning_curves": lambda: plots.learning_curves(
            [{"train_loss": np.arange(n), "test_accuracy": np.ones(n)} for n in (5, 8)]
        ),
        "confusion": lambda: plots.confusion(np.diag([448, 765, 788]), CLASSES),
        "reference_matrix": lambda: plots.reference_matrix(
            rng.dirichlet([1, 1, 1], 12), laboratories, truth, CLASSES
        ),
        "reference_spectra": lambda: plots.reference_spectra(
            energy_ev, crop(some)[:12], laboratories, truth, CLASSES
        ),
        "embeddings": lambda: plots.embeddings(points, some.valence, references, truth, CLASSES),
        "activations": lambda: plots.activations({c: blocks for c in CLASSES}, (635.0, 665.0)),
        "cluster_rounds": lambda: plots.cluster_rounds([_clusters("substrate"), _clusters("thick 1")]),
        "kept_maps": lambda: plots.kept_maps(
            {"SI 1": rng.integers(0, 2, (4, 5)), "line": np.zeros(7, int)}, ["kept", "substrate"]
        ),
        "study_history": lambda: plots.study_history(
            range(5), [0.7, 0.8, 0.6, 0.9, 0.85], [False, False, True, False, False]
        ),
        "parameter_importance": lambda: plots.parameter_importance({"dropout": 0.7, "learning_rate": 0.3}),
        "parameter_slices": lambda: plots.parameter_slices(
            {"dropout": rng.random(5), "filters_1": np.arange(5), "learning_rate": 10.0 ** -np.arange(5)},
            rng.random(5),
            ["learning_rate"],
        ),
        "saliency": lambda: plots.saliency(
            energy_ev, crop(some)[:3], np.linspace(0, [0.02, 0.1, 0.3], energy_ev.size).T, CLASSES
        ),
        "pareto_front": lambda: plots.pareto_front(
            [100, 200, 400, 300], [0.5, 0.8, 0.9, 0.7], [0, 1, 2], 1, {"the paper's": (673.0, 0.8)}
        ),
    }


FIGURES = _made_up()


@cache
def _figure(name: str) -> mpl.figure.Figure:
    return FIGURES[name]()


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_written_and_gives_its_numbers(name: str) -> None:
    assert name in plots.__all__
    png = io.BytesIO()
    _figure(name).savefig(png)
    assert png.getvalue().startswith(b"\x89PNG")
    data = plots.figure_data(_figure(name))
    assert len(data)
    assert data[["x", "y"]].notna().all().all()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "spectra_per_class",
            ["Mn2+\n12 spectra", "5th to 95th percentile of the spectra", "energy loss / eV"],
        ),
        ("shift_curves", ["dense", "fcn", "lowest to highest fold", "energy shift / eV", "accuracy"]),
        ("shift_grid", ["dense net", "fully convolutional net", *AUGMENTATIONS]),
        ("swing_spectrum", ["fcn 10x", "period / channels", "amplitude of accuracy"]),
        ("noise_curves", ["noise, times the measured", "0x", "5x"]),
        ("learning_curves", ["epoch", "cross-entropy", "train loss", "test accuracy"]),
        ("confusion", ["448\n100.0%", "predicted", "true"]),
        ("reference_spectra", ["mixed or unknown", "lab 11"]),
        ("embeddings", ["300 inputs", "72 features", "mixed reference"]),
        ("activations", ["input", "block 2", "energy loss / eV"]),
        ("cluster_rounds", ["substrate: edge jump", "0.10, 5 pixels, rejected", "1.00, 95 pixels, kept"]),
        ("kept_maps", ["kept", "substrate", "SI 1"]),
        (
            "saliency",
            ["Mn2+: the probability changes by 2.0% at most", "Mn4+: the probability changes by 30.0%"],
        ),
    ],
)
def test_a_figure_says_what_it_shows(name: str, words: list[str]) -> None:
    text = _text(_figure(name))
    assert [w for w in words if w not in text] == []


def test_figure_data_holds_the_mean_over_folds() -> None:
    shift_ev, accuracy = shift_curve(2)
    data = plots.figure_data(plots.shift_curves({"fcn": (shift_ev, accuracy)}))
    assert set(data["series"]) == {"fcn"}
    np.testing.assert_allclose(data["x"], shift_ev)
    np.testing.assert_allclose(data["y"], accuracy.mean(axis=0))


def test_figure_data_is_what_the_panels_show() -> None:
    figure = mpl.figure.Figure()
    left, right, hidden = figure.subplots(1, 3)
    left.set_title("at the left", loc="left")
    left.set_title("in the middle")
    left.plot([1, 2], [3, 4], label="a line")
    left.plot([5], [6])
    left.scatter([7, 8], np.ma.masked_invalid([9, np.nan]), label="dots")
    left.fill_between([0, 1], [0, 1], label="a band")
    right.imshow(np.zeros((2, 3, 3)))  # mixed colours
    right.imshow(np.ma.masked_equal([[1.0, 2.0, 3.0], [4.0, -1.0, 6.0]], -1))
    hidden.plot([1], [1])
    hidden.set_visible(False)
    data = plots.figure_data(figure)
    nan = np.nan
    rows = [
        ("at the left", "line", "a line", 1, 3, nan), ("at the left", "line", "a line", 2, 4, nan),
        ("at the left", "line", "", 5, 6, nan),
        ("at the left", "points", "dots", 7, 9, nan), ("at the left", "points", "dots", nan, nan, nan),
        *(("panel 2", "image", "", x, y, v) for x, y, v in
          ((0, 0, 1), (1, 0, 2), (2, 0, 3), (0, 1, 4), (1, 1, nan), (2, 1, 6))),
    ]  # fmt: skip
    assert list(data.columns) == ["panel", "kind", "series", "x", "y", "value"]
    assert data.index.tolist() == list(range(len(rows)))
    for found, row in zip(data.itertuples(index=False), rows, strict=True):
        assert tuple(found[:3]) == row[:3]
        np.testing.assert_array_equal(np.array(found[3:], dtype=float), np.array(row[3:], dtype=float))
    left.set_title("", loc="left")
    assert plots.figure_data(figure)["panel"][0] == "in the middle"
    nothing = plots.figure_data(mpl.figure.Figure())
    assert (len(nothing), list(nothing.columns)) == (0, list(data.columns))


def test_a_wrong_reference_is_marked_and_a_mixed_one_is_not() -> None:
    p = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.5, 0.5, 0.0]])
    axes = plots.reference_matrix(p, ["right", "wrong", "mixed"], [0, 2, UNLABELLED], CLASSES).axes[0]
    assert len(axes.patches) == 2
    assert [label.get_color() for label in axes.get_yticklabels()] == ["black", "#D55E00", "black"]


def test_a_confusion_is_shaded_by_the_share_of_its_row() -> None:
    axes = plots.confusion(np.array([[8, 2, 0], [0, 0, 0], [1, 1, 2]]), CLASSES).axes[0]
    (image,) = axes.images
    np.testing.assert_allclose(image.get_array(), [[0.8, 0.2, 0], [0, 0, 0], [0.25, 0.25, 0.5]])
    assert image.get_clim() == (0, 1)
    assert image.get_cmap().name == "Blues"
    texts = {t.get_text(): t.get_color() for t in axes.texts}
    assert (texts["8\n80.0%"], texts["2\n20.0%"], texts["2\n50.0%"]) == ("white", "black", "black")
    assert not any(spine.get_visible() for spine in axes.spines.values())
    assert [t.get_text() for t in axes.get_xticklabels()] == list(CLASSES)
    assert [t.get_text() for t in axes.get_yticklabels()] == list(CLASSES)
    assert [t.tick1line.get_markersize() for t in axes.xaxis.majorTicks] == [0, 0, 0]
    assert axes.get_aspect() == 1
    assert not any(line.get_visible() for line in axes.get_xgridlines() + axes.get_ygridlines())
    assert plots.confusion(np.ones((3, 3)), CLASSES).axes[0].images[0].get_clim() == (0, 1)
    assert plots.reference_matrix(np.eye(3), "abc", range(3), CLASSES).axes[0].get_aspect() == "auto"


def test_activations_have_one_scale_in_all_valences() -> None:
    line = np.linspace(-1, 2, 7)[:, None]
    blocks = {name: [line * (1 + k), np.full((5, 2), k), np.zeros((3, 4))] for k, name in enumerate(CLASSES)}
    figure = plots.activations(blocks, (635.0, 665.0))
    rows = np.reshape(figure.axes, (3, 3))
    for column, axes in enumerate(rows[0]):
        (curve,) = axes.lines
        np.testing.assert_allclose(curve.get_xdata(), np.linspace(635, 665, 7))
        np.testing.assert_allclose(curve.get_ydata(), line[:, 0] * (1 + column))
        assert curve.get_color() == style.valence_colours(CLASSES)[column]
        assert axes.get_ylim() == (-3, 6)
        (image,) = rows[1, column].images
        np.testing.assert_array_equal(image.get_array(), np.full((2, 5), column))
        assert image.get_clim() == (0, 2)
        assert rows[1, column].get_aspect() == "auto"
        assert image.get_extent() == [635, 665, 2, 0]
        assert (image.get_cmap().name, image.get_interpolation()) == ("cividis", "nearest")
        low, high = rows[2, column].images[0].get_clim()
        assert low == 0 < high < 1e-6, "a block that is silent everywhere"


def test_kept_pixels_are_dark_and_every_reason_has_its_colour() -> None:
    names = ["substrate", "kept", "thick", "saturated", "empty", "spare", "bad", "other"]
    figure = plots.kept_maps({"SI 1": np.arange(8).reshape(2, 4)}, names)
    image = figure.axes[0].images[0]
    shown = [mpl.colors.to_hex(c) for c in image.to_rgba(image.get_array()).reshape(-1, 4)]
    assert len(set(shown)) == len(names)
    lightness = [mpl.colors.rgb_to_hsv(mpl.colors.to_rgb(c))[2] for c in shown]
    assert min(lightness) == lightness[1]
    patches = {
        t.get_text(): p for t, p in zip(figure.legends[0].texts, figure.legends[0].get_patches(), strict=True)
    }
    assert [mpl.colors.to_hex(patches[n].get_facecolor()) for n in names] == shown


def test_nets_keep_their_colours_and_augmentations_grow_darker() -> None:
    nets = [style.NET_STYLES[net] for net in ("fcn", "dense")]
    assert style.series_styles(["fcn 10x", "dense 1x"]) == nets
    grown = style.series_styles(AUGMENTATIONS)
    shades = [mpl.colors.rgb_to_hsv(mpl.colors.to_rgb(colour))[2] for colour, _ in grown]
    assert shades[0] > shades[-1] + 0.3
    assert len({colour for colour, _ in style.series_styles(["fcn none", "fcn 1x"])}) == 2


# Linear RGB as protanopes and deuteranopes see it: Machado, Oliveira & Fernandes 2009,
# https://doi.org/10.1109/TVCG.2009.113
_PROTAN = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
_DEUTAN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]


@pytest.mark.parametrize("matrix", [np.eye(3), _PROTAN, _DEUTAN], ids=["trichromat", "protan", "deutan"])
def test_valences_and_nets_are_told_apart_with_any_colour_vision(matrix: list[list[float]]) -> None:
    for colours in (style.valence_colours(CLASSES), [colour for colour, _ in style.NET_STYLES.values()]):
        seen = np.array([mpl.colors.to_rgb(c) for c in colours]) ** 2.2 @ np.array(matrix).T
        srgb = np.clip(seen, 0, 1) ** (1 / 2.2)
        gaps = np.linalg.norm(srgb[:, None] - srgb[None], axis=2)[np.triu_indices(len(colours), 1)]
        assert gaps.min() > 0.2


def test_a_styled_function_draws_its_arguments_in_the_projects_style() -> None:
    before = dict(mpl.rcParams)
    seen: list[Any] = []

    @style.styled
    def drawn(size: float, *, fails: bool = False) -> mpl.figure.Figure:
        """What it draws."""
        seen.append((mpl.rcParams["axes.spines.top"], mpl.rcParams["font.size"], mpl.rcParams["text.usetex"]))
        if fails:
            raise KeyError
        return style.new_figure(size)

    assert drawn(2.0).get_size_inches().tolist() == [style.WIDTH_IN, 2.0]
    with pytest.raises(KeyError):
        drawn(2.0, fails=True)
    assert seen == [(False, 9.0, False)] * 2
    assert dict(mpl.rcParams) == before
    assert (drawn.__name__, drawn.__doc__) == ("drawn", "What it draws.")


def test_plotting_leaves_matplotlib_settings_alone() -> None:
    before = dict(mpl.rcParams)
    plots.confusion(np.eye(3), CLASSES)
    assert dict(mpl.rcParams) == before


@pytest.mark.slow
def test_a_users_usetex_and_a_notebooks_backend_need_not_be_there(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("text.usetex: true\nsavefig.transparent: true\n")
    code = (
        "from dataclasses import dataclass\n"
        "from mnflow.runtime.cli import execute\n"
        "@dataclass\nclass Options:\n    'x'\n"
        "def run(options):\n"
        "    import numpy as np\n"
        "    from mnflow import plots\n"
        "    import matplotlib.pyplot\n"
        "    plots.confusion(np.eye(3), ['a', 'b', 'c']).savefig('x.png')\n"
        "run.__module__ = 'entrypoints.x'\n"
        "execute(Options, run, [])\n"
    )
    command = [sys.executable, "-c", code]
    env = {"PYTHONPATH": str(ROOT), "PATH": "", "MPLBACKEND": "module://no_such.backend"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.png").stat().st_size > 1000


def test_augmentations_stand_in_the_order_of_their_crops() -> None:
    legend = _figure("noise_grid").legends[0]
    assert [text.get_text() for text in legend.get_texts()] == AUGMENTATIONS


def test_fit_figure_shows_present_classes_and_what_is_left() -> None:
    x = np.linspace(635, 660, 50)
    parts = np.array([np.exp(-((x - 645) ** 2)), np.zeros(50)])
    figure = fit_figure(x, parts[0] + 0.1, parts[0], parts, ("Mn2+", "Mn3+"), "title")
    axes, below = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["Mn2+", "measured", "fitted"]
    np.testing.assert_allclose(below.lines[1].get_ydata(), 0.1)
    assert below.get_ylabel() == "residual"
    assert len(below.get_yticks()) > 1


def test_curves_of_one_net_grow_darker_and_others_differ_in_their_dashes() -> None:
    one_net = style.series_styles(["fcn none", "fcn 1x", "fcn 10x"])
    assert [dashes for _, dashes in one_net] == ["-", "-", "-"]
    lightness = [sum(mpl.colors.to_rgb(colour)) for colour, _ in one_net]
    assert lightness == sorted(lightness, reverse=True)
    mixed = style.series_styles(["fcn none", "fcn 1x", "dense 1x", "dense 10x", "forest"])
    assert len({dashes for _, dashes in mixed}) == 4
    nets = [style.NET_STYLES[net] for net in ("fcn", "dense")]
    assert style.series_styles(["fcn 1x", "dense 10x"]) == nets
    assert style.series_styles([""])[0][1] == "-"


def test_few_colours_begin_darker_than_many() -> None:
    """The lightest of many is too light for a line of its own."""
    shades = mpl.colormaps["viridis_r"]
    for n, first in ((1, 0.35), (2, 0.35), (5, 0.35), (6, 0.08), (11, 0.08)):
        colours = style.sequence_colours(n)
        assert len(set(colours)) == n
        assert colours[-1] == mpl.colors.to_hex(shades(1.0))
        assert n == 1 or colours[0] == mpl.colors.to_hex(shades(first))


@pytest.mark.parametrize(
    ("values", "bottom"),
    [([0.93, 1.0], 0.9), ([0.92], 0.5), ([0.53, 0.99], 0.5), ([0.52, 0.99], 0.0), ([0.1], 0.0), ([], 0.0)],
)
def test_an_axis_of_accuracies_shows_where_they_differ(values: list[float], bottom: float) -> None:
    axes = style.new_figure(2.0).subplots()
    style.accuracy_axis(axes, values)
    assert axes.get_ylim() == pytest.approx((bottom, 1 + 0.03 * (1 - bottom)))
    assert axes.get_ylabel() == "accuracy"
    assert axes.yaxis.get_major_formatter()(0.954) == "95%"


@pytest.mark.parametrize(
    ("largest", "words"),
    [
        (2.5e6, (2.5, "counts / 10$^{6}$")), (9.9e3, (9.9e3, "counts")), (1e4, (10.0, "counts / 10$^{3}$")),
        (0.05, (50.0, "counts / 10$^{-3}$")), (0.1, (0.1, "counts")), (0.0, (0.0, "counts")),
    ],
)  # fmt: skip
def test_counts_are_scaled_by_thousands(largest: float, words: tuple[float, str]) -> None:
    values, label = panels.scaled_counts([0.0, largest])
    assert (float(values[1]), label) == (pytest.approx(words[0]), words[1])

"""Draws the figures of docs/simulation.md anew, and prints its table of shapes as JSON lines.

`MNFLOW_REAL_DATA=FOLDER python -m benchmarks.figures [--out docs/figures]`
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter1d

from benchmarks.sim_to_real import THICK, simulated
from mnflow.augment.degrade import degrade
from mnflow.plots.panels import energy_axis, to_unit
from mnflow.plots.style import UNKNOWN_COLOUR, legend_beside, new_figure, styled, valence_colours
from mnflow.preprocess import crop
from mnflow.read import read_file
from mnflow.references import read_references
from mnflow.spectra import MN, SpectrumSet
from mnflow.spectra.arrays import Array, Floats, Floats32

PRE_EDGE = slice(60, 190)  # 621 ... 634 eV
EXAMPLES = 6
LEVELS = (0.2, 0.5, 1, 2, 5)


@styled
def edges(spectra: SpectrumSet, measured: dict[str, list[Array]]) -> Figure:
    """Simulated spectra by class, thin and made thick, over the measured ones (crops, in grey)."""
    figure = new_figure(5.6)
    rng = np.random.default_rng(0)
    for axes, i in zip(figure.subplots(1, 3, sharey=True), range(3), strict=True):
        mine = spectra.select(rng.choice(np.flatnonzero(spectra.valence == i), EXAMPLES))
        thick = SpectrumSet(
            mine.energy_ev, degrade(mine.intensity, 0.1, rng, THICK), mine.valence, mine.group
        )
        lines = [(c, UNKNOWN_COLOUR, "measured") for c in measured[MN.classes[i]]]
        lines += [(c, valence_colours(MN.classes)[i], "simulated") for c in crop(mine)]
        lines += [(c, valence_colours(MN.classes)[i], "simulated, thick") for c in crop(thick)[:2]]
        _stack(axes, lines)
        axes.set_title(MN.classes[i])
    return figure


def _stack(axes: Axes, lines: list[tuple[Array, str, str]]) -> None:
    """Lines one above the other, the first lowest, each aligned at its maximum."""
    energy_ev = MN.crop_axis_ev
    for row, (line, colour, text) in enumerate(lines):
        axes.plot(energy_ev - energy_ev[line.argmax()], to_unit(line) + 0.8 * row, color=colour, lw=0.9)
        axes.text(-6.8, 0.8 * row + 0.2, text, fontsize=5.5, color=colour)
    axes.set_xlim(-7, 18)
    energy_axis(axes)
    axes.set_xlabel("energy from the L3 maximum / eV")


@styled
def noise(real: Floats32, made: Floats32) -> Figure:
    """Level and correlation of the pre-edge noise of MnO spectra (N, C), measured and simulated."""
    figure = new_figure(2.8)
    left, right = figure.subplots(1, 2)
    for name, intensity, colour in (
        ("measured", real, UNKNOWN_COLOUR),
        ("simulated", made, valence_colours(MN.classes)[0]),
    ):
        level, lags = noise_level(intensity), noise_lags(intensity)
        left.plot(
            100 * np.sort(level), np.linspace(0, 1, len(level)), color=colour, label=f"{name} ({len(level)})"
        )
        right.plot(range(len(lags)), lags, "o-", ms=3, color=colour, label=name)
    left.set(
        xscale="log",
        xticks=LEVELS,
        xticklabels=LEVELS,
        xlabel="noise / % of the L3 maximum",
        ylabel="share of spectra",
    )
    left.minorticks_off()
    right.set(xlabel="lag / channels", ylabel="correlation")
    legend_beside(right)
    return figure


def pre_edge_noise(intensity: Floats32) -> Floats:
    """Spectra (N, C) before their edge without a parabola, (N, 130)."""
    pre = np.asarray(intensity[:, PRE_EDGE], dtype=np.float64)
    channel = np.linspace(-1, 1, pre.shape[1])
    return pre - np.polynomial.polynomial.polyval(
        channel, np.polynomial.polynomial.polyfit(channel, pre.T, 2)
    )


def noise_level(intensity: Floats32) -> Floats:
    """Noise before the edge of wide spectra (N, C) as a share of their maximum, (N,)."""
    return np.diff(pre_edge_noise(intensity), axis=1).std(axis=1) / np.sqrt(2) / intensity.max(axis=1)


def noise_lags(intensity: Floats32, n: int = 7) -> list[float]:
    """Autocorrelation of the noise before the edge at lags 0 ... n - 1, median over spectra (N, C)."""
    rest = pre_edge_noise(intensity)
    power, length = (rest**2).mean(axis=1), rest.shape[1]
    return [float(np.median((rest[:, k:] * rest[:, : length - k]).mean(axis=1) / power)) for k in range(n)]


def calm(intensity: Floats32) -> Floats32:
    """Those of the wide spectra (N, C) whose noise before the edge is below 1 % of their maximum."""
    return intensity[pre_edge_noise(intensity).std(axis=1) < 0.01 * intensity.max(axis=1)]


def shapes(crops: Array, smooth_bins: float) -> dict[str, list[float]]:
    """Quantiles 0.1, 0.5, 0.9 of the white lines of crops (N, n_crop): heights relative to L3, eV."""
    step, rows = MN.dispersion_ev, []
    for s in gaussian_filter1d(crops, smooth_bins, axis=1):
        l3 = int(s[: MN.n_crop * 2 // 3].argmax())
        s = (s - s[: max(l3 - 60, 5)].mean()) / (s[l3] - s[: max(l3 - 60, 5)].mean())
        l2 = l3 + 90 + int(s[l3 + 90 : l3 + 140].argmax())
        wide = np.flatnonzero(s[max(l3 - 60, 0) : l3 + 70] > 0.5)
        rows.append((np.ptp(wide) * step, (l2 - l3) * step, s[l2], s[l3:l2].min()))
    found = np.quantile(rows, [0.1, 0.5, 0.9], axis=0).T.round(2).tolist()
    return dict(zip(("L3 FWHM", "L2 - L3", "height of L2", "lowest between"), found, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    out, data = parser.parse_args().out, Path(os.environ["MNFLOW_REAL_DATA"])
    spectra = simulated(seed=1)
    mno = np.asarray(read_file(next((data / "published").glob("*.pkl")), "Mn2+", "MnO", MN).counts)
    digitized = read_references(data / "digitized", MN).spectra
    measured = {name: list(digitized.intensity[digitized.valence == i]) for i, name in enumerate(MN.classes)}
    measured["Mn2+"] = list(calm(mno)[:, MN.crop_start : MN.crop_start + MN.n_crop])
    for i, name in enumerate(MN.classes):
        mine = calm(spectra.intensity[spectra.valence == i])[:, MN.crop_start : MN.crop_start + MN.n_crop]
        print(json.dumps({"simulated": name, "spectra": len(mine), **shapes(mine, 2)}))
        print(
            json.dumps(
                {"measured": name, "spectra": len(measured[name]), **shapes(np.array(measured[name]), 1)}
            )
        )
    measured["Mn2+"] = measured["Mn2+"][::150][:2]
    edges(spectra, measured).savefig(out / "simulated_edges.png")
    noise(mno, spectra.intensity[spectra.valence == 0]).savefig(out / "simulated_noise.png")


if __name__ == "__main__":
    main()

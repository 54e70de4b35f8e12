"""How many answers are wrong without a flag after a spike, a step of the detector's gain, or saturation.

`python -m benchmarks.detector_faults [--mixtures 400] [--seed 0]`: spectra of materials set aside on a power
law of 0.5 to 4 times the edge's height, at 0.3 to 2 % noise, each with one fault at a random place within the
window; for spikes also an image in which each of them is a grain of three by three pixels of different
thickness, background and (by up to 0.05 eV) energy, with a spike in one of them; and plateaus that ripple by
0.5 % of what was counted. Prints JSON lines: the shares repaired, flagged, and moved by more than 0.2 and
0.35 without a flag.
"""

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.measure import emit
from mnflow.fit.mixture_errors import QUIET, draw_and_read
from mnflow.fit.mixtures import Conditions
from mnflow.preprocess.crops import normalise
from mnflow.preprocess.detector.spikes import without_spikes_of_scan
from mnflow.preprocess.locate import MIN_CONTRAST
from mnflow.preprocess.window import place_windows
from mnflow.serve.answer import FLAGS, flagged
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import pretrained
from mnflow.simulate.settings import settings_of
from mnflow.spectra.arrays import Array, Bools, Ints
from mnflow.spectra.axis import axis_ev

CONDITIONS = Conditions(x_ray=0.0, spikes=0.0, short=0.0)
HEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 2.0, 3.0, 5.0, 20.0)
"""Of a spike, in peaks."""

STEPS_FROM_L3_EV = ((-20, -12), (-12, -6), (-6, -3), (-3, -1), (-1, 1), (1, 4), (4, 8), (8, 13), (13, 17))
GAINS = (0.9, 0.97, 1.03, 1.1)
CUT_OFF, RIPPLE = (0.5, 0.7, 0.85), 0.005
"""Where a detector saturates, in peaks above the background, and how much its plateau ripples."""

KINDS = {"width": "spike", "from_l3_ev": "step", "cut_off": "plateau"}
"""By the first of the facts that are measured."""

ENERGY_EV = axis_ev(600.0, 900, 0.1)
_COUNTED = FLAGS.index("interval_unreliable")  # flags before it keep a pixel out of means


def wide_edges(predictor: Predictor, rng: np.random.Generator, n: int) -> tuple[Array, Array, Array, Array]:
    """Edges (n, C) of materials set aside on `ENERGY_EV`, free of background and noise, with a maximum of 1.

    Also where each L3 lies (n,), how much noise each is to get (n, 1), and its true mean valence (n,).
    """
    axis = predictor.edge.crop_axis_ev
    drawn = draw_and_read(predictor, settings_of("Mn"), rng, n, False, QUIET, CONDITIONS)
    edges = drawn.mixtures.crops - drawn.mixtures.crops[:, :10].mean(axis=1, keepdims=True)
    edges /= edges.max(axis=1, keepdims=True)
    wide = np.stack([np.interp(ENERGY_EV, axis, edge) for edge in edges])
    noise = np.exp(rng.uniform(np.log(0.003), np.log(0.02), (n, 1)))
    return wide, axis[edges.argmax(axis=1)], noise, drawn.truth


def read(predictor: Predictor, spectra: Array) -> tuple[Array, Bools, float, float]:
    """Mean valence and flags (N,), and the shares with a spike and with a step of gain that were repaired."""
    placed = place_windows(ENERGY_EV, spectra, predictor.edge)
    outcome = predictor(normalise(placed.intensity))
    seen = np.array([p.contrast >= MIN_CONTRAST for p in placed.positions])
    flags = flagged(outcome, placed.faults == 3, seen)[:, :_COUNTED].any(axis=1)
    steps = float(np.mean([step is not None for step in placed.gain_steps]))
    return outcome.reading.mean_valence, np.asarray(flags), float((placed.spikes > 0).mean()), steps


@dataclass(frozen=True)
class Grains:
    """An image whose grains are three by three pixels of one spectrum each.

    Attributes
    ----------
    counts : ndarray, shape (9 n, C)
        Line by line, of `columns` pixels.
    columns : int
    hit : ndarray of int, shape (n,)
        A random pixel of every grain.
    thickness : ndarray, shape (9 n, 1)
        What the edge was multiplied by.
    """

    counts: Array
    columns: int
    hit: Ints
    thickness: Array

    @classmethod
    def of(cls, edges: Array, noise: Array, rng: np.random.Generator) -> "Grains":
        """Of free edges (n, C), with noise (n, 1): as many whole grains as make a square."""
        side = int(np.sqrt(len(edges)))
        row, column = np.divmod(np.arange(9 * side**2), 3 * side)
        grain = row // 3 * side + column // 3
        first, n = np.arange(side**2) // side * 9 * side + np.arange(side**2) % side * 3, len(grain)
        hit = first + rng.integers(0, 3, side**2) * 3 * side + rng.integers(0, 3, side**2)
        thickness, drift_ev = rng.uniform(0.7, 1.3, (n, 1)), rng.uniform(-0.05, 0.05, n)
        moved = np.stack(
            [np.interp(ENERGY_EV - d, ENERGY_EV, edges[g]) for d, g in zip(drift_ev, grain, strict=True)]
        )
        height = rng.uniform(0.5, 4, (len(edges), 1))[grain] * rng.uniform(0.9, 1.1, (n, 1))
        counts = moved + height * (ENERGY_EV / 642) ** -rng.uniform(2.5, 3.5, (n, 1))
        counts += noise[grain] * rng.standard_normal(counts.shape)
        return cls(thickness * counts, 3 * side, hit, thickness)

    def mended(self, counts: Array) -> tuple[Array, Ints]:
        """The hit pixels of counts (9 n, C) without spikes, and how many each had."""
        mended, spikes = without_spikes_of_scan(ENERGY_EV, counts, self.columns, slice(0, len(counts)))
        return mended[self.hit], spikes[self.hit]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixtures", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    predictor, n = pretrained("Mn"), options.mixtures
    rng = np.random.default_rng([options.seed, 6])
    wide, l3_ev, noise, _ = wide_edges(predictor, rng, n)
    background = rng.uniform(0.5, 4, (n, 1)) * (ENERGY_EV / 642) ** -3.0
    clean = wide + background
    clean += noise * rng.standard_normal(wide.shape)
    before, flags, spikes, steps = read(predictor, clean)
    emit("detector_faults/clean", flagged=float(flags.mean()), spikes=spikes, steps=steps)

    def measure(spectra: Array, before: Array, **facts: Any) -> None:
        after, flags, spikes, steps = read(predictor, spectra)
        moved = np.where(flags, 0.0, np.abs(after - before))
        emit(
            f"detector_faults/{KINDS[next(iter(facts))]}",
            **facts, spikes=spikes, steps=steps,
            flagged=float(flags.mean()), moved_by_0_2=float((moved > 0.2).mean()),
            moved_by_0_35=float((moved > 0.35).mean()),
        )  # fmt: skip

    grains = Grains.of(wide, noise, rng)
    hit, m = grains.hit, len(grains.hit)
    unspoilt, spikes_of_clean = grains.mended(grains.counts)
    before_in_image = read(predictor, unspoilt)[0]
    emit("detector_faults/clean_image", spikes=float((spikes_of_clean > 0).mean()))
    for width in (1, 2, 3):
        for height in HEIGHTS:
            spoilt, image = clean.copy(), grains.counts.copy()
            first = np.searchsorted(ENERGY_EV, l3_ev + rng.uniform(-12, 17, n))
            for i in range(width):
                more = height * rng.uniform(0.3, 1, n)
                spoilt[np.arange(n), first + i] += more
                image[hit, first[:m] + i] += more[:m] * grains.thickness[hit, 0]
            measure(spoilt, before, width=width, height=height)
            mended, found = grains.mended(image)
            measure(mended, before_in_image, width=width, height=height, in_image=float((found > 0).mean()))
    for low, high in STEPS_FROM_L3_EV:
        behind = l3_ev[:, None] + rng.uniform(low, high, (n, 1)) <= ENERGY_EV
        for gain in GAINS:
            measure(np.where(behind, gain * clean, clean), before, from_l3_ev=(low, high), gain=gain)
    for cut_off in CUT_OFF:
        top = cut_off + background[np.arange(n), np.searchsorted(ENERGY_EV, l3_ev)][:, None]
        rippled = top * (1 + RIPPLE * rng.uniform(-1, 1, clean.shape))
        measure(np.minimum(clean, rippled), before, cut_off=cut_off)


if __name__ == "__main__":
    main()

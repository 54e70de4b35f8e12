"""Preprocessing of a 256 x 256 spectrum image beside the HyperSpy calls that do the same.

Run it with `OMP_NUM_THREADS=1 python -m benchmarks.preprocessing [--side 256] [--repeats 3]`; it prints JSON lines. Times
are processor seconds of this process, medians of the repeats, so that other work on the machine counts little.

Ours: find the edge, resample in eV, fit and subtract the background by least squares. HyperSpy's: crop,
remove_background, interpolate_on_axis; once with its estimate (fast=True), which is no least-squares fit, and once with
its least squares (fast=False), timed on one row.
"""

import argparse
import json
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnflow.preprocess import axis_ev
from mnflow.preprocess.scan import Processor, scan
from mnflow.read import RawSpectra
from mnflow.valence import MN

ENERGY_EV = axis_ev(500.03, 2048, 0.1)


def image(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Counts (side, side, C): background, white lines, noise."""
    lines = np.exp(-0.5 * ((ENERGY_EV - 643) / 0.8) ** 2) + 0.5 * np.exp(-0.5 * ((ENERGY_EV - 654) / 1.0) ** 2)
    mean = (5000 * (ENERGY_EV / 640) ** -3.0 + 2000 * lines + 200 / (1 + np.exp(645 - ENERGY_EV))).astype(np.float32)
    noise = rng.standard_normal((side, side, len(mean)), dtype=np.float32)
    return np.asarray(mean + np.sqrt(mean) * noise, dtype=np.float32)


def _raw(counts: NDArray[np.float32]) -> RawSpectra:
    return RawSpectra(ENERGY_EV, counts.reshape(-1, counts.shape[-1]), counts.shape[:-1], "Mn2+", "image", Path("image"))


def ours(counts: NDArray[np.float32]) -> None:
    """Find the edge, resample, fit and subtract the background by least squares."""
    raw = _raw(counts)
    processor = Processor(raw, MN)
    out = np.empty((len(raw), MN.n_wide), dtype=np.float32)
    for rows, block in processor.blocks():
        out[rows] = processor(processor.resample(block))


def whole_pass(counts: NDArray[np.float32]) -> None:
    """One pass of `preprocess`: the same, with bad pixels rejected and what clusters are made of."""
    scan(Processor(_raw(counts), MN), 0.0, keep_wide=True)


def hyperspy(counts: NDArray[np.float32], fast: bool) -> None:
    """The same spectra with HyperSpy's own methods."""
    from exspy.signals import EELSSpectrum
    from hyperspy.axes import UniformDataAxis

    signal = EELSSpectrum(counts)
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = ENERGY_EV[0], 0.1, "eV"
    signal = signal.isig[614.0:686.0]
    free = signal.remove_background(signal_range=(632.0, 637.0), fast=fast, show_progressbar=False)
    free.interpolate_on_axis(UniformDataAxis(size=MN.n_wide, scale=0.1, offset=MN.wide_ev[0]), axis=-1, inplace=False)


def seconds(run: Callable[[], None], repeats: int) -> float:
    """Median processor time of some runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return statistics.median(times)


def measure(side: int = 256, repeats: int = 3) -> list[dict[str, object]]:
    """Rows with name, processor seconds and ratio to ours."""
    counts = image(side, np.random.default_rng(0))
    few = counts[:1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        hyperspy(few[:1, :2], fast=True)  # its imports
        own = seconds(lambda: ours(counts), repeats)
        whole = seconds(lambda: whole_pass(counts), repeats)
        estimate = seconds(lambda: hyperspy(counts, fast=True), repeats)
        squares = seconds(lambda: hyperspy(few, fast=False), 1) * side / len(few)
        logging.disable(logging.NOTSET)
    what = f"preprocessing {side} x {side} spectra"
    return [
        {"name": what, "seconds": own, "ratio": 1.0},
        {"name": f"{what}, with bad pixels and features", "seconds": whole, "ratio": whole / own},
        {"name": f"{what}, HyperSpy with its estimate", "seconds": estimate, "ratio": estimate / own},
        {"name": f"{what}, HyperSpy with least squares (extrapolated)", "seconds": squares, "ratio": squares / own},
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for row in measure(options.side, options.repeats):
        print(json.dumps(row))

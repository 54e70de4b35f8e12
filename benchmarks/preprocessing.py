"""Preprocessing of a 256 x 256 spectrum image compared with the HyperSpy calls that do the same.

Run it with `OMP_NUM_THREADS=1 python -m benchmarks.preprocessing [--side 256] [--repeats 3] [--gigabytes 4]`;
it prints JSON lines. Times are processor seconds of this process, medians of the repeats, so that other work
on the machine counts little. With `--gigabytes`, a spectrum image of that size is written to a temporary file
and preprocessed, for the peak of memory.

Ours: find the edge, resample in eV, fit and subtract the background by least squares. HyperSpy's: crop,
remove_background, interpolate_on_axis; once with its estimate (fast=True), which is no least-squares fit, and
once with its least squares (fast=False), timed on one row.
"""

import argparse
import logging
import resource
import tempfile
import warnings
from pathlib import Path

import numpy as np

from benchmarks.measure import emit, machine, median_seconds
from mnflow.preprocess.pipeline import preprocess
from mnflow.preprocess.scan import Processor, scan
from mnflow.read import read_file
from mnflow.simulate.write import write_hspy
from mnflow.spectra import MN, RawSpectra
from mnflow.spectra.arrays import Floats32
from mnflow.spectra.axis import axis_ev

ENERGY_EV = axis_ev(500.03, 2048, 0.1)


def image(side: int, rng: np.random.Generator) -> Floats32:
    """Counts (side, side, C): background, white lines, noise."""
    lines = np.exp(-0.5 * ((ENERGY_EV - 643) / 0.8) ** 2) + 0.5 * np.exp(
        -0.5 * ((ENERGY_EV - 654) / 1.0) ** 2
    )
    mean = (5000 * (ENERGY_EV / 640) ** -3.0 + 2000 * lines + 200 / (1 + np.exp(645 - ENERGY_EV))).astype(
        np.float32
    )
    noise = rng.standard_normal((side, side, len(mean)), dtype=np.float32)
    return np.asarray(mean + np.sqrt(mean) * noise, dtype=np.float32)


def _raw(counts: Floats32) -> RawSpectra:
    return RawSpectra(
        ENERGY_EV, counts.reshape(-1, counts.shape[-1]), counts.shape[:-1], "Mn2+", "image", Path("image")
    )


def ours(counts: Floats32) -> None:
    """Find the edge, resample, fit and subtract the background by least squares."""
    raw = _raw(counts)
    processor = Processor(raw, MN)
    out = np.empty((len(raw), MN.n_wide), dtype=np.float32)
    for rows, block in processor.blocks():
        out[rows] = processor(processor.resample(block))


def whole_pass(counts: Floats32) -> None:
    """One pass of `preprocess`: the same, with bad pixels rejected and what clusters are made of."""
    scan(Processor(_raw(counts), MN), 0.0, keep_wide=True)


def hyperspy(counts: Floats32, fast: bool) -> None:
    """The same spectra with HyperSpy's own methods."""
    from exspy.signals import EELSSpectrum
    from hyperspy.axes import UniformDataAxis

    signal = EELSSpectrum(counts)
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = ENERGY_EV[0], 0.1, "eV"
    signal = signal.isig[614.0:686.0]
    free = signal.remove_background(signal_range=(632.0, 637.0), fast=fast, show_progressbar=False)
    free.interpolate_on_axis(
        UniformDataAxis(size=MN.n_wide, scale=0.1, offset=MN.wide_ev[0]), axis=-1, inplace=False
    )


def measure(side: int, repeats: int) -> None:
    """Ours against HyperSpy's two ways of fitting a background, and a whole pass of `preprocess` beside."""
    counts = image(side, np.random.default_rng(0))
    few = counts[:1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        hyperspy(few[:1, :2], fast=True)  # its imports
        own = median_seconds(lambda: ours(counts), repeats).cpu
        whole = median_seconds(lambda: whole_pass(counts), repeats).cpu
        estimate = median_seconds(lambda: hyperspy(counts, fast=True), repeats).cpu
        squares = median_seconds(lambda: hyperspy(few, fast=False), 1).cpu * side / len(few)
        logging.disable(logging.NOTSET)
    emit("preprocessing/image", side=side, cpu_seconds=own, whole_pass_cpu_seconds=whole)
    emit("preprocessing/against_hyperspy_estimate", cpu_seconds=estimate, ratio_of_cpu_seconds=estimate / own)
    emit(
        "preprocessing/against_hyperspy_least_squares",
        cpu_seconds_extrapolated=squares,
        ratio_of_cpu_seconds=squares / own,
    )


def big_file(gigabytes: float) -> None:
    """Peak of memory in preprocessing a file that is (much) bigger than what a pass keeps."""
    import h5py

    # a small one, since its making counts for the peak, too
    part = image(32, np.random.default_rng(0)).reshape(4, 256, -1)
    rows = len(part) * max(1, round(gigabytes * 1e9 / part.nbytes))
    with tempfile.TemporaryDirectory() as folder:
        path = write_hspy(Path(folder) / "big.hspy", part, ENERGY_EV, "big", 200.0, 0.1)
        # the same lines again and again, uncompressed: writing must not take long
        with h5py.File(path, "r+") as file:
            group = file["Experiments/big"]
            del group["data"]
            counts = group.create_dataset(
                "data", (rows, *part.shape[1:]), part.dtype, chunks=(1, *part.shape[1:])
            )
            for first in range(0, rows, len(part)):
                counts[first : first + len(part)] = part
            group["axis-0"].attrs["size"] = rows
        written = rows * part[0].nbytes
        found = preprocess([read_file(path, "Mn2+", "big")], MN)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    emit("preprocessing/big_file", gigabytes=written / 1e9, kept=len(found.spectra), peak_memory_mb=peak)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=0)
    options = parser.parse_args()
    emit("machine", **machine())
    if options.gigabytes:
        big_file(options.gigabytes)
    else:
        measure(options.side, options.repeats)

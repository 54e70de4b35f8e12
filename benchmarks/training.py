"""Training speed compared with other implementations, the hardware's limit, and more workers and data.

Run it with `python -m benchmarks.training [--quick] [--torch PYTHON]`; it prints JSON lines. Every ratio is
measured in one run, the sides in turn, medians of the repeats. Spectra a second are augmented spectra forward
and backward, from the difference between a longer and a shorter training: starting processes and compiling is
reported beside, not inside. `--torch` names a Python with PyTorch, if this one has none.
"""

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.measure import ROOT, SHIFTS_ONLY, emit, in_own_process, machine, spectra
from mnflow import folds
from mnflow.runtime import parallel
from mnflow.spectra import SpectrumSet
from mnflow.train import cross_validate
from mnflow.train.settings import TrainSettings

MULTIPLY_ADDS = 62_000
"""Of one spectrum through the FCN, forward and backward."""

N_SPECTRA = 2001
"""As many as the paper has."""

BATCH = TrainSettings.batch_size


def cv_seconds(some: SpectrumSet, n_folds: int, settings: TrainSettings, scheduler: str) -> float:
    """Wall time of a cross-validation on workers that have started already."""
    parts = folds.split(some, n_folds=n_folds)
    start = time.perf_counter()
    cross_validate.train_folds(some, parts, settings, scheduler=scheduler)
    return time.perf_counter() - start


def cv_speed(some: SpectrumSet, scheduler: str, epochs: tuple[int, int] = (2, 12)) -> float:
    """Augmented spectra per second of a ten-fold cross-validation of the FCN at 10x, workers warm."""
    short, long = (cv_seconds(some, 10, replace(SHIFTS_ONLY, epochs=n), scheduler) for n in epochs)
    return (epochs[1] - epochs[0]) * 10 * 0.9 * len(some) * 10 / (long - short)


def matrix_product_peak(size: int = 1024) -> float:
    """Multiply-adds per processor second of a one-thread matrix product in XLA: one core's limit."""
    import jax

    x = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(lambda a: a @ a)
    product(x).block_until_ready()
    seconds = []
    for _ in range(7):
        start = time.process_time()
        product(x).block_until_ready()
        seconds.append(time.process_time() - start)
    return size**3 / statistics.median(seconds)


def products_a_second(seconds: float) -> float:
    """Matrix products of one thread in a second of wall time, over so many seconds."""
    a = np.random.default_rng(0).random((1024, 1024), dtype=np.float32)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        a @ a
        done += 1
    return done / (time.perf_counter() - start)


def two_processes() -> float:
    """Speed-up of two processes that multiply matrices at once: 2 unless they share hardware."""
    command = [sys.executable, "-c", "from benchmarks.training import products_a_second as p; print(p(4))"]

    def speed(n: int) -> float:
        at_once = [
            subprocess.Popen(
                command, cwd=ROOT, env=os.environ | parallel.ONE_THREAD, stdout=subprocess.PIPE, text=True
            )
            for _ in range(n)
        ]
        return sum(float(process.communicate()[0]) for process in at_once)

    alone = speed(1)
    return speed(2) / alone


def one_core(augmentation: int) -> dict[str, Any]:
    """In a process of one thread: speed of one fold, its peak memory, and the machine's limit.

    Times are processor seconds, so that other work on the machine counts little.
    """
    some = spectra(N_SPECTRA)
    fold = folds.split(some)[0]

    def cpu_seconds(epochs: int) -> float:
        start = time.process_time()
        cross_validate.train_fold(
            some, (fold, replace(SHIFTS_ONLY, augmentation=augmentation, epochs=epochs))
        )
        return time.process_time() - start

    compiling = cpu_seconds(12)
    long = statistics.median(cpu_seconds(12) for _ in range(3))
    short = statistics.median(cpu_seconds(2) for _ in range(3))
    return {
        "spectra_per_cpu_second": 10 * len(fold.train) * max(augmentation, 1) / (long - short),
        "compile_seconds": compiling - long,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peak_multiply_adds": matrix_product_peak(),
    }


def compare(repeats: int, torch: str | None, cpu_speed: float) -> None:
    """The cross-validation, `model.fit` and a PyTorch loop in turn; `cpu_speed` is per processor second."""
    some = spectra(N_SPECTRA)
    others = {"tensorflow": (sys.executable, os.cpu_count(), BATCH)}
    if not torch:
        emit(
            "training/against_torch",
            not_measured="PyTorch is not installed: --torch names a Python that has it",
        )
    else:  # its threads get in each other's way on such a small net: the fastest is the one to compare with
        others |= {"torch": (torch, os.cpu_count(), BATCH), "torch_one_thread": (torch, 1, BATCH)}
        others |= {"torch_batches_of_512": (torch, os.cpu_count(), 512)}  # learns less per epoch
    ours: list[float] = []
    theirs: dict[str, list[dict[str, float]]] = {name: [] for name in others}
    for _ in range(repeats):
        with parallel.local_cluster() as scheduler:
            cv_seconds(some, 10, replace(SHIFTS_ONLY, epochs=1), scheduler)  # compiles
            ours.append(cv_speed(some, scheduler))
        for name, (python, threads, batch_size) in others.items():
            arguments = (name.partition("_")[0], str(9 * N_SPECTRA), "2", str(batch_size))
            # `make` sets one thread for ours
            environment = {"KERAS_BACKEND": "tensorflow", "OMP_NUM_THREADS": str(threads)}
            theirs[name].append(
                in_own_process("benchmarks.as_users_write_it", *arguments, python=python, **environment)
            )
    speed = statistics.median(ours)
    emit("training/cv", spectra_per_second=speed, runs=[round(v) for v in ours])
    for name, runs in theirs.items():
        wall, cpu = (
            statistics.median(r[k] for r in runs) for k in ("spectra_per_second", "spectra_per_cpu_second")
        )
        emit(f"training/against_{name}", spectra_per_second=wall, ratio=speed / wall,
        spectra_per_cpu_second=cpu,
             ratio_of_cpu_seconds=cpu_speed / cpu,
             runs=[round(r["spectra_per_second"]) for r in runs])  # fmt: skip


def limits() -> float:
    """One core: share of the matrix product's peak, memory at 10x and 1x; returns the speed."""
    ten, one = (
        in_own_process("benchmarks.training", "--one-core", k, **parallel.ONE_THREAD) for k in ("10", "1")
    )
    share = ten["spectra_per_cpu_second"] * MULTIPLY_ADDS / ten["peak_multiply_adds"]
    emit("training/one_core", **ten, share_of_peak=share)
    ratio = ten["peak_memory_mb"] / one["peak_memory_mb"]
    emit("training/memory", at_10x_mb=ten["peak_memory_mb"], at_1x_mb=one["peak_memory_mb"], ratio=ratio)
    return float(ten["spectra_per_cpu_second"])


def scaling(quick: bool) -> None:
    """Speed against workers, and seconds against spectra and folds."""
    some = spectra(N_SPECTRA)
    speeds, limits = [], []
    with parallel.local_cluster(1) as one_worker, parallel.local_cluster(2) as two_workers:
        for scheduler in (one_worker, two_workers):
            cv_seconds(some, 10, replace(SHIFTS_ONLY, epochs=1), scheduler)  # compiles
        # in turn, beside what two processes of the machine can do at best just then
        for _ in range(2 if quick else 6):
            limits.append(two_processes())
            speeds.append([cv_speed(some, scheduler, (1, 4)) for scheduler in (one_worker, two_workers)])
    one, two = (statistics.median(s) for s in zip(*speeds, strict=True))
    emit("scaling/workers", one=one, two=two, ratio=two / one,
    runs=[[round(v) for v in pair] for pair in speeds],
         two_processes_against_one=statistics.median(limits))  # fmt: skip
    for n in (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000):
        made_up = spectra(n)
        job = (folds.split(made_up, n_folds=10)[0], replace(SHIFTS_ONLY, augmentation=1, epochs=1))
        cross_validate.train_fold(made_up, job)  # compiles
        start = time.process_time()
        seconds = cross_validate.train_fold(made_up, job)[1]
        emit(
            "scaling/spectra",
            spectra=n,
            seconds_an_epoch_of_a_fold=seconds,
            cpu_seconds=time.process_time() - start,
        )
    with parallel.local_cluster() as scheduler:
        settings = replace(SHIFTS_ONLY, augmentation=10, epochs=5)
        for n_folds in (2, 5, 10, 20):
            cv_seconds(some, n_folds, settings, scheduler)
            emit("scaling/folds", folds=n_folds, seconds=cv_seconds(some, n_folds, settings, scheduler))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one repeat, small sizes")
    parser.add_argument("--torch", default=sys.executable if importlib.util.find_spec("torch") else None)
    parser.add_argument("--one-core", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_core is not None:
        print(json.dumps(one_core(options.one_core)))
        return
    emit("machine", **machine())
    compare(1 if options.quick else 3, options.torch, limits())
    scaling(options.quick)


if __name__ == "__main__":
    main()

"""Accuracy against epochs: our schedule compared with constant Adam, and the time to an accuracy.

Run it with `python -m benchmarks.accuracy [--quick] [--data FILE.npz] [--figure FILE.png]`. All accuracies
are those of inner validation splits: no test fold is looked at. The authors' recipe is constant Adam at 0.001
in batches of 512, trained by `model.fit` fold after fold. Prints JSON lines.

The data are of one compound a class, as the paper's were (settings mn-oxides): on the default data, whose
compounds differ, no recipe reaches the paper's 99 %. For those: `--data FILE.npz`.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import SHIFTS_ONLY, emit, in_own_process
from benchmarks.training import cv_seconds
from mnflow import folds
from mnflow.runtime import parallel
from mnflow.spectra import SpectrumSet
from mnflow.spectra.arrays import Floats32
from mnflow.train import cross_validate
from mnflow.train.settings import TrainSettings

TARGETS = (0.95, 0.97, 0.98, 0.99)
"""Accuracies to which the time is compared; a line says so where a recipe does not get there."""

AUTHORS = replace(SHIFTS_ONLY, schedule="constant", learning_rate=0.001, batch_size=512, epochs=300)


def dataset(path: str | None) -> SpectrumSet:
    """The dataset at `path`, or a simulated one."""
    if path:
        return SpectrumSet.load(path)
    from mnflow.preprocess.pipeline import PreprocessOptions, preprocess
    from mnflow.read import read_source
    from mnflow.simulate import simulate_images
    from mnflow.spectra import MN

    with tempfile.TemporaryDirectory() as folder:
        simulate_images(Path(folder), seed=0, settings=Path("mn-oxides"))
        return preprocess(read_source(Path(folder), MN), MN, PreprocessOptions(), "simulated").spectra


def curves(some: SpectrumSet, inner: list[folds.Fold], settings: TrainSettings, scheduler: str) -> Floats32:
    """Validation accuracy after every epoch, mean over folds (epochs,)."""
    done = cross_validate.train_folds(some, inner, settings, scheduler=scheduler)
    return np.asarray(np.mean([r.curves["test/accuracy"] for r in done], axis=0))


def first_at(accuracy: Floats32, target: float) -> int | None:
    """The first epoch (from 1) after which accuracy stays at `target` for three epochs, or None."""
    holds = np.convolve(accuracy >= target, np.ones(3), "valid") == 3
    return int(holds.argmax()) + 1 if holds.any() else None


def draw(path: Path, ours: dict[int, float], constant: dict[str, Floats32]) -> None:
    """A figure of both, saved as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.8), layout="constrained")
    axes = figure.subplots()
    for label, accuracy in constant.items():
        axes.plot(np.arange(1, len(accuracy) + 1), 100 * accuracy, lw=1, label=label)
    axes.plot(
        list(ours), [100 * a for a in ours.values()], "ko-", ms=4, label="one cycle (ours), a training each"
    )
    axes.set(xscale="log", xlabel="epochs (of 10 crops a spectrum)", ylabel="inner validation accuracy (%)")
    figure.legend(loc="outside lower center", frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer epochs")
    parser.add_argument("--data", help=".npz file of a preprocess run; simulated if left out")
    parser.add_argument("--figure", type=Path, help="draws both recipes, and constant Adam in batches of 128")
    options = parser.parse_args()
    some = dataset(options.data)
    parts = folds.split(some)[:2]
    inner = [folds.inner_validation(some, fold) for fold in parts]
    steps = (2, 5, 12) if options.quick else (2, 5, 12, 25, 40)
    authors = replace(AUTHORS, epochs=60) if options.quick else AUTHORS
    with parallel.local_cluster() as scheduler:
        batches = (authors.batch_size, 128) if options.figure else (authors.batch_size,)
        recipes = {f"constant Adam 0.001, batch {n}": replace(authors, batch_size=n) for n in batches}
        constant = {label: curves(some, inner, recipe, scheduler) for label, recipe in recipes.items()}
        ours = {n: curves(some, inner, replace(SHIFTS_ONLY, epochs=n), scheduler) for n in steps}
    for label, accuracy in constant.items():
        shown = {str(n): float(accuracy[n - 1]) for n in (*steps, len(accuracy)) if n <= len(accuracy)}
        emit("accuracy/constant", recipe=label, by_epoch=shown, best=float(accuracy.max()))
    emit("accuracy/one_cycle", by_epoch={str(n): float(a[-1]) for n, a in ours.items()})
    if options.figure:
        draw(options.figure, {n: float(a[-1]) for n, a in ours.items()}, constant)
    time_to(some, constant[f"constant Adam 0.001, batch {authors.batch_size}"], ours)


def time_to(some: SpectrumSet, authors: Floats32, ours: dict[int, Floats32]) -> None:
    """Seconds of a ten-fold cross-validation to each target accuracy: the authors' recipe and ours.

    Theirs is extrapolated from the speed of an epoch, and does not compile; ours is measured, and does.
    """
    n_train = 9 * len(some)  # 0.9 of the spectra, 10 crops each
    arguments = ("tensorflow", str(n_train), "2", str(AUTHORS.batch_size))
    fit = in_own_process("benchmarks.as_users_write_it", *arguments, KERAS_BACKEND="tensorflow")
    seconds: dict[int, float] = {}
    for target in TARGETS:
        theirs, enough = first_at(authors, target), [n for n, a in ours.items() if a[-1] >= target]
        row: dict[str, Any] = {
            "target": target,
            "their_epochs": theirs,
            "our_epochs": enough[0] if enough else None,
        }
        if enough and enough[0] not in seconds:
            with parallel.local_cluster() as scheduler:  # that workers start is left out
                seconds[enough[0]] = cv_seconds(some, 10, replace(SHIFTS_ONLY, epochs=enough[0]), scheduler)
        our_seconds = seconds[enough[0]] if enough else float("nan")
        if not enough:
            row["not_measured"] = f"ours did not reach {target} in {max(ours)} epochs"
        elif theirs:
            their_seconds = 10 * theirs * n_train / fit["spectra_per_second"]
            row |= {
                "their_seconds": their_seconds,
                "our_seconds": our_seconds,
                "ratio": their_seconds / our_seconds,
            }
        else:  # it did not get there at all: what it had spent by then is a lower bound
            least = 10 * len(authors) * n_train / fit["spectra_per_second"]
            row |= {
                "their_seconds_more_than": least,
                "our_seconds": our_seconds,
                "ratio_more_than": least / our_seconds,
            }
        emit("accuracy/time_to_target", **row)


if __name__ == "__main__":
    main()

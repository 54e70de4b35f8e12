"""The whole path: simulate, preprocess, train three nets, evaluate them, and promote the best fully convolutional one."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from entrypoints import cv_train, noise_eval, preprocess, promote, reference_test, shift_eval, simulate, tsne
from mnflow.errors import InputError
from mnflow.options import execute, option

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mnflow.tracking import Run

ARCHITECTURES = ("dense", "conv_dense", "fcn")
SHOWN = {
    "cv/accuracy_mean": "as they are",
    "shift/integrated_accuracy": "shifted",
    "shift/worst_accuracy": "worst shift",
    "noise/accuracy_at_5x": "noise x 5",
    "reference/accuracy_mean": "foreign, mean",
    "reference/accuracy_vote": "foreign, vote",
}
"""Metrics of a CV run that the table at the end shows, and what it calls them."""


@dataclass(frozen=True)
class Options:
    """How much of the paper to run."""

    preset: str = option(
        "quick", "quick: three nets at 10x, minutes; paper: the whole grid of nets and augmentations", ("quick", "paper")
    )
    seed: int = option(0, "seed of everything that is drawn")
    scheduler: str = option("local", "local, or the address of a Dask cluster (tcp://...)")


@dataclass(frozen=True)
class Preset:
    """The cross-validations of a preset: every net at every augmentation, with and without noise, for each kind of folds."""

    augmentations: tuple[str, ...]
    noise_augmentations: tuple[bool, ...]
    folds: tuple[str, ...]
    epochs: int
    tsne_iterations: int
    degraded_copies: int
    size: str = simulate.Options.size
    n_folds: int = cv_train.Options.n_folds
    resume: bool = False  # take a cell that has finished before, on the same data and with the same parameters, as it is


PRESETS = {
    "quick": Preset(("10x",), (True,), ("stratified",), epochs=20, tsne_iterations=500, degraded_copies=1),
    "paper": Preset(
        augmentations=("none", *(f"{k}x" for k in range(1, 11))),
        noise_augmentations=(False, True),
        folds=("stratified", "grouped"),
        epochs=cv_train.Options.epochs,
        tsne_iterations=10_000,
        degraded_copies=0,  # the paper's own augmentations and no other, or its claims could not be judged
        resume=True,
    ),
}


def run(options: Options) -> str:
    """Run every step as a run of its own, show what came out, and return the id of the run that sums it up."""
    from mnflow import tracking

    preset = PRESETS[options.preset]
    with tracking.step(tracking.tags_of("main", folds=",".join(preset.folds)), f"main {options.preset}", vars(options)) as own:
        folder = f"data/simulated-{options.seed}"
        simulate.run(simulate.Options(out=folder, size=preset.size, seed=options.seed))
        data = preprocess.run(preprocess.Options(source=folder))
        with _workers(options.scheduler) as scheduler:
            cv_runs = [_cross_validate(preset, options.seed, scheduler, data, *cell) for cell in _cells(preset)]
        fcn = [run_id for run_id, cell in zip(cv_runs, _cells(preset), strict=True) if cell[0] == "fcn"]
        tsne.run(tsne.Options(run=fcn[-1], iterations=preset.tsne_iterations, seed=options.seed))
        refused = _promote(options.seed)
        _sum_up(own, cv_runs, refused)
    return own.id


def _cells(preset: Preset) -> list[tuple[str, str, bool, str]]:
    """Net, augmentation, noise augmentation and folds of every cross-validation of a preset."""
    return list(product(ARCHITECTURES, preset.augmentations, preset.noise_augmentations, preset.folds))


def _workers(scheduler: str) -> AbstractContextManager[str]:
    """The address of the workers that all cross-validations share: they import and compile once."""
    from mnflow.cluster import local_cluster

    return local_cluster() if scheduler == "local" else nullcontext(scheduler)


def _cross_validate(
    preset: Preset, seed: int, scheduler: str, data: str, arch: str, augmentation: str, noise: bool, folds: str
) -> str:
    """Train one cell and evaluate it; returns the id of its CV run."""
    cell = cv_train.Options(
        arch=arch,
        augmentation=augmentation,
        noise_augmentation=noise,
        degraded_copies=preset.degraded_copies,
        folds=folds,
        n_folds=preset.n_folds,
        epochs=preset.epochs,
        seed=seed,
        data=data,
        scheduler=scheduler,
    )
    if preset.resume and (done := _finished_before(cell)):
        return done
    run_id = cv_train.run(cell)
    shift_eval.run(shift_eval.Options(run=run_id))
    noise_eval.run(noise_eval.Options(run=run_id))
    reference_test.run(reference_test.Options(run=run_id, seed=seed))
    return run_id


def _promote(seed: int) -> str:
    """Promote the best net; a gate that refuses it is a result too, and what it says is returned."""
    try:
        promote.run(promote.Options(seed=seed))
    except InputError as refusal:
        return str(refusal)
    return ""


def _finished_before(cell: cv_train.Options) -> str:
    """The id of a finished and evaluated CV run of this cell on the same data, or an empty string."""
    from mnflow import cv, tracking

    digest = tracking.finished_run("preprocess", cell.data).data.tags["dataset_digest"]
    noise = str(cell.noise_augmentation).lower()
    tags = {"arch": cell.arch, "augmentation": cell.augmentation, "folds": cell.folds, "noise_augmentation": noise}
    same = {k: str(getattr(cell, k)) for k in ("epochs", "seed", "n_folds", "degraded_copies")}
    for record in tracking.finished_runs(cv.STEP, dataset_digest=digest, **tags):
        if record.data.params.items() >= same.items() and set(SHOWN) <= set(record.data.metrics):
            tracking.say(f"{record.info.run_name}: finished before, taken as it is")
            return str(record.info.run_id)
    return ""


def _sum_up(own: "Run", cv_runs: list[str], refused: str) -> None:
    """Log and print the nets side by side, the alias that was set, and what to try next."""
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from mnflow import plots, registry, tracking

    records = [tracking.connect().get_run(run_id) for run_id in cv_runs]
    rows = [{"run": r.info.run_name, **{name: r.data.metrics[key] for key, name in SHOWN.items()}} for r in records]
    own.table(pd.DataFrame(rows), "summary")
    if len(records) == len(ARCHITECTURES):  # more lines than that nobody can tell apart; `report` draws the grid
        own.figure(plots.shift_curves({r.info.run_name: _shift_curve(r.info.run_id) for r in records}), "shift")
    table = Table(
        title="Share of spectra whose valence is right (shifted: mean over -5 ... +5 eV; foreign: another laboratory)"
    )
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "run" else "right", no_wrap=name == "run")
    for row in rows:
        table.add_row(*(v if isinstance(v, str) else f"{v:.4f}" for v in row.values()))
    console = Console(width=110)
    console.print(table)
    version = registry.aliased(registry.CHAMPION)
    console.print(f"Alias champion of {registry.MODEL}: " + (f"version {version.version}" if version else "not set"))
    if refused:
        console.print(refused)
    console.print("Next:  make ui                                                   the runs, curves and figures")
    console.print(f"       .venv/bin/mlflow models serve -m models:/{registry.MODEL}@champion     the served model")


def _shift_curve(run_id: str) -> "tuple[NDArray[Any], NDArray[Any]]":
    """Shifts in eV (S,) and a CV run's mean accuracy at each, (1, S)."""
    import numpy as np

    from mnflow import tracking

    history = sorted(tracking.connect().get_metric_history(run_id, "shift/accuracy"), key=lambda m: m.step)
    by_step = {m.step: m.value for m in history}
    return np.array(list(by_step)) / 1000, np.array([list(by_step.values())])


if __name__ == "__main__":
    execute(Options, run)

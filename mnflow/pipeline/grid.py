"""A grid of cross-validations: which are finished, which evaluations are missing, the summary."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from typing import Any

import pandas as pd
from mlflow.entities import Run as MlflowRun
from rich.console import Console
from rich.table import Table

from mnflow.pipeline.presets import Cell
from mnflow.promote import registration, registry
from mnflow.promote.gate import MEASURED_BEFORE
from mnflow.report import shared_view, summary
from mnflow.runtime.cli import say
from mnflow.track import names, provenance, tracking
from mnflow.track.query import finished_runs, stopped_runs


def same_code() -> dict[str, str]:
    """The tags of runs that were made by this code in this environment."""
    return {k: v for k, v in provenance.tags().items() if k != names.PROCESS}


def take_up_interrupted(run: tracking.Run, params: Mapping[str, str]) -> bool:
    """Mark interrupted `main` runs of this code and these parameters as resumed by `run`.

    Returns whether there were any.
    """
    stopped = [
        r
        for r in stopped_runs(**{names.STEP: "main", **same_code()})
        if r.data.params.items() >= params.items()
    ]
    for orphan in stopped:
        run.take_up(orphan.info.run_id)
    return bool(stopped)


def finished_cell(cell: Cell, digest: str, tags: Mapping[str, str]) -> MlflowRun | None:
    """The newest finished cross-validation like this on the dataset of this digest, with these tags."""
    setting = {
        names.ARCH: cell.arch,
        names.AUGMENTATION: cell.augmentation,
        names.FOLDS: cell.folds,
        names.NOISE_AUGMENTATION: str(cell.noise_augmentation).lower(),
        names.DATASET_DIGEST: digest,
    }
    params = {k: str(getattr(cell, k)) for k in ("epochs", "seed", "n_folds", "degraded_copies")}
    params["study"] = "none"
    for record in finished_runs("cv_train", **setting, **tags):
        if record.data.params.items() >= params.items():
            return record
    return None


def missing_evaluations(run_id: str) -> list[str]:
    """The steps whose metrics a cross-validation does not carry yet."""
    metrics = tracking.connect().get_run(run_id).data.metrics
    missing = (step for metric, step in MEASURED_BEFORE.items() if metric not in metrics)
    return [step for step in dict.fromkeys(missing) if step != "cv_train"]


def train_and_evaluate(
    cells: Sequence[Cell],
    train: Callable[[Cell], str],
    evaluate: Callable[[str, str], object],
    finished: Callable[[Cell], MlflowRun | None],
    meanwhile: Callable[[], object] = lambda: None,
) -> list[str]:
    """Train every cell that is not finished, evaluate it, and return the ids of the cross-validations.

    While the workers train one cell, this process evaluates the one before, or runs `meanwhile`.

    Parameters
    ----------
    train : callable
        Cross-validates a cell and returns the run's id.
    evaluate : callable
        Runs an evaluation, given its step and the id of the cross-validation.
    finished : callable
        The finished run of a cell, or None if it must be trained.
    """

    stopped = Event()  # a signal reaches the main thread alone, and the pool waits for what it has begun

    def evaluate_all(run_id: str) -> None:
        for step in missing_evaluations(run_id):
            if not stopped.is_set():
                evaluate(step, run_id)

    run_ids: list[str] = []
    with ThreadPoolExecutor(1) as evaluating, ExitStack() as at_end:
        at_end.callback(stopped.set)
        pending: Future[Any] = evaluating.submit(meanwhile)
        for number, cell in enumerate(cells, start=1):
            say(f"Cross-validation {number} of {len(cells)}: {cell.arch} {cell.augmentation} {cell.folds}")
            record = finished(cell)
            if record:
                say(f"{record.info.run_name}: taken from a finished run")
            run_ids.append(record.info.run_id if record else train(cell))
            pending.result()
            pending = evaluating.submit(evaluate_all, run_ids[-1])
        pending.result()
    return run_ids


def log_summary(run: tracking.Run, models: Sequence[str]) -> pd.DataFrame:
    """Log the table, numbers and figures that compare cross-validations and baselines; returns the table."""
    records = [tracking.connect().get_run(run_id) for run_id in models]
    rows = [
        {"run": r.info.run_name, **{name: r.data.metrics[key] for key, name in names.COLUMNS.items()}}
        for r in records
    ]
    table = pd.DataFrame(rows)
    run.table(table, "summary")
    run.metrics(
        {
            f"{r.data.tags[names.ARCH]}/{name.replace(', ', '_').replace(' ', '_')}": row[name]
            for r, row in reversed(list(zip(records, rows, strict=True)))  # of several, the first's
            for name in names.COLUMNS.values()
        }
    )
    shared_view.save(tracking.connect().get_run(run.id).info.experiment_id)
    for name, figure in summary.figures(records).items():
        run.figure(figure, name)
    return table


def print_summary(summary_table: pd.DataFrame) -> None:
    """Print the networks side by side, the champion, and what to run next."""
    table = Table(
        title="Accuracy (shifts: -5 to +5 eV; other labs: reference spectra, vote: majority of folds)"
    )
    for name in summary_table:
        table.add_column(str(name), justify="left" if name == "run" else "right", no_wrap=name == "run")
    for row in summary_table.itertuples(index=False):
        table.add_row(*(v if isinstance(v, str) else f"{v:.4f}" for v in row))
    console = Console(width=110)
    console.print(table)
    champion = registry.aliased(registry.CHAMPION)
    version = f"version {champion.version}" if champion else "not set"
    console.print(f"Alias champion of {registration.MODEL}: {version}")
    console.print(
        "Next:  make ui                                                   the runs, curves and figures\n"
        f"       .venv/bin/mlflow models serve -m models:/{registration.MODEL}@champion     the served model"
    )

"""All logging: a step's run, parameters, datasets, curves, tables, figures; and finding runs."""

import json
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID, MLFLOW_PROJECT_ENTRY_POINT

from mnflow.errors import InputError
from mnflow.plots import figure_data
from mnflow.runtime.cli import say
from mnflow.runtime.files import plain_cells
from mnflow.runtime.process import is_gone
from mnflow.runtime.project import default_tracking_uri, shown_store
from mnflow.runtime.signals import held
from mnflow.spectra import SpectrumSet
from mnflow.track import names, outbox, provenance
from mnflow.track.connection import answers, connect
from mnflow.track.query import _experiment_id, _runs, began

_notes: dict[str, str] = {}
"""The last note of every run that this process has written to."""

_whole: list[str] = []
"""Ids of the runs whose steps this process runs now, the innermost last: see `nested`."""

_RESULT_LINES = 2


@dataclass(frozen=True)
class Run:
    """A run of the tracking store that can be written to."""

    id: str

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; those that `mlflow run` logged already (as it spelt them) are left alone."""
        known = connect().get_run(self.id).data.params
        outbox.write(
            self.id,
            "batch",
            params=[{"key": k, "value": str(v)} for k, v in values.items() if k not in known],
        )

    def tags(self, values: Mapping[str, Any]) -> None:
        outbox.write(self.id, "batch", tags=[{"key": k, "value": str(v)} for k, v in values.items()])

    def rename(self, name: str) -> None:
        outbox.write(self.id, "rename", name=name)

    def note(self, text: str) -> None:
        """The description that the UI shows above a run; a step prints its last one when it has finished."""
        _notes[self.id] = text
        self.tags({names.NOTE: text})

    def metrics(self, values: Mapping[str, float]) -> None:
        """Log single numbers."""
        self.curves({key: ([0], [value]) for key, value in values.items()})

    def curve(
        self, key: str, steps: Sequence[int] | np.ndarray, values: Sequence[float] | np.ndarray
    ) -> None:
        """Log a whole curve; steps are integers, as the tracking server demands."""
        self.curves({key: (steps, values)})

    def curves(
        self, curves: Mapping[str, tuple[Sequence[int] | np.ndarray, Sequence[float] | np.ndarray]]
    ) -> None:
        """Log whole curves, steps and values by their key, in one message."""
        now = time.time_ns() // 1_000_000
        metrics = [
            {"key": key, "value": float(v), "step": int(step), "timestamp": now}
            for key, (steps, values) in curves.items()
            for step, v in zip(steps, values, strict=True)
        ]
        outbox.write(self.id, "batch", metrics=metrics)

    def figure(self, figure: Figure, name: str) -> None:
        """Log a figure as figures/NAME.png, and the numbers that it draws as figures/NAME.csv."""
        log_figure([self], figure, name)

    def table(self, table: pd.DataFrame, name: str) -> None:
        """Log a table as tables/NAME.csv."""
        self._text(plain_cells(table).to_csv(index=False), f"tables/{name}.csv")

    def json(self, value: Any, path: str) -> None:
        self._text(json.dumps(value, indent=1), path)

    def _text(self, text: str, path: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / Path(path).name
            file.write_text(text)
            self.file(file, path.rpartition("/")[0] or None)

    def file(self, path: Path, folder: str | None = None) -> None:
        outbox.write(self.id, "file", [path], folder=folder)

    def dataset(self, spectra: SpectrumSet, context: str) -> None:
        """Log what data the run saw: counts, digest and source, under the UI's Datasets."""
        from mlflow.data.dataset_source_registry import resolve_dataset_source
        from mlflow.data.numpy_dataset import NumpyDataset

        source = (
            resolve_dataset_source(spectra.source) if "://" in spectra.source else _source(spectra.source)
        )
        data = NumpyDataset(
            spectra.intensity,
            source=source,
            targets=spectra.valence,
            name=f"{spectra.edge.element} spectra",
            digest=spectra.digest(),
        )
        outbox.write(
            self.id, "dataset", dataset=dict(data._to_mlflow_entity()), tags={MLFLOW_DATASET_CONTEXT: context}
        )

    def take_up(self, stopped_run_id: str) -> None:
        """Say in a stopped run that this one went on."""
        Run(stopped_run_id).tags({names.RESUMED_BY: self.id})

    def close(self, status: str) -> None:
        outbox.write(self.id, "close", status=status, end_time=time.time_ns() // 1_000_000)


def log_figure(runs: Sequence[Run], figure: Figure, name: str) -> None:
    """Log a figure to several runs (see `Run.figure`), drawn once: that takes half a second."""
    with tempfile.TemporaryDirectory() as folder:
        figure.savefig(Path(folder) / f"{name}.png")
        plain_cells(figure_data(figure)).to_csv(Path(folder) / f"{name}.csv", index=False)
        for run in runs:
            for path in sorted(Path(folder).iterdir()):
                run.file(path, "figures")


def _source(text: str) -> Any:
    from mlflow.data.code_dataset_source import CodeDatasetSource

    return CodeDatasetSource({"mnflow.source": text})


def tags_of(
    step: str,
    arch: str = names.NOT_APPLICABLE,
    augmentation: str = names.NOT_APPLICABLE,
    folds: str = names.NOT_APPLICABLE,
) -> dict[str, str]:
    """The four tags that every run carries."""
    return {names.STEP: step, names.ARCH: arch, names.AUGMENTATION: augmentation, names.FOLDS: folds}


def open_store() -> None:
    """Connect to the store, send what earlier processes could not, and clear away what they have left."""
    connect()
    outbox.send_left()
    _close_orphans()
    _delete_refused()


def refuse_run(message: str) -> None:
    """Mark the run that `mlflow run` started for this process, if no step has taken it, to be deleted.

    It has nothing in it: its command was refused for its options. `mlflow run` still ends it as FAILED, and
    fails itself if the run is gone by then; so the next command deletes it (`open_store`). Whatever the store
    says to this is left unsaid: the user has the message that matters.
    """
    if not (started := os.environ.get("MLFLOW_RUN_ID")):
        return
    with suppress(MlflowException, InputError, OSError):
        _delete_refused()
        run = connect().get_run(started)
        entry = run.data.tags.get(MLFLOW_PROJECT_ENTRY_POINT)
        if entry and names.STEP not in run.data.tags and run.info.status == "RUNNING":
            Run(started).tags({names.REFUSED: "true", names.ERROR: message[:4900]})
            Run(started).rename(f"refused: {entry}")


def _delete_refused() -> None:
    """Delete the runs of commands that were refused; MLflow keeps deleted runs until `mlflow gc`."""
    for record in _runs("attributes.status = 'FAILED'", {names.REFUSED: "true"}):
        connect().delete_run(record.info.run_id)


@contextmanager
def step(tags: Mapping[str, str], name: str, params: Mapping[str, Any], note: str = "") -> Iterator[Run]:
    """The run of one step: the one that `mlflow run` started, or a new one; closed as what it came to.

    Errors end it as FAILED (with the message as tag `mnflow.error`), Ctrl-C and SIGTERM as KILLED.
    """
    open_store()

    def begin() -> Run:
        parent = {MLFLOW_PARENT_RUN_ID: _whole[-1]} if _whole else {}
        known = {**tags, **provenance.tags(), **parent, names.BEGAN: began()}
        # `mlflow run` names its run in the environment: the first step that starts takes it, later ones make
        # their own.
        if started := os.environ.pop("MLFLOW_RUN_ID", None):
            _check_started(started)
            Run(started).tags(known)
            Run(started).rename(name)
            return Run(started)
        # Source, user and git commit, which a run that `mlflow run` started has already.
        return Run(
            connect().create_run(_experiment_id(), run_name=name, tags=resolve_tags() | known).info.run_id
        )

    try:
        with _lasting(begin) as run:
            run.params(params)
            if note:
                run.note(note)
            yield run
        outbox.finish()
        for line in _notes.pop(run.id, "").splitlines()[:_RESULT_LINES]:
            say(line)
    except MlflowException as error:
        if error.error_code != "TEMPORARILY_UNAVAILABLE" and answers():
            raise
        reason = str(error).strip().splitlines()[0][:300]
        raise InputError(
            f"The tracking store {default_tracking_uri()} does not take what is logged ({reason}). When it "
            "does again, start the same command again: it goes on from what is finished."
        ) from error


def _check_started(run_id: str) -> None:
    """Raise `InputError` unless MLFLOW_RUN_ID is a run that `mlflow run` started and that is active."""
    try:
        info = connect().get_run(run_id).info
        state = info.status if info.lifecycle_stage == "active" else "deleted"
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        state = "unknown"
    if state != "RUNNING":
        raise InputError(
            f"MLFLOW_RUN_ID={run_id} is left from elsewhere: in {shown_store()} this run is {state}. Unset "
            "it."
        )


@contextmanager
def nested(run: Run) -> Iterator[None]:
    """Steps that this process starts meanwhile, in any thread, are shown within `run`."""
    _whole.append(run.id)
    try:
        yield
    finally:
        _whole.pop()


@contextmanager
def child(parent: Run, tags: Mapping[str, str], name: str) -> Iterator[Run]:
    """A nested run, e.g. a fold or a trial; closed as `step` closes."""
    experiment = connect().get_run(parent.id).info.experiment_id
    known = {**tags, **provenance.tags(), MLFLOW_PARENT_RUN_ID: parent.id}
    with _lasting(
        lambda: Run(connect().create_run(experiment, tags=known, run_name=name).info.run_id)
    ) as run:
        yield run


@contextmanager
def _lasting(begin: Callable[[], Run]) -> Iterator[Run]:
    """The run that `begin` makes, ended as FINISHED, or as FAILED or KILLED when an exception passes.

    Signals wait while a run is made and while it is ended, so that none is left RUNNING.
    """
    run, ended = None, False
    try:
        with held():
            run = begin()
        yield run
        with held():
            run.close("FINISHED")
            ended = True
    # the latter if a signal came just before or after the with-block
    except (KeyboardInterrupt, GeneratorExit):
        if run and not ended:
            with held():
                run.close("KILLED")
        raise
    except BaseException as error:
        if run:
            with held():
                _fail(run, error)
        raise


def _fail(run: Run, error: BaseException) -> None:
    """End a run as FAILED as far as the store allows, without hiding the original error."""
    if not answers():
        return  # the next step closes it: its process has ended
    with suppress(MlflowException, OSError):
        if not isinstance(error, InputError):
            run._text(traceback.format_exc(), "traceback.txt")
    with suppress(MlflowException, OSError):
        run.tags({names.ERROR: f"{error}"[:4900]})
        run.close("FAILED")


def _close_orphans() -> None:
    """End the runs of processes of this machine that are gone without having ended them, as after kill -9."""
    for record in _runs("attributes.status = 'RUNNING'", {}):
        if is_gone(record.data.tags.get(names.PROCESS, "")):
            orphan = Run(record.info.run_id)
            orphan.tags({names.ERROR: "Its process ended without closing the run."})
            orphan.close("KILLED")

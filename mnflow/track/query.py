"""Find finished and unfinished runs, and what belongs to them."""

import errno
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mnflow.errors import InputError
from mnflow.runtime.project import EXPERIMENT, EXPERIMENT_TAGS, shown_store
from mnflow.track import names
from mnflow.track.connection import connect

_ORDER = [f"tags.`{names.BEGAN}` DESC", "attributes.start_time DESC"]


def _experiment_id() -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    number = os.environ.get("MLFLOW_EXPERIMENT_ID")
    try:
        found = connect().get_experiment(number) if number else connect().get_experiment_by_name(name)
    except MlflowException as error:
        if not number or error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise InputError(
            f"MLFLOW_EXPERIMENT_ID={number} is no experiment of {shown_store()}: unset it, or correct it."
        ) from None
    if found is None:
        return connect().create_experiment(name, tags=EXPERIMENT_TAGS)
    if found.lifecycle_stage != "active":
        raise InputError(
            f"The experiment {found.name} of {shown_store()} was deleted: `mlflow experiments restore "
            f"--experiment-id {found.experiment_id}` brings it back, and MLFLOW_EXPERIMENT_NAME names "
            "another one."
        )
    return found.experiment_id


def where() -> str:
    """The experiment and the store that are looked in, in words."""
    return f"in the experiment {os.environ.get('MLFLOW_EXPERIMENT_NAME', EXPERIMENT)} of {shown_store()}"


def finished_run(step: str, run: str = "newest", **tags: str) -> MlflowRun:
    """A finished run of `step`: by its id, or the newest with these tags.

    Raises `InputError` if there is none, or the id is unknown, of another step, or of a run that did not
    finish.
    """
    if run != "newest":
        try:
            found = connect().get_run(run)
        except MlflowException:
            raise InputError(
                f"No run {run!r} in {shown_store()}: copy a run id from the UI, or leave run=newest."
            ) from None
        if found.info.lifecycle_stage != "active":
            raise InputError(
                f"Run {run} was deleted: restore it in the UI, or by `mlflow runs restore --run-id {run}`."
            )
        actual = found.data.tags.get(names.STEP, "unknown")
        if actual != step:
            raise InputError(
                f"Run {run} is of the step {actual}, a {step} run is needed: copy the id of one from the UI."
            )
        if found.info.status != "FINISHED":
            raise InputError(
                f"Run {run} is {found.info.status}, a FINISHED one is needed: wait for it, or run {step} "
                f"again."
            )
        return found
    runs = finished_runs(step, **tags)
    if not runs:
        described = ", ".join(f"{k}={v}" for k, v in tags.items())
        raise InputError(
            f"No finished {step} run{f' with {described}' if described else ''} was found {where()}: `mlflow "
            f"run . -e {step}` makes one."
        )
    return runs[0]


def finished_runs(step: str, **tags: str) -> list[MlflowRun]:
    """All finished runs of `step` with these tags, the newest first."""
    return _runs("attributes.status = 'FINISHED'", {names.STEP: step, **tags})


def stopped_runs(**tags: str) -> list[MlflowRun]:
    """Runs with these tags that stopped before their end and were not resumed, newest first."""
    unfinished = _runs("attributes.status != 'FINISHED'", tags)
    return [r for r in unfinished if r.info.status != "RUNNING" and names.RESUMED_BY not in r.data.tags]


def _runs(condition: str, tags: Mapping[str, str]) -> list[MlflowRun]:
    query = " and ".join([condition, *(f"tags.`{k}` = '{v}'" for k, v in tags.items())])
    return list(connect().search_runs([_experiment_id()], query, max_results=1000, order_by=_ORDER))


def began() -> str:
    """The value of the tag `names.BEGAN` of a run that begins now."""
    last = connect().search_runs([_experiment_id()], max_results=1, order_by=_ORDER)
    known = last[0].data.tags.get(names.BEGAN, "0") if last else "0"
    return f"{max(time.time_ns(), int(known) + 1 if known.isdecimal() else 0):020d}"


def children(run_id: str, status: str = "") -> list[MlflowRun]:
    """The nested runs of a run (with this status), oldest first."""
    experiment = connect().get_run(run_id).info.experiment_id
    query = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'" + (
        f" and attributes.status = '{status}'" if status else ""
    )
    return list(
        connect().search_runs([experiment], query, max_results=1000, order_by=["attributes.start_time ASC"])
    )


@contextmanager
def artifact(run_id: str, path: str) -> Iterator[Path]:
    """A local copy of an artifact (file or folder) for the length of a with-block."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield Path(connect().download_artifacts(run_id, path, folder))
        except (OSError, MlflowException) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES):
                raise  # there may be one: what is full or closed is said where the command ends
            raise InputError(f"Run {run_id} has no artifact {path} ({error}): run its step again.") from error

"""Runs are found by step, tags and status; what cannot be used gives a clear error."""

import errno
import re
import time
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST

from mnflow.errors import InputError
from mnflow.track import names, query, tracking
from tests.helpers.memory_store import MemoryStore

TAGS = tracking.tags_of("cv_train", "fcn", "10x", "stratified")


def run(step: str = "cv_train", status: str = "FINISHED", parent: str = "", **tags: str) -> str:
    known = {names.STEP: step, **tags} | ({"mlflow.parentRunId": parent} if parent else {})
    client = tracking.connect()
    run_id = str(client.create_run("7", tags=known, run_name=step).info.run_id)
    client.set_terminated(run_id, status)
    return run_id


def ids(runs: list[query.MlflowRun]) -> list[str]:
    return [found.info.run_id for found in runs]


def test_finished_runs_of_a_step_are_found_newest_first(memory: MemoryStore) -> None:
    old, new = run(arch="fcn"), run(arch="fcn")
    dense, failed = run(arch="dense"), run(status="FAILED", arch="fcn")
    tsne = run("tsne", arch="fcn")
    assert ids(query.finished_runs("cv_train", arch="fcn")) == [new, old]
    assert ids(query.finished_runs("cv_train")) == [dense, new, old]
    assert query.finished_run("cv_train", arch="fcn").info.run_id == new
    assert query.finished_run("cv_train", old).info.run_id == old
    assert query.finished_run("tsne").info.run_id == tsne
    assert failed in ids(query._runs("attributes.status != 'FINISHED'", {}))


def test_stopped_runs_have_ended_early_and_are_not_taken_up(memory: MemoryStore) -> None:
    first, second = run(status="KILLED", a="1"), run(status="FAILED", a="1")
    run(status="RUNNING", a="1")
    run(a="1")
    run(status="KILLED", a="2")
    run(status="KILLED", a="1", **{names.RESUMED_BY: "another"})
    assert ids(query.stopped_runs(a="1")) == [second, first]


def test_children_are_of_a_status_and_oldest_first(memory: MemoryStore) -> None:
    parent = run()
    nested = [run("fold", status, parent) for status in ("FINISHED", "KILLED", "FINISHED")]
    run("fold", parent="another")
    assert ids(query.children(parent)) == nested
    assert ids(query.children(parent, status="FINISHED")) == nested[::2]


@pytest.mark.parametrize("tags", [{}, {"arch": "fcn", "folds": "grouped"}])
def test_without_a_run_the_error_says_what_makes_one(memory: MemoryStore, tags: dict[str, str]) -> None:
    described = " with arch=fcn, folds=grouped" if tags else ""
    said = (
        f"No finished cv_train run{described} was found in the experiment mn-valence of sqlite:///none.db: "
        "`mlflow run . -e cv_train` makes one."
    )
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        query.finished_run("cv_train", **tags)


def test_a_run_of_no_use_is_refused_by_its_id(memory: MemoryStore) -> None:
    deleted, other, failed = run(), run("tsne"), run(status="FAILED")
    memory.delete_run(deleted)
    stepless = str(memory.create_run("7").info.run_id)
    cases = {
        "abc": "No run 'abc' in sqlite:///none.db: copy a run id from the UI, or leave run=newest.",
        deleted: f"Run {deleted} was deleted: restore it in the UI, or by `mlflow runs restore --run-id "
        f"{deleted}`.",
        other: f"Run {other} is of the step tsne, a cv_train run is needed: copy the id of one from the UI.",
        stepless: f"Run {stepless} is of the step unknown, a cv_train run is needed: copy the id of one from "
        "the UI.",
        failed: f"Run {failed} is FAILED, a FINISHED one is needed: wait for it, or run cv_train again.",
    }
    for run_id, said in cases.items():
        with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
            query.finished_run("cv_train", run_id)


def test_the_experiment_is_that_of_the_environment(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def by_name(name: str) -> object:
        asked.append(name)
        return memory.experiment if name == "mine" else None

    def create(name: str, tags: dict[str, str]) -> str:
        asked.append(f"new {name}: {tags['mlflow.note.content'][:22]}")
        return "8"

    monkeypatch.setattr(memory, "get_experiment_by_name", by_name)
    monkeypatch.setattr(memory, "create_experiment", create, raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    assert query._experiment_id() == "8"
    assert asked == ["mn-valence", "new mn-valence: The oxidation state of"]
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert query._experiment_id() == "7"
    assert query.where() == "in the experiment mine of sqlite:///none.db"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "7")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    assert query._experiment_id() == "7"  # the number counts
    memory.experiment.lifecycle_stage = "deleted"
    said = (
        "The experiment test of sqlite:///none.db was deleted: `mlflow experiments restore --experiment-id 7`"
        " brings it back, and MLFLOW_EXPERIMENT_NAME names another one."
    )
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        query._experiment_id()


@pytest.mark.parametrize("code", [RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE])
def test_an_unknown_experiment_is_told_from_a_store_that_fails(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fails(*_: str) -> None:
        raise MlflowException("no", error_code=code)

    monkeypatch.setattr(memory, "get_experiment", fails)
    monkeypatch.setattr(memory, "get_experiment_by_name", fails)
    with pytest.raises(MlflowException):
        query._experiment_id()  # which was asked for by its name
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "99")
    said = "MLFLOW_EXPERIMENT_ID=99 is no experiment of sqlite:///none.db: unset it, or correct it."
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        query._experiment_id()
    code = INTERNAL_ERROR
    with pytest.raises(MlflowException):
        query._experiment_id()


def test_a_run_begins_after_every_other_also_if_the_clock_was_put_back(memory: MemoryStore) -> None:
    before = time.time_ns()
    first = query.began()
    assert before <= int(first) <= time.time_ns()
    assert len(first) == 20  # or they could not be sorted as text
    run(**{names.BEGAN: f"{10**19}"})
    assert query.began() == "10000000000000000001"
    run(**{names.BEGAN: "someone else's"})
    assert before <= int(query.began()) < 10**19
    run()
    assert before <= int(query.began()) < 10**19


def test_an_artifact_is_a_copy_for_the_length_of_a_block(memory: MemoryStore) -> None:
    own = tracking.Run(run())
    own.json({"k": 1}, "cv/folds.json")
    with query.artifact(own.id, "cv/folds.json") as path:
        assert path.read_text() == '{\n "k": 1\n}'
    assert not path.exists()
    with (
        pytest.raises(InputError, match=rf"^Run {own.id} has no artifact cv/none\.json \(.+\): run its step"),
        query.artifact(own.id, "cv/none.json"),
    ):
        pass


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_or_closed_disk_is_no_missing_artifact(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(*_: object) -> Path:
        raise OSError(number, "disk")

    monkeypatch.setattr(memory, "download_artifacts", fails)
    with pytest.raises(OSError, match="disk"), query.artifact("0", "a"):
        pass


def finished(name: str = "a", **tags: str) -> str:
    with tracking.step({**TAGS, **tags}, name, {}) as own:
        pass
    return own.id


@pytest.mark.usefixtures("store")
def test_the_newest_finished_run_with_the_tags_is_found() -> None:
    finished("old")
    time.sleep(0.01)  # start times are in milliseconds
    newest = finished("new")
    time.sleep(0.01)
    finished("other", arch="dense")
    assert query.finished_run("cv_train", arch="fcn").info.run_id == newest
    assert query.finished_run("cv_train", newest).info.run_id == newest


@pytest.mark.usefixtures("store")
def test_a_run_that_cannot_be_used_gives_a_clear_error() -> None:
    with pytest.raises(
        InputError,
        match=r"No finished cv_train run with arch=fcn was found in the experiment test of .*makes one",
    ):
        query.finished_run("cv_train", arch="fcn")
    with pytest.raises(InputError, match="No run 'nonsense'"):
        query.finished_run("cv_train", "nonsense")
    other = finished(**{"mnflow.step": "tsne"})
    with pytest.raises(InputError, match=f"Run {other} is of the step tsne, a cv_train run is needed"):
        query.finished_run("cv_train", other)
    with pytest.raises(InputError), tracking.step(TAGS, "a", {}) as own:
        raise InputError("bad")
    with pytest.raises(InputError, match="is FAILED, a FINISHED one is needed"):
        query.finished_run("cv_train", own.id)


@pytest.mark.usefixtures("store")
def test_a_missing_artifact_gives_a_clear_error() -> None:
    run_id = finished()
    with (
        pytest.raises(InputError, match=r"has no artifact cv/folds\.json"),
        query.artifact(run_id, "cv/folds.json"),
    ):
        pass

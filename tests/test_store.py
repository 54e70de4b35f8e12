"""A tracking store that cannot be used is a sentence at once; processes that make it together wait for each other."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from mnflow import environment, store, tracking
from mnflow.errors import InputError


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(environment, "LOCK_SECONDS", 0.1)
    store.connect.cache_clear()
    yield tmp_path / "mlflow.db"
    store.connect.cache_clear()


def test_a_locked_database(database: Path) -> None:
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match=r"cannot be written \(database is locked\): close what holds it"):
            store.connect()


def test_a_file_that_is_no_database(database: Path) -> None:
    database.write_text("something else " * 100)
    with pytest.raises(InputError, match="file is not a database"):
        store.connect()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(database: Path) -> None:
    database.parent.chmod(0o500)
    with pytest.raises(InputError, match="its folder cannot be written: check permissions"):
        store.connect()


@pytest.mark.usefixtures("store")
def test_a_store_that_fails_within_a_step_is_a_sentence() -> None:
    with (
        pytest.raises(
            InputError, match=r"does not take what is logged \(database or disk is full\).*start the same command again"
        ),
        tracking.step(tracking.tags_of("cv_train"), "a", {}),
    ):
        raise MlflowException("database or disk is full\nand more", error_code=TEMPORARILY_UNAVAILABLE)
    with pytest.raises(MlflowException, match="our own mistake"), tracking.step(tracking.tags_of("cv_train"), "b", {}):
        raise MlflowException.invalid_parameter_value("our own mistake")


@pytest.mark.services
def test_six_processes_on_a_database_that_is_not_there_yet(database: Path) -> None:
    command = [sys.executable, "-c", "from mnflow import tracking\nwith tracking.step({}, 'a', {}): pass"]
    started = [subprocess.Popen(command, cwd=database.parent) for _ in range(6)]
    assert [process.wait(300) for process in started] == [0] * 6
    (experiment,) = MlflowClient(f"sqlite:///{database}").search_experiments()
    runs = MlflowClient(f"sqlite:///{database}").search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 6

"""A store that is full, locked or made by several processes at once, while steps run."""

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from mnflow.errors import InputError
from mnflow.runtime.files import whole_file
from mnflow.runtime.project import ROOT
from mnflow.track import connection, tracking
from mnflow.track.query import _runs, artifact, finished_runs


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    connection.connect.cache_clear()
    yield tmp_path / "mlflow.db"
    connection.connect.cache_clear()


@pytest.mark.usefixtures("store")
def test_a_store_that_fails_within_a_step_gives_a_clear_error() -> None:
    with (
        pytest.raises(
            InputError,
            match=r"does not take what is logged \(database or disk is full\).*start the same command again",
        ),
        tracking.step(tracking.tags_of("cv_train"), "a", {}),
    ):
        raise MlflowException("database or disk is full\nand more", error_code=TEMPORARILY_UNAVAILABLE)
    with (
        pytest.raises(MlflowException, match="our own mistake"),
        tracking.step(tracking.tags_of("cv_train"), "b", {}),
    ):
        raise MlflowException.invalid_parameter_value("our own mistake")


@pytest.mark.services
def test_six_processes_on_a_database_that_is_not_there_yet(database: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from mnflow.track import tracking\nwith tracking.step({}, 'a', {}): pass",
    ]
    started = [subprocess.Popen(command, cwd=database.parent) for _ in range(6)]
    assert [process.wait(300) for process in started] == [0] * 6
    (experiment,) = MlflowClient(f"sqlite:///{database}").search_experiments()
    runs = MlflowClient(f"sqlite:///{database}").search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 6


@pytest.mark.services
def test_two_mains_at_once_on_a_database_that_is_not_there_yet(database: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.killing"],
            cwd=database.parent, env=environment, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in both:
        assert process.stdin is not None
        process.stdin.write('["main"]\n')
        process.stdin.flush()
    said = [process.communicate()[0].splitlines()[-1] for process in both]
    assert said == ["0", "0"], (database.parent / "main.log").read_text()[-3000:]
    first, second = finished_runs("main")
    tables = []
    for record in (first, second):
        with artifact(record.info.run_id, "tables/summary.csv") as path:
            tables.append(path.read_text())
    assert tables[0] == tables[1]
    refused = _runs("attributes.status != 'FINISHED'", {})  # such small nets may not pass the gate
    assert all("does not pass the gate" in r.data.tags["mnflow.error"] for r in refused)
    assert [r.data.tags["mnflow.step"] for r in refused] in ([], ["promote"] * 2)


@pytest.fixture
def full_disk(store_in: Callable[[Path], AbstractContextManager[Path]], tmp_path: Path) -> Iterator[Path]:
    """A store on a disk of 12 MB, and a file that fills it: remove it to make room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        with store_in(disk):
            yield disk / "filling"
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096) == 4096:
            pass


def log_until_it_is_full(filling: Path) -> None:
    with tracking.step(tracking.tags_of("cv_train"), "a", {}) as run:
        fill(filling)
        for i in range(100):
            run.tags({f"long {i}": "x" * 4000})


def test_a_disk_that_is_full_within_a_step(full_disk: Path) -> None:
    with pytest.raises(
        InputError, match=r"does not take what is logged \(.*disk is full.*start the same command again"
    ):
        log_until_it_is_full(full_disk)
    with (
        pytest.raises(OSError, match="No space left") as full,
        whole_file(full_disk.with_name("a.bin")) as part,
    ):
        part.write_bytes(b"x" * 1_000_000)
    assert full.value.errno == errno.ENOSPC
    full_disk.unlink()
    assert not [p for p in full_disk.parent.iterdir() if "a.bin" in p.name]
    with tracking.step(tracking.tags_of("cv_train"), "b", {}) as run:
        run.metrics({"a": 1.0})
    assert tracking.connect().get_run(run.id).info.status == "FINISHED"


def log_while_it_is_locked(database: Path) -> None:
    with (
        closing(sqlite3.connect(database)) as other,
        tracking.step(tracking.tags_of("cv_train"), "a", {}) as run,
    ):
        other.execute("BEGIN EXCLUSIVE")
        run.metrics({"a": 1.0})


@pytest.mark.services
def test_a_database_that_another_process_locks_within_a_step(store: Path) -> None:
    with pytest.raises(
        InputError, match=r"does not take what is logged \(.*database is locked.*start the same command again"
    ):
        log_while_it_is_locked(store / "mlflow.db")
    with tracking.step(tracking.tags_of("cv_train"), "b", {}) as run:
        run.metrics({"a": 1.0})
    assert tracking.connect().get_run(run.id).info.status == "FINISHED"

"""A tracking store that cannot be used gives a clear error at once; concurrent set-ups wait."""

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from mnflow.errors import InputError
from mnflow.runtime.files import whole_file
from mnflow.runtime.project import EXPERIMENT, ROOT
from mnflow.track import connection, tracking
from mnflow.track.query import _runs, artifact, finished_runs

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(connection, "LOCK_SECONDS", 0.1)
    connection.connect.cache_clear()
    yield tmp_path / "mlflow.db"
    connection.connect.cache_clear()


def test_a_locked_database(database: Path) -> None:
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            InputError, match=r"cannot be written \(database is locked\): close what holds it"
        ):
            connection.connect()


def test_a_file_that_is_no_database(database: Path) -> None:
    database.write_text("something else " * 100)
    with pytest.raises(InputError, match="file is not a database"):
        connection.connect()


def test_a_damaged_database(store: Path) -> None:
    path = store / "mlflow.db"
    content = bytearray(path.read_bytes())
    content[20_000:60_000] = b"x" * 40_000
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=r"is damaged .*: restore a backup"):
        connection.check_database(f"sqlite:///{path}")


def test_a_database_of_another_mlflow(store: Path) -> None:
    path = store / "mlflow.db"
    connection.check_database(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = 'abc'")
    with pytest.raises(RuntimeError, match="is of another version of MLflow"):
        connection.check_database(f"sqlite:///{path}")


def test_a_percent_sign_in_the_path(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="cannot open a database whose path holds a %"):
        connection.check_database(f"sqlite:///{tmp_path}/100%/mlflow.db")


def start_a_step() -> None:
    with tracking.step(tracking.tags_of("x"), "x", {}):
        pass


def test_a_deleted_experiment_and_one_that_never_was(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tracking.connect()
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(
        InputError, match=r"The experiment test of sqlite:.* was deleted: `mlflow experiments restore"
    ):
        start_a_step()
    for number in ("4711", "abc"):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", number)
        with pytest.raises(InputError, match=f"MLFLOW_EXPERIMENT_ID={number} is no experiment of sqlite:"):
            start_a_step()


def test_a_run_id_that_is_left_from_elsewhere(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracking.step(tracking.tags_of("x"), "x", {}) as run:
        pass
    for stale, state in (("0" * 32, "unknown"), (run.id, "FINISHED")):
        monkeypatch.setenv("MLFLOW_RUN_ID", stale)
        with pytest.raises(
            InputError, match=f"MLFLOW_RUN_ID={stale} is left from elsewhere: .* this run is {state}"
        ):
            start_a_step()


AS_ANOTHER = """
import os, sys
from mnflow.track import connection
from mnflow.errors import InputError
for uri in ["http://127.0.0.1:9", *sys.argv[1:]]:  # the first makes it import what it needs
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        connection.connect()
    except InputError as error:
        print(error)
    connection.connect.cache_clear()
    os.getuid() or (os.setgroups([]), os.setgid(65534), os.setuid(65534))  # root may write everywhere
"""


def test_a_folder_or_a_database_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # root's own temporary folder is closed to others
        Path(name).chmod(0o755)
        cases = {"empty": (0o555, None), "closed": (0o555, 0o666), "read-only": (0o777, 0o444)}
        for case, (mode, file_mode) in cases.items():
            folder = Path(name) / case
            folder.mkdir()
            if file_mode is not None:
                with closing(sqlite3.connect(folder / "mlflow.db")) as own:
                    own.execute("CREATE TABLE a (b)")
                (folder / "mlflow.db").chmod(file_mode)
            folder.chmod(mode)
        command = [
            sys.executable,
            "-c",
            AS_ANOTHER,
            *(f"sqlite:///{name}/{case}/mlflow.db" for case in cases),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        said = subprocess.run(
            command, cwd="/", env=environment, capture_output=True, text=True, check=True
        ).stdout
        for case in cases:
            (Path(name) / case).chmod(0o755)
    sentences = [line.partition("cannot be used: ")[2] for line in said.replace(name, "").splitlines()[1:]]
    assert sentences == [
        "The folder of the tracking database /empty/mlflow.db cannot be written: check permissions.",
        "The folder of the tracking database /closed/mlflow.db cannot be written: check permissions.",
        "The tracking database /read-only/mlflow.db cannot be written: check permissions.",
    ]


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


def test_the_store_is_prepared_once_and_a_bare_mlflow_run_lands_in_our_experiment(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/store.db"
    for _ in range(2):
        connection.prepare_store(uri)
    client = MlflowClient(uri)
    assert [e.name for e in client.search_experiments()] == [EXPERIMENT]
    assert client.get_experiment("0").name == EXPERIMENT


def test_a_worker_that_comes_second_takes_the_experiment_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path}/store.db"
    connection.prepare_store(uri)
    found = MlflowClient(uri).get_experiment_by_name(EXPERIMENT)
    answers = iter([None, found])  # not there when it looked, there when it tried to make it
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", lambda client, name: next(answers))
    monkeypatch.setattr(MlflowClient, "get_experiment", lambda client, number: found)
    connection.prepare_store(uri)
    assert next(answers, None) is None

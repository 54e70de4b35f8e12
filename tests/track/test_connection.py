"""A tracking store that cannot be used gives a clear error at once; concurrent set-ups wait."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mnflow.errors import InputError
from mnflow.runtime.project import EXPERIMENT, EXPERIMENT_TAGS, ROOT
from mnflow.track import connection, tracking


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(connection, "LOCK_SECONDS", 0.1)
    connection.connect.cache_clear()
    yield tmp_path / "mlflow.db"
    connection.connect.cache_clear()


def test_a_damaged_database(store: Path) -> None:
    path = store / "mlflow.db"
    content = bytearray(path.read_bytes())
    content[20_000:60_000] = b"x" * 40_000
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=r"is damaged .*: restore a backup"):
        connection.check_database(f"sqlite:///{path}")


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


@pytest.mark.slow
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


class Clock:
    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_a_server_is_waited_for_every_second_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(connection, "time", clock)
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 5.0)
    assert connection.patiently(lambda: clock.now >= 3)
    assert clock.slept == [1, 1, 1]
    assert not connection.patiently(lambda: False)
    assert clock.now == 8.0
    assert connection.patiently(lambda: True)
    assert clock.now == 8.0


@pytest.mark.parametrize("uri", ["http://lab:5000", "https://lab:5000/"])
def test_a_server_is_asked_for_its_health(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    answer: Any = SimpleNamespace(ok=True)
    asked = []

    def get(address: str, timeout: float) -> Any:
        asked.append((address, timeout))
        if answer is None:
            raise requests.ConnectionError("no")
        return answer

    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(requests, "get", get)
    assert connection.answers()
    assert asked == [(uri.rstrip("/") + "/health", 4.0)]
    answer.ok = False
    assert not connection.answers()
    answer = None
    assert not connection.answers()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///a.db")
    assert connection.answers()  # without being asked
    assert len(asked) == 3


class Experiments:
    """The experiments of a new store, by id; `elsewhere`: another worker makes ours at the same time."""

    def __init__(self, elsewhere: bool = False, fails: bool = False) -> None:
        self.names, self.tags = {"0": "Default"}, dict[str, dict[str, str]]()
        self.elsewhere, self.fails = elsewhere, fails

    def get_experiment_by_name(self, name: str) -> Any:
        return next((SimpleNamespace(name=n) for n in self.names.values() if n == name), None)

    def get_experiment(self, number: str) -> Any:
        return SimpleNamespace(name=self.names[number])

    def rename_experiment(self, number: str, name: str) -> None:
        self.names[number] = name

    def set_experiment_tag(self, number: str, key: str, value: str) -> None:
        self.tags.setdefault(number, {})[key] = value

    def create_experiment(self, name: str, tags: dict[str, str]) -> None:
        if not self.fails:
            self.names["1"], self.tags["1"] = name, tags
        if self.elsewhere or self.fails:
            raise MlflowException("exists already")


@pytest.mark.parametrize(("uri", "number"), [("sqlite:///a.db", "0"), ("postgresql://lab/a", "1")])
def test_a_store_has_the_projects_experiment_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, number: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for elsewhere in (False, True):
        experiments = Experiments(elsewhere)
        monkeypatch.setattr("mlflow.MlflowClient", {uri: experiments}.__getitem__)
        for _ in range(2):
            connection.prepare_store(uri)
        assert experiments.names == {"0": "Default", number: "mn-valence"}
        assert experiments.tags == {number: EXPERIMENT_TAGS}


def test_a_server_that_cannot_make_the_experiment_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("mlflow.MlflowClient", lambda uri: Experiments(fails=True))
    with pytest.raises(MlflowException, match="exists already"):
        connection.prepare_store("postgresql://lab/a")


def test_a_local_store_whose_first_experiment_is_a_users_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiments = Experiments()
    experiments.names["0"] = "mine"
    monkeypatch.setattr("mlflow.MlflowClient", lambda uri: experiments)
    connection.prepare_store(f"sqlite:///{tmp_path}/a.db")
    assert experiments.names == {"0": "mine", "1": "mn-valence"}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What `connect` does with the store http://lab, by name: an error to raise, or what to return."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://lab")
    monkeypatch.setattr(connection, "answers", lambda: True)
    connection.connect.cache_clear()
    does: dict[str, Any] = {"check_database": None, "prepare_store": None, "relocate": None}

    def stub(name: str) -> Callable[..., Any]:
        def call(*words: Any) -> Any:
            does[f"{name} of"] = words
            if isinstance(does[name], Exception):
                raise does[name]
            return does[name]

        return call

    for name in list(does):
        monkeypatch.setattr(connection, name, stub(name))
    yield does
    connection.connect.cache_clear()
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


def test_a_store_is_checked_prepared_and_moved_when_it_is_opened(
    opened: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = "http://lab"
    monkeypatch.delenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", raising=False)
    assert isinstance(connection.connect(), MlflowClient)
    assert connection.connect() is connection.connect()
    assert connection.connect()._tracking_client.tracking_uri == uri == mlflow.get_tracking_uri()
    assert opened["check_database of"] == opened["prepare_store of"] == (uri,)
    assert opened["relocate of"] == (uri, ROOT)
    assert os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] == "false"
    assert capsys.readouterr().err == ""
    opened["relocate"] = "/old/place"
    connection.connect.cache_clear()
    connection.connect()
    said = f"The tracking store was made in /old/place; its artifacts are now those of {ROOT}."
    assert capsys.readouterr().err.strip().endswith(said)


def test_whatever_fails_when_a_store_is_opened_is_told_in_one_line(
    opened: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened["prepare_store"] = RuntimeError("  " + "x" * 400 + "\nmore")
    with pytest.raises(InputError) as refused:
        connection.connect()
    assert str(refused.value) == f"The tracking store http://lab cannot be used: {'x' * 300}"
    opened["prepare_store"] = InputError("as it is")
    with pytest.raises(InputError, match=r"^as it is$"):
        connection.connect()
    monkeypatch.setattr(connection, "answers", lambda: False)
    with pytest.raises(InputError) as away:
        connection.connect()
    assert str(away.value) == (
        "The tracking server http://lab does not answer. Start it, or correct MLFLOW_TRACKING_URI."
    )


def test_a_database_that_is_as_it_should_be_or_not_there_passes(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    for uri in (f"sqlite:///{path}", "postgresql://lab/100%", "http://lab"):
        connection.check_database(uri)
    assert not path.exists()
    with closing(sqlite3.connect(path)) as own, own:
        own.execute("CREATE TABLE a (b)")
    connection.check_database(f"sqlite:///{path}")  # without MLflow's tables
    for version in (connection._own_schema(), "abc"):
        with closing(sqlite3.connect(path)) as own, own:
            own.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num)")
            own.execute("DELETE FROM alembic_version")
            own.execute("INSERT INTO alembic_version VALUES (?)", [version])
        if version != "abc":
            connection.check_database(f"sqlite:///{path}")
    with pytest.raises(RuntimeError) as refused:
        connection.check_database(f"sqlite:///{path}")
    assert str(refused.value) == (
        f"The tracking database {path} is of another version of MLflow than {mlflow.__version__}, which runs "
        f"here: if of an older one, copy the file and run `mlflow db upgrade sqlite:///{path}`; if of a "
        "newer one, use that."
    )


def test_a_database_that_cannot_be_used_is_told_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"
    cases: dict[str, str] = {}
    path.write_text("something else " * 100)
    cases[f"sqlite:///{path}"] = (
        f"The tracking database {path} is damaged (file is not a database): restore a backup; `sqlite3 a.db "
        ".recover` saves what can still be read."
    )
    percent = tmp_path / "100%" / "a.db"
    cases[f"sqlite:///{percent}"] = (
        f"MLflow cannot open a database whose path holds a % ({percent}): rename the folder, or let "
        "MLFLOW_TRACKING_URI name another place."
    )
    for uri, said in cases.items():
        with pytest.raises(RuntimeError) as refused:
            connection.check_database(uri)
        assert str(refused.value) == said
    path.unlink()
    monkeypatch.setattr(connection, "LOCK_SECONDS", 0.01)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RuntimeError) as locked:
            connection.check_database(f"sqlite:///{path}")
    assert str(locked.value) == (
        f"The tracking database {path} cannot be written (database is locked): close what holds it, or check "
        "its permissions."
    )

    class Broken(sqlite3.Connection):
        def execute(self, *_: Any) -> Any:
            raise sqlite3.DatabaseError("y" * 300 + "\nmore")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda path, timeout: Broken(path))
        with pytest.raises(RuntimeError, match=r"is damaged \(y{200}\): restore"):
            connection.check_database(f"sqlite:///{path}")
    closed = {tmp_path: "folder of the tracking database", path: "tracking database"}
    for place, what in closed.items():
        monkeypatch.setattr(os, "access", lambda p, mode, place=place: mode == os.W_OK and p != place)
        with pytest.raises(RuntimeError) as refused:
            connection.check_database(f"sqlite:///{path}")
        assert str(refused.value) == f"The {what} {path} cannot be written: check permissions."


class _Late(BaseHTTPRequestHandler):
    """A server that answers after a while, and that all is well."""

    waited = Event()

    def do_GET(self) -> None:
        self.waited.wait(5)
        self.send_response(200)
        with contextlib.suppress(OSError):  # who asked has gone
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.1)
    with HTTPServer(("127.0.0.1", 0), _Late) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.handle_request, daemon=True).start()
        assert not connection.answers()
        _Late.waited.set()


def test_a_server_that_is_away_gives_a_clear_error_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    connection.connect.cache_clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"The tracking server http://127.0.0.1:9 does not answer"):
        connection.connect()


@pytest.mark.slow
def test_the_store_is_prepared_once_and_a_bare_mlflow_run_lands_in_our_experiment(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/store.db"
    for _ in range(2):
        connection.prepare_store(uri)
    client = MlflowClient(uri)
    assert [e.name for e in client.search_experiments()] == [EXPERIMENT]
    assert client.get_experiment("0").name == EXPERIMENT

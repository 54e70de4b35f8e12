"""What a step logs while the tracking server is away waits on disk and arrives in order, once."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from mnflow import plots
from mnflow.errors import InputError
from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.runtime.process import this_process
from mnflow.track import calls, connection, cross_validation, outbox, tracking
from mnflow.track.query import artifact, children
from mnflow.train.cross_validate import FoldModel
from tests.helpers.spectra import spectra

TAGS = tracking.tags_of("shift_eval")


class Server:
    """Between us and the store: `there`: does it answer; `tried`: what was asked; `made`: what it did."""

    def __init__(self) -> None:
        self.there, self.tried, self.made = True, list[str](), list[str]()
        self.make = calls.make

    def __call__(self, run_id: str, call: str, files: Sequence[Path], words: dict[str, Any]) -> None:
        self.tried.append(call)
        if not self.there:
            raise MlflowException("no answer")
        self.make(run_id, call, files, words)
        self.made.append(call)


@pytest.fixture
def server(store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setattr("mnflow.track.connection.answers", lambda: server.there)
    monkeypatch.setattr(tracking, "answers", lambda: server.there)
    monkeypatch.setattr("mnflow.track.connection.PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(calls, "make", server)
    yield server
    outbox._waiting.clear()


def log_all(run: tracking.Run) -> None:
    run.metrics({"a": 1.0, "b": float("nan")})
    run.curve("c", [1, 2, 3], [0.1, 0.2, 0.3])
    run.table(pd.DataFrame({"x": [1, 2]}), "t")
    run.json({"k": 1}, "cv/settings.json")
    run.figure(figure(), "f")
    run.dataset(spectra(6), "training")
    run.rename("another")
    run.note("in words")


def figure() -> Figure:
    x = np.arange(-5.0, 6.0)
    return plots.shift_curves({"a": (x, np.ones((2, 11)))})


def held_by(run: tracking.Run) -> dict[str, Any]:
    """All that the store has of a run."""
    client = tracking.connect()
    record = client.get_run(run.id)
    found: dict[str, Any] = {
        "name": record.info.run_name,
        "status": record.info.status,
        "metrics": str(record.data.metrics),
    }
    found["note"] = record.data.tags["mlflow.note.content"]
    found["curve"] = [(m.step, m.value) for m in client.get_metric_history(run.id, "c")]
    found["data"] = [(d.dataset.digest, d.tags[0].value) for d in record.inputs.dataset_inputs]
    for path in ("tables/t.csv", "cv/settings.json", "figures/f.png", "figures/f.csv"):
        with artifact(run.id, path) as file:
            found[path] = file.read_bytes()
    return found


def held_status(run: tracking.Run) -> str:
    return str(tracking.connect().get_run(run.id).info.status)


def gone_for_good(server: Server, log: Callable[[tracking.Run], None]) -> tracking.Run:
    """The run of a step that logs all this while the server is away, and does not see it again."""
    runs = []

    def step() -> None:
        with tracking.step(TAGS, "a", {}) as run:
            runs.append(run)
            server.there = False
            server.tried.clear()
            log(run)

    sentence = r"does not answer\. What was to be logged waits in data/unsent, \d+ entries: the next command"
    with pytest.raises(InputError, match=sentence):
        step()
    return runs[0]


def left_by_another() -> None:
    """Rename this process's entries as if a process that has ended had made them."""
    host, pid, started = this_process().split()
    for path in sorted(outbox.FOLDER.glob("*~*")):
        path.rename(path.with_name(path.name.replace(f"{host}~{pid}~{started}", f"{host}~4194304~{started}")))
    outbox._waiting.clear()


def on_disk() -> list[str]:
    return sorted(p.name for p in outbox.FOLDER.glob("*~*"))


def test_a_server_that_comes_back_has_all_in_order(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracking.step(TAGS, "undisturbed", {}) as undisturbed:
        log_all(undisturbed)
    calls = server.made.copy()
    server.made.clear()
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 60.0)
    with tracking.step(TAGS, "disturbed", {}) as run:
        server.there = False
        log_all(run)
        server.there = True
    assert server.made == calls
    assert held_by(run) == held_by(undisturbed)
    assert on_disk() == []


def test_if_it_stays_away_the_next_command_sends_what_waits(server: Server) -> None:
    with tracking.step(TAGS, "undisturbed", {}) as undisturbed:
        log_all(undisturbed)
    run = gone_for_good(server, log_all)
    assert server.tried == ["batch"]  # and no other waits for MLflow's retries
    left_by_another()
    server.there = True
    assert tracking.connect().get_run(run.id).info.status == "RUNNING"
    with tracking.step(TAGS, "next", {}):
        pass
    assert held_by(run) == held_by(undisturbed)
    assert on_disk() == []


def test_what_a_living_process_or_another_store_waits_for_is_left_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = gone_for_good(server, lambda run: run.metrics({"a": 1.0}))
    outbox._waiting.clear()  # as another process would see it
    server.there = True
    outbox.send_left()
    waiting = on_disk()
    assert len(waiting) == 2
    left_by_another()
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "sqlite:///another.db")
        outbox.send_left()
    assert len(on_disk()) == 2
    outbox.send_left()
    assert (on_disk(), held_status(run)) == ([], "FINISHED")


def test_ctrl_c_does_not_wait_for_a_server_that_is_away(server: Server) -> None:
    runs = []

    def stopped() -> None:
        with tracking.step(TAGS, "a", {}) as run:
            runs.append(run)
            server.there = False
            server.tried.clear()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not server.tried
    server.there = True
    assert outbox.send()
    assert held_status(runs[0]) == "KILLED"


def test_what_the_store_refuses_is_put_aside_and_the_rest_arrives(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with tracking.step(TAGS, "deleted", {}) as deleted:
        pass

    def log(run: tracking.Run) -> None:
        tracking.Run("no such run").metrics({"a": 1.0})
        deleted.metrics({"a": 1.0})
        run.metrics({"a": 1.0})

    run = gone_for_good(server, log)
    left_by_another()
    server.there = True
    tracking.connect().delete_run(deleted.id)
    outbox.send_left()
    assert capsys.readouterr().err.count("is not taken by the store") == 2
    refused = on_disk()
    assert [name.endswith(".refused") for name in refused] == [True, True]
    outbox.send_left()
    assert on_disk() == refused, "they are left for the user to look at"
    assert held_status(run) == "FINISHED"


def test_an_error_of_ours_is_not_taken_for_a_server_that_is_away(server: Server) -> None:
    with pytest.raises(MlflowException), tracking.step(TAGS, "a", {}):
        tracking.Run("no such run").metrics({"a": 1.0})
    assert on_disk() == []


def fold(number: int) -> FoldModel:
    curves = {"train/loss": np.arange(3, dtype=np.float32)}
    net = keras_nets.to_bytes(keras_nets.build(design("dense")))
    return FoldModel(number, net, 0.5, np.eye(3, dtype=np.float32), curves, 1.5)


def statuses(run: tracking.Run) -> list[tuple[str, str]]:
    """Number and status of the folds that the store has of a run, in the order in which they were begun."""
    return [(r.data.tags["fold"], r.info.status) for r in children(run.id)]


def test_folds_wait_on_disk_and_arrive_in_order(server: Server) -> None:
    with tracking.step(TAGS, "a", {}) as run:
        cross_validation.log_fold(run, fold(2), {})
        server.there = False
        cross_validation.log_fold(run, fold(0), {})
        cross_validation.log_fold(run, fold(1), {})
        assert statuses(run) == [("2", "FINISHED")]
        assert len(on_disk()) == 2
        server.there = True
    assert statuses(run) == [("2", "FINISHED"), ("0", "FINISHED"), ("1", "FINISHED")]
    assert on_disk() == []


def test_a_fold_that_was_cut_in_two_is_logged_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def go_away(*_: Any, **__: Any) -> None:
        server.there = False
        raise MlflowException("half of it")

    with tracking.step(TAGS, "a", {}) as run:
        with monkeypatch.context() as patch:
            patch.setattr("mlflow.keras.log_model", go_away)
            cross_validation.log_fold(run, fold(0), {})
        server.there = True
    assert sorted(statuses(run)) == [("0", "FINISHED"), ("0", "KILLED")]
    assert on_disk() == []


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError("No space left on device"), OSError),
        (MlflowException("database is locked", error_code=TEMPORARILY_UNAVAILABLE), InputError),
    ],
    ids=["full", "locked"],
)
def test_a_fold_that_the_store_cannot_take_now_is_sent_by_the_next_command(
    server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception, shown: type[Exception]
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    runs = []

    def log() -> None:
        with tracking.step(TAGS, "a", {}) as run:
            runs.append(run)
            cross_validation.log_fold(run, fold(0), {})

    assert callable(mlflow.keras.log_model)  # what MLflow loads at first use would replace the patch
    with monkeypatch.context() as patch:
        patch.setattr("mlflow.keras.log_model", fails)
        with pytest.raises(shown, match=r"No space left|database is locked"):
            log()
        assert (statuses(runs[0]), held_status(runs[0])) == ([("0", "KILLED")], "FAILED")
        left_by_another()
        outbox.send_left()
        assert len(on_disk()) == 1
    outbox.send_left()
    assert ("0", "FINISHED") in statuses(runs[0])
    assert on_disk() == []


def test_half_an_entry_of_a_killed_process_is_removed(server: Server) -> None:
    gone_for_good(server, lambda run: run.metrics({"a": 1.0}))
    left_by_another()
    for path in sorted(outbox.FOLDER.glob("*~*")):
        path.rename(path.with_name(f".{path.name}"))
    server.there = True
    outbox.send_left()
    assert list(outbox.FOLDER.rglob("*~*")) == []

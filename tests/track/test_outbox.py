"""What a step logs while the tracking server is away waits on disk and arrives in order, once."""

import json
import re
import time
from collections.abc import Callable, Iterator
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
from tests.helpers.memory_store import MemoryStore
from tests.helpers.server_away import Server, between, left_by_another, on_disk
from tests.helpers.spectra import spectra

TAGS = tracking.tags_of("shift_eval")


@pytest.fixture
def server(memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with between(monkeypatch) as server:
        yield server


@pytest.fixture
def real_server(store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with between(monkeypatch) as server:
        yield server


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

    with pytest.raises(InputError) as refused:
        step()
    assert str(refused.value) == (
        "The tracking server sqlite:///none.db does not answer. What was to be logged waits in data/unsent, "
        f"{len(on_disk())} entries: the next command that is started in this folder sends them when it "
        "answers."
    )
    return runs[0]


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
    refused = on_disk()
    assert [name.endswith(".refused") for name in refused] == [True, True]
    reasons = "Run 'no such run' not found", f"The run {deleted.id} must be in the 'active' state."
    assert capsys.readouterr().err.splitlines()[-2:] == [
        f"mnflow: data/unsent/{name} is not taken by the store ({reason})."
        for name, reason in zip(refused, reasons, strict=True)
    ]
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


def test_folds_wait_on_disk_and_arrive_in_order(real_server: Server) -> None:
    with tracking.step(TAGS, "a", {}) as run:
        cross_validation.log_fold(run, fold(2), {})
        real_server.there = False
        cross_validation.log_fold(run, fold(0), {})
        cross_validation.log_fold(run, fold(1), {})
        assert statuses(run) == [("2", "FINISHED")]
        assert len(on_disk()) == 2
        real_server.there = True
    assert statuses(run) == [("2", "FINISHED"), ("0", "FINISHED"), ("1", "FINISHED")]
    assert on_disk() == []


def test_a_fold_that_was_cut_in_two_is_logged_again(
    real_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go_away(*_: Any, **__: Any) -> None:
        real_server.there = False
        raise MlflowException("half of it")

    with tracking.step(TAGS, "a", {}) as run:
        with monkeypatch.context() as patch:
            patch.setattr("mlflow.keras.log_model", go_away)
            cross_validation.log_fold(run, fold(0), {})
        real_server.there = True
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
    real_server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception, shown: type[Exception]
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


def test_an_entry_holds_its_call_and_copies_of_its_files(server: Server, tmp_path: Path) -> None:
    before = time.time_ns()
    (tmp_path / "a.txt").write_text("content")
    run = tracking.Run(tracking.connect().create_run("7").info.run_id)
    server.there = False
    run.file(tmp_path / "a.txt", "notes")
    (tmp_path / "a.txt").unlink()
    (path,) = outbox.FOLDER.iterdir()
    number, _, process = path.name.partition("~")
    assert before <= int(number) <= time.time_ns()
    assert process.replace("~", " ") == this_process()
    assert json.loads((path / "call.json").read_text()) == {
        "store": "sqlite:///none.db", "run_id": run.id, "call": "file", "words": {"folder": "notes"},
    }  # fmt: skip
    assert (path / "files" / "a.txt").read_text() == "content"
    server.there = True
    assert outbox.send()
    with artifact(run.id, "notes/a.txt") as sent:
        assert sent.read_text() == "content"
    assert list(outbox.FOLDER.iterdir()) == []


def test_entries_keep_their_order_though_the_clock_stands(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tracking.Run(tracking.connect().create_run("7").info.run_id)
    monkeypatch.setattr(outbox.time, "time_ns", lambda: 10**18)
    server.there = False
    for k in range(3):
        run.tags({"k": k})
    assert [int(name.partition("~")[0]) - 10**18 for name in on_disk()] == [0, 1, 2]
    server.there = True
    run.tags({"k": 3})  # behind those that wait
    assert tracking.connect().get_run(run.id).data.tags == {"k": "3"}
    assert on_disk() == []
    outbox.finish()  # there is nothing left to wait for


def test_what_is_refused_stays_on_disk_and_stops_nothing(server: Server) -> None:
    client = tracking.connect()
    deleted, run = (tracking.Run(client.create_run("7").info.run_id) for _ in range(2))
    server.there = False
    deleted.tags({"a": 1})
    run.tags({"b": 2})
    client.delete_run(deleted.id)
    server.there = True
    with pytest.raises(MlflowException, match="must be in the 'active' state"):
        outbox.send()
    assert len(on_disk()) == 2
    assert outbox.send()
    assert client.get_run(run.id).data.tags == {"b": "2"}
    assert len(on_disk()) == 1


def test_an_end_is_not_tried_while_the_server_is_away(server: Server) -> None:
    run = tracking.Run(tracking.connect().create_run("7").info.run_id)
    server.there = False
    run.close("FINISHED")
    assert server.tried == []
    assert not outbox.send()
    server.there = True
    assert outbox.send()
    assert (server.tried, held_status(run)) == (["close"], "FINISHED")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError("disk is full"), True),
        (MlflowException("locked", error_code=TEMPORARILY_UNAVAILABLE), True),
        (MlflowException("bad"), False),
        (ValueError("bad"), False),
    ],
)
def test_what_may_be_taken_later_is_not_put_aside(
    server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception, passes: bool
) -> None:
    gone_for_good(server, lambda run: run.metrics({"a": 1.0}))
    left_by_another()
    server.there = True

    def fails(*_: Any) -> None:
        server.tried.append("again")
        raise error

    monkeypatch.setattr(calls, "make", fails)
    server.tried.clear()
    outbox.send_left()
    assert [bool(re.search("refused$", name)) for name in on_disk()] == [not passes] * 2
    assert len(server.tried) == (1 if passes else 2)  # the next would meet the same

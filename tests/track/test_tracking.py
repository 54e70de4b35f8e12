"""What is logged comes back from the tracking store, and a run ends with the right status."""

import contextlib
import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, TEMPORARILY_UNAVAILABLE

from mnflow.errors import InputError
from mnflow.track import names, provenance, tracking
from mnflow.track.query import _experiment_id, artifact
from tests.helpers.memory_store import MemoryStore
from tests.helpers.spectra import spectra
from tests.helpers.stopping import stoppable, stopped_after

TAGS = tracking.tags_of("cv_train", "fcn", "10x", "stratified")


def finished(name: str = "a", **tags: str) -> str:
    with tracking.step({**TAGS, **tags}, name, {}) as run:
        pass
    return run.id


@pytest.mark.usefixtures("store")
def test_a_step_logs_tags_params_curves_and_files() -> None:
    with tracking.step(TAGS, "cv_train fcn", {"epochs": 3}, note="in words") as run:
        run.curve("shift/accuracy", np.arange(-5000, 5001, 100), np.linspace(0, 1, 101))
        run.table(pd.DataFrame({"a": [1, 2]}), "t")
        run.json({"k": 1}, "cv/settings.json")
    client = tracking.connect()
    logged = client.get_run(run.id)
    assert logged.info.status == "FINISHED"
    assert logged.data.tags.items() >= {**TAGS, "mlflow.note.content": "in words"}.items()
    assert logged.data.params == {"epochs": "3"}
    history = client.get_metric_history(run.id, "shift/accuracy")
    assert sorted(m.step for m in history) == list(range(-5000, 5001, 100))
    with artifact(run.id, "tables/t.csv") as path:
        assert pd.read_csv(path)["a"].tolist() == [1, 2]


@pytest.mark.usefixtures("store")
def test_the_run_that_mlflow_run_started_is_resumed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started = tracking.connect().create_run(_experiment_id()).info.run_id
    tracking.connect().log_param(started, "epochs", "3.0")
    monkeypatch.setenv("MLFLOW_RUN_ID", started)
    with (
        tracking.step(TAGS, "first", {"epochs": 3, "seed": 1}) as first,
        tracking.step(TAGS, "second", {}) as second,
    ):
        pass
    assert first.id == started != second.id
    # `mlflow run` spelt the parameter its own way; logging it again would have raised.
    assert tracking.connect().get_run(started).data.params == {"epochs": "3.0", "seed": "1"}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("error", "status"),
    [(InputError("bad"), "FAILED"), (KeyError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED")],
)
def test_a_run_that_stops_early_says_so(error: BaseException, status: str) -> None:
    with (
        pytest.raises(type(error)),
        tracking.step(TAGS, "a", {}) as run,
        tracking.child(run, TAGS, "fold 0") as fold,
    ):
        raise error
    for run_id in (run.id, fold.id):
        assert tracking.connect().get_run(run_id).info.status == status


@pytest.mark.usefixtures("store")
def test_a_signal_just_before_or_after_the_block_of_a_step_leaves_no_run_open() -> None:
    def interrupted() -> None:
        step = tracking.step(TAGS, "a", {})
        ids.append(step.__enter__().id)
        raise KeyboardInterrupt

    ids: list[str] = []
    with contextlib.suppress(KeyboardInterrupt):
        interrupted()
    assert tracking.connect().get_run(ids[0]).info.status == "KILLED"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("call", "status"), [("create_run", "KILLED"), ("set_terminated", "FINISHED")])
def test_a_signal_while_a_run_is_made_or_ended_leaves_no_run_open(
    call: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = tracking.connect()
    reached: list[str] = []

    def stopped() -> None:
        with tracking.step(TAGS, "stopped", {}):
            reached.append("the block")

    monkeypatch.setattr(client, call, stopped_after(getattr(client, call)))
    with stoppable(), pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        stopped()
    (run,) = client.search_runs([_experiment_id()])
    assert run.info.status == status
    assert reached == ["the block"] * (status == "FINISHED")


def test_a_run_whose_process_is_gone_is_closed_by_the_next_step(memory: MemoryStore) -> None:
    host, pid, started = provenance.tags()[names.PROCESS].split()
    made_by = {
        "gone": f"{host} 4194304 {started}",
        "another": f"{host} {pid} {int(started) + 1}",
        "away": f"elsewhere 1 {started}",
    }
    client = memory
    runs = {}
    for name, process in made_by.items():
        runs[name] = client.create_run(_experiment_id(), tags={**TAGS, names.PROCESS: process}).info.run_id
    runs["unknown"] = client.create_run(_experiment_id(), tags=TAGS).info.run_id
    with tracking.step(TAGS, "still at work", {}), tracking.step(TAGS, "next", {}) as run:
        runs |= {"living": run.id}
        status = {name: client.get_run(run_id).info.status for name, run_id in runs.items()}
    assert status == {
        "gone": "KILLED",
        "another": "KILLED",
        "away": "RUNNING",
        "unknown": "RUNNING",
        "living": "RUNNING",
    }
    assert (
        client.get_run(runs["gone"]).data.tags["mnflow.error"] == "Its process ended without closing the run."
    )


@pytest.mark.usefixtures("store")
def test_a_server_that_is_gone_when_its_answer_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow has given up by then; any other error of its is shown as it is."""

    def needs_an_answer() -> None:
        with tracking.step(TAGS, "a", {}):
            raise MlflowException("no answer, after many retries")

    with pytest.raises(MlflowException):
        needs_an_answer()
    monkeypatch.setattr(tracking, "answers", lambda: False)
    with pytest.raises(
        InputError, match=r"\(no answer, after many retries\)\. When it does again, start the same command"
    ):
        needs_an_answer()


def test_a_curve_may_be_longer_than_what_one_message_takes(store: Path) -> None:
    with tracking.step(tracking.tags_of("a"), "a", {}) as run:
        run.curves({"long": (range(2100), np.linspace(0, 1, 2100)), "short": ([1], [0.5])})
    client = tracking.connect()
    assert [m.step for m in client.get_metric_history(run.id, "long")] == list(range(2100))
    assert [m.value for m in client.get_metric_history(run.id, "short")] == [0.5]


def test_parameters_that_mlflow_run_logged_are_left_alone(memory: MemoryStore) -> None:
    run = tracking.Run(memory.create_run("7").info.run_id)
    run.params({"epochs": 3})
    run.params({"epochs": 4, "seed": 1, "data": None})
    assert memory.get_run(run.id).data.params == {"epochs": "3", "seed": "1", "data": "None"}


def test_numbers_curves_and_words_are_kept_as_they_are(memory: MemoryStore) -> None:
    run = tracking.Run(memory.create_run("7").info.run_id)
    before = time.time_ns() // 1_000_000
    run.metrics({"a": np.float32(0.5), "b": 2})
    run.curve("c", np.array([3, 4]), np.array([0.1, 0.2]))
    assert (memory.curve(run, "a"), memory.curve(run, "b")) == ({0: 0.5}, {0: 2.0})
    assert memory.curve(run, "c") == {3: 0.1, 4: 0.2}
    stamps = [m.timestamp for history in memory.histories.values() for m in history]
    assert all(before <= stamp <= time.time_ns() // 1_000_000 for stamp in stamps)
    run.tags({"t": 3})
    run.rename("another")
    run.json([1, {"k": "v"}], "a.json")
    run.json({}, "deep/er/a.json")
    run.table(pd.DataFrame({"x": ["=1+1", "b"], "y": [1, 2]}), "t")
    assert memory.files(run) == ["a.json", "deep/er/a.json", "tables/t.csv"]
    assert memory.text(run, "a.json") == '[\n 1,\n {\n  "k": "v"\n }\n]'
    assert memory.text(run, "tables/t.csv") == "x,y\n'=1+1,1\nb,2\n"  # no formula in a spreadsheet
    record = memory.get_run(run.id)
    assert (record.info.run_name, record.data.tags) == ("another", {"t": "3"})
    run.close("KILLED")
    assert record.info.status == "KILLED"
    assert before <= record.info.end_time <= time.time_ns() // 1_000_000
    run.take_up(other := memory.create_run("7").info.run_id)
    assert memory.get_run(other).data.tags == {"mnflow.resumed_by": run.id}


def test_the_source_of_a_dataset_is_told(memory: MemoryStore) -> None:
    run = tracking.Run(memory.create_run("7").info.run_id)
    sources = {"data/simulated": "code", "https://example.org/a.npz": "http"}
    for source in sources:
        run.dataset(replace(spectra(6), source=source), "training")
    for logged, (source, kind) in zip(memory.inputs[run.id], sources.items(), strict=True):
        assert (logged.dataset.name, logged.dataset.source_type) == ("Mn spectra", kind)
        assert source in logged.dataset.source
        assert [(t.key, t.value) for t in logged.tags] == [("mlflow.data.context", "training")]
        profile = json.loads(logged.dataset.profile)
        assert (profile["features_shape"], profile["targets_shape"]) == ([6, 700], [6])


def test_a_step_prints_two_lines_of_its_last_note(
    memory: MemoryStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "resolve_tags", lambda: {"mlflow.user": "me", "arch": "x"})
    with tracking.step(TAGS, "a", {}, note="first") as run:
        run.note("one\ntwo\nthree")
    assert capsys.readouterr().err.splitlines() == ["one", "two"]
    assert "mlflow.user" in memory.get_run(run.id).data.tags
    assert memory.get_run(run.id).data.tags["arch"] == "fcn"  # ours count
    with tracking.step(TAGS, "a", {}) as run:
        pass
    assert names.NOTE not in memory.get_run(run.id).data.tags
    assert capsys.readouterr().err == ""


def test_a_step_takes_the_run_of_mlflow_run_and_nested_ones_their_own(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = memory.create_run("7", run_name="merry-mouse-1", tags={"mlflow.user": "me"}).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", started)
    with (
        tracking.step(TAGS, "main", {}) as whole,
        tracking.nested(whole),
        tracking.step(TAGS, "cv_train", {}) as inner,
        tracking.child(inner, {"a": "b"}, "fold 0"),
    ):
        pass
    assert whole.id == started
    found = {r.info.run_name: r.data.tags for r in memory.runs.values()}
    assert list(found) == ["main", "cv_train", "fold 0"]
    assert [tags.get("mlflow.parentRunId") for tags in found.values()] == [None, whole.id, inner.id]
    assert found["main"].items() >= {**TAGS, "mlflow.user": "me", "mnflow.code": "0"}.items()
    assert found["fold 0"].items() >= {"a": "b", "mnflow.code": "0"}.items()
    began = [found[name][names.BEGAN] for name in ("main", "cv_train")]
    assert began == sorted(began)
    assert all(r.info.status == "FINISHED" for r in memory.runs.values())


def test_a_failed_run_keeps_its_error_and_where_it_was(memory: MemoryStore) -> None:
    def fails(error: Exception) -> None:
        with tracking.step(TAGS, "a", {}):
            raise error

    for error in (InputError("x" * 5000), KeyError("lost")):
        with pytest.raises(type(error)):
            fails(error)
    refused, broken = memory.runs.values()
    assert refused.data.tags[names.ERROR] == "x" * 4900  # MLflow takes 5000
    assert broken.data.tags[names.ERROR] == "'lost'"
    assert [r.info.status for r in (refused, broken)] == ["FAILED", "FAILED"]
    assert memory.files(tracking.Run(refused.info.run_id)) == []
    told = memory.text(tracking.Run(broken.info.run_id), "traceback.txt")
    assert told.startswith("Traceback")
    assert told.endswith("KeyError: 'lost'\n")


def test_a_store_that_is_away_is_not_told_of_a_failure(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        with tracking.step(TAGS, "a", {}):
            monkeypatch.setattr(tracking, "answers", lambda: False)
            raise KeyError("lost")

    with pytest.raises(KeyError):
        fails()
    (record,) = memory.runs.values()
    assert record.info.status == "RUNNING"  # the next step closes it
    assert names.ERROR not in record.data.tags


def test_an_error_while_an_error_is_logged_does_not_hide_it(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("disk is full")

    def fails() -> None:
        with tracking.step(TAGS, "a", {}):
            monkeypatch.setattr(memory, "log_artifact", full)
            raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        fails()
    (record,) = memory.runs.values()
    assert (record.info.status, record.data.tags[names.ERROR]) == ("FAILED", "'lost'")


@pytest.mark.parametrize(("code", "away"), [(TEMPORARILY_UNAVAILABLE, False), (INTERNAL_ERROR, True)])
def test_a_store_that_fails_is_told_in_one_line(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch, code: int, away: bool
) -> None:
    def fails() -> None:
        with tracking.step(TAGS, "a", {}):
            monkeypatch.setattr(tracking, "answers", lambda: not away)
            raise MlflowException("  locked" + "!" * 400 + "\nmore", error_code=code)

    said = (
        f"The tracking store sqlite:///none.db does not take what is logged (locked{'!' * 294}). When it "
        "does again, start the same command again: it goes on from what is finished."
    )
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        fails()


@pytest.mark.parametrize("state", ["FINISHED", "deleted", "unknown"])
def test_a_run_that_is_left_from_elsewhere_is_refused(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    run_id = "0123" if state == "unknown" else memory.create_run("7").info.run_id
    if state == "deleted":
        memory.delete_run(run_id)
    elif state == "FINISHED":
        memory.set_terminated(run_id, state)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    said = (
        f"MLFLOW_RUN_ID={run_id} is left from elsewhere: in sqlite:///none.db this run is {state}. Unset it."
    )
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"), tracking.step(TAGS, "a", {}):
        pass
    assert "MLFLOW_RUN_ID" not in os.environ


def test_a_refused_command_marks_its_run_which_the_next_one_deletes(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"mlflow.project.entryPoint": "cv_train"}
    kept = [
        memory.create_run("7", tags=tags).info.run_id
        for tags in ({}, {**entry, names.STEP: "cv_train"}, {**entry, "ended": "yes"})
    ]
    memory.set_terminated(kept[2], "FAILED")
    started = memory.create_run("7", tags=entry).info.run_id
    for run_id in (*kept, "unknown", started):
        monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
        tracking.refuse_run("m" * 5000)
    assert [names.REFUSED in memory.get_run(run_id).data.tags for run_id in kept] == [False] * 3
    refused = memory.get_run(started)
    assert refused.info.run_name == "refused: cv_train"
    assert refused.data.tags.items() >= {names.REFUSED: "true", names.ERROR: "m" * 4900}.items()
    memory.set_terminated(started, "FAILED")
    tracking.open_store()
    assert [r.info.lifecycle_stage for r in memory.runs.values()] == ["active"] * 3 + ["deleted"]
    monkeypatch.setattr(tracking, "_delete_refused", lambda: pytest.fail("no run was started"))
    monkeypatch.delenv("MLFLOW_RUN_ID")
    tracking.refuse_run("bad")


def test_a_figure_is_logged_to_several_runs_with_its_numbers(memory: MemoryStore) -> None:
    runs = [tracking.Run(memory.create_run("7").info.run_id) for _ in range(2)]
    figure = Figure()
    figure.subplots().plot([0, 1], [2, 3], label="=a")
    tracking.log_figure(runs, figure, "f")
    runs.append(tracking.Run(memory.create_run("7").info.run_id))
    runs[-1].figure(figure, "f")
    for run in runs:
        assert memory.files(run) == ["figures/f.csv", "figures/f.png"]
        assert memory.table(run, "figures/f.csv")["series"].tolist() == ["'=a", "'=a"]


def test_tags_of_a_step_that_has_no_network_say_so() -> None:
    assert tracking.tags_of("simulate") == {
        "mnflow.step": "simulate", "arch": "n/a", "augmentation": "n/a", "folds": "n/a",
    }  # fmt: skip
    assert list(TAGS.values()) == ["cv_train", "fcn", "10x", "stratified"]

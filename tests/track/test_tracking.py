"""What is logged comes back from the tracking store, and a run ends with the right status."""

import contextlib
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from mlflow.exceptions import MlflowException

from mnflow.errors import InputError
from mnflow.spectra import MN, SpectrumSet
from mnflow.track import connection, names, provenance, tracking
from mnflow.track.query import _experiment_id, artifact, children, finished_run
from tests.helpers.stopping import stoppable, stopped_after

pytestmark = pytest.mark.usefixtures("store")

TAGS = tracking.tags_of("cv_train", "fcn", "10x", "stratified")


def finished(name: str = "a", **tags: str) -> str:
    with tracking.step({**TAGS, **tags}, name, {}) as run:
        pass
    return run.id


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


def run_of_mlflow(**tags: str) -> str:
    """The id of a run as `mlflow run` starts it."""
    entry = {"mlflow.project.entryPoint": "cv_train"}
    return str(tracking.connect().create_run(_experiment_id(), tags={**entry, **tags}).info.run_id)


def test_the_run_of_a_refused_command_is_deleted_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    client, started = tracking.connect(), run_of_mlflow()
    monkeypatch.setenv("MLFLOW_RUN_ID", started)
    tracking.refuse_run("Option arch: ...")
    tracking.open_store()
    refused = client.get_run(started)
    assert refused.info.lifecycle_stage == "active"  # `mlflow run` has yet to end it
    assert refused.info.run_name == "refused: cv_train"
    assert refused.data.tags[names.ERROR] == "Option arch: ..."
    client.set_terminated(started, "FAILED")  # as `mlflow run` does
    tracking.open_store()
    assert client.get_run(started).info.lifecycle_stage == "deleted"


def test_other_runs_are_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    client = tracking.connect()
    a_users = str(client.create_run(_experiment_id()).info.run_id)
    for kept in [run_of_mlflow(**TAGS), a_users, finished()]:
        monkeypatch.setenv("MLFLOW_RUN_ID", kept)
        tracking.refuse_run("bad")
        assert names.REFUSED not in client.get_run(kept).data.tags
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123")
    tracking.refuse_run("bad")  # no such run
    monkeypatch.delenv("MLFLOW_RUN_ID")
    tracking.refuse_run("bad")


def test_steps_of_a_whole_are_shown_within_it() -> None:
    with tracking.step(TAGS, "main", {}) as whole, tracking.nested(whole):
        inner = finished("cv_train")
    assert [r.info.run_id for r in children(whole.id)] == [inner]
    assert "mlflow.parentRunId" not in tracking.connect().get_run(finished("later")).data.tags


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


def test_a_signal_just_before_or_after_the_block_of_a_step_leaves_no_run_open() -> None:
    def interrupted() -> None:
        step = tracking.step(TAGS, "a", {})
        ids.append(step.__enter__().id)
        raise KeyboardInterrupt

    ids: list[str] = []
    with contextlib.suppress(KeyboardInterrupt):
        interrupted()
    assert tracking.connect().get_run(ids[0]).info.status == "KILLED"


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


def test_a_run_whose_process_is_gone_is_closed_by_the_next_step() -> None:
    host, pid, started = provenance.tags()[names.PROCESS].split()
    made_by = {
        "gone": f"{host} 4194304 {started}",
        "another": f"{host} {pid} {int(started) + 1}",
        "away": f"elsewhere 1 {started}",
    }
    client = tracking.connect()
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


def test_every_run_says_what_code_and_environment_made_it() -> None:
    with tracking.step(TAGS, "a", {}) as run, tracking.child(run, {}, "fold 0") as fold:
        pass
    for run_id in (run.id, fold.id):
        tags = tracking.connect().get_run(run_id).data.tags
        assert tags[names.CODE] == provenance.code_digest()
        assert tags[names.ENVIRONMENT] == provenance.environment_digest()


def test_children_belong_to_their_parent() -> None:
    with tracking.step(TAGS, "a", {}) as run:
        for k in range(3):
            with tracking.child(run, TAGS, f"fold {k}"):
                pass
    assert [c.info.run_name for c in children(run.id)] == ["fold 0", "fold 1", "fold 2"]


def test_the_newest_finished_run_with_the_tags_is_found() -> None:
    finished("old")
    time.sleep(0.01)  # start times are in milliseconds
    newest = finished("new")
    time.sleep(0.01)
    finished("other", arch="dense")
    assert finished_run("cv_train", arch="fcn").info.run_id == newest
    assert finished_run("cv_train", newest).info.run_id == newest


def test_a_run_that_cannot_be_used_gives_a_clear_error() -> None:
    with pytest.raises(
        InputError,
        match=r"No finished cv_train run with arch=fcn was found in the experiment test of .*makes one",
    ):
        finished_run("cv_train", arch="fcn")
    with pytest.raises(InputError, match="No run 'nonsense'"):
        finished_run("cv_train", "nonsense")
    other = finished(**{"mnflow.step": "tsne"})
    with pytest.raises(InputError, match=f"Run {other} is of the step tsne, a cv_train run is needed"):
        finished_run("cv_train", other)
    with pytest.raises(InputError), tracking.step(TAGS, "a", {}) as run:
        raise InputError("bad")
    with pytest.raises(InputError, match="is FAILED, a FINISHED one is needed"):
        finished_run("cv_train", run.id)


def test_a_missing_artifact_gives_a_clear_error() -> None:
    run_id = finished()
    with (
        pytest.raises(InputError, match=r"has no artifact cv/folds\.json"),
        artifact(run_id, "cv/folds.json"),
    ):
        pass


def test_a_dataset_is_logged_with_its_digest() -> None:
    energy_ev = 615 + 0.1 * np.arange(700)
    spectra = SpectrumSet(
        energy_ev, np.ones((3, 700)), np.arange(3), np.array(list("abc")), MN, "data/simulated"
    )
    with tracking.step(TAGS, "a", {}) as run:
        run.dataset(spectra, "training")
    (logged,) = tracking.connect().get_run(run.id).inputs.dataset_inputs
    assert logged.dataset.digest == spectra.digest()
    assert {t.value for t in logged.tags} == {"training"}


def test_a_server_that_is_away_gives_a_clear_error_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    tracking.connect.cache_clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"The tracking server http://127.0.0.1:9 does not answer"):
        tracking.connect()


def test_text_of_a_figure_is_no_formula() -> None:
    figure = Figure()
    figure.subplots().plot([0, 1], [2, -3], label="=1+1")
    with tracking.step(TAGS, "a", {}) as run:
        run.figure(figure, "f")
    with artifact(run.id, "figures/f.csv") as path:
        assert path.read_text().splitlines()[1:] == [
            "panel 1,line,'=1+1,0.0,2.0,",
            "panel 1,line,'=1+1,1.0,-3.0,",
        ]


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

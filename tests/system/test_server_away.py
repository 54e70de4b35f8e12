"""The tracking server goes away in the middle of a training: nothing that is trained is lost."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from entrypoints import cv_train, shift_eval
from mnflow.errors import InputError
from mnflow.evaluate.accuracy import shift_accuracy
from mnflow.track import connection, cross_validation, evaluations, names, outbox, resume, tracking
from mnflow.track.query import _runs, children
from mnflow.train.cross_validate import FoldModel
from tests.helpers.services import free_port, listens, process, wait_until
from tests.helpers.spectra import COARSE, spectra
from tests.track.test_outbox import left_by_another


def fold(number: int) -> FoldModel:
    return FoldModel(
        number, b"", 0.5, np.eye(3, dtype=np.float32), {"train/loss": np.ones(1, dtype=np.float32)}
    )


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> cross_validation.FoldLog:
    """A log whose server is made up: `answers` says whether it is there, `logged` what has reached it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(cross_validation, "children", lambda run_id, status: [])
    return cross_validation.FoldLog(tracking.Run("x"), {}, "0123")


def waiting() -> list[str]:
    return sorted(p.name for p in resume.UNSENT.rglob("*.npz"))


def test_folds_wait_on_disk_and_arrive_in_order(
    log: cross_validation.FoldLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[int] = []
    there = [True]
    monkeypatch.setattr(connection, "answers", lambda: there[0])
    monkeypatch.setattr(cross_validation, "log_fold", lambda run, result, tags: logged.append(result.fold))
    log.add(fold(2))
    there[0] = False
    log.add(fold(0))
    log.add(fold(1))
    assert (logged, waiting()) == ([2], ["fold_0.npz", "fold_1.npz"])
    with pytest.raises(
        InputError,
        match=r"does not answer\. 2 trained folds wait in data/unsent/0123: start the same command",
    ):
        log.finish()
    there[0] = True
    log.finish()
    assert (logged, waiting()) == ([2, 0, 1], [])


def test_a_fold_that_was_cut_in_two_is_logged_again_and_other_errors_are_not_hidden(
    log: cross_validation.FoldLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([True, False])  # it is there when the fold is begun, and not when it failed

    def fail(*_: Any) -> None:
        raise MlflowException("half of it")

    monkeypatch.setattr(connection, "answers", lambda: next(answers, True))
    monkeypatch.setattr(cross_validation, "log_fold", fail)
    log.add(fold(0))
    assert waiting() == ["fold_0.npz"]
    with pytest.raises(MlflowException):
        log.add(fold(1))


class Server:
    """A real tracking server that can go away and come back."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.services = ExitStack()

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        command += [
            "--backend-store-uri",
            f"sqlite:///{self.folder}/server.db",
            "--artifacts-destination",
            f"{self.folder}/kept",
        ]
        no_jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # eight processes that nothing here needs
        self.services.enter_context(process(command, no_jobs, self.folder / "server.log"))
        wait_until(
            lambda: listens(self.port) and connection.answers(),
            180,
            "the tracking server",
            self.folder / "server.log",
        )

    def stop(self) -> None:
        self.services.close()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    tracking.connect.cache_clear()
    server.start()
    yield server
    server.stop()
    tracking.connect.cache_clear()


def after_first(function: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    """`function`, whose first call is followed by `then`."""
    calls = []

    def wrapped(*arguments: Any) -> Any:
        result = function(*arguments)
        if not calls:
            calls.append(1)
            then()
        return result

    return wrapped


@pytest.mark.services
@pytest.mark.parametrize("where", ["between two folds", "within a fold"])
def test_a_real_server_goes_away(server: Server, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    path = spectra(90, noise=0.3, edge=COARSE).save(server.folder / "made_up.npz")
    options = cv_train.Options(
        data=str(path), n_folds=3, epochs=2, workers=1, augmentation="1x", arch="dense"
    )
    undisturbed = tracking.connect().get_run(cv_train.run(options))

    # It comes back while the last folds wait.
    module, name = (cross_validation, "log_fold") if where == "between two folds" else (resume, "keep")
    with monkeypatch.context() as patch:
        patch.setattr(module, name, after_first(getattr(module, name), server.stop))
        patch.setattr(cross_validation.FoldLog, "finish", after_first(lambda log: None, server.start))
        ended = cross_validation.FoldLog.finish
        patch.setattr(cross_validation.FoldLog, "finish", lambda log: (ended(log), log._send())[0])
        record = tracking.connect().get_run(cv_train.run(options))
    assert record.info.status == "FINISHED"
    assert record.data.metrics == undisturbed.data.metrics
    assert len(children(record.info.run_id, status="FINISHED")) == 3
    assert not children(record.info.run_id, status="RUNNING")

    # It stays away; the same command sends what waits.
    with monkeypatch.context() as patch:
        patch.setattr(module, name, after_first(getattr(module, name), server.stop))
        patch.setattr(connection, "PATIENCE_SECONDS", 2.0)
        with pytest.raises(InputError, match="trained folds wait in"):
            cv_train.run(options)
    waited = waiting()
    server.start()
    (left,) = _runs("attributes.status = 'RUNNING'", {"mnflow.step": "cv_train"})
    host, _, started = left.data.tags[names.PROCESS].split()
    tracking.Run(left.info.run_id).tags(
        {names.PROCESS: f"{host} 4194304 {started}"}
    )  # this test's process lives on
    record = tracking.connect().get_run(cv_train.run(options))
    assert "3 folds were taken up" in record.data.tags["mlflow.note.content"]
    assert record.data.metrics == undisturbed.data.metrics
    assert (len(waited), waiting()) == (2 if where == "between two folds" else 3, [])
    assert tracking.connect().get_run(left.info.run_id).info.status == "KILLED"


@pytest.mark.services
def test_a_real_server_goes_away_within_an_evaluation(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = spectra(90, noise=0.3, edge=COARSE).save(server.folder / "made_up.npz")
    cv_run = cv_train.run(
        cv_train.Options(data=str(path), n_folds=3, epochs=2, workers=1, augmentation="1x", arch="dense")
    )
    undisturbed = everything(shift_eval.run(shift_eval.Options(run=cv_run)))

    # It comes back when all is worked out.
    with monkeypatch.context() as patch:
        patch.setattr(evaluations, "shift_accuracy", after_first(shift_accuracy, server.stop))
        finish = outbox.finish
        patch.setattr(outbox, "finish", lambda: (server.start(), finish())[1])
        assert everything(shift_eval.run(shift_eval.Options(run=cv_run))) == undisturbed

    # It stays away; the next command, whatever it is, sends what waits.
    with monkeypatch.context() as patch:
        patch.setattr(evaluations, "shift_accuracy", after_first(shift_accuracy, server.stop))
        patch.setattr(connection, "PATIENCE_SECONDS", 2.0)
        with pytest.raises(InputError, match="What was to be logged waits in"):
            shift_eval.run(shift_eval.Options(run=cv_run))
    left_by_another()
    server.start()
    (left,) = _runs("attributes.status = 'RUNNING'", {"mnflow.step": "shift_eval"})
    with tracking.step(tracking.tags_of("another"), "another", {}):
        assert everything(left.info.run_id) == undisturbed


def everything(run_id: str) -> list[Any]:
    """Metrics, status and files of a run."""
    record = tracking.connect().get_run(run_id)
    files = [
        (f.path, f.file_size)
        for folder in ("figures", "tables")
        for f in tracking.connect().list_artifacts(run_id, folder)
    ]
    return [record.data.metrics, record.info.status, files]

"""The tracking server goes away in the middle of a training: nothing that is trained is lost."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run as MlflowRun

from entrypoints import cv_train, shift_eval
from mnflow.errors import InputError
from mnflow.evaluate.accuracy import shift_accuracy
from mnflow.track import calls, connection, cross_validation, evaluations, outbox, tracking
from mnflow.track.query import _runs, children
from tests.helpers.services import free_port, mlflow_server
from tests.helpers.spectra import COARSE, spectra
from tests.track.test_outbox import left_by_another


class Server:
    """A real tracking server that can go away and come back."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.services = ExitStack()

    def start(self) -> None:
        database, kept = f"sqlite:///{self.folder}/server.db", f"{self.folder}/kept"
        words = ("--backend-store-uri", database, "--artifacts-destination", kept)
        self.services.enter_context(mlflow_server(self.folder, self.port, *words))
        assert connection.answers()

    def stop(self) -> None:
        self.services.close()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    tracking.connect.cache_clear()
    try:
        server.start()
        yield server
    finally:
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

    def goes_away(patch: pytest.MonkeyPatch) -> None:
        if where == "between two folds":
            patch.setattr(cross_validation, "log_fold", after_first(cross_validation.log_fold, server.stop))
        else:
            patch.setattr(calls, "_metrics", after_first(calls._metrics, server.stop))

    # It comes back while the last folds wait.
    with monkeypatch.context() as patch:
        goes_away(patch)
        finish = outbox.finish
        patch.setattr(outbox, "finish", lambda: (server.start(), finish())[1])
        record = tracking.connect().get_run(cv_train.run(options))
    check_all_arrived(record, undisturbed)

    # It stays away; the next command, whatever it is, sends what waits.
    with monkeypatch.context() as patch:
        goes_away(patch)
        patch.setattr(connection, "PATIENCE_SECONDS", 2.0)
        with pytest.raises(InputError, match="What was to be logged waits in"):
            cv_train.run(options)
    left_by_another()
    server.start()
    (left,) = _runs("attributes.status = 'RUNNING'", {"mnflow.step": "cv_train"})
    with tracking.step(tracking.tags_of("another"), "another", {}):
        check_all_arrived(tracking.connect().get_run(left.info.run_id), undisturbed)
    assert not list(outbox.FOLDER.glob("*~*"))


def check_all_arrived(record: MlflowRun, undisturbed: MlflowRun) -> None:
    """The store has a finished cross-validation of three folds with the numbers of an undisturbed one."""
    assert record.info.status == "FINISHED"
    assert record.data.metrics == undisturbed.data.metrics
    assert len(children(record.info.run_id, status="FINISHED")) == 3
    assert not children(record.info.run_id, status="RUNNING")


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

"""What each call sends to the tracking store, and that a fold is never left half logged."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from mnflow.models import keras_nets
from mnflow.track import calls, connection, names, tracking
from mnflow.track.query import children
from mnflow.train.cross_validate import FoldModel
from tests.helpers.memory_store import MemoryStore

NET: Any = SimpleNamespace(input_shape=(None, 300), output_shape=(None, 3))


@pytest.fixture
def run(memory: MemoryStore) -> tracking.Run:
    return tracking.Run(memory.create_run("7", run_name="parent").info.run_id)


def metric(key: str, step: int, value: float = 0.5) -> dict[str, Any]:
    return {"key": key, "value": value, "step": step, "timestamp": 3}


def test_a_batch_is_sent_in_messages_that_a_server_takes(
    memory: MemoryStore, run: tracking.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    log_batch = memory.log_batch

    def count(run_id: str, metrics: Sequence[Any], *rest: Any) -> None:
        sent.append(len(metrics))
        log_batch(run_id, metrics, *rest)

    monkeypatch.setattr(memory, "log_batch", count)
    words = {"metrics": [metric("a", k, k / 2) for k in range(2100)], "params": [{"key": "p", "value": "1"}]}
    calls.make(run.id, "batch", (), words)
    assert sent == [1000, 1000, 100]
    assert memory.curve(run, "a") == {k: k / 2 for k in range(2100)}
    calls.make(run.id, "batch", (), {"tags": [{"key": "t", "value": "x"}]})  # no metrics: one message
    assert sent == [1000, 1000, 100, 0]
    data = memory.get_run(run.id).data
    assert (data.params, data.tags) == ({"p": "1"}, {"t": "x"})
    assert memory.histories[run.id, "a"][0].timestamp == 3


def test_the_other_calls_reach_the_run(memory: MemoryStore, run: tracking.Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("content")
    calls.make(run.id, "file", [tmp_path / "a.txt"], {"folder": "tables"})
    calls.make(run.id, "file", [tmp_path / "a.txt"], {"folder": None})
    assert memory.files(run) == ["a.txt", "tables/a.txt"]
    dataset = {"name": "Mn spectra", "digest": "01", "source_type": "code", "source": "{}"}
    calls.make(run.id, "dataset", (), {"dataset": dataset, "tags": {"mlflow.data.context": "training"}})
    (logged,) = memory.inputs[run.id]
    assert (logged.dataset.name, logged.dataset.digest) == ("Mn spectra", "01")
    assert [(t.key, t.value) for t in logged.tags] == [("mlflow.data.context", "training")]
    calls.make(run.id, "rename", (), {"name": "another"})
    calls.make(run.id, "close", (), {"status": "FINISHED", "end_time": 12})
    info = memory.get_run(run.id).info
    assert (info.run_name, info.status, info.end_time) == ("another", "FINISHED", 12)
    with pytest.raises(AssertionError, match="nonsense"):
        calls.make(run.id, "nonsense", (), {})


def test_a_net_takes_crops_and_gives_probabilities() -> None:
    signature = calls._signature(NET)
    assert [(t.type, t.shape) for t in signature.inputs.inputs] == [(np.dtype("float32"), (-1, 300))]
    assert [(t.type, t.shape) for t in signature.outputs.inputs] == [(np.dtype("float32"), (-1, 3))]


class Models:
    """In place of MLflow's models and of Keras."""

    def __init__(self) -> None:
        self.logged: list[dict[str, Any]] = []
        self.fails = False

    def log_model(self, net: Any, **words: Any) -> Any:
        if self.fails:
            raise MlflowException("half of it")
        self.logged.append({"net": net, **words})
        return SimpleNamespace(model_id="m-1")


@pytest.fixture
def models(memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Models:
    @contextmanager
    def start_run(run_id: str) -> Iterator[None]:
        yield
        memory.set_terminated(run_id, "FINISHED")

    models = Models()
    assert callable(mlflow.keras.log_model)  # what MLflow loads at first use would replace the patch
    monkeypatch.setattr("mlflow.keras.log_model", models.log_model)
    monkeypatch.setattr(mlflow, "start_run", start_run)
    monkeypatch.setattr(keras_nets, "load", lambda path: NET if path.read_bytes() == b"net" else None)
    return models


def send(run: tracking.Run, folder: Path, fold: int = 2) -> None:
    curves = {"train/loss": np.array([0.5, 0.25], np.float32)}
    result = FoldModel(fold, b"net", 0.75, np.eye(3, dtype=np.float32), curves, 1.5)
    calls.make(run.id, "fold", result.save(folder), {"tags": {"arch": "dense"}})


def test_a_fold_is_a_nested_run_with_curves_accuracy_and_model(
    memory: MemoryStore, run: tracking.Run, models: Models, tmp_path: Path
) -> None:
    send(run, tmp_path)
    (record,) = children(run.id)
    assert (record.info.run_name, record.info.status) == ("fold 2", "FINISHED")
    known = {"mnflow.step": "fold", "fold": "2", "mlflow.parentRunId": run.id, "arch": "dense"}
    assert record.data.tags.items() >= {**known, "mnflow.code": "0"}.items()
    own = tracking.Run(record.info.run_id)
    assert memory.files(own) == ["fold.npz"]
    assert memory.curve(own, "train/loss") == {1: 0.5, 2: 0.25}
    assert memory.curve(own, names.FOLD_ACCURACY) == {0: 0.75}
    assert memory.curve(own, names.FOLD_SECONDS) == {0: 1.5}
    of_model = {m.key: m.model_id for history in memory.histories.values() for m in history}
    assert of_model == {"train/loss": None, "cv/accuracy": "m-1", "cv/seconds": "m-1"}
    (logged,) = models.logged
    assert (logged["net"], logged["name"]) == (NET, "model")
    assert [r.partition("==")[0] for r in logged["pip_requirements"]] == ["keras", "numpy"]
    assert logged["signature"].inputs.inputs[0].shape == (-1, 300)


def test_a_fold_is_logged_once_and_its_remains_are_closed(
    memory: MemoryStore, run: tracking.Run, models: Models, tmp_path: Path
) -> None:
    models.fails = True
    with pytest.raises(MlflowException, match="half of it"):
        send(run, tmp_path)
    models.fails = False
    (first,) = children(run.id)
    assert first.info.status == "KILLED"
    memory.set_terminated(first.info.run_id, "RUNNING")  # as if the server had not been told
    for _ in range(2):
        send(run, tmp_path)
        send(run, tmp_path, fold=3)
    found = [(r.data.tags["fold"], r.info.status) for r in children(run.id)]
    assert found == [("2", "KILLED"), ("2", "FINISHED"), ("3", "FINISHED")]


def test_a_server_that_is_away_is_not_told_of_a_fold_that_failed(
    memory: MemoryStore, run: tracking.Run, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.fails = True
    monkeypatch.setattr(connection, "answers", lambda: False)
    with pytest.raises(MlflowException, match="half of it"):
        send(run, tmp_path)
    assert [r.info.status for r in children(run.id)] == ["RUNNING"]

"""The calls that write to the tracking store.

Each can be repeated without harm: one whose answer was lost is sent again.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mnflow.runtime.signals import held
from mnflow.track import connection, names, provenance
from mnflow.track.query import children
from mnflow.train.cross_validate import FoldModel

if TYPE_CHECKING:
    from mnflow.models.keras_import import keras

# Given, since MLflow would take 20 s per model to infer them.
_REQUIREMENTS = ["keras==3.15.1", "numpy==2.4.6"]

_MOST_METRICS = 1000  # in one message to a tracking server


def make(run_id: str, call: str, files: Sequence[Path], words: Mapping[str, Any]) -> None:
    """Make one call.

    Parameters
    ----------
    call : str
        `batch` (metrics, params, tags: lists of dictionaries), `file` (folder), `dataset` (dataset, tags),
        `rename` (name), `close` (status, end_time) or `fold` (tags).
    files : sequence of Path
        What `file` (one) and `fold` (those of `FoldModel.save`) send.
    """
    client = connection.connect()
    match call:
        case "batch":
            metrics, params, tags = (words.get(name, ()) for name in ("metrics", "params", "tags"))
            for start in range(0, len(metrics) or 1, _MOST_METRICS):
                part = [Metric(**m) for m in metrics[start : start + _MOST_METRICS]]
                client.log_batch(run_id, part, [Param(**p) for p in params], [RunTag(**t) for t in tags])
        case "file":
            client.log_artifact(run_id, str(files[0]), words["folder"])
        case "dataset":
            context = [InputTag(key, value) for key, value in words["tags"].items()]
            client.log_inputs(run_id, [DatasetInput(Dataset(**words["dataset"]), context)])
        case "rename":
            client.update_run(run_id, name=words["name"])
        case "close":
            client.set_terminated(run_id, words["status"], words["end_time"])
        case "fold":
            _fold(client, run_id, files, words["tags"])
        case _:
            raise AssertionError(call)


def _fold(client: MlflowClient, parent_id: str, files: Sequence[Path], tags: Mapping[str, str]) -> None:
    """Log a trained fold as a nested run: its curves, its accuracy, and its model linked to both."""
    from mnflow.models import keras_nets  # Keras takes seconds to import

    numbers, model = files
    result = FoldModel.load(numbers, model)
    for other in children(parent_id):
        if other.data.tags.get(names.FOLD) == str(result.fold):
            if other.info.status == "FINISHED":
                return
            client.set_terminated(other.info.run_id, "KILLED")  # the server went away while it was logged
    known = {names.STEP: "fold", names.FOLD: str(result.fold), MLFLOW_PARENT_RUN_ID: parent_id}
    known = {**tags, **provenance.tags(), **known}
    experiment, run_id, ended = client.get_run(parent_id).info.experiment_id, "", False
    try:
        with held():
            run_id = client.create_run(experiment, tags=known, run_name=f"fold {result.fold}").info.run_id
        client.log_artifact(run_id, str(numbers))
        _metrics(run_id, {k: enumerate(curve, start=1) for k, curve in result.curves.items()})
        with mlflow.start_run(run_id=run_id):  # at its end the run is FINISHED
            net = keras_nets.load(model)
            model_id = mlflow.keras.log_model(
                net, name="model", signature=_signature(net), pip_requirements=_REQUIREMENTS
            ).model_id
            _metrics(run_id, {names.FOLD_ACCURACY: [(0, result.accuracy)]}, model_id)
            _metrics(run_id, {names.FOLD_SECONDS: [(0, result.seconds)]}, model_id)
        ended = True
    finally:
        if run_id and not ended and connection.answers():
            with held(), suppress(MlflowException):
                client.set_terminated(run_id, "KILLED")


def _metrics(
    run_id: str, curves: Mapping[str, Iterable[tuple[int, float]]], model_id: str | None = None
) -> None:
    """Log curves, steps and values by their key."""
    now = time.time_ns() // 1_000_000
    metrics = [
        {"key": key, "value": float(v), "step": step, "timestamp": now, "model_id": model_id}
        for key, curve in curves.items()
        for step, v in curve
    ]
    make(run_id, "batch", (), {"metrics": metrics})


def _signature(net: "keras.Model") -> ModelSignature:
    """Normalised crops (B, n_crop) in, probabilities (B, K) out."""
    inputs, outputs = (
        Schema([TensorSpec(np.dtype(np.float32), (-1, shape[-1]))])
        for shape in (net.input_shape, net.output_shape)
    )
    return ModelSignature(inputs, outputs)

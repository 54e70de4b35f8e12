"""A cross-validation in the tracking store: written fold by fold, read by the evaluations."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from mnflow import plots
from mnflow.errors import InputError
from mnflow.folds import Fold
from mnflow.models import keras_nets
from mnflow.models.backend import keras
from mnflow.spectra import SpectrumSet
from mnflow.track import connection, names, outbox, resume, tracking
from mnflow.track.datasets import load_dataset
from mnflow.track.query import artifact, children, finished_run
from mnflow.train.cross_validate import FoldModel
from mnflow.train.settings import TrainSettings

STEP = "cv_train"

_FOLDS = "cv/folds.json"
_SETTINGS = "cv/settings.json"
_REQUIREMENTS = ["keras==3.15.1", "numpy==2.4.6"]  # given, since MLflow would take 20 s a model to infer them


@dataclass(frozen=True)
class Evaluated:
    """Input of an evaluation: the trained model of every fold in order, and their spectra.

    `label` is what it is called in figures, e.g. `fcn 10x stratified`. Models are Keras nets or baselines.
    """

    label: str
    spectra: SpectrumSet
    folds: Sequence[Fold]
    models: Sequence[Any]


@dataclass(frozen=True)
class FinishedCv(Evaluated):
    """A finished cross-validation, read back from the tracking store."""

    record: MlflowRun

    @property
    def run(self) -> tracking.Run:
        """The CV run, to log to."""
        return tracking.Run(self.record.info.run_id)

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.record.data.tags)


def load_cv(record: MlflowRun) -> FinishedCv:
    """Everything of a finished CV run, read back from its artifacts.

    Raises
    ------
    InputError
        If an artifact is missing, or the dataset is not the one that was trained on.
    """
    run_id, tags = record.info.run_id, record.data.tags
    spectra, folds, models = _load(run_id, tags[names.DATASET_URI])
    if spectra.digest() != tags[names.DATASET_DIGEST]:
        raise InputError(
            f"The dataset {tags[names.DATASET_URI]} has changed since run {run_id} trained on it: run "
            "cv_train again."
        )
    return FinishedCv(record.info.run_name, spectra, folds, models, record)


@lru_cache(
    maxsize=1
)  # one evaluation after the other reads the same cross-validation, and ten nets take a second
def _load(run_id: str, dataset_uri: str) -> tuple[SpectrumSet, list[Fold], list[keras.Model]]:
    """What does not change any more when a CV run has finished: its data, folds and nets."""
    spectra = load_dataset(dataset_uri)
    with artifact(run_id, _FOLDS) as path:
        folds = [
            Fold(f["number"], np.array(f["train"]), np.array(f["test"])) for f in json.loads(path.read_text())
        ]
    nets = {
        int(child.data.tags[names.FOLD]): _load_model(child) for child in children(run_id, status="FINISHED")
    }
    missing = [f.number for f in folds if f.number not in nets]
    if missing:
        raise InputError(f"Run {run_id} lacks the models of the folds {missing}: run cv_train again.")
    return spectra, folds, [nets[f.number] for f in folds]


def _load_model(fold: MlflowRun) -> keras.Model:
    """The net of a fold's run: its .keras file, read without the flavor's loader, which would unpickle."""
    if fold.outputs is None or not fold.outputs.model_outputs:
        raise InputError(
            f"The run {fold.info.run_id} ({fold.info.run_name}) has no model: run cv_train again."
        )
    model_id = fold.outputs.model_outputs[0].model_id
    path = mlflow.artifacts.download_artifacts(f"models:/{model_id}", tracking_uri=mlflow.get_tracking_uri())
    return keras_nets.load(Path(path) / "data" / "model.keras")


@contextmanager
def evaluation(step: str, run: str, **tags: str) -> Iterator[tuple[tracking.Run, FinishedCv]]:
    """An evaluation's run, and the finished CV run to evaluate: by id, or the newest with these tags.

    A tag `any` matches all.
    """
    tracking.open_store()  # an earlier process may have left the end of the run that is asked for
    record = finished_run(STEP, run, **{k: v for k, v in tags.items() if v != "any"})
    with tracking.step(tracking.tags_of(step), step, {"run": run, **tags}) as own:
        finished = load_cv(record)
        own.tags({**names.setting_of(finished.tags), names.CV_RUN: finished.run.id})
        own.rename(f"{step} {finished.label}")
        yield own, finished


def log_folds(run: tracking.Run, folds: Sequence[Fold]) -> None:
    """Log which spectra each fold trains and tests on."""
    run.json(
        [{"number": f.number, "train": f.train.tolist(), "test": f.test.tolist()} for f in folds], _FOLDS
    )


def log_settings(run: tracking.Run, settings: TrainSettings) -> None:
    """Log how the folds are trained, in full, so that the same net can be trained again."""
    run.json(asdict(settings), _SETTINGS)


def load_settings(record: MlflowRun) -> TrainSettings:
    """What `log_settings` kept of a CV run."""
    with artifact(record.info.run_id, _SETTINGS) as path:
        logged = json.loads(path.read_text())
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in logged.items()}
    return TrainSettings(**values)


@dataclass
class FoldLog:
    """Logs trained folds in the order in which they come.

    While the tracking server is away they wait on disk (`mnflow.track.resume.put_aside`), and training goes
    on.
    """

    run: tracking.Run
    tags: dict[str, str]
    signature: str
    waiting: list[FoldModel] = field(default_factory=list)
    broken: bool = False  # the server went away while a fold was logged

    def add(self, result: FoldModel) -> None:
        """Log a fold, after those that wait."""
        resume.put_aside(self.signature, result)
        self.waiting.append(result)
        self._send()

    def finish(self) -> None:
        """Log what still waits; raises `InputError` if the server stays away."""
        if not connection.patiently(self._send):
            raise InputError(
                f"{connection.away()} {len(self.waiting)} trained folds wait in "
                f"{resume.UNSENT / self.signature}: start the same "
                "command again when it answers, and it sends them."
            )

    def _send(self) -> bool:
        """Log what waits, as far as the server takes it; whether nothing waits any more."""
        while self.waiting and outbox.send():  # or a fold whose end waits would be taken for half a fold
            if self.broken:
                for half in children(self.run.id, status="RUNNING"):
                    tracking.Run(half.info.run_id).close("KILLED")
                self.broken = False
            try:
                log_fold(self.run, self.waiting[0], self.tags)
            except MlflowException:
                if connection.answers():
                    raise
                self.broken = True
                break
            resume.forget(self.signature, self.waiting.pop(0))
        return not self.waiting


def log_fold(parent: tracking.Run, result: FoldModel, tags: dict[str, str]) -> None:
    """Log one trained fold as a nested run: its curves, its accuracy, and its model linked to both."""
    with tracking.child(
        parent, {**tags, names.STEP: "fold", names.FOLD: str(result.fold)}, f"fold {result.fold}"
    ) as run:
        resume.keep(run, result)
        run.curves({key: (np.arange(1, len(values) + 1), values) for key, values in result.curves.items()})
        with mlflow.start_run(run_id=run.id):
            net = result.net or keras_nets.from_bytes(result.model)
            info = mlflow.keras.log_model(
                net, name="model", signature=_signature(net), pip_requirements=_REQUIREMENTS
            )
        run.metrics(
            {names.FOLD_ACCURACY: result.accuracy, names.FOLD_SECONDS: result.seconds},
            model_id=info.model_id,
        )


def _signature(net: keras.Model) -> ModelSignature:
    """Normalised crops (B, n_crop) in, probabilities (B, K) out."""
    inputs, outputs = (
        Schema([TensorSpec(np.dtype(np.float32), (-1, shape[-1]))])
        for shape in (net.input_shape, net.output_shape)
    )
    return ModelSignature(inputs, outputs)


def log_summary(
    run: tracking.Run, results: Sequence[FoldModel], folds: Sequence[Fold], spectra: SpectrumSet
) -> dict[str, Any]:
    """Log the metrics of all folds together, and every test spectrum's prediction."""
    accuracy = np.array([r.accuracy for r in results])
    metrics = {
        names.CV_ACCURACY: accuracy.mean(),
        names.CV_ACCURACY_STD: accuracy.std(ddof=1) if len(accuracy) > 1 else 0.0,
    }
    run.metrics(metrics)
    table = prediction_table(results, folds, spectra)
    run.table(table, "predictions")
    classes = list(spectra.edge.classes)
    run.figure(
        plots.confusion(confusion_matrix(table["truth"], table["predicted"], labels=classes), classes),
        "confusion",
    )
    run.figure(plots.learning_curves([r.curves for r in results]), "learning_curves")
    return metrics


def prediction_table(
    results: Sequence[FoldModel], folds: Sequence[Fold], spectra: SpectrumSet
) -> pd.DataFrame:
    """One row per spectrum: fold, truth, prediction and probabilities of its fold's model."""
    classes = np.array(spectra.edge.classes)
    rows = []
    for fold, result in zip(folds, results, strict=True):
        known: dict[str, Any] = {
            "spectrum": fold.test,
            "name": spectra.name[fold.test],
            "group": spectra.group[fold.test],
            "fold": fold.number,
            "truth": classes[spectra.valence[fold.test]],
            "predicted": classes[result.probabilities.argmax(axis=1)],
        }
        rows.append(pd.DataFrame({**known, **_columns(result.probabilities, classes)}))
    return pd.concat(rows).sort_values("spectrum", ignore_index=True)


def _columns(probabilities: NDArray[Any], classes: NDArray[np.str_]) -> dict[str, NDArray[Any]]:
    return {f"p({name})": probabilities[:, i] for i, name in enumerate(classes)}


def curve_table(folds: Sequence[Fold], name: str, x: NDArray[Any], accuracy: NDArray[Any]) -> pd.DataFrame:
    """One row per fold and point of a curve: x (S,) and accuracy (F, S)."""
    numbers = np.repeat([fold.number for fold in folds], len(x))
    return pd.DataFrame({"fold": numbers, name: np.tile(x, len(folds)), "accuracy": accuracy.ravel()})

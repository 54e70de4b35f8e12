"""A cross-validation in the tracking store: written fold by fold, read by the evaluations."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Run as MlflowRun
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from mnflow import plots
from mnflow.errors import InputError
from mnflow.folds import Fold
from mnflow.models import keras_nets
from mnflow.models.keras_import import keras
from mnflow.spectra import SpectrumSet
from mnflow.spectra.arrays import Array
from mnflow.track import names, outbox, provenance, tracking
from mnflow.track.datasets import load_dataset
from mnflow.track.query import artifact, children, finished_run, stopped_runs
from mnflow.train.cross_validate import FoldModel
from mnflow.train.settings import TrainSettings

STEP = "cv_train"

_FOLDS = "cv/folds.json"
_SETTINGS = "cv/settings.json"


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
    """A finished CV run from its artifacts; raises `InputError` if one is missing or the dataset changed."""
    run_id, tags = record.info.run_id, record.data.tags
    spectra, folds, models = _load(run_id, tags[names.DATASET_URI])
    if spectra.digest() != tags[names.DATASET_DIGEST]:
        raise InputError(
            f"The dataset {tags[names.DATASET_URI]} has changed since run {run_id} trained on it: run "
            "cv_train again."
        )
    return FinishedCv(record.info.run_name, spectra, folds, models, record)


# one evaluation after the other reads the same cross-validation, and ten nets take a second
@lru_cache(maxsize=1)
def _load(run_id: str, dataset_uri: str) -> tuple[SpectrumSet, list[Fold], list[keras.Model]]:
    """What does not change any more when a CV run has finished: its data, folds and nets."""
    spectra = load_dataset(dataset_uri)
    with artifact(run_id, _FOLDS) as path:
        folds = [
            Fold(f["number"], np.array(f["train"]), np.array(f["test"])) for f in json.loads(path.read_text())
        ]
    nets = {
        int(child.data.tags[names.FOLD]): keras_nets.load(_model_file(child))
        for child in children(run_id, status="FINISHED")
    }
    missing = [f.number for f in folds if f.number not in nets]
    if missing:
        raise InputError(f"Run {run_id} lacks the models of the folds {missing}: run cv_train again.")
    return spectra, folds, [nets[f.number] for f in folds]


def _model_file(fold: MlflowRun) -> Path:
    """The .keras file of a fold's run; the flavor's loader, which would unpickle, is passed by."""
    if fold.outputs is None or not fold.outputs.model_outputs:
        raise InputError(
            f"The run {fold.info.run_id} ({fold.info.run_name}) has no model: run cv_train again."
        )
    model_id = fold.outputs.model_outputs[0].model_id
    path = mlflow.artifacts.download_artifacts(f"models:/{model_id}", tracking_uri=mlflow.get_tracking_uri())
    return Path(path) / "data" / "model.keras"


@contextmanager
def evaluation(step: str, run: str, **tags: str) -> Iterator[tuple[tracking.Run, FinishedCv]]:
    """An evaluation's run, and the finished CV run to evaluate: by id, or the newest with these tags.

    A tag `any` matches all.
    """
    tracking.open_store()  # an earlier process may have left the end of the wanted run
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


def log_fold(run: tracking.Run, result: FoldModel, tags: Mapping[str, str]) -> None:
    """Log a trained fold as a nested run; it waits on disk while the tracking server is away."""
    with TemporaryDirectory() as folder:
        outbox.write(run.id, "fold", result.save(Path(folder)), tags=dict(tags))


def signature(dataset_digest: str, settings: TrainSettings, folds: Sequence[Fold]) -> str:
    """SHA-256, as 16 hexadecimal digits, over all that decides what a fold's training gives."""
    made_by = [provenance.code_digest(), provenance.environment_digest()]
    h = hashlib.sha256(json.dumps([dataset_digest, asdict(settings), *made_by]).encode())
    for fold in folds:
        h.update(fold.train.tobytes() + b"|" + fold.test.tobytes())
    return h.hexdigest()[:16]


def finished_folds(signature: str) -> tuple[list[FoldModel], list[MlflowRun]]:
    """The folds that stopped runs with this signature have finished, and those runs, the newest first.

    A run that is still at work, perhaps on another machine, or was taken up already is left alone.
    """
    found: dict[int, FoldModel] = {}
    runs = stopped_runs(**{names.SIGNATURE: signature})
    for run in runs:
        for child in children(run.info.run_id, status="FINISHED"):
            number = int(child.data.tags[names.FOLD])
            if number not in found:
                with artifact(child.info.run_id, FoldModel.NUMBERS) as path:
                    found[number] = FoldModel.load(path, _model_file(child))
    return [found[k] for k in sorted(found)], runs


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


def _columns(probabilities: Array, classes: NDArray[np.str_]) -> dict[str, Array]:
    return {f"p({name})": probabilities[:, i] for i, name in enumerate(classes)}


def curve_table(folds: Sequence[Fold], name: str, x: Array, accuracy: Array) -> pd.DataFrame:
    """One row per fold and point of a curve: x (S,) and accuracy (F, S)."""
    numbers = np.repeat([fold.number for fold in folds], len(x))
    return pd.DataFrame({"fold": numbers, name: np.tile(x, len(folds)), "accuracy": accuracy.ravel()})

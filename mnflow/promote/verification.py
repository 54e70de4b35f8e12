"""Whether a registered version still gives the numbers that it was registered with, from its own
artifacts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Run as MlflowRun
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.evaluate.accuracy import predict
from mnflow.models import keras_nets
from mnflow.preprocess import crop
from mnflow.promote import promotion, registry
from mnflow.references import References
from mnflow.serve.numpy_nets import from_keras
from mnflow.serve.predictor import Predictor
from mnflow.track import cross_validation, evaluations, names, tracking
from mnflow.track.cross_validation import FinishedCv
from mnflow.track.query import finished_run, finished_runs

TOLERANCE = 1e-5
"""Relative difference up to which a number holds: tags keep six digits."""

_LOGITS_TOLERANCE = 1e-3  # of float32 sums in another order


@dataclass(frozen=True)
class Check:
    """One number: what the version's tag says, and what its artifacts give now."""

    name: str
    registered: float
    found: float

    @property
    def holds(self) -> bool:
        return bool(np.isclose(self.found, self.registered, rtol=TOLERANCE, atol=TOLERANCE))


def find_version(name: str) -> ModelVersion:
    """A version of the registered model by its number or alias; raises `InputError` if there is none."""
    try:
        version = (
            tracking.connect().get_model_version(registry.MODEL, name)
            if name.isdecimal()
            else registry.aliased(name)
        )
    except MlflowException:
        version = None
    if version is None:
        raise InputError(
            f"The model {registry.MODEL} has no version {name!r}: expected a number, or an alias such as "
            f"champion."
        )
    return version


def own_artifacts(version: ModelVersion) -> tuple[FinishedCv, Predictor]:
    """The version's cross-validation with the fold models that the version itself holds, and its predictor.

    Raises
    ------
    InputError
        If an artifact is missing or is not what was registered.
    """
    finished = cross_validation.load_cv(finished_run(cross_validation.STEP, version.tags[names.CV_RUN]))
    for name, found in (
        (names.DATASET_DIGEST, finished.spectra.digest()),
        ("folds_digest", registry.folds_digest(finished.folds)),
    ):
        if found != version.tags[name]:
            raise InputError(
                f"Version {version.version} was registered with the {name} {version.tags[name]}, now it is "
                f"{found}."
            )
    uri = f"models:/{registry.MODEL}/{version.version}"
    predictor = registry.load_predictor(uri)
    with TemporaryDirectory() as folder:
        path = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder)) / "artifacts" / "keras"
        nets = {p.stem: keras_nets.load(p) for p in sorted(path.glob("*.keras"))}
    served = (
        [nets[f"fold_{f.number}"] for f in finished.folds]
        if len(nets) == len(finished.folds)
        else [*nets.values()]
    )
    if not served:
        raise InputError(f"Version {version.version} holds no .keras files.")
    crops = crop(finished.spectra)[:100]
    if predictor.net is None:
        raise InputError(f"Version {version.version} holds no nets: it was not made by `promote`.")
    apart = float(np.abs(from_keras(served).logits(crops) - predictor.net.logits(crops)).max())
    if apart > _LOGITS_TOLERANCE:
        raise InputError(
            f"The served net of version {version.version} and its .keras files differ by {apart:.2g} in "
            f"logits."
        )
    # A net that was trained anew on all spectra cannot be judged by them: its fold models are those of the
    # cross-validation.
    return (replace(finished, models=served) if len(served) == len(finished.folds) else finished), predictor


def param_of(step: str, finished: FinishedCv, name: str, **params: str) -> int:
    """A number with which the newest run of `step` evaluated a cross-validation; raises `InputError` if there
    is none.
    """
    for record in finished_runs(step, cv_run=finished.run.id):
        if record.data.params.items() >= params.items():
            return int(float(record.data.params[name]))
    raise InputError(
        f"Run {finished.run.id} has no finished {step} run any more, whose {name} is needed to recompute its "
        f"numbers."
    )


def recompute(
    run: tracking.Run, finished: FinishedCv, references: References, seed: int, strategy: str
) -> dict[str, float]:
    """Every number of a version from its nets, data and folds; curves and figures are logged to `run`."""
    right = [_right(finished, place).mean() for place in range(len(finished.folds))]
    found = {names.CV_ACCURACY: float(np.mean(right))}
    found |= evaluations.log_shift([run], finished)
    found |= evaluations.log_noise([run], finished, param_of("noise_eval", finished, "kept_components"))
    found |= evaluations.log_references([run], finished.models, references)
    return promotion.measure(finished, seed, strategy).metrics | found


def _right(finished: FinishedCv, place: int) -> NDArray[np.bool_]:
    fold = finished.folds[place]
    p = predict([finished.models[place]], crop(finished.spectra.select(fold.test)))[0]
    right: NDArray[np.bool_] = p.argmax(axis=1) == finished.spectra.valence[fold.test]
    return right


def compare(registered: Mapping[str, str], found: Mapping[str, float]) -> list[Check]:
    """The numbers that a version was registered with and that were found again."""
    return [
        Check(name, float(registered[name]), value) for name, value in found.items() if name in registered
    ]


def table(checks: list[Check]) -> pd.DataFrame:
    """A row for every number."""
    rows: list[dict[str, Any]] = [
        {"number": c.name, "registered": c.registered, "found": c.found, "holds": c.holds} for c in checks
    ]
    return pd.DataFrame(rows)


def promoted_by(version: ModelVersion) -> MlflowRun:
    """The run that registered a version."""
    return tracking.connect().get_run(str(version.run_id))

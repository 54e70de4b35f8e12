"""The model registry: candidates among the finished runs, versions with all that they are trusted for, and
their aliases.
"""

import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import Run as MlflowRun
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mnflow.errors import InputError
from mnflow.models.architectures import FULLY_CONVOLUTIONAL
from mnflow.promote.gate import MEASURED_BEFORE
from mnflow.runtime.mlflow_env import mlflow_environment, register_environment
from mnflow.runtime.project import EXPERIMENT, ROOT, default_tracking_uri, one_at_a_time
from mnflow.runtime.signals import held
from mnflow.serve.predictor import Predictor
from mnflow.track import names, tracking
from mnflow.track.query import finished_run, finished_runs

MODEL = EXPERIMENT
"""Name of the registered model."""

CHAMPION, PREVIOUS = "champion", "previous"

SELECTED_BY = (names.CV_ACCURACY, names.SHIFT_ACCURACY, names.NOISE_5X_ACCURACY)
"""Metrics whose mean ranks candidates: all of them on held-out spectra of the cross-validation, none on
references.
"""

_SERVED_CODE = (
    "__init__.py",
    "errors.py",
    "runtime/__init__.py",
    "runtime/files.py",
    "runtime/process.py",
    "spectra",
    "preprocess",
    "serve",
)
_NOT_SERVED = ("__pycache__", "clusters.py", "pipeline.py")
_SERVED_WITH = ("mlflow", "numpy", "pydantic", "fastapi", "uvicorn")


def candidate(run: str) -> MlflowRun:
    """The cv_train run to promote: by its id, or (`best`) the best fully convolutional one on the newest
    data.

    Raises
    ------
    InputError
        If there is none, or an evaluation is missing; the sentence says which step to run.
    """
    if run != "best":
        record = finished_run("cv_train", run)
        _ask_for_evaluations([record])
        return record
    newest = finished_run("cv_train")
    same_data = finished_runs("cv_train", dataset_digest=newest.data.tags[names.DATASET_DIGEST])
    records = [r for r in same_data if r.data.tags[names.ARCH] in FULLY_CONVOLUTIONAL]
    if not records:
        raise InputError(
            "No finished cv_train run of a fully convolutional net on the newest data: `mlflow run . -e "
            "cv_train` makes one."
        )
    complete = _ask_for_evaluations(records)
    return max(complete, key=lambda r: float(np.mean([r.data.metrics[k] for k in SELECTED_BY])))


def _ask_for_evaluations(records: Sequence[MlflowRun]) -> list[MlflowRun]:
    """The runs with all evaluations; without any, say which steps the newest lacks."""
    complete = [r for r in records if all(k in r.data.metrics for k in MEASURED_BEFORE)]
    if complete:
        return complete
    record = records[0]
    steps = dict.fromkeys(
        step for metric, step in MEASURED_BEFORE.items() if metric not in record.data.metrics
    )
    commands = " and ".join(f"`mlflow run . -e {step} -P run={record.info.run_id}`" for step in steps)
    raise InputError(
        f"Run {record.info.run_id} was not evaluated in full, and cannot be judged: first {commands}."
    )


def log_model(
    run: tracking.Run, predictor: Predictor, keras_files: Mapping[str, bytes], example: dict[str, Any]
) -> str:
    """Log the served model (code, weights in one .npz, the nets as .keras files) and return its URI."""
    with tempfile.TemporaryDirectory() as folder:
        nets = Path(folder) / "keras"
        nets.mkdir()
        for name, content in keras_files.items():
            (nets / name).write_bytes(content)
        artifacts = {"predictor": str(predictor.save(Path(folder) / "predictor.npz")), "keras": str(nets)}
        with mlflow.start_run(run_id=run.id):
            info = mlflow.pyfunc.log_model(
                name="valence_model",
                python_model=str(_served_code(Path(folder)) / "serve" / "model.py"),
                artifacts=artifacts,
                code_paths=[str(Path(folder) / "code" / "mnflow")],
                pip_requirements=requirements(),
                input_example=[example],
            )
    return str(info.model_uri)


def _served_code(folder: Path) -> Path:
    """A copy of those parts of the package that a server needs, and of nothing else."""
    import shutil

    target = folder / "code" / "mnflow"
    target.mkdir(parents=True)
    for name in _SERVED_CODE:
        source = Path(__file__).parents[1] / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns(*_NOT_SERVED))
        else:
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copy(source, target / name)
    return target


def requirements() -> list[str]:
    """What a server installs, pinned to what is installed here."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in _SERVED_WITH]


def register(model_uri: str, run_id: str, tags: Mapping[str, Any], card: str) -> ModelVersion:
    """Make a version of the registered model, and let `mlflow models serve` use this environment for it."""
    client = tracking.connect()
    try:
        client.create_registered_model(
            MODEL, description="Valence of an element from its L2,3 edge; see the versions' cards."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    text = {k: str(v) for k, v in tags.items()}
    version = client.create_model_version(
        MODEL, model_uri, run_id, text, description=card, model_id=model_uri.removeprefix("models:/")
    )
    with tempfile.TemporaryDirectory() as folder:
        local = mlflow.artifacts.download_artifacts(model_uri, dst_path=folder)
        register_environment(mlflow_environment(Path(local)))
    return version


def load_predictor(uri: str) -> Predictor:
    """The predictor of a registered model; raises `InputError` if there is no such model."""
    tracking.connect()
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = mlflow.artifacts.download_artifacts(uri, dst_path=folder)
        except (MlflowException, OSError) as error:
            raise InputError(
                f"No model at {uri} ({error}): `mlflow run . -e promote` makes a champion."
            ) from error
        return Predictor.load(Path(path) / "artifacts" / "predictor.npz")


def aliased(alias: str) -> ModelVersion | None:
    """The version that an alias stands for, if any."""
    try:
        return tracking.connect().get_model_version_by_alias(MODEL, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def promote(version: str) -> str | None:
    """Make a version the champion; the last one becomes `previous` and is returned.

    The order leaves a champion that can be served at every moment. Call it within `locked`, so that no second
    promotion reads what this one is about to change.
    """
    return _move(version, "promoted")


def roll_back() -> tuple[str, str]:
    """Exchange `champion` and `previous`; returns the versions of both as they are then.

    Raises
    ------
    InputError
        If there is nothing to go back to.
    """
    with locked():
        previous = aliased(PREVIOUS)
        if previous is None:
            raise InputError(
                f"The model {MODEL} has no version `{PREVIOUS}` to go back to: only one was ever promoted."
            )
        champion = _move(previous.version, "rolled back to")
    return str(previous.version), str(champion)


def _move(version: str, event: str) -> str | None:
    client = tracking.connect()
    last = aliased(CHAMPION)
    if last is not None and str(last.version) != str(version):
        client.set_registered_model_alias(MODEL, PREVIOUS, last.version)
    client.set_registered_model_alias(MODEL, CHAMPION, version)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    _remember(str(version), f"{event} {when} UTC" + (f", after version {last.version}" if last else ""))
    if last is not None and str(last.version) != str(version):
        _remember(str(last.version), f"replaced {when} UTC by version {version}")
    return str(last.version) if last else None


def _remember(version: str, event: str) -> None:
    """MLflow keeps no history of aliases: add a line to the version's own."""
    known = tracking.connect().get_model_version(MODEL, version).tags.get("history")
    tracking.connect().set_model_version_tag(
        MODEL, version, "history", "; ".join(filter(None, [known, event]))
    )


@contextmanager
def locked() -> Iterator[None]:
    """Let one process at a time change the registry, as far as they share a machine, and no signal cut it
    short.
    """
    tracking.connect()  # which locks the store, too, when it makes it
    with held(), one_at_a_time(default_tracking_uri()):
        yield


def held_out_of(version: ModelVersion, dataset_digest: str, folds_digest: str) -> list[float] | None:
    """A version's accuracies on held-out spectra by fold, if it was measured on the same data and folds."""
    tags = version.tags
    if (tags.get(names.DATASET_DIGEST), tags.get("folds_digest")) != (dataset_digest, folds_digest):
        return None
    return [float(x) for x in json.loads(tags["held_out_accuracy"])]


def folds_digest(folds: Sequence[Any]) -> str:
    """SHA-256 over which spectra each fold tests, as 16 hexadecimal digits."""
    h = hashlib.sha256()
    for fold in folds:
        h.update(np.asarray(fold.test, dtype=np.int64).tobytes())
    return h.hexdigest()[:16]


def code_version() -> str:
    """The commit of the project, with a + if files were changed since; `unknown` outside of a repository."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()

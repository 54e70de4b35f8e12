"""The model registry: candidates among finished runs, versions and their aliases."""

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
from mnflow.promote import served
from mnflow.promote.gate import MEASURED_BEFORE
from mnflow.runtime.cli import say
from mnflow.runtime.mlflow_env import mlflow_environment, register_environment
from mnflow.runtime.project import EXPERIMENT, ROOT, default_tracking_uri, one_at_a_time
from mnflow.runtime.signals import held
from mnflow.serve.predictor import Predictor
from mnflow.track import names, tracking
from mnflow.track.cross_validation import STEP
from mnflow.track.query import finished_run, finished_runs, where

MODEL = EXPERIMENT
"""Name of the registered model."""

CHAMPION, PREVIOUS = "champion", "previous"

SELECTED_BY = (names.CV_ACCURACY, names.SHIFT_ACCURACY, names.NOISE_5X_ACCURACY)
"""Metrics whose mean ranks candidates: all of them on held-out spectra of the cross-validation, none on
references.
"""

DIGESTS = "sha256"
"""Tag of a version: the digest of every file that it serves, by its path (`served.digests`)."""

CV_TAGS = (*names.SETTING, names.DATASET_DIGEST, names.DATASET_URI)
"""Tags of a cross-validation without which a run is none of ours."""


def candidate(run: str) -> MlflowRun:
    """The cv_train run to promote: by id, or the best fully convolutional one on the newest data.

    Raises
    ------
    InputError
        If there is none, or an evaluation is missing; the sentence says which step to run.
    """
    if run != "best":
        record = finished_run(STEP, run)
        if not _is_ours(record):
            raise InputError(
                f"Run {run} lacks the tags of a cross-validation of mnflow ({', '.join(CV_TAGS)}): name a "
                f"run that `mlflow run . -e {STEP}` has made."
            )
        _ask_for_evaluations([record])
        return record
    ours = [r for r in finished_runs(STEP) if _is_ours(r)] or [finished_run(STEP)]  # or say where none is
    digest = ours[0].data.tags.get(names.DATASET_DIGEST)
    records = [
        r
        for r in ours
        if r.data.tags.get(names.DATASET_DIGEST) == digest
        and r.data.tags.get(names.ARCH) in FULLY_CONVOLUTIONAL
    ]
    if not records:
        raise InputError(
            f"No finished cv_train run of a fully convolutional net on the newest data {where()}: `mlflow "
            "run . -e cv_train` makes one."
        )
    complete = _ask_for_evaluations(records)
    return max(complete, key=lambda r: float(np.mean([r.data.metrics[k] for k in SELECTED_BY])))


def _is_ours(record: MlflowRun) -> bool:
    """Whether a run is a cross-validation of this project, and no run of another that has our step's name."""
    return record.data.tags.keys() >= {*CV_TAGS, names.CODE}


def _is_share(value: float | None) -> bool:
    """Whether a metric is there and a share in [0, 1]; NaN is not."""
    return value is not None and 0 <= value <= 1


def _ask_for_evaluations(records: Sequence[MlflowRun]) -> list[MlflowRun]:
    """The runs with all evaluations; without any, say which steps the newest lacks."""
    complete = [r for r in records if all(_is_share(r.data.metrics.get(k)) for k in MEASURED_BEFORE)]
    if complete:
        return complete
    record = records[0]
    steps = dict.fromkeys(
        step for metric, step in MEASURED_BEFORE.items() if not _is_share(record.data.metrics.get(metric))
    )
    commands = " and ".join(f"`mlflow run . -e {step} -P run={record.info.run_id}`" for step in steps)
    raise InputError(
        f"Run {record.info.run_id} was not evaluated in full, and cannot be judged: first {commands}."
    )


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
    with tempfile.TemporaryDirectory() as folder:
        local = Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=folder))
        try:
            register_environment(mlflow_environment(local))
        except OSError as error:  # the version is good without
            say(f"{error}: `mlflow models serve` will need --env-manager local for this version.")
        text = {k: str(v) for k, v in tags.items()} | {DIGESTS: json.dumps(served.digests(local))}
    return client.create_model_version(
        MODEL, model_uri, run_id, text, description=card, model_id=model_uri.removeprefix("models:/")
    )


def registered_before(cv_run: str, strategy: str, before: Mapping[str, str]) -> ModelVersion | None:
    """The version that serves the same nets of a CV run by the same code, file by file, if there is one.

    Parameters
    ----------
    strategy : str
        As in the version's tag.
    before : mapping
        What `served.digests_before` says of the model that is to be registered.
    """
    for version in tracking.connect().search_model_versions(f"name = '{MODEL}'"):
        tags = version.tags
        if (tags.get(names.CV_RUN), tags.get("strategy")) == (cv_run, strategy):
            known = json.loads(tags.get(DIGESTS, "{}"))
            code = {k for k in known if k.startswith("code/")}
            if code <= before.keys() and all(known.get(k) == v for k, v in before.items()):
                return version
    return None


def load_predictor(uri: str) -> Predictor:
    """The predictor of a registered model.

    Raises `InputError` if there is none, or if `promote` would not have set this alias on that version.
    """
    alias = uri.partition(f"models:/{MODEL}@")[2]
    version = aliased(alias) if alias else None
    if version is not None and (why := unfit(version)):
        raise InputError(
            f"The alias {alias} of {MODEL} is on version {version.version}, and {why}: `mlflow run . -e "
            "promote` moves it to one that passes the gate."
        )
    with tempfile.TemporaryDirectory() as folder:
        return Predictor.load(download(uri, folder) / served.PREDICTOR)


def download(uri: str, folder: str) -> Path:
    """A copy of a model's files in `folder`; raises `InputError` if there is no such model."""
    tracking.connect()
    try:
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
    except (MlflowException, OSError) as error:
        raise InputError(
            f"No model at {uri} {where()} ({error}): `mlflow run . -e promote` makes a champion."
        ) from error


def aliased(alias: str) -> ModelVersion | None:
    """The version that an alias stands for, if any."""
    try:
        return tracking.connect().get_model_version_by_alias(MODEL, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def unfit(version: ModelVersion) -> str | None:
    """Why a version cannot be champion (not a version of mnflow, or dense), or None if it can."""
    tags = version.tags
    missing = [k for k in (names.CV_RUN, names.ARCH, "labels") if k not in tags]
    if missing:
        return f"it was not registered by promote (it lacks {', '.join(missing)})"
    if tags[names.ARCH] not in FULLY_CONVOLUTIONAL:
        return f"{tags['arch']} is not fully convolutional and does not survive a shift of the energy axis"
    return None


def set_champion(version: str) -> str | None:
    """Make a version the champion; the last one becomes `previous` and is returned, unless it is unfit.

    The order leaves a champion that can be served at every moment. Call it within `locked`, so that no second
    promotion reads what this one is about to change.
    """
    return _move(version, "promoted")


def roll_back() -> tuple[str, str | None]:
    """Exchange `champion` and `previous`; returns both versions (there may be no previous one).

    Raises
    ------
    InputError
        If there is nothing to go back to, or it is no version that may be champion.
    """
    with locked():
        previous = aliased(PREVIOUS)
        champion_now = aliased(CHAMPION)
        if previous is None or (champion_now and str(champion_now.version) == str(previous.version)):
            raise InputError(
                f"The model {MODEL} has no version `{PREVIOUS}` to go back to: only one was ever promoted."
            )
        champion = _move(previous.version, "rolled back to")
    return str(previous.version), champion


def _move(version: str, event: str) -> str | None:
    client = tracking.connect()
    if why := unfit(client.get_model_version(MODEL, version)):
        raise InputError(f"Version {version} of {MODEL} cannot become `{CHAMPION}`: {why}.")
    last = aliased(CHAMPION)
    if last is not None and str(last.version) == str(version):
        return None
    if last is not None and unfit(last):  # somebody moved the alias by hand: nothing to go back to
        last = None
    if last is not None:
        client.set_registered_model_alias(MODEL, PREVIOUS, last.version)
    elif (previous := aliased(PREVIOUS)) is not None and str(previous.version) == str(version):
        client.delete_registered_model_alias(MODEL, PREVIOUS)
    client.set_registered_model_alias(MODEL, CHAMPION, version)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    _remember(str(version), f"{event} {when} UTC" + (f", after version {last.version}" if last else ""))
    if last is not None:
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
    """Lock the registry against other processes on this machine, and hold signals meanwhile."""
    tracking.connect()  # which locks the store, too, when it makes it
    with one_at_a_time(default_tracking_uri()), held():
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

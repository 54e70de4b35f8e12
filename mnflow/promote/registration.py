"""A version of the registered model: five tags for its reader, and a file with what `verify` checks."""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.entities.model_registry import ModelVersion

from mnflow.errors import InputError
from mnflow.promote import version_contents
from mnflow.promote.eligible import DIGEST
from mnflow.runtime.cli import say
from mnflow.runtime.mlflow_env import mlflow_environment, register_environment
from mnflow.runtime.project import EXPERIMENT, ROOT
from mnflow.serve.predictor import Predictor
from mnflow.track import names, tracking
from mnflow.track.query import artifact

MODEL = EXPERIMENT
"""Name of the registered model."""

RECORD = "registration.json"
"""Artifact of the run that registered a version: its `Registration`."""

STRATEGY = "strategy"
"""Tag of a version: whether the fold models are served, or one that was trained on all spectra."""


@dataclass(frozen=True)
class Registration:
    """What `promote` registered a version with; raises `InputError` if the record is missing or changed."""

    metrics: dict[str, float]
    held_out_accuracy: list[float]
    folds_digest: str
    model_digest: str
    files: dict[str, str]
    facts: dict[str, str]


def register(
    model_uri: str, run: tracking.Run, tags: Mapping[str, str], record: Registration, card: str
) -> ModelVersion:
    """Make a version of the registered model, and let `mlflow models serve` use this environment for it.

    The files' digests are taken here, from what the store gives back.
    """
    with tempfile.TemporaryDirectory() as folder:
        local = Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=folder))
        try:
            register_environment(mlflow_environment(local))
        except OSError as error:  # the version is good without
            say(f"{error}: `mlflow models serve` will need --env-manager local for this version.")
        whole = {**asdict(record), "files": version_contents.digests(local)}
    run.json(whole, RECORD)
    digest = hashlib.sha256(json.dumps(whole, indent=1).encode()).hexdigest()
    version = mlflow.register_model(model_uri, MODEL, tags={**tags, DIGEST: digest})
    client = tracking.connect()
    client.update_registered_model(
        MODEL, "Valence of an element from its L2,3 edge; see the versions' cards."
    )
    return client.update_model_version(MODEL, version.version, card)


def registration(version: ModelVersion) -> Registration:
    """What a version was registered with.

    Raises `InputError` if it was not registered by `promote`, or the record is not the one of then.
    """
    if DIGEST not in version.tags or not version.run_id:
        raise InputError(
            f"Version {version.version} has no digest of what it serves (tag {DIGEST}), and cannot be "
            "verified: promote its run again."
        )
    with artifact(version.run_id, RECORD) as path:
        content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != version.tags[DIGEST]:
        raise InputError(
            f"{RECORD} of run {version.run_id} was changed after version {version.version} was registered: "
            "promote the version's cross-validation again."
        )
    return Registration(**json.loads(content))


def registered_before(predictor: Predictor) -> ModelVersion | None:
    """The newest version that holds the same model, weight by weight, and the same code, if there is one.

    Whatever run it came from: two runs with equal data and seeds train equal models.
    """
    model, code = version_contents.model_digest(predictor), version_contents.code_digests()
    for version in tracking.connect().search_model_versions(f"name = '{MODEL}'"):
        known = known_registration(version)
        if known and known.model_digest == model and code == _code_of(known.files):
            return version
    return None


def known_registration(version: ModelVersion) -> Registration | None:
    """What a version was registered with, or None if that is not known (any more)."""
    try:
        return registration(version)
    except InputError:
        return None


def _code_of(files: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if name.startswith("code/")}


def held_out_of(version: ModelVersion, dataset_digest: str, folds_digest: str) -> list[float] | None:
    """A version's accuracies on held-out spectra by fold, if it was measured on the same data and folds."""
    if version.tags.get(names.DATASET_DIGEST) != dataset_digest:
        return None
    known = known_registration(version)
    return known.held_out_accuracy if known and known.folds_digest == folds_digest else None


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

"""The aliases of the registered model: what may be champion, moving them, and loading what they stand for."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mnflow.errors import InputError
from mnflow.promote import version_contents
from mnflow.promote.candidates import verdict
from mnflow.promote.eligible import unfit
from mnflow.promote.registration import MODEL, known_registration
from mnflow.runtime.project import default_tracking_uri, one_at_a_time
from mnflow.runtime.signals import held
from mnflow.serve.predictor import Predictor
from mnflow.track import names, tracking
from mnflow.track.cross_validation import STEP
from mnflow.track.query import finished_run, where

CHAMPION, PREVIOUS = "champion", "previous"

HISTORY = "history"
"""Tag of the registered model: how its aliases have moved, the last events of many."""

_KEPT_EVENTS = 40  # MLflow's tags hold 5,000 characters


def load_predictor(uri: str) -> Predictor:
    """The predictor of a registered model.

    Raises `InputError` if there is none, or if `promote` would not have set this alias on that version.
    """
    alias = uri.partition(f"models:/{MODEL}@")[2]
    version = aliased(alias) if alias else None
    if version is not None and (why := unfit(version.tags)):
        raise InputError(
            f"The alias {alias} of {MODEL} is on version {version.version}, and {why}: `mlflow run . -e "
            "promote` moves it to one that passes the gate."
        )
    with tempfile.TemporaryDirectory() as folder:
        return Predictor.load(download(uri, folder) / version_contents.PREDICTOR)


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


def champion_in_words() -> str:
    """Which model is champion, and how it compares with its rivals; empty without a champion."""
    version = aliased(CHAMPION)
    if version is None or unfit(version.tags):
        return ""
    try:
        record = finished_run(STEP, version.tags[names.CV_RUN])
    except InputError:  # the run was deleted
        return f"Champion: version {version.version} of {MODEL}."
    return (
        f"Champion: version {version.version} of {MODEL}, {record.info.run_name}. {verdict(record)}".strip()
    )


def set_champion(version: str) -> str | None:
    """Make a version the champion; the last one becomes `previous` and is returned, unless it is unfit.

    The order leaves a champion that can be served at every moment. Call it within `locked`, so that no second
    promotion reads what this one is about to change.
    """
    return _move(version, "promoted")


def roll_back() -> tuple[str, str | None]:
    """Exchange `champion` and `previous`; returns both versions (there may be no previous one).

    Raises `InputError` if there is nothing to go back to, or it is no version that may be champion.
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
    if why := unfit(client.get_model_version(MODEL, version).tags):
        raise InputError(f"Version {version} of {MODEL} cannot become `{CHAMPION}`: {why}.")
    last = aliased(CHAMPION)
    if last is not None and str(last.version) == str(version):
        return None
    if last is not None and unfit(last.tags):  # somebody moved the alias by hand: nothing to go back to
        last = None
    kept = None if last is None or _same_model(str(last.version), version) else last
    if kept is not None:
        client.set_registered_model_alias(MODEL, PREVIOUS, kept.version)
    elif (previous := aliased(PREVIOUS)) is not None and _same_model(str(previous.version), version):
        client.delete_registered_model_alias(MODEL, PREVIOUS)
    client.set_registered_model_alias(MODEL, CHAMPION, version)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    after = f" in place of version {last.version}" if last else ""
    _remember(f"version {version} {event} {when} UTC{after}")
    return str(last.version) if last else None


def _same_model(version: str, other: str) -> bool:
    """Whether two versions hold the same nets and posterior, though perhaps by other code."""
    client = tracking.connect()
    known = [known_registration(client.get_model_version(MODEL, v)) for v in (version, other)]
    digests = {k.model_digest if k else None for k in known}
    return version == other or (len(digests) == 1 and None not in digests)


def _remember(event: str) -> None:
    """MLflow keeps no history of aliases: add an event to the model's own."""
    known = tracking.connect().get_registered_model(MODEL).tags.get(HISTORY, "")
    events = [*filter(None, known.split("; ")), event][-_KEPT_EVENTS:]
    tracking.connect().set_registered_model_tag(MODEL, HISTORY, "; ".join(events))


@contextmanager
def locked() -> Iterator[None]:
    """Lock the registry against other processes on this machine, and hold signals meanwhile."""
    tracking.connect()  # which locks the store, too, when it makes it
    with one_at_a_time(default_tracking_uri()), held():
        yield

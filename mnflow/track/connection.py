"""The connection to the tracking store: checked, created if missing, and opened within seconds."""

import os
import sqlite3
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import urlparse

import mlflow
from mlflow import MlflowClient

from mnflow.errors import InputError
from mnflow.runtime.cli import say
from mnflow.runtime.project import EXPERIMENT, EXPERIMENT_TAGS, ROOT, default_tracking_uri, one_at_a_time
from mnflow.runtime.relocate import relocate

ANSWER_SECONDS = 4.0
"""How long a tracking server may take to answer; MLflow's own retries take minutes to give up."""

PATIENCE_SECONDS = 300.0
"""How long a step that has nothing else to do waits for an unreachable tracking server."""

LOCK_SECONDS = 5.0
"""How long a tracking database that is locked by another process is waited for at the start."""


@cache
def connect() -> MlflowClient:
    """The client of the tracking store; makes sure within seconds that it answers and holds our experiment.

    Raises `InputError` if the server does not answer, or the database cannot be opened and written.
    """
    uri = default_tracking_uri()
    # no progress bar for each of many small files
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    mlflow.set_tracking_uri(uri)
    if not answers():
        raise InputError(f"{away()} Start it, or correct MLFLOW_TRACKING_URI.")
    try:
        check_database(uri)
        prepare_store(uri)
        moved = relocate(uri, ROOT)
    except InputError:
        raise
    except Exception as error:  # of MLflow, SQLAlchemy, alembic, SQLite or the system
        raise InputError(
            f"The tracking store {uri} cannot be used: {str(error).strip().splitlines()[0][:300]}"
        ) from error
    if moved:
        say(f"The tracking store was made in {moved}; its artifacts are now those of {ROOT}.")
    return MlflowClient(uri)


def answers() -> bool:
    """Whether the tracking server answers one quick request; a store that is no server always does."""
    import requests

    uri = default_tracking_uri()
    if urlparse(uri).scheme not in ("http", "https"):
        return True
    try:
        return requests.get(uri.rstrip("/") + "/health", timeout=ANSWER_SECONDS).ok
    except requests.RequestException:
        return False


def patiently(send: Callable[[], bool]) -> bool:
    """Call `send` every second until it succeeds, for `PATIENCE_SECONDS` at most; whether it did."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (sent := send()) and time.monotonic() < deadline:
        time.sleep(1)
    return sent


def away() -> str:
    """Error message for a server that does not respond."""
    return f"The tracking server {default_tracking_uri()} does not answer."


def prepare_store(uri: str) -> None:
    """Create the tracking database and its experiment if missing; safe for concurrent workers.

    A database must exist before several processes open it. On a local store the experiment 0, which a bare
    `mlflow run .` falls back to, is the project's own.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with one_at_a_time(uri):
        client = MlflowClient(uri)
        if client.get_experiment_by_name(EXPERIMENT) is not None:
            return
        if uri.startswith("sqlite:") and client.get_experiment("0").name == "Default":
            client.rename_experiment("0", EXPERIMENT)
            for key, value in EXPERIMENT_TAGS.items():
                client.set_experiment_tag("0", key, value)
            return
        try:
            client.create_experiment(EXPERIMENT, tags=EXPERIMENT_TAGS)
        except MlflowException:
            # else a worker on another machine was first
            if client.get_experiment_by_name(EXPERIMENT) is None:
                raise


def check_database(uri: str) -> None:
    """Raise `RuntimeError` unless an existing local tracking database can be written."""
    if not uri.startswith("sqlite:///"):
        return
    path = Path(uri.removeprefix("sqlite:///"))
    if "%" in uri:
        raise RuntimeError(
            f"MLflow cannot open a database whose path holds a % ({path}): rename the folder, or let "
            "MLFLOW_TRACKING_URI name another place."
        )
    for place, what in ((path.parent, "folder of the tracking database"), (path, "tracking database")):
        if place.exists() and not os.access(place, os.W_OK):  # the journal is written in the folder
            raise RuntimeError(f"The {what} {path} cannot be written: check permissions.")
    if not path.exists():
        return
    connection = sqlite3.connect(path, timeout=LOCK_SECONDS)
    schemas: set[str] = set()
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
        (damage,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        schemas = _schemas(connection)
    except sqlite3.OperationalError as error:
        raise RuntimeError(
            f"The tracking database {path} cannot be written ({error}): close what holds it, or check its "
            f"permissions."
        ) from error
    except sqlite3.DatabaseError as error:  # a page that cannot be read, or no database at all
        damage = str(error)
    finally:
        connection.close()
    if damage != "ok":
        raise RuntimeError(
            f"The tracking database {path} is damaged ({str(damage).splitlines()[0][:200]}): restore a "
            f"backup; `sqlite3 {path.name} .recover` saves what can still be read."
        )
    if schemas and schemas != {_own_schema()}:
        raise RuntimeError(
            f"The tracking database {path} is of another version of MLflow than {mlflow.__version__}, which "
            "runs here: if "
            f"of an older one, copy the file and run `mlflow db upgrade {uri}`; if of a newer one, use that."
        )


def _schemas(connection: sqlite3.Connection) -> set[str]:
    """The version of the tables of a database; none if it has no tables yet."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None:
        return set()
    return {version for (version,) in connection.execute("SELECT version_num FROM alembic_version")}


@cache
def _own_schema() -> str:
    """The version of the tables that the MLflow here makes."""
    from mlflow.store.db.utils import _get_latest_schema_revision  # MLflow is pinned, and tests call this

    return str(_get_latest_schema_revision())

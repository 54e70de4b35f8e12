"""The connection to the tracking store: opened once, within seconds or with a clear error."""

import os
import time
from collections.abc import Callable
from functools import cache
from urllib.parse import urlparse

import mlflow
from mlflow import MlflowClient

from mnflow.errors import InputError
from mnflow.runtime.cli import say
from mnflow.runtime.project import ROOT, default_tracking_uri
from mnflow.runtime.relocate import relocate
from mnflow.track.database import check_database, prepare_store

ANSWER_SECONDS = 4.0
"""How long a tracking server may take to answer; MLflow's own retries take minutes to give up."""

PATIENCE_SECONDS = 300.0
"""How long a step that has nothing else to do waits for an unreachable tracking server."""


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

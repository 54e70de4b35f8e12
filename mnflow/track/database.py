"""Create the tracking database and its experiment, and check that it can be written."""

import os
import sqlite3
from pathlib import Path

from mnflow.runtime.project import EXPERIMENT, EXPERIMENT_TAGS, one_at_a_time

LOCK_SECONDS = 5.0
"""How long a tracking database that is locked by another process is waited for at the start."""


def prepare_store(uri: str) -> None:
    """Create the tracking database and its experiment, if they are not there yet; workers may do so at the
    same time.

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
            if (
                client.get_experiment_by_name(EXPERIMENT) is None
            ):  # else a worker on another machine was first
                raise


def check_database(uri: str) -> None:
    """Make sure that a local tracking database that exists can be written; raises `RuntimeError` with a
    sentence if not.
    """
    if not uri.startswith("sqlite:///"):
        return
    path = Path(uri.removeprefix("sqlite:///"))
    for place, what in ((path.parent, "folder of the tracking database"), (path, "tracking database")):
        if place.exists() and not os.access(place, os.W_OK):  # the journal is written in the folder
            raise RuntimeError(f"The {what} {path} cannot be written: check permissions.")
    if not path.exists():
        return
    connection = sqlite3.connect(path, timeout=LOCK_SECONDS)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    except sqlite3.Error as error:
        raise RuntimeError(
            f"The tracking database {path} cannot be written ({error}): close what holds it, or check its "
            f"permissions."
        ) from error
    finally:
        connection.close()

"""Move a SQLite tracking store and its artifacts to the team's server.

Usage: `python -m deploy.move_store mlflow.db`.

Run it with PGHOST, PGUSER and PGPASSWORD of the server's database and MLFLOW_TRACKING_URI, _USERNAME and
_PASSWORD of the server (docs/team.md). Both stores must be of the MLflow version that is installed here. The
old store is only read; the new one must be empty, and gets either all rows or none.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import mlflow.store.model_registry.dbmodels.models
import mlflow.store.tracking.dbmodels.models  # noqa: F401  both fill Base.metadata
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.db.base_sql_model import Base
from sqlalchemy import Connection, Engine, create_engine, func, inspect, select, text
from sqlalchemy.pool import NullPool

from mnflow.errors import InputError
from mnflow.runtime.relocate import ADDRESSES

TARGET = "postgresql:///mlflow"

_TABLES = Base.metadata.tables
_CHUNK = 1000


def move(source: Path, target: str = TARGET) -> dict[str, int]:
    """Copy everything; returns how many rows of every table that has any."""
    if not source.is_file():
        raise InputError(f"No store at {source}: expected a SQLite file such as mlflow.db.")
    old, new = (create_engine(uri, poolclass=NullPool) for uri in (f"sqlite:///{source}", target))
    check(old, new)
    with old.connect() as reading:
        experiments = reading.execute(
            select(_TABLES["experiments"].c["experiment_id", "artifact_location"])
        ).all()
        places = {location: f"mlflow-artifacts:/{number}" for number, location in experiments}
        upload(places)
        with new.begin() as writing:
            return copy_rows(reading, writing, places)


def check(old: Engine, new: Engine) -> None:
    """Refuse stores of different MLflow versions, and a target that is in use."""
    with old.connect() as a, new.connect() as b:
        versions = [c.execute(text("SELECT version_num FROM alembic_version")).scalar_one() for c in (a, b)]
        if versions[0] != versions[1]:
            raise InputError(
                f"The stores are of different versions ({versions}): run `mlflow db upgrade` on the older "
                f"one."
            )
        if b.execute(select(func.count()).select_from(_TABLES["runs"])).scalar_one():
            raise InputError("The target holds runs already: move into a new, empty stack.")


def upload(places: Mapping[str, str]) -> None:
    """Send every experiment's folder of artifacts through the server."""
    for location, place in places.items():
        folder = Path(unquote(urlparse(location).path))
        if folder.is_dir() and any(folder.iterdir()):
            print(f"artifacts of {folder}", flush=True)
            get_artifact_repository(place).log_artifacts(str(folder))


def copy_rows(reading: Connection, writing: Connection, places: Mapping[str, str]) -> dict[str, int]:
    """Copy all tables, those first that others refer to."""
    there = set(inspect(reading).get_table_names())
    tables = [t for t in Base.metadata.sorted_tables if t.name in there]
    for table in reversed(tables):  # a new store holds the experiment `Default`
        writing.execute(table.delete())
    copied = {}
    for table in tables:
        rows = [moved(table.name, row, places) for row in reading.execute(select(table)).mappings()]
        for i in range(0, len(rows), _CHUNK):
            writing.execute(table.insert(), rows[i : i + _CHUNK])
        if rows:
            copied[table.name] = len(rows)
    # Rows came with their numbers: the next experiment continues after them.
    counter = "pg_get_serial_sequence('experiments', 'experiment_id')"
    writing.execute(text(f"SELECT setval({counter}, (SELECT max(experiment_id) FROM experiments) + 1)"))
    return copied


def moved(table: str, row: Mapping[Any, Any], places: Mapping[str, str]) -> dict[str, Any]:
    """A row with its artifacts' addresses on the server."""
    result = {str(k): v for k, v in row.items()}
    for column in ADDRESSES.get(table, ()):
        for location, place in places.items():
            if result[column] and (result[column] + "/").startswith(location.rstrip("/") + "/"):
                result[column] = place + result[column][len(location.rstrip("/")) :]
                break
    return result


if __name__ == "__main__":
    try:
        for name, n in move(Path(sys.argv[1] if len(sys.argv) > 1 else "mlflow.db")).items():
            print(f"{n:8} {name}")
    except InputError as error:
        sys.exit(f"mnflow: {error}")

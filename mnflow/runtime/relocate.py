"""Artifact addresses of a project that was moved or copied: MLflow stores them as absolute paths."""

import sqlite3
from pathlib import Path
from urllib.parse import urlparse

ADDRESSES = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "logged_models": ["artifact_location"],
    "model_versions": ["source", "storage_location"],
}
"""Columns of MLflow's database that say where artifacts are."""

FOLDER_TAG = "mnflow.folder"

_ARTIFACTS = "mlruns"


def relocate(uri: str, root: Path) -> Path | None:
    """Rewrite a local store whose artifacts lie in `root`, and which names another folder.

    Parameters
    ----------
    uri : str
        Of the store; nothing is done unless it is a SQLite file in `root`.
    root : Path
        The project's folder.

    Returns
    -------
    Path or None
        The folder that the store named, if it was rewritten.

    Raises
    ------
    sqlite3.Error
        If the database cannot be written.
    """
    database = Path(uri.removeprefix("sqlite:///"))
    if (
        not uri.startswith("sqlite:///")
        or not database.is_file()
        or database.resolve().parent != root.resolve()
    ):
        return None
    connection = sqlite3.connect(database, timeout=30)
    try:
        connection.execute("BEGIN IMMEDIATE")
        old = former_root(connection, root)
        if old is not None:
            _rewrite(connection, str(old), str(root))
        connection.commit()
        return old
    finally:
        connection.close()


def former_root(connection: sqlite3.Connection, root: Path) -> Path | None:
    """The folder that experiments name for their artifacts, if it is another one and `root` has them."""
    rows = connection.execute("SELECT artifact_location FROM experiments ORDER BY experiment_id").fetchall()
    for (location,) in rows:
        folder = local_path(location or "")
        if folder is None or folder.parent.name != _ARTIFACTS:
            continue
        named = folder.parent.parent
        is_here = (root / _ARTIFACTS / folder.name).is_dir() or not folder.is_dir()
        if named.resolve() != root.resolve() and is_here:
            return named
    return None


def current_place(location: Path, connection: sqlite3.Connection, root: Path) -> Path:
    """Where an artifact of a store in `root` lies now, if the store was moved and not yet rewritten."""
    old = former_root(connection, root)
    return root / location.relative_to(old) if old and location.is_relative_to(old) else location


def local_path(location: str) -> Path | None:
    """The path of an artifact location that is a file:// address or an absolute path; else None."""
    parts = urlparse(location)
    if parts.scheme == "file":
        from urllib.request import url2pathname  # slow to import

        return Path(url2pathname(parts.path))
    return Path(location) if Path(location).is_absolute() else None


def _rewrite(connection: sqlite3.Connection, old: str, new: str) -> None:
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    columns = [(table, column, "") for table, names in ADDRESSES.items() for column in names]
    columns.append(("tags", "value", f" AND key = '{FOLDER_TAG}'"))
    for table, column, condition in columns:
        if table not in there:
            continue
        for before, after in ((f"{old}/", f"{new}/"), (f"{Path(old).as_uri()}/", f"{Path(new).as_uri()}/")):
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE substr({column}, 1, ?) = ?{condition}",
                (after, len(before) + 1, len(before), before),
            )

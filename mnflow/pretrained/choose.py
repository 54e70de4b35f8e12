"""Which model answers: the one that is named, else the project's champion, else the shipped one."""

import os
import sqlite3
from pathlib import Path

from mnflow.errors import InputError
from mnflow.runtime import project
from mnflow.runtime.project import EXPERIMENT, IMAGE, default_tracking_uri
from mnflow.runtime.relocate import current_place, local_path
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import PRETRAINED, digest, pretrained

CHAMPION = f"models:/{EXPERIMENT}@champion"
"""The registry's address of the project's champion."""

DEFAULT = "default"
"""The project's champion if there is one, else the shipped model."""

_CHAMPION_SQL = """
select a.version, m.artifact_location from registered_model_aliases a
join model_versions v on v.name = a.name and v.version = a.version
join logged_models m on v.source = 'models:/' || m.model_id
where a.name = ? and a.alias = 'champion'
"""

_TAGS_SQL = """
select t.key, t.value from registered_model_aliases a
join model_version_tags t on t.name = a.name and t.version = a.version
where a.name = ? and a.alias = 'champion'
"""


def choose_predictor(model: str = DEFAULT) -> tuple[Predictor, str]:
    """Load a model, and say in a few words which it is.

    Parameters
    ----------
    model : str
        `default` for the project's champion if there is one, else the shipped model; `shipped`; the path of a
        predictor or of a model's folder; or a registry's address (`models:/NAME@ALIAS`).

    Returns
    -------
    Predictor
    str
        Which model it is, for the user.

    Raises
    ------
    InputError
        If the named model does not exist or cannot be read.

    Notes
    -----
    MLflow takes seconds to import. A champion in a local database is therefore looked up without it, and it
    is
    imported for a tracking server only.
    """
    if model == "shipped":
        return _shipped()
    if model != DEFAULT:
        return _named(model), model
    uri = default_tracking_uri()
    if not uri.startswith("sqlite:///"):
        return _of_server(uri)
    database = Path(uri.removeprefix("sqlite:///"))
    found = local_champion(database)
    if found is None:
        # an image names its own database, which the first step makes
        if os.environ.get("MLFLOW_TRACKING_URI") and not IMAGE and not database.is_file():
            raise InputError(
                f"MLFLOW_TRACKING_URI names {database}, and there is no such file: correct it, or unset it "
                "to use the shipped model."
            )
        return _shipped()
    version, path = found
    try:
        predictor = Predictor.load(path)
    except InputError as error:
        raise InputError(
            f"The champion (version {version}) in {database} cannot be used: {error} If it is of an older "
            "mnflow, promote it again; `--model shipped` uses the shipped model."
        ) from error
    return predictor, f"champion, version {version} of {EXPERIMENT} in {database}"


def _shipped() -> tuple[Predictor, str]:
    return pretrained(), f"shipped mn.npz (sha256 {digest(PRETRAINED / 'mn.npz')[:12]})"


def _named(model: str) -> Predictor:
    if model.startswith("models:/") or "://" in model:
        from mnflow.promote import registry

        return registry.load_predictor(model)
    path = Path(model)
    if not path.exists():
        raise InputError(
            f"No model at {path}: expected a predictor.npz, a model's folder, `models:/NAME@ALIAS` or "
            "`shipped`."
        )
    return Predictor.load(path / "artifacts" / "predictor.npz" if path.is_dir() else path)


def _of_server(uri: str) -> tuple[Predictor, str]:
    from mnflow.promote import registry

    champion = registry.aliased("champion")
    if champion is None:
        predictor, source = _shipped()
        return predictor, f"{source}, since {uri} has no champion"
    return registry.load_predictor(CHAMPION), f"champion, version {champion.version} of {EXPERIMENT} at {uri}"


def local_champion(database: Path) -> tuple[str, Path] | None:
    """The champion's version and its predictor's file, read from MLflow's SQLite database, if there is one.

    Raises `InputError` if the database names a champion that may not be one, or whose file is missing: the
    project was moved.
    """
    from mnflow.promote.eligible import unfit

    if not database.is_file():
        return None
    try:
        connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            tags = dict(connection.execute(_TAGS_SQL, (EXPERIMENT,)).fetchall())
            row = connection.execute(_CHAMPION_SQL, (EXPERIMENT,)).fetchone()
            location = local_path(row[1]) or Path(row[1]) if row else Path()
            if database.resolve().parent == project.ROOT:
                location = current_place(location, connection, project.ROOT)
        finally:
            connection.close()
    except sqlite3.Error as error:
        if "no such table" in str(error):  # nothing was ever tracked here
            return None
        raise InputError(f"The tracking database {database} cannot be read ({error}).") from error
    if row is None:
        return None
    version = row[0]
    if why := unfit(tags):
        raise InputError(
            f"The alias champion in {database} is on version {version}, and {why}: `mlflow run . -e promote` "
            "moves it to one that passes the gate; `--model shipped` uses the shipped model."
        )
    path = location / "artifacts" / "predictor.npz"
    if not path.is_file():
        raise InputError(
            f"The champion (version {version}) in {database} lies at {path.parent.parent}, which does not "
            "exist: if the project was moved, run `mnflow doctor`; `--model shipped` uses the shipped model."
        )
    return str(version), path

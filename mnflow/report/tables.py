"""Tables of runs, as the report shows them."""

from typing import Any

import pandas as pd
from mlflow.entities import Run as MlflowRun

from mnflow.spectra import UNLABELLED
from mnflow.track import tracking
from mnflow.track.query import artifact

_MOST_POINTS = 4000  # of a t-SNE and space; more would make the page slow and heavy


def read_table(run: MlflowRun, name: str) -> pd.DataFrame | None:
    """The table that a run logged under this name, or None."""
    wanted = f"tables/{name}.csv"
    if wanted not in {f.path for f in tracking.connect().list_artifacts(run.info.run_id, "tables")}:
        return None
    with artifact(run.info.run_id, wanted) as path:
        return pd.read_csv(path, keep_default_na=False)


def class_names(table: pd.DataFrame | None) -> list[str]:
    """The classes of a table of predictions, whose columns of probabilities are called p(CLASS)."""
    return [c[2:-1] for c in (table.columns if table is not None else []) if c.startswith("p(")]


def references(table: pd.DataFrame | None, classes: list[str]) -> list[dict[str, Any]]:
    """Of every reference spectrum its name, true class (or -1), and mean probabilities."""
    columns = [f"p({name})" for name in classes]
    if table is None or not {"name", "valence", *columns} <= set(table.columns):
        return []
    rows = zip(
        table["name"], _labels(table["valence"], classes), table[columns].to_numpy(dtype=float), strict=True
    )
    return [{"name": str(name), "truth": truth, "p": p.round(4).tolist()} for name, truth, p in rows]


def embedding(table: pd.DataFrame | None, classes: list[str]) -> dict[str, dict[str, list[Any]]]:
    """Of every space the points with their class (or -1), whether they are references, and names."""
    if table is None or not {"name", "set", "valence"} <= set(table.columns):
        return {}
    spaces = [column.removesuffix("_x") for column in table.columns if column.endswith("_x")]
    return {space: _points(table, space, classes) for space in spaces}


def _points(table: pd.DataFrame, space: str, classes: list[str]) -> dict[str, list[Any]]:
    is_reference = table["set"] == "reference"
    dots = table[~is_reference]
    step = -(-len(dots) // _MOST_POINTS) or 1
    kept = pd.concat([dots.iloc[::step], table[is_reference]])
    return {
        "x": kept[f"{space}_x"].astype(float).round(3).tolist(),
        "y": kept[f"{space}_y"].astype(float).round(3).tolist(),
        "label": _labels(kept["valence"], classes),
        "reference": (kept["set"] == "reference").astype(int).tolist(),
        "name": kept["name"].astype(str).tolist(),
    }


def _labels(names: "pd.Series[Any]", classes: list[str]) -> list[int]:
    return [classes.index(name) if name in classes else UNLABELLED for name in names]

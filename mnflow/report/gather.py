"""The report's data from the tracking store: metrics, curves, references, t-SNE, parameters per run."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from mnflow.errors import InputError
from mnflow.plots.style import UNKNOWN_COLOUR, series_styles, valence_colours
from mnflow.report.tables import class_names, embedding, read_table, references
from mnflow.track import names, tracking
from mnflow.track.query import finished_runs

_COMPARED = ("cv_train", "baseline")
_EVALUATIONS = ("shift_eval", "noise_eval", "reference_test", "tsne")
_DASHES = {"-": "", "--": "7 4", "-.": "8 3 2 3", ":": "2 3"}  # matplotlib's line styles as SVG's


def gather(runs: Sequence[MlflowRun], champion: str = "") -> dict[str, Any]:
    """The report's data, ready for JSON.

    Parameters
    ----------
    runs : sequence of MLflow runs
        Of any step; a cross-validation brings the newest evaluation of each kind along.
    champion : str
        Which model is champion, and why, in words.

    Returns
    -------
    dict
        `verdict` (sentences), `columns` [[metric, name]], `classes`, `class_colours`, `unknown_colour`,
        `store`, `written`, and `runs`: a list of dicts with `id`, `label`, `note`, `colour`, `dash`,
        `metrics` {name: number}, `params` {name: text}, `curves` {name: {x, y, low, high, x_label}},
        `references` [{name, truth, p}] (truth -1: no single valence), `embedding` {space: {x, y, label,
        reference, name}}.

    Raises
    ------
    InputError
        If there are no runs, or they tell different classes apart.
    """
    if not runs:
        raise InputError("A report needs one run or more: give ids of finished runs, or run cv_train first.")
    classes = _classes(runs)
    labels = _labels(runs)
    looks = series_styles(labels)
    described = [_describe(run, label, classes) for run, label in zip(runs, labels, strict=True)]
    return {
        "verdict": [text for text in (best_by_column(described), champion) if text],
        "columns": list(names.COLUMNS.items()),
        "classes": classes,
        "class_colours": valence_colours(classes),
        "unknown_colour": UNKNOWN_COLOUR,
        "store": f"experiment {tracking.connect().get_experiment(runs[0].info.experiment_id).name}",
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "runs": [
            run | {"colour": colour, "dash": _DASHES.get(dash, "10 3")}
            for run, (colour, dash) in zip(described, looks, strict=True)
        ],
    }


def best_by_column(runs: Sequence[dict[str, Any]]) -> str:
    """Who wins which of the compared columns, in words, e.g. `a is best in 2 of 3: unshifted, noise x 5.`

    A tie counts for all; the one with most columns comes first. Empty with fewer than two runs to compare.
    """
    won: dict[str, list[str]] = {}
    measured = {
        name: {run["label"]: run["metrics"][key] for run in runs if key in run["metrics"]}
        for key, name in names.COLUMNS.items()
    }
    compared = {name: values for name, values in measured.items() if len(values) > 1}
    for name, values in compared.items():
        for label, value in values.items():
            if value == max(values.values()):
                won.setdefault(label, []).append(name)
    ranked = sorted(won.items(), key=lambda item: -len(item[1]))
    clauses = [
        f"{label} is best in {len(of)} of {len(compared)}: {', '.join(n.replace(',', '') for n in of)}"
        for label, of in ranked
    ]
    return "; ".join(clauses) + "." if clauses else ""


def find_runs(text: str) -> list[MlflowRun]:
    """Runs by `newest`, or by ids separated by commas; raises `InputError` if one is unknown."""
    if text == "newest":
        return [run for step in _COMPARED for run in _newest(step)]
    return [_run(run_id.strip()) for run_id in text.split(",") if run_id.strip()]


def _run(run_id: str) -> MlflowRun:
    try:
        return tracking.connect().get_run(run_id)
    except MlflowException:
        raise InputError(
            f"No run {run_id!r} in this tracking store: copy run ids from the UI, separated by commas."
        ) from None


def _newest(step: str) -> list[MlflowRun]:
    """The newest finished run of `step` per setting, sorted by network, then augmentation."""
    found: dict[tuple[str, ...], MlflowRun] = {}
    for run in finished_runs(step):  # newest first
        key = tuple(run.data.tags.get(k, "") for k in names.SETTING)
        found.setdefault(key, run)
    return [found[key] for key in sorted(found, key=lambda key: (key[0], len(key[1]), *key))]


def _classes(runs: Sequence[MlflowRun]) -> list[str]:
    found = {tuple(names) for run in runs if (names := class_names(read_table(run, "predictions")))}
    if len(found) > 1:
        raise InputError(
            f"These runs tell different classes apart ({sorted(found)}): report on runs of one element at a "
            f"time."
        )
    return list(found.pop()) if found else []


def _labels(runs: Sequence[MlflowRun]) -> list[str]:
    """Run names; where two are the same, with the beginning of the id."""
    names = [run.info.run_name or run.info.run_id for run in runs]
    return [
        f"{n} ({r.info.run_id[:6]})" if names.count(n) > 1 else n for n, r in zip(names, runs, strict=True)
    ]


def _describe(run: MlflowRun, label: str, classes: list[str]) -> dict[str, Any]:
    sources = [run, *evaluations(run)]
    return {
        "id": run.info.run_id,
        "label": label,
        "note": run.data.tags.get(names.NOTE, ""),
        "params": dict(run.data.params),
        "metrics": {k: v for source in reversed(sources) for k, v in _single_metrics(source).items()},
        "curves": {k: c for source in sources for k, c in _curves(source).items()},  # evaluations have bands
        "references": next(
            (r for s in sources if (r := references(read_table(s, "references"), classes))), []
        ),
        "embedding": next((e for s in sources if (e := embedding(read_table(s, "tsne"), classes))), {}),
    }


def evaluations(run: MlflowRun, references: str = "any") -> list[MlflowRun]:
    """The newest finished evaluation of each kind; with `references`, of tests on these only."""
    found = []
    for step in _EVALUATIONS:
        runs = finished_runs(step, cv_run=run.info.run_id)
        found += [r for r in runs if references in ("any", r.data.params.get("references", references))][:1]
    return found


def _histories(run: MlflowRun) -> dict[str, list[tuple[int, float]]]:
    """Every finite value of every metric, as (step, value), by step."""
    client = tracking.connect()
    histories = {}
    for key in run.data.metrics:
        last = {
            m.step: m.value for m in client.get_metric_history(run.info.run_id, key) if np.isfinite(m.value)
        }
        histories[key] = sorted(last.items())
    return histories


def _single_metrics(run: MlflowRun) -> dict[str, float]:
    return {k: h[-1][1] for k, h in _histories(run).items() if len(h) == 1}


def _curves(run: MlflowRun) -> dict[str, dict[str, Any]]:
    curves: dict[str, dict[str, Any]] = {}
    for key, history in _histories(run).items():
        if len(history) > 1:
            curve = names.CURVES.get(key, names.Curve(key, 1, "step"))
            x = curve.values([step for step, _ in history]).round(6).tolist()
            curves[key] = {"x": x, "y": [round(v, 6) for _, v in history], "x_label": curve.axis}
    for key, band in _bands(run).items():
        if key in curves and len(band) == len(curves[key]["x"]):
            curves[key] |= {"low": band["min"].round(6).tolist(), "high": band["max"].round(6).tolist()}
    return curves


def _bands(run: MlflowRun) -> dict[str, pd.DataFrame]:
    """Lowest and highest fold of the curves whose run logged a table with a row for each fold."""
    bands = {}
    for metric, name, x in (
        (names.SHIFT_CURVE.metric, "shift", "shift_ev"),
        (names.NOISE_CURVE.metric, "noise", "scale"),
    ):
        table = read_table(run, name)
        if table is not None and {"fold", x, "accuracy"} <= set(table.columns):
            bands[metric] = table.groupby(x)["accuracy"].agg(["min", "max"]).sort_index()
    return bands

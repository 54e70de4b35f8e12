"""The counts that servers keep (`mnflow.serve.http.app.Watch`), joined per day and logged as a run."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mnflow import plots
from mnflow.errors import InputError
from mnflow.track.tracking import Run

_NUMBERS = ("requests", "spectra", "errors")


def read_days(folder: Path) -> pd.DataFrame:
    """A row per day with the counts of all servers.

    Columns are `_NUMBERS`, `class: NAME`, `flag: NAME`, `moved_ev` and `moved_std_ev`.

    Raises `InputError` if the folder holds no counts, or a file that no server wrote.
    """
    sums: dict[str, dict[str, float]] = {}
    for path in sorted(folder.glob("served-*.json")):
        try:
            for day, counts in json.loads(path.read_text()).items():
                date.fromisoformat(day)
                row = sums.setdefault(day, {})
                for name, value in _flat(counts).items():
                    row[name] = row.get(name, 0) + value
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} holds no counts of a server ({error}): remove it.") from error
    if not sums:
        raise InputError(
            f"{folder} holds no counts: start a server with MNFLOW_WATCH={folder}, and send it spectra."
        )
    days = pd.DataFrame.from_dict(sums, orient="index").fillna(0).sort_index()
    days.index = pd.to_datetime(days.index)
    n = days.pop("moved n").where(lambda count: count > 0)
    total, squares = days.pop("moved sum"), days.pop("moved squares")
    days["moved_ev"] = total / n
    days["moved_std_ev"] = np.sqrt((squares / n - days["moved_ev"] ** 2).clip(lower=0))
    return days


def _flat(counts: dict[str, Any]) -> dict[str, float]:
    row = {name: float(counts[name]) for name in _NUMBERS}
    row |= {f"class: {name}": float(n) for name, n in counts["classes"].items()}
    row |= {f"flag: {name}": float(n) for name, n in counts["flags"].items()}
    n, total, squares = (float(v) for v in counts["moved_ev"])
    return row | {"moved n": n, "moved sum": total, "moved squares": squares}


def log_days(run: Run, days: pd.DataFrame) -> None:
    """Log the table, a figure, and curves over the days (steps count from the first)."""
    names = [str(name) for name in days]
    classes = [name for name in names if name.startswith("class: ")]
    flags = [name for name in names if name.startswith("flag: ")]
    run.table(days.reset_index(names="day"), "served")
    run.figure(plots.served_counts(days, classes, flags), "served")
    steps = (days.index - days.index[0]).days.to_numpy()
    flagged = (
        days[[c for c in flags if c != "flag: unreadable"]].max(axis=1) if flags else 0 * days["spectra"]
    )
    curves = {name: days[name] for name in _NUMBERS}
    curves |= {"flagged_share": flagged / days["spectra"], "moved_ev": days["moved_ev"].fillna(0)}
    run.curves({f"served/{name}": (steps, values.to_numpy()) for name, values in curves.items()})
    drift = days["moved_ev"].dropna()
    moved = (
        f"windows moved by {drift.iloc[0]:+.2f} eV first, {drift.iloc[-1]:+.2f} eV last" if len(drift) else ""
    )
    run.note(
        f"{int(days['spectra'].sum())} spectra in {int(days['requests'].sum())} requests on {len(days)} "
        f"days; {moved or 'none was read'}."
    )

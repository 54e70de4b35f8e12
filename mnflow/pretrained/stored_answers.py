"""Answers to spectra of the shipped example image, stored when the model was made."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnflow.pretrained.shipped import EXAMPLE
from mnflow.read import read_file
from mnflow.runtime.files import whole_file
from mnflow.serve.answer import answer
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import PRETRAINED, pretrained
from mnflow.spectra.arrays import Floats

TOLERANCE = 1e-3
"""How far a probability, fraction or valence may be from the stored one: processors round differently."""

_N_PIXELS = 16


@dataclass(frozen=True)
class Stored:
    """Rows of the example image (M,) and the answer to each: class, flags and numbers."""

    rows: list[int]
    answers: list[dict[str, Any]]


def stored_path(element: str = "Mn") -> Path:
    """The file of stored answers."""
    return PRETRAINED / f"{element.lower()}-answers.json"


def load_stored(element: str = "Mn") -> Stored:
    """Read the stored answers."""
    return Stored(**json.loads(stored_path(element).read_text(encoding="utf-8")))


def store(predictor: Predictor) -> Path:
    """Answer pixels of the example image that are spread over it, and store the answers."""
    n = len(read_file(EXAMPLE, edge=predictor.edge))
    rows = np.unique(np.linspace(0, n - 1, _N_PIXELS).round().astype(int)).tolist()
    path = stored_path(predictor.edge.element)
    with whole_file(path) as part:
        part.write_text(json.dumps({"rows": rows, "answers": _answers(rows, predictor)}, indent=1) + "\n")
    return path


def differences(stored: Stored, tolerance: float, predictor: Predictor | None = None) -> list[str]:
    """What the shipped model answers now, compared with what is stored; one line per difference.

    Parameters
    ----------
    stored : Stored
    tolerance : float
        Largest allowed difference of a number.
    predictor : Predictor, optional
        Another model than the shipped one.
    """
    lines = []
    now = _answers(stored.rows, predictor or pretrained())
    for row, before, after in zip(stored.rows, stored.answers, now, strict=True):
        for key in sorted(before.keys() | after.keys()):
            if not _equal(before.get(key), after.get(key), tolerance):
                lines.append(f"spectrum {row}: {key} is {after.get(key)}, stored is {before.get(key)}")
    return lines


def valences_of(rows: list[int], predictor: Predictor) -> Floats:
    """The mean valence that a predictor gives these rows of the example image, (M,)."""
    return np.array([found["mean_valence"] for found in _answers(rows, predictor)], dtype=np.float64)


def _answers(rows: list[int], predictor: Predictor) -> list[dict[str, Any]]:
    raw = read_file(EXAMPLE, edge=predictor.edge)
    counts = np.asarray(raw.counts)[rows]
    return answer(predictor, [{"energy_ev": raw.energy_ev, "intensity": c} for c in counts])


def _equal(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[k], b[k], tolerance) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_equal(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, float | int) and isinstance(b, float | int):
        return abs(a - b) <= tolerance
    return bool(a == b)

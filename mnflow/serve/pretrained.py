"""Predictors that ship with the package: one posterior per simulated element, without nets."""

import hashlib
from pathlib import Path

from mnflow.errors import InputError
from mnflow.serve.predictor import Predictor
from mnflow.spectra import Edge

PRETRAINED = Path(__file__).parents[1] / "pretrained"


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pretrained(element: str = "Mn") -> Predictor:
    """The shipped predictor of an element; raises `InputError` if there is none.

    Examples
    --------
    >>> pretrained("Mn").edge.classes
    ('Mn2+', 'Mn3+', 'Mn4+')
    """
    path = PRETRAINED / f"{element.lower()}.npz"
    if not path.exists():
        there = ", ".join(sorted(p.stem.capitalize() for p in PRETRAINED.glob("*.npz")))
        raise InputError(
            f"Expected an element with a shipped predictor ({there}), got {element!r}: simulate it from a "
            "settings file, cross-validate and promote a model of your own (docs/simulation.md)."
        )
    return Predictor.load(path)


def pretrained_for(edge: Edge) -> Predictor | None:
    """The shipped predictor of exactly this edge; None for another element, classes or windows."""
    if not (PRETRAINED / f"{edge.element.lower()}.npz").exists():
        return None
    found = pretrained(edge.element)
    return found if found.edge == edge else None

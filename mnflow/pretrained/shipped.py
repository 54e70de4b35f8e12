"""The shipped model: a predictor in one .npz, its card, and its digest."""

import hashlib
from pathlib import Path

from mnflow.errors import InputError
from mnflow.serve.predictor import Predictor

FOLDER = Path(__file__).parent

EXAMPLE = FOLDER / "example.hspy"
"""A simulated spectrum image for the quick start and the self-test (`mnflow.pretrained.example`)."""

DIGEST_FILE = FOLDER / "SHA256SUMS"
"""Digests of the shipped files, as `sha256sum` writes them."""


def shipped_path(element: str = "Mn") -> Path:
    """The shipped predictor's file; raises `InputError` if none ships for the element."""
    path = FOLDER / f"{element.lower()}.npz"
    if not path.is_file():
        have = ", ".join(sorted(p.stem.capitalize() for p in FOLDER.glob("*.npz"))) or "none"
        raise InputError(f"No model ships for {element} (shipped: {have}): train one, or name another.")
    return path


def load_shipped(element: str = "Mn") -> Predictor:
    """The shipped predictor; nothing is unpickled."""
    return Predictor.load(shipped_path(element))


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def recorded_digests() -> dict[str, str]:
    """Digests by file name, as recorded when the model was made."""
    lines = (line.split() for line in DIGEST_FILE.read_text().splitlines() if line.strip())
    return {name: value for value, name in lines}


def record_digests() -> None:
    """Write `DIGEST_FILE` anew."""
    lines = [f"{digest(p)}  {p.name}" for p in sorted([*FOLDER.glob("*.npz"), EXAMPLE])]
    DIGEST_FILE.write_text("\n".join(lines) + "\n")

"""Provenance of a run: digests of code and environment, and the process that made it."""

import hashlib
import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from mnflow.runtime.backend import keras_backend
from mnflow.runtime.process import this_process
from mnflow.track import names


def tags() -> dict[str, str]:
    """The tags that say what made a run in this process."""
    return {names.CODE: code_digest(), names.ENVIRONMENT: environment_digest(), names.PROCESS: this_process()}


@cache
def code_digest() -> str:
    """SHA-256, as 16 hexadecimal digits, over the package's own source files."""
    package = Path(__file__).parents[1]
    return files_digest(package.rglob("*.py"), package.parent)


@cache
def environment_digest() -> str:
    """SHA-256 (16 hexadecimal digits) of Python, the Keras backend and all package versions."""
    packages = sorted({f"{d.name.lower()}=={d.version}" for d in distributions()})
    text = "\n".join([platform.python_version(), platform.machine(), keras_backend(), *packages])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def files_digest(paths: Iterable[Path], folder: Path) -> str:
    """SHA-256, as 16 hexadecimal digits, over files and their names within `folder`."""
    h = hashlib.sha256()
    for path in sorted(paths):
        with path.open("rb") as file:
            h.update(
                path.relative_to(folder).as_posix().encode() + hashlib.file_digest(file, "sha256").digest()
            )
    return h.hexdigest()[:16]

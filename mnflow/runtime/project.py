"""The project's folder, its experiment, and the default tracking store."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
"""The project's top folder."""


EXPERIMENT = "mn-valence"
"""Name of the experiment and of the registered model."""


EXPERIMENT_TAGS = {
    "mlflow.note.content": "The oxidation state of manganese from EELS. Tick `cv_train` runs and press Compare to see nets and "
    "augmentations side by side; every run has a note in plain words."
}
"""What the UI says above the runs."""


IMAGE = os.environ.get("MNFLOW_IMAGE", "")
"""`cpu` or `gpu` in a container of one of the project's images, else empty."""


def default_tracking_uri() -> str:
    """MLFLOW_TRACKING_URI if set, else the SQLite store at the project's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"


def shown_store() -> str:
    """The tracking store as messages name it: without a password."""
    uri = default_tracking_uri()
    password = urlsplit(uri).password
    return uri.replace(f":{password}@", ":***@") if password else uri


@contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Let one process of this machine at a time make or change what must not be made or changed twice in a
    store.
    """
    from filelock import FileLock

    name = hashlib.sha256(uri.encode()).hexdigest()[:16]
    with FileLock(Path(tempfile.gettempdir()) / f"mnflow-{user()}-{name}.lock"):
        yield


def user() -> str:
    """Number (or on Windows name) of the user who runs this: temporary files of users stay apart."""
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")

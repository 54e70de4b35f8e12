"""The project's folder, its experiment, and the default tracking store."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from mnflow.errors import InputError


def project_of(folder: Path) -> Path | None:
    """The folder itself if it is a project of mnflow (has its MLproject), else None."""
    return folder if (folder / "MLproject").is_file() and (folder / "requirements.in").is_file() else None


_CODE = Path(__file__).resolve().parents[2]

ROOT = project_of(_CODE) or Path.cwd()
"""The project's top folder; where mnflow was installed as a package, the folder that it is started in."""


EXPERIMENT = "mn-valence"
"""Name of the experiment and of the registered model."""


EXPERIMENT_TAGS = {
    "mlflow.note.content": "The oxidation state of manganese from EELS. "
    "Tick `cv_train` runs and press Compare to see nets and "
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


PATIENCE_SECONDS = 2.0
"""How long a lock is waited for without a word."""


LOCK_SECONDS = 300.0
"""How long a lock is waited for: a promotion, which takes longest, registers a model within a minute."""


@contextmanager
def one_at_a_time(uri: str, folder: Path | None = None) -> Iterator[None]:
    """Let only one process on this machine at a time change a store.

    The lock is a file in `folder`, or beside a store's database, or in the user's own cache for a store that
    is a server. It is never emptied or removed, and waited for with a message.

    Raises `InputError` if another process holds it for `LOCK_SECONDS`.
    """
    from filelock import FileLock, Timeout

    name = f".mnflow-{hashlib.sha256(uri.encode()).hexdigest()[:16]}.lock"
    path = (folder or _folder_of(uri)) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=PATIENCE_SECONDS)
    except Timeout:
        print(f"mnflow: another process holds {path}; waiting for it ...", file=sys.stderr, flush=True)
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except Timeout:
            raise InputError(
                f"Another process has held the lock {path} for {LOCK_SECONDS:.0f} s: let it end, or stop it, "
                "and start this command again."
            ) from None
    try:
        yield
    finally:
        lock.release()


def _folder_of(uri: str) -> Path:
    """Where a store's lock belongs."""
    if uri.startswith("sqlite:///"):
        return Path(uri.removeprefix("sqlite:///")).absolute().parent
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnflow"


def user() -> str:
    """Number (or on Windows name) of the user who runs this: temporary files of users stay apart."""
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")

"""Writes to an MLflow run; queued on disk while the server is unreachable, replayed in order.

A trained fold is always on disk before it is sent, so that no fault costs its training.
"""

import json
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from mnflow.errors import InputError
from mnflow.runtime.process import is_gone, this_process
from mnflow.runtime.project import default_tracking_uri, one_at_a_time
from mnflow.runtime.signals import held
from mnflow.track import calls, connection

FOLDER = Path("data/unsent")
"""Folder of what no tracking server has yet: a folder per call, named for its time and its process."""

_CALL, _FILES, _REFUSED = "call.json", "files", ".refused"

_waiting: list[Path] = []  # of this process, the oldest first
_lock = threading.RLock()  # `main` evaluates in one thread and trains in another


def write(run_id: str, call: str, files: Sequence[Path] = (), **words: Any) -> None:
    """Make one of the calls of `mnflow.track.calls.make`; if the server is away, queue it on disk."""
    with _lock:
        # A run's end is not left to MLflow's minutes of retries, since signals wait for it.
        if not _waiting and call != "fold" and (call != "close" or connection.answers()):
            try:
                return calls.make(run_id, call, files, words)
            except Exception:
                if connection.answers():
                    raise
        _keep(run_id, call, files, words)
        send()


def send() -> bool:
    """Send what waits, as far as the server takes it; whether it answers and has all of this process.

    What the server refuses raises its error, and stays on disk for the next command to try once more.
    """
    with _lock:
        while connection.answers():
            if not _waiting:
                return True
            try:
                _send(_waiting[0])
            except Exception:
                if connection.answers():
                    _waiting.pop(0)
                    raise
        return False


def finish() -> None:
    """Send what still waits; raises `InputError` if the server stays away."""
    if _waiting and not connection.patiently(send):
        raise InputError(
            f"{connection.away()} What was to be logged waits in {FOLDER}, {len(_waiting)} entries: the next "
            "command that is started in this folder sends them when it answers."
        )


def send_left() -> None:
    """Send what processes that are gone have left for this store."""
    with _lock, one_at_a_time(default_tracking_uri(), FOLDER):
        for path in sorted(FOLDER.glob("*~*")):
            if path.name.endswith(_REFUSED) or not is_gone(path.name.partition("~")[2].replace("~", " ")):
                continue
            if path.name.startswith("."):  # half written, or half removed
                shutil.rmtree(path)
            elif _read(path)["store"] == default_tracking_uri():
                try:
                    _send(path)
                except Exception as error:
                    if _may_pass(error):
                        return
                    refused = path.rename(path.with_name(path.name + _REFUSED))
                    reason = str(error).strip().splitlines()[0][:300]
                    print(f"mnflow: {refused} is not taken by the store ({reason}).", file=sys.stderr)


def _may_pass(error: Exception) -> bool:
    """Whether the same call may succeed later: the server is away, the database locked, the disk full."""
    temporary = isinstance(error, MlflowException) and error.error_code == "TEMPORARILY_UNAVAILABLE"
    return temporary or isinstance(error, OSError) or not connection.answers()


def _keep(run_id: str, call: str, files: Sequence[Path], words: dict[str, Any]) -> None:
    number = max(time.time_ns(), int(_waiting[-1].name.partition("~")[0]) + 1 if _waiting else 0)
    path = FOLDER / f"{number}~{this_process().replace(' ', '~')}"
    part = path.with_name(f".{path.name}")
    with held():
        (part / _FILES).mkdir(parents=True)
        for file in files:
            shutil.copy(file, part / _FILES)
        entry = {"store": default_tracking_uri(), "run_id": run_id, "call": call, "words": words}
        (part / _CALL).write_text(json.dumps(entry))
        _waiting.append(part.rename(path))  # an entry is whole when it is there


def _read(path: Path) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads((path / _CALL).read_text())
    return entry


def _send(path: Path) -> None:
    """Send an entry and remove it."""
    entry = _read(path)
    calls.make(entry["run_id"], entry["call"], sorted((path / _FILES).iterdir()), entry["words"])
    with held():
        shutil.rmtree(path.rename(path.with_name(f".{path.name}")), ignore_errors=True)
        _waiting[:] = [p for p in _waiting if p != path]

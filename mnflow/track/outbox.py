"""Writes to an MLflow run; queued on disk while the server is unreachable, replayed in order.

Every call can be repeated without harm, so that one whose answer was lost is simply sent again.
"""

import json
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from mnflow.errors import InputError
from mnflow.runtime.files import whole_file
from mnflow.runtime.process import is_gone, this_process
from mnflow.runtime.project import default_tracking_uri, one_at_a_time
from mnflow.runtime.signals import held
from mnflow.track import connection

FOLDER = Path("data/unsent/logs")
"""Folder of what no tracking server has yet: a .json file a call, beside a folder with the file that it
sends.
"""

_waiting: list[Path] = []  # of this process, the oldest first
_lock = threading.RLock()  # `main` evaluates in one thread and trains in another


def write(run_id: str, call: str, file: Path | None = None, **words: Any) -> None:
    """Make one of the calls below; if the server is away, keep it on disk.

    Parameters
    ----------
    call : str
        `batch` (metrics, params, tags: lists of dictionaries), `file` (folder), `dataset` (dataset, tags),
        `rename` (name) or `close` (status, end_time).
    file : Path, optional
        What `file` sends.
    """
    with _lock:
        # A run's end is not left to MLflow's minutes of retries, since signals wait for it.
        if not _waiting and (call != "close" or connection.answers()):
            try:
                return _make(run_id, call, file, words)
            except Exception:
                if connection.answers():
                    raise
        _keep(run_id, call, file, words)
        send()


def send() -> bool:
    """Send what waits, as far as the server takes it; whether it answers and has all of this process."""
    with _lock:
        while connection.answers():
            if not _waiting:
                return True
            _send(_waiting[0])
        return False


def finish() -> None:
    """Send what still waits; raises `InputError` if the server stays away."""
    if _waiting and not connection.patiently(send):
        raise InputError(
            f"{connection.away()} What was to be logged waits in {FOLDER}, {len(_waiting)} entries: the next "
            f"command that is "
            "started in this folder sends them when it answers."
        )


def send_left() -> None:
    """Send what processes that are gone have left for this store."""
    with _lock, one_at_a_time(default_tracking_uri(), FOLDER):
        for path in sorted(FOLDER.glob("[0-9]*.json")):
            if (
                not is_gone(path.stem.partition("~")[2].replace("~", " "))
                or _read(path)["store"] != default_tracking_uri()
            ):
                continue
            try:
                _send(path)
            except Exception as error:
                reason = str(error).strip().splitlines()[0][:300]
                print(
                    f"mnflow: {path.with_suffix('.refused')} is not taken by the store ({reason}).",
                    file=sys.stderr,
                )


def _keep(run_id: str, call: str, file: Path | None, words: dict[str, Any]) -> None:
    with held():
        number = max(time.time_ns(), int(_waiting[-1].name.partition("~")[0]) + 1 if _waiting else 0)
        path = FOLDER / f"{number}~{this_process().replace(' ', '~')}.json"
        if file is not None:
            path.with_suffix("").mkdir(parents=True)
            shutil.copy(file, path.with_suffix(""))
        with whole_file(path) as part:  # last, and an entry is there when it is
            part.write_text(
                json.dumps({"store": default_tracking_uri(), "run_id": run_id, "call": call, "words": words})
            )
        _waiting.append(path)


def _read(path: Path) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(path.read_text())
    return entry


def _send(path: Path) -> None:
    """Send an entry and remove it, unless the server is away; a refused one is set aside and raised."""
    entry = _read(path)
    file = next(path.with_suffix("").glob("*"), None)
    try:
        _make(entry["run_id"], entry["call"], file, entry["words"])
    except Exception:
        if not connection.answers():
            return
        with held():
            path.rename(path.with_suffix(".refused"))
            _waiting[:] = [p for p in _waiting if p != path]
        raise
    with held():
        path.unlink()
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        _waiting[:] = [p for p in _waiting if p != path]


def _make(run_id: str, call: str, file: Path | None, words: dict[str, Any]) -> None:
    client = connection.connect()
    match call:
        case "batch":
            metrics, params, tags = (words.get(name, ()) for name in ("metrics", "params", "tags"))
            client.log_batch(
                run_id,
                [Metric(**m) for m in metrics],
                [Param(**p) for p in params],
                [RunTag(**t) for t in tags],
            )
        case "file":
            client.log_artifact(run_id, str(file), words["folder"])
        case "dataset":
            context = [InputTag(key, value) for key, value in words["tags"].items()]
            client.log_inputs(run_id, [DatasetInput(Dataset(**words["dataset"]), context)])
        case "rename":
            client.update_run(run_id, name=words["name"])
        case "close":
            client.set_terminated(run_id, words["status"], words["end_time"])
        case _:
            raise AssertionError(call)

"""Take up the finished folds of a cross-validation that was interrupted, and close the run that it left behind.

What may be taken up is decided by a signature: data, settings, folds and code must be the same to the last digit.
"""

import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Run as MlflowRun

from mnflow import tracking
from mnflow.environment import ROOT
from mnflow.files import read_arrays
from mnflow.folds import Fold
from mnflow.train import FoldModel, TrainSettings

SIGNATURE = "mnflow.signature"
PROCESS = "mnflow.process"
RESUMED_BY = "mnflow.resumed_by"
_FOLD = "fold.npz"
_SCALARS = ("fold", "accuracy", "seconds")


def signature(dataset_digest: str, settings: TrainSettings, folds: list[Fold]) -> str:
    """SHA-256, as 16 hexadecimal digits, over all that decides what a fold's training gives."""
    h = hashlib.sha256(json.dumps([dataset_digest, asdict(settings), os.environ["KERAS_BACKEND"]]).encode())
    for fold in folds:
        h.update(fold.train.tobytes() + b"|" + fold.test.tobytes())
    h.update(code_digest().encode())
    return h.hexdigest()[:16]


def code_digest() -> str:
    """SHA-256, as 16 hexadecimal digits, over the package's own source files."""
    h = hashlib.sha256()
    for path in sorted((ROOT / "mnflow").rglob("*.py")):
        h.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return h.hexdigest()[:16]


def process_tags(signature: str) -> dict[str, str]:
    """Tags by which a later start recognises a run of this process, and whether the process still lives."""
    return {SIGNATURE: signature, PROCESS: f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"}


def keep(run: tracking.Run, result: FoldModel) -> None:
    """Log a trained fold as one file, from which `finished_folds` has it back to the last bit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _FOLD
        arrays: dict[str, Any] = {f"curve {k}": v for k, v in result.curves.items()}
        arrays |= {k: np.array(getattr(result, k)) for k in _SCALARS}
        arrays |= {"model": np.frombuffer(result.model, dtype=np.uint8), "probabilities": result.probabilities}
        np.savez(path, **arrays)
        run.file(path)


def finished_folds(signature: str) -> tuple[list[FoldModel], list[MlflowRun]]:
    """The folds that interrupted runs with this signature have finished, and those runs, the newest first.

    A run that is RUNNING in a process that still lives, or on another machine, is left alone, as is one that was taken up.
    """
    found: dict[int, FoldModel] = {}
    left = tracking.unfinished_runs(**{SIGNATURE: signature})
    runs = [r for r in left if RESUMED_BY not in r.data.tags and not _lives(r.data.tags)]
    for run in runs:
        for child in tracking.children(run.info.run_id, status="FINISHED"):
            number = int(child.data.tags["fold"])
            if number not in found:
                with tracking.artifact(child.info.run_id, _FOLD) as path:
                    found[number] = _load(path.read_bytes())
    return [found[k] for k in sorted(found)], runs


def close_orphan(run: MlflowRun, successor: tracking.Run) -> None:
    """Mark an interrupted run, and its folds that did not finish, as KILLED, and say who went on."""
    for record in (run, *tracking.children(run.info.run_id, status="RUNNING")):
        orphan = tracking.Run(record.info.run_id)
        orphan.tags({RESUMED_BY: successor.id})
        if record.info.status == "RUNNING":
            orphan.tags({"mnflow.error": "Its process stopped without a word; another run went on from its finished folds."})
            orphan.close("KILLED")


def _load(content: bytes) -> FoldModel:
    z = read_arrays(content)
    curves = {k.removeprefix("curve "): v for k, v in z.items() if k.startswith("curve ")}
    values: dict[str, Any] = {k: z[k].item() for k in _SCALARS}
    return FoldModel(model=z["model"].tobytes(), probabilities=z["probabilities"], curves=curves, **values)


def _lives(tags: Mapping[str, str]) -> bool:
    """Whether the process that wrote `tags` may still be at work: on another machine it may be, here it can be seen."""
    host, pid, started = tags[PROCESS].split()
    return host != socket.gethostname() or _started(int(pid)) == started


def _started(pid: int) -> str:
    """When a process of this machine began, in clock ticks since boot; "gone" if there is none, or it has ended."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "gone"
    return "gone" if after_name[0] == "Z" else after_name[19]

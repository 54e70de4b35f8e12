"""Take up what an interrupted command has finished, and say in its run who went on.

What may be taken up is decided by a signature: data, settings, folds, code and packages must be the same to
the last digit. A fold that is trained waits on disk until the tracking store has it, so that a server that is
away loses none.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mlflow.entities import Run as MlflowRun

from mnflow.folds import Fold
from mnflow.runtime.files import read_arrays, whole_file
from mnflow.track import names, provenance, tracking
from mnflow.track.query import artifact, children, unfinished_runs
from mnflow.train.cross_validate import FoldModel
from mnflow.train.settings import TrainSettings

UNSENT = Path("data/unsent")
"""Folder of trained folds that the tracking store does not have yet, in a folder for each signature."""

_FOLD = "fold.npz"
_SCALARS = ("fold", "accuracy", "seconds")


def signature(dataset_digest: str, settings: TrainSettings, folds: list[Fold]) -> str:
    """SHA-256, as 16 hexadecimal digits, over all that decides what a fold's training gives."""
    made_by = [provenance.code_digest(), provenance.environment_digest()]
    h = hashlib.sha256(json.dumps([dataset_digest, asdict(settings), *made_by]).encode())
    for fold in folds:
        h.update(fold.train.tobytes() + b"|" + fold.test.tobytes())
    return h.hexdigest()[:16]


def put_aside(signature: str, result: FoldModel) -> None:
    """Keep a trained fold on disk; `finished_folds` finds it there until it is forgotten."""
    _save(_unsent(signature, result), result)


def forget(signature: str, result: FoldModel) -> None:
    """Remove a fold that was put aside, since the tracking store has it."""
    _unsent(signature, result).unlink(missing_ok=True)


def _unsent(signature: str, result: FoldModel) -> Path:
    return UNSENT / signature / f"fold_{result.fold}.npz"


def keep(run: tracking.Run, result: FoldModel) -> None:
    """Log a trained fold as one file, from which `finished_folds` has it back to the last bit."""
    with TemporaryDirectory() as folder:
        run.file(_save(Path(folder) / _FOLD, result))


def finished_folds(signature: str) -> tuple[list[FoldModel], list[MlflowRun]]:
    """Folds that stopped runs with this signature have finished, and those runs, newest first.

    A run that is still at work, perhaps on another machine, is left alone, as is one that was taken up
    already.
    """
    found = {
        fold.fold: fold
        for path in sorted((UNSENT / signature).glob("*.npz"))
        for fold in [_load(path.read_bytes())]
    }
    runs = stopped_runs({names.SIGNATURE: signature})
    for run in runs:
        for child in children(run.info.run_id, status="FINISHED"):
            number = int(child.data.tags[names.FOLD])
            if number not in found:
                with artifact(child.info.run_id, _FOLD) as path:
                    found[number] = _load(path.read_bytes())
    return [found[k] for k in sorted(found)], runs


def stopped_runs(tags: Mapping[str, str]) -> list[MlflowRun]:
    """Stopped runs with these tags that no other run has resumed, newest first."""
    return [r for r in unfinished_runs(**tags) if names.RESUMED_BY not in r.data.tags]


def take_up(orphan: MlflowRun, successor: tracking.Run) -> None:
    """Say in a stopped run which one went on."""
    tracking.Run(orphan.info.run_id).tags({names.RESUMED_BY: successor.id})


def _save(path: Path, result: FoldModel) -> Path:
    arrays: dict[str, Any] = {f"curve {k}": v for k, v in result.curves.items()}
    arrays |= {k: np.array(getattr(result, k)) for k in _SCALARS}
    arrays |= {"model": np.frombuffer(result.model, dtype=np.uint8), "probabilities": result.probabilities}
    with whole_file(path) as part:
        np.savez(part, **arrays)
    return path


def _load(content: bytes) -> FoldModel:
    z = read_arrays(content)
    curves = {k.removeprefix("curve "): v for k, v in z.items() if k.startswith("curve ")}
    values: dict[str, Any] = {k: z[k].item() for k in _SCALARS}
    return FoldModel(model=z["model"].tobytes(), probabilities=z["probabilities"], curves=curves, **values)

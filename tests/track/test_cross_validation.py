"""An interrupted cross-validation is taken up where it stopped, and ends as an undisturbed one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entrypoints import cv_train
from mnflow.folds import split
from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.runtime.project import ROOT
from mnflow.track import cross_validation, names, outbox, provenance, tracking
from mnflow.track.query import _runs, children
from mnflow.train.cross_validate import FoldModel
from mnflow.train.settings import TrainSettings
from tests.helpers.spectra import spectra


@pytest.mark.usefixtures("store")
def test_a_fold_comes_back_to_the_last_bit() -> None:
    net = keras_nets.build(design("dense"))
    curves = {"train/loss": np.arange(4, dtype=np.float32) / 3}
    result = FoldModel(3, keras_nets.to_bytes(net), 0.5, np.eye(3, dtype=np.float32) / 3, curves, 1.5)
    with tracking.step(tracking.tags_of("cv_train"), "a", {}) as run:
        run.tags({names.SIGNATURE: "0123"})
        cross_validation.log_fold(run, result, {"arch": "dense"})
        assert cross_validation.finished_folds("0123") == ([], [])  # it is still at work
    run.close("KILLED")
    (back,), (record,) = cross_validation.finished_folds("0123")
    assert (back.fold, back.accuracy, back.seconds) == (3, 0.5, 1.5)
    np.testing.assert_array_equal(back.probabilities, result.probabilities)
    np.testing.assert_array_equal(back.curves["train/loss"], curves["train/loss"])
    for mine, its in zip(keras_nets.from_bytes(back.model).get_weights(), net.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    assert record.info.run_id == run.id
    assert cross_validation.finished_folds("4567") == ([], [])
    with tracking.step(tracking.tags_of("cv_train"), "b", {}) as successor:
        successor.take_up(record.info.run_id)
    assert cross_validation.finished_folds("0123") == ([], [])


def test_the_signature_depends_on_all_that_decides_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    data, settings = spectra(30), TrainSettings()
    known = cross_validation.signature(data.digest(), settings, split(data, n_folds=3))
    others = [
        cross_validation.signature("other", settings, split(data, n_folds=3)),
        cross_validation.signature(data.digest(), TrainSettings(seed=1), split(data, n_folds=3)),
        cross_validation.signature(data.digest(), settings, split(data, n_folds=3, seed=1)),
    ]
    for made_by in ("code_digest", "environment_digest"):
        monkeypatch.setattr(provenance, made_by, lambda: "changed")
        others.append(cross_validation.signature(data.digest(), settings, split(data, n_folds=3)))
    assert known not in others
    assert len(set(others)) == 5


def test_after_a_kill_the_same_command_goes_on_and_ends_with_the_same_numbers(store: Path) -> None:
    path = spectra(90, noise=0.3).save(store / "made_up.npz")
    options = {"data": str(path), "arch": "dense", "n_folds": 3, "epochs": 2, "workers": 1}
    undisturbed = tracking.connect().get_run(cv_train.run(cv_train.Options(**options)))
    assert "interrupted" not in undisturbed.data.tags["mlflow.note.content"]
    for how, status in ((signal.SIGKILL, "RUNNING"), (signal.SIGINT, "KILLED")):
        first, told = _start_and_stop(options, how, store)
        if how == signal.SIGINT:
            assert "Traceback" not in told
            assert told.splitlines()[-1] == "mnflow: stopped by SIGINT; what was finished is kept."
        assert tracking.connect().get_run(first).info.status == status
        finished_before = len(children(first, status="FINISHED"))
        resumed = tracking.connect().get_run(cv_train.run(cv_train.Options(**options)))
        note = resumed.data.tags["mlflow.note.content"]
        assert any(f"({n} folds from an interrupted run)" in note for n in range(finished_before, 4)), note
        assert not list(outbox.FOLDER.glob("*~*"))
        orphan = tracking.connect().get_run(first)
        assert orphan.info.status == "KILLED"
        assert orphan.data.tags[names.RESUMED_BY] == resumed.info.run_id
        assert undisturbed.data.metrics == resumed.data.metrics


WAITS_AFTER_A_FOLD = """
import time
from entrypoints import cv_train
from mnflow.track import cross_validation

log_fold = cross_validation.log_fold

def log_and_wait(*args):
    log_fold(*args)
    time.sleep(600)

cross_validation.log_fold = log_and_wait
cv_train.execute(cv_train.Options, cv_train.run)
"""
"""cv_train, but for that it is still at work when the signal comes."""


def _start_and_stop(options: dict[str, Any], how: int, folder: Path) -> tuple[str, str]:
    """Start cv_train, stop all its processes after its first fold; the id of its run, and what it printed.

    As Ctrl-C in a terminal does, or a power cut.
    """
    words = [word for k, v in options.items() for word in (f"--{k}", str(v))]
    command = [sys.executable, "-c", WAITS_AFTER_A_FOLD, *words]
    log = folder / "printed.txt"
    with log.open("w") as file:
        started = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
            stdout=file, stderr=file,
        )  # fmt: skip
    run_id = _wait_for_a_fold()
    os.killpg(started.pid, how)
    started.wait(60)
    return run_id, log.read_text()


def _wait_for_a_fold() -> str:
    """The id of the CV run that another process has begun, once it has finished its first fold."""
    for _ in range(1200):
        for run in _runs("attributes.status = 'RUNNING'", {"mnflow.step": "cv_train"}):
            if children(run.info.run_id, status="FINISHED"):
                return str(run.info.run_id)
        time.sleep(0.1)
    raise AssertionError("no fold was finished within two minutes")

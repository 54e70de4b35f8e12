"""An interrupted cross-validation is taken up where it stopped, and ends as an undisturbed one."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from entrypoints import cv_train
from mnflow.errors import InputError
from mnflow.folds import Fold, split
from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.runtime.project import ROOT
from mnflow.spectra import SpectrumSet
from mnflow.track import cross_validation, names, outbox, provenance, tracking
from mnflow.track.datasets import log_dataset
from mnflow.track.query import _runs, children
from mnflow.train.cross_validate import FoldModel
from mnflow.train.settings import TrainSettings
from tests.helpers.memory_store import MemoryStore
from tests.helpers.spectra import COARSE, spectra


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


def test_the_signature_is_of_every_fold_in_its_parts() -> None:
    settings = TrainSettings()
    parts = [np.arange(4), np.arange(4, 6), np.arange(6, 9)]

    def signature(*folds: Fold) -> str:
        return cross_validation.signature("0", settings, folds)

    one, other = Fold(0, parts[0], parts[1]), Fold(1, parts[2], parts[1])
    moved = Fold(0, np.arange(3), np.arange(3, 6))  # the same numbers, divided at another place
    found = [signature(one), signature(other), signature(one, other), signature(other, one), signature(moved)]
    assert len(set(found)) == 5
    assert all(re.fullmatch("[0-9a-f]{16}", text) for text in found)
    assert signature(Fold(7, one.train, one.test)) == found[0]


def results(data: SpectrumSet, folds: list[Fold]) -> list[FoldModel]:
    """Folds whose models say the true class but for the first test spectrum, with 0.7."""
    made = []
    for fold in folds:
        said = data.valence[fold.test].copy()
        said[0] = (said[0] + 1) % 3
        p = np.full((len(said), 3), 0.1, np.float32)
        p[np.arange(len(said)), said] = 0.8
        curves = {k: np.full(4, 0.5, np.float32) for k in ("train/accuracy", "test/accuracy")}
        curves |= {k: np.full(4, 0.7, np.float32) for k in ("train/loss", "test/loss")}
        made.append(FoldModel(fold.number, b"", 1 - 1 / len(said), p, curves))
    return made


def test_a_summary_has_mean_and_scatter_and_every_prediction(memory: MemoryStore) -> None:
    data = spectra(30, edge=COARSE)
    folds = split(data, n_folds=3)[:2]
    made = [replace(r, accuracy=a) for r, a in zip(results(data, folds), (0.5, 0.9), strict=True)]
    with tracking.step(tracking.tags_of("cv_train"), "a", {}) as run:
        metrics = cross_validation.log_summary(run, made, folds, data)
    assert metrics == pytest.approx({"cv/accuracy_mean": 0.7, "cv/accuracy_std": 0.2 * 2**0.5})
    assert memory.get_run(run.id).data.metrics == pytest.approx(metrics)
    names = [f"figures/{name}.{end}" for name in ("confusion", "learning_curves") for end in ("csv", "png")]
    assert memory.files(run) == [*names, "tables/predictions.csv"]
    table = memory.table(run, "tables/predictions.csv")
    columns = ["spectrum", "name", "group", "fold", "truth", "predicted", "p(Mn2+)", "p(Mn3+)", "p(Mn4+)"]
    assert list(table.columns) == columns
    assert table["spectrum"].tolist() == sorted([*folds[0].test, *folds[1].test])
    for fold in folds:
        rows = table[table["fold"] == fold.number]
        assert rows["spectrum"].tolist() == fold.test.tolist()
        assert rows["name"].tolist() == data.name[fold.test].tolist()
        assert rows["group"].tolist() == data.group[fold.test].tolist()
        assert rows["truth"].tolist() == [COARSE.classes[v] for v in data.valence[fold.test]]
        assert (rows["truth"] == rows["predicted"]).tolist() == [False] + [True] * (len(rows) - 1)
        said = rows[columns[-3:]].to_numpy()
        assert [COARSE.classes[k] for k in said.argmax(axis=1)] == rows["predicted"].tolist()
    drawn = pd.to_numeric(memory.table(run, "figures/confusion.csv")["value"])
    known = confusion_matrix(table["truth"], table["predicted"], labels=COARSE.classes)
    assert (drawn.to_numpy().reshape(3, 3) > 0).tolist() == (known > 0).tolist()
    one = cross_validation.log_summary(run, made[:1], folds[:1], data)
    assert one == {"cv/accuracy_mean": 0.5, "cv/accuracy_std": 0.0}


def test_a_curve_table_has_a_row_per_fold_and_point() -> None:
    folds = [Fold(k, np.arange(1), np.arange(1)) for k in (4, 5)]
    table = cross_validation.curve_table(folds, "scale", np.array([0.0, 2.0]), np.array([[1, 2], [3, 4]]))
    assert table.to_dict("list") == {
        "fold": [4, 4, 5, 5], "scale": [0.0, 2.0, 0.0, 2.0], "accuracy": [1, 2, 3, 4],
    }  # fmt: skip


def test_settings_come_back_as_they_were_logged(memory: MemoryStore) -> None:
    settings = TrainSettings(arch="fcn", filters=(2, 2, 4, 8, 12), dropout=0.5, epochs=3)
    with tracking.step(tracking.tags_of("cv_train"), "a", {}) as run:
        cross_validation.log_settings(run, settings)
    assert cross_validation.load_settings(memory.get_run(run.id)) == settings
    assert memory.files(run) == ["cv/settings.json"]


class Finished(NamedTuple):
    run: tracking.Run
    data: SpectrumSet
    folds: list[Fold]


@pytest.fixture
def finished(memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """A finished cross-validation of two folds, whose models are files of one word."""
    data = spectra(30, edge=COARSE)
    folds = [replace(fold, number=fold.number + 1) for fold in split(data, n_folds=2)]
    with tracking.step(
        tracking.tags_of("cv_train", "fcn", "10x", "stratified"), "fcn 10x stratified", {}
    ) as run:
        uri = log_dataset(run, data)
        run.tags({names.DATASET_URI: uri, names.DATASET_DIGEST: data.digest(), "noise_augmentation": "true"})
        cross_validation.log_folds(run, folds)
        for fold in reversed(folds):
            with tracking.child(run, {names.FOLD: str(fold.number)}, f"fold {fold.number}") as child:
                pass
            output = SimpleNamespace(model_id=f"m-{fold.number}")
            memory.get_run(child.id)._outputs = SimpleNamespace(model_outputs=[output])

    def download(uri: str, tracking_uri: str) -> str:
        assert tracking_uri == mlflow.get_tracking_uri()
        return uri.removeprefix("models:/")

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", download)
    monkeypatch.setattr(keras_nets, "load", lambda path: f"net of {path.as_posix()}")
    cross_validation._load.cache_clear()
    return Finished(run, data, folds)


def test_a_cross_validation_comes_back_with_its_models_in_the_folds_order(
    memory: MemoryStore, finished: Finished
) -> None:
    with cross_validation.evaluation("shift_eval", "newest", arch="fcn", folds="any") as (run, cv):
        run.metrics({"a": 1.0})
    assert cv.models == ["net of m-1/data/model.keras", "net of m-2/data/model.keras"]
    assert [f.number for f in cv.folds] == [1, 2]
    for fold, known in zip(cv.folds, finished.folds, strict=True):
        np.testing.assert_array_equal(fold.train, known.train)
        np.testing.assert_array_equal(fold.test, known.test)
    assert (cv.label, cv.spectra.digest()) == ("fcn 10x stratified", finished.data.digest())
    assert cv.run == finished.run
    assert cv.tags == memory.get_run(finished.run.id).data.tags
    record = memory.get_run(run.id)
    assert (record.info.run_name, record.info.status) == ("shift_eval fcn 10x stratified", "FINISHED")
    assert record.data.params == {"run": "newest", "arch": "fcn", "folds": "any"}
    known_tags = {"mnflow.step": "shift_eval", "arch": "fcn", "augmentation": "10x", "folds": "stratified"}
    known_tags |= {"noise_augmentation": "true", "cv_run": finished.run.id}
    assert record.data.tags.items() >= {**known_tags, "dataset_digest": finished.data.digest()}.items()


def test_a_cross_validation_that_cannot_be_evaluated_gives_a_clear_error(
    memory: MemoryStore, finished: Finished
) -> None:
    record = memory.get_run(run_id := finished.run.id)
    first, second = children(run_id)

    def refused(said: str) -> None:
        cross_validation._load.cache_clear()
        with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
            cross_validation.load_cv(record)

    memory.set_terminated(first.info.run_id, "KILLED")
    refused(f"Run {run_id} lacks the models of the folds [2]: run cv_train again.")
    second._outputs = SimpleNamespace(model_outputs=[])
    nothing = f"The run {second.info.run_id} (fold 1) has no model: run cv_train again."
    refused(nothing)
    second._outputs = None
    refused(nothing)
    for child in (first, second):
        memory.set_terminated(child.info.run_id, "FINISHED")
        child._outputs = SimpleNamespace(model_outputs=[SimpleNamespace(model_id="m")])
    uri = record.data.tags[names.DATASET_URI]
    finished.run.tags({names.DATASET_DIGEST: "another"})
    refused(f"The dataset {uri} has changed since run {run_id} trained on it: run cv_train again.")


def test_a_fold_is_sent_to_its_run_with_its_tags(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = spectra(30, edge=COARSE)
    (made, _) = results(data, split(data, n_folds=2))
    sent = []

    def make(run_id: str, call: str, files: list[Path], words: dict[str, Any]) -> None:
        sent.append((run_id, call, words))
        back = FoldModel.load(*files)
        assert (back.fold, back.model) == (made.fold, b"")
        np.testing.assert_array_equal(back.probabilities, made.probabilities)

    monkeypatch.setattr(outbox.calls, "make", make)
    cross_validation.log_fold(tracking.Run("0123"), made, {"arch": "dense"})
    assert sent == [("0123", "fold", {"tags": {"arch": "dense"}})]


def test_folds_of_stopped_runs_are_taken_the_newest_first(
    memory: MemoryStore, finished: Finished, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = results(finished.data, finished.folds)
    monkeypatch.setattr(cross_validation, "_model_file", lambda child: tmp_path / "model.keras")
    ids = []
    for accuracy, numbers in ((0.1, (0, 1)), (0.2, (1,))):
        with tracking.step(tracking.tags_of("cv_train"), "a", {}) as run:
            run.tags({names.SIGNATURE: "0123"})
            for number in numbers:
                with tracking.child(run, {names.FOLD: str(number)}, "fold") as child:
                    fold = replace(made[0], fold=number, accuracy=accuracy)
                    child.file(fold.save(tmp_path)[0])
            with tracking.child(run, {names.FOLD: "2"}, "fold") as child:
                pass
            memory.set_terminated(child.id, "KILLED")
        memory.set_terminated(run.id, "KILLED")
        ids.append(run.id)
    folds, runs = cross_validation.finished_folds("0123")
    assert [(f.fold, f.accuracy) for f in folds] == [(0, 0.1), (1, 0.2)]
    assert [r.info.run_id for r in runs] == ids[::-1]


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

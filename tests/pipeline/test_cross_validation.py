"""A cross-validation trains what no interrupted run has finished, and logs all folds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mnflow.folds import split
from mnflow.pipeline import cross_validation as steps
from mnflow.spectra import SpectrumSet
from mnflow.track import cross_validation, names, tracking
from mnflow.train.cross_validate import FoldModel
from mnflow.train.settings import TrainSettings
from mnflow.tune import search
from tests.helpers.memory_store import MemoryStore
from tests.helpers.spectra import COARSE, spectra

DATA = spectra(24, edge=COARSE)
FOLDS = split(DATA, n_folds=3)
SETTINGS = TrainSettings(arch="dense", noise_augmentation=True)


def result(number: int) -> FoldModel:
    fold = FOLDS[number]
    p = np.eye(3, dtype=np.float32)[DATA.valence[fold.test]]
    return FoldModel(number, b"", 0.5 + 0.1 * number, p, {})


class Training:
    """In place of training and of the folds' nested runs: what they were given."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.trained: list[tuple[Any, ...]] = []
        self.kept: list[tuple[int, dict[str, str]]] = []
        self.summed: list[int] = []
        self.runs = set[str]()
        patch.setattr(steps, "train_folds", self.train)
        patch.setattr(cross_validation, "log_fold", self.log_fold)
        patch.setattr(cross_validation, "log_summary", self.log_summary)

    def train(self, spectra: SpectrumSet, folds: Any, *words: Any) -> list[FoldModel]:
        *known, keep = words
        self.trained.append((spectra, [f.number for f in folds], *known))
        made = [result(f.number) for f in reversed(folds)]
        for fold in made:
            keep(fold)
        return made

    def log_fold(self, run: tracking.Run, fold: FoldModel, tags: dict[str, str]) -> None:
        self.runs.add(run.id)
        self.kept.append((fold.fold, dict(tags)))

    def log_summary(self, run: Any, results: Any, folds: Any, spectra: Any) -> dict[str, float]:
        assert (folds, spectra) == (FOLDS, DATA)
        self.runs.add(run.id)
        self.summed = [r.fold for r in results]
        return {names.CV_ACCURACY: 0.5}


@pytest.mark.parametrize("scheduler", ["local", "tcp://lab:8786"])
def test_what_is_missing_is_trained_and_all_is_logged_in_order(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    training = Training(monkeypatch)
    signature = cross_validation.signature(DATA.digest(), SETTINGS, FOLDS)
    orphan = memory.create_run("7")

    def finished(known: str) -> Any:
        assert known == signature
        return [result(1)], [orphan]

    monkeypatch.setattr(cross_validation, "finished_folds", finished)
    run = tracking.Run(memory.create_run("7").info.run_id)
    words = DATA, "runs:/0", FOLDS, SETTINGS, 4, scheduler
    metrics, resumed = steps.cross_validate(run, {"folds": "grouped"}, *words)
    assert (metrics, resumed) == ({names.CV_ACCURACY: 0.5}, 1)
    address = None if scheduler == "local" else scheduler
    assert training.trained == [(DATA, [0, 2], SETTINGS, 4, address)]
    tags = {
        "folds": "grouped",
        "arch": "dense",
        "noise_augmentation": "true",
        "dataset_digest": DATA.digest(),
    }
    assert training.kept == [(number, tags) for number in (1, 2, 0)]
    assert (training.summed, training.runs) == ([0, 1, 2], {run.id})
    own = {**tags, "dataset_uri": "runs:/0", "mnflow.signature": signature}
    assert memory.get_run(run.id).data.tags == own
    assert orphan.data.tags == {"mnflow.resumed_by": run.id}
    assert memory.files(run) == ["cv/folds.json", "cv/settings.json"]
    assert cross_validation.load_settings(memory.get_run(run.id)) == SETTINGS
    (dataset,) = memory.inputs[run.id]
    assert [t.value for t in dataset.tags] == ["training"]


def test_if_all_is_finished_nothing_is_trained(memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(monkeypatch)
    monkeypatch.setattr(cross_validation, "finished_folds", lambda _: ([result(k) for k in range(3)], []))
    run = tracking.Run(memory.create_run("7").info.run_id)
    plain = replace(SETTINGS, noise_augmentation=False)
    _, resumed = steps.cross_validate(run, {}, DATA, "runs:/0", FOLDS, plain, 1, "local")
    assert (resumed, training.trained) == (3, [])
    assert [number for number, _ in training.kept] == training.summed == [0, 1, 2]
    assert memory.get_run(run.id).data.tags["noise_augmentation"] == "false"


def test_a_run_is_named_for_its_net_or_study_and_its_training() -> None:
    tags = {**tracking.tags_of("cv_train", "fcn", "10x", "grouped"), names.STUDY: "none"}
    assert steps.run_name(tags, True) == "fcn 10x + noise grouped"
    assert steps.run_name(tags, False) == "fcn 10x grouped"
    assert steps.run_name({**tags, names.STUDY: "small"}, False) == "study small 10x grouped"


def test_a_summary_says_what_was_resumed() -> None:
    metrics = {"cv/accuracy_mean": 0.98765, "cv/accuracy_std": 0.00123}
    assert steps.summary(metrics, 0) == "accuracy 0.9877 +- 0.0012 over the folds"
    said = "accuracy 0.9877 +- 0.0012 over the folds (2 folds from an interrupted run)"
    assert steps.summary(metrics, 2) == said


def test_settings_are_those_of_the_command_or_of_a_studys_proposal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert steps.settings_from("none", "dense", epochs=3) == TrainSettings(arch="dense", epochs=3)
    proposal = {"small": {"arch": "fcn", "dropout": 0.25}}
    monkeypatch.setattr(search, "best_settings", proposal.__getitem__)
    found = steps.settings_from("small", "dense", epochs=3, dropout=None)
    assert found == TrainSettings(arch="fcn", epochs=3, dropout=0.25)

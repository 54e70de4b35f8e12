"""A promotion from a finished cross-validation to a served answer, and what stands in its way."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run as MlflowRun

from mnflow.errors import InputError
from mnflow.folds import Fold, split
from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.promote import promotion, registration, registry
from mnflow.promote.gate import MEASURED_BEFORE, Gate
from mnflow.runtime.cli import parse
from mnflow.runtime.project import ROOT
from mnflow.serve.answer import answer
from mnflow.spectra import SpectrumSet
from mnflow.track import cross_validation, names, tracking
from mnflow.track.cross_validation import FinishedCv
from mnflow.track.datasets import log_dataset
from mnflow.track.query import finished_run
from mnflow.train import cross_validate
from mnflow.train.cross_validate import FoldModel
from mnflow.train.settings import TrainSettings
from tests.helpers import promotions
from tests.helpers.spectra import spectra

pytestmark = pytest.mark.slow

OPEN = Gate(0, 0, 0, 0, 0, 1)
"""Lets everything pass: the nets here are not trained."""


@pytest.fixture
def record(store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowRun:
    """A CV run in the store, whose data and nets are made up instead of read back."""
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(store / "environments"))
    promotions.shorten(monkeypatch)
    return run_of("fcn", monkeypatch)


def run_of(arch: str, monkeypatch: pytest.MonkeyPatch) -> MlflowRun:
    data = spectra(36)
    tags = {"dataset_digest": data.digest(), "dataset_uri": "made up", "noise_augmentation": "false"}
    with tracking.step(
        {**tracking.tags_of("cv_train", arch, "10x", "stratified"), **tags}, "cv", {"seed": 7}
    ) as run:
        run.metrics(dict.fromkeys(names.COLUMNS, 0.9))
    record = finished_run("cv_train", run.id)
    folds = split(data, "stratified", 3)
    finished = FinishedCv(arch, data, folds, [keras_nets.build(design(arch)) for _ in folds], record)
    monkeypatch.setattr(cross_validation, "load_cv", lambda record: finished)
    return record


def promote(record: MlflowRun, gate: Gate = OPEN, strategy: str = "ensemble") -> str:
    with tracking.step(tracking.tags_of("promote"), "promote", {}) as run:
        return promotion.promote(run, record, gate, seed=0, strategy=strategy)


def test_a_champion_carries_what_it_is_trusted_for(record: MlflowRun) -> None:
    assert promote(record) == (
        "Version 1 of mn-valence is the champion: fcn, fully convolutional, passes all 6 thresholds."
    )
    champion = registry.aliased("champion")
    assert champion is not None
    own = {"arch": "fcn", "strategy": "ensemble of 3 fold models", "cv_run": record.info.run_id}
    assert champion.tags.items() >= own.items()
    assert champion.tags.keys() == {*own, "dataset_digest", "sha256"}, "five"
    known = registration.registration(champion)
    assert {*MEASURED_BEFORE, "calibration/error", "mixture/rmse"} <= known.metrics.keys()
    assert known.facts.items() >= {"seed": "7", "classes": "Mn2+,Mn3+,Mn4+"}.items()
    assert len(known.held_out_accuracy) == 3
    assert "Trained on 36 spectra (12 Mn2+, 12 Mn3+, 12 Mn4+; made up; digest" in champion.description


def test_a_failed_gate_names_the_number_and_leaves_the_alias(record: MlflowRun) -> None:
    with pytest.raises(
        InputError, match=r"does not pass the gate: shift/worst_accuracy is 0.9; the minimum is 0.95"
    ):
        promote(record, Gate(0, 0, 0.95, 0, 0, 1))
    assert registry.aliased("champion") is None
    assert tracking.connect().search_model_versions() == []


def test_a_worse_candidate_does_not_replace_the_champion(
    record: MlflowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(record)
    champion = registry.aliased("champion")
    assert champion is not None
    monkeypatch.setattr(promotion, "held_out_of", lambda *_: [0.98, 0.99, 0.98])
    with pytest.raises(InputError, match=r"worse than the champion: -0\.\d+ ± 0\.\d+"):
        promote(record)
    monkeypatch.setattr(promotion, "held_out_of", lambda *_: None)
    again = promote(record)
    assert again.startswith("Version 1 of mn-valence is the champion"), (
        "the same model is not registered twice"
    )
    assert len(tracking.connect().search_model_versions()) == 1
    assert registry.aliased("previous") is None


def test_a_refit_is_one_net_that_was_trained_on_all_spectra(
    record: MlflowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def train_folds(
        spectra: SpectrumSet, folds: list[Fold], settings: TrainSettings, workers: int
    ) -> list[SimpleNamespace]:
        seen.update(n=len(folds[0].train), settings=settings)
        return [SimpleNamespace(model=keras_nets.to_bytes(keras_nets.build(design("fcn"))))]

    monkeypatch.setattr(cross_validate, "train_folds", train_folds)
    settings = TrainSettings(epochs=3, seed=7, filters=(2, 2, 4, 8, 12))
    cross_validation.log_settings(tracking.Run(record.info.run_id), settings)
    monkeypatch.setattr(promotion, "_least_of_refit", lambda fold_accuracy: 0.0)  # it is not trained
    promote(record, strategy="refit")
    assert seen == {"n": 36, "settings": settings}
    champion = registry.aliased("champion")
    assert champion is not None
    assert champion.tags["strategy"] == "refit on all spectra"
    predictor = registry.load_predictor("models:/mn-valence@champion")
    assert predictor.net.n_folds == 1  # type: ignore[union-attr]
    spectrum = {"energy_ev": list(range(600, 700)), "intensity": list(range(100))}
    assert answer(predictor, [spectrum])[0]["disagreement"] is None


def test_a_refit_that_went_wrong_does_not_pass(record: MlflowRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        promotion, "refit", lambda finished: keras_nets.to_bytes(keras_nets.build(design("fcn")))
    )
    monkeypatch.setattr(promotion, "_least_of_refit", lambda fold_accuracy: 0.99)
    with pytest.raises(InputError, match=r"refit/accuracy is 0\.\d+; the minimum is 0.99"):
        promote(record, strategy="refit")
    assert registry.aliased("champion") is None


def test_the_least_of_a_refit_is_what_folds_reach_but_for_their_scatter() -> None:
    assert promotion._least_of_refit([0.9, 0.9]) == pytest.approx(0.9)
    assert promotion._least_of_refit([0.8, 1.0]) == pytest.approx(0.7)


PROMOTE_SOON = """
import pytest
from entrypoints.promote import Options, run
from mnflow.pipeline.execution import execute
from tests.helpers import promotions
promotions.shorten(pytest.MonkeyPatch())
execute(Options, run)
"""


def test_two_promotions_of_a_run_at_once_register_it_once(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes promote the same finished run, which is read back from the store."""
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(store / "environments"))
    data = spectra(36)
    folds = split(data, "stratified", 3)
    tags = {"dataset_digest": data.digest(), "noise_augmentation": "false"}
    with tracking.step(
        {**tracking.tags_of("cv_train", "fcn", "10x", "stratified"), **tags}, "cv", {"seed": 7}
    ) as run:
        run.tags({"dataset_uri": log_dataset(run, data)})
        cross_validation.log_folds(run, folds)
        net = keras_nets.to_bytes(keras_nets.build(design("fcn")))
        for fold in folds:
            cross_validation.log_fold(
                run, FoldModel(fold.number, net, 0.5, np.zeros((12, 3), np.float32), {}), tags
            )
        run.metrics(dict.fromkeys(names.COLUMNS, 0.9))
    gate = [word for f in fields(Gate) for word in (f"--{f.name}", "1" if f.name.startswith("max") else "0")]
    command = [sys.executable, "-c", PROMOTE_SOON, "--run", run.id, *gate]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [subprocess.Popen(command, cwd=store, env=environment) for _ in range(2)]
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    champion = registry.aliased("champion")
    assert champion is not None
    assert str(champion.version) == "1"
    assert registry.aliased("previous") is None
    assert len(tracking.connect().search_model_versions()) == 1, "a run is registered once"
    assert registry.load_predictor("models:/mn-valence/1").net.n_folds == 3  # type: ignore[union-attr]


def test_a_dense_net_is_registered_without_an_alias(
    record: MlflowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "only a fully convolutional net can become champion" in promote(run_of("dense", monkeypatch))
    assert registry.aliased("champion") is None


def test_the_model_loads_without_the_project_keras_or_pickle(record: MlflowRun, store: Path) -> None:
    promote(record)
    path = mlflow.artifacts.download_artifacts("models:/mn-valence@champion", dst_path=str(store / "model"))
    code = (
        "import sys, json, mlflow\n"
        f"model = mlflow.pyfunc.load_model({path!r})\n"
        "import mnflow; assert mnflow.__file__.startswith(sys.argv[1]), mnflow.__file__\n"
        "request = json.load(open(sys.argv[1] + '/serving_input_example.json'))['inputs']\n"
        "print(json.dumps(model.predict(request + [None])))\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'sklearn', 'hyperspy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        cwd=store,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    good, bad = json.loads(done.stdout.splitlines()[-1])
    assert good["error"] is None
    assert sum(good["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert bad["error"].startswith("Spectrum 1: expected an object")


def test_models_serve_finds_an_environment(record: MlflowRun, store: Path) -> None:
    promote(record)
    activate = list((store / "environments").glob("mlflow-*/bin/activate"))
    assert len(activate) == 1
    assert "/.venv" in activate[0].read_text()


def test_rollback_is_an_option_of_the_entry_point() -> None:
    from entrypoints.promote import Options

    assert parse(Options, ["--rollback", "true", "--min_cv_accuracy", "0.5"]).rollback is True

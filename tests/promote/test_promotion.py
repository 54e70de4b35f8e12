"""A promotion from a finished cross-validation to a served answer, and what stands in its way."""

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run as MlflowRun
from mlflow.entities.model_registry import ModelVersion

from mnflow.errors import InputError
from mnflow.fit import mixture_errors, out_of_distribution
from mnflow.folds import Fold, split
from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.preprocess import crop
from mnflow.promote import calibration, gate, promotion, registration, registry, version_contents
from mnflow.promote.gate import MEASURED_BEFORE, Gate
from mnflow.promote.registration import Registration
from mnflow.runtime.cli import parse
from mnflow.runtime.project import ROOT
from mnflow.serve.answer import answer
from mnflow.serve.numpy_nets import from_keras
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN, SpectrumSet
from mnflow.track import cross_validation, names, tracking
from mnflow.track.cross_validation import FinishedCv
from mnflow.track.datasets import log_dataset
from mnflow.track.query import finished_run
from mnflow.train import cross_validate
from mnflow.train.cross_validate import FoldModel
from mnflow.train.settings import TrainSettings
from tests.helpers import promotions
from tests.helpers.nets import made_up_net
from tests.helpers.posterior import made_up_posterior
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


def promote(record: MlflowRun, asked: Gate = OPEN, strategy: str = "ensemble") -> str:
    with tracking.step(tracking.tags_of("promote"), "promote", {}) as run:
        return promotion.promote(run, record, asked, seed=0, strategy=strategy)


def champion_() -> ModelVersion:
    version = registry.aliased("champion")
    assert version is not None
    return version


def test_a_champion_carries_what_it_is_trusted_for(
    record: MlflowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[str] = []
    drawn = tracking.Run.figure
    monkeypatch.setattr(
        tracking.Run, "figure", lambda run, figure, name: figures.append(name) or drawn(run, figure, name)
    )
    assert promote(record) == (
        "Version 1 of mn-valence is the champion: fcn, fully convolutional, passes all 6 thresholds."
    )
    assert figures == ["reliability", "saliency"]
    run = finished_run("promote")
    own_tags = {"cv_run": record.info.run_id, "arch": "fcn", "augmentation": "10x", "folds": "stratified"}
    assert run.data.tags.items() >= own_tags.items()
    assert run.data.metrics == pytest.approx(registration.registration(champion_()).metrics)
    facts = {"cv_run": record.info.run_id, "dataset_digest": record.data.tags["dataset_digest"]}
    predictor = registry.load_predictor("models:/mn-valence@champion")
    assert predictor.facts == {**facts, "code": registration.code_version()}
    assert predictor.temperature == run.data.metrics["calibration/temperature"]
    champion = champion_()
    own = {"arch": "fcn", "strategy": "ensemble of 3 fold models", "cv_run": record.info.run_id}
    assert champion.tags.items() >= own.items()
    assert champion.tags.keys() == {*own, "dataset_digest", "sha256"}, "five"
    known = registration.registration(champion)
    assert {*MEASURED_BEFORE, "calibration/error", "mixture/rmse"} <= known.metrics.keys()
    assert known.facts == {
        **{k: record.data.tags[k] for k in (*names.SETTING, "dataset_digest", "dataset_uri")},
        "seed": "7",
        "code_version": registration.code_version(),
        "classes": "Mn2+,Mn3+,Mn4+",
    }
    assert len(known.held_out_accuracy) == 3
    assert "Trained on 36 spectra (12 Mn2+, 12 Mn3+, 12 Mn4+; made up; digest" in champion.description


def test_a_failed_gate_names_the_number_and_leaves_the_alias(record: MlflowRun) -> None:
    said = r"does not pass the gate: shift/worst_accuracy is 0.9; the minimum is 0.95"
    with pytest.raises(InputError, match=said):
        promote(record, Gate(0, 0, 0.95, 0, 0, 1))
    assert registry.aliased("champion") is None
    assert tracking.connect().search_model_versions() == []


def test_a_worse_candidate_does_not_replace_the_champion(
    record: MlflowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(record)
    monkeypatch.setattr(promotion, "held_out_of", lambda *_: [0.98, 0.99, 0.98])
    with pytest.raises(InputError, match=r"worse than the champion: -0\.\d+ ± 0\.\d+"):
        promote(record)
    monkeypatch.setattr(promotion, "held_out_of", lambda *_: None)
    again = promote(record)
    known = "the same model is not registered twice"
    assert again.startswith("Version 1 of mn-valence is the champion"), known
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
    assert champion_().tags["strategy"] == "refit on all spectra"
    predictor = registry.load_predictor("models:/mn-valence@champion")
    assert predictor.net.n_folds == 1  # type: ignore[union-attr]
    spectrum = {"energy_ev": list(range(600, 700)), "intensity": list(range(100))}
    assert answer(predictor, [spectrum])[0]["disagreement"] is None


def test_a_refit_trains_one_fold_of_all_spectra_with_the_settings_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished = measured_with([0.5]).finished
    settings, asked = TrainSettings(epochs=3), []

    def train_folds(*words: Any, workers: int) -> list[SimpleNamespace]:
        asked.append((*words, workers))
        return [SimpleNamespace(model=b"a net")]

    monkeypatch.setattr(cross_validate, "train_folds", train_folds)
    monkeypatch.setattr(
        cross_validation, "load_settings", lambda record: settings if record is finished.record else None
    )
    assert promotion.refit(finished) == b"a net"
    ((data, (fold,), used, workers),) = asked
    assert (data, used, workers, fold.number) == (finished.spectra, settings, 1, 2)
    assert fold.train.tolist() == list(range(12))
    assert fold.test.tolist() == [0]


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
from tests.helpers.nets import made_up_net
from tests.helpers.posterior import made_up_posterior
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
    words = [word for f in fields(Gate) for word in (f"--{f.name}", "1" if f.name.startswith("max") else "0")]
    command = [sys.executable, "-c", PROMOTE_SOON, "--run", run.id, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [subprocess.Popen(command, cwd=store, env=environment) for _ in range(2)]
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    assert str(champion_().version) == "1"
    assert registry.aliased("previous") is None
    assert len(tracking.connect().search_model_versions()) == 1, "a run is registered once"
    assert registry.load_predictor("models:/mn-valence/1").net.n_folds == 3  # type: ignore[union-attr]


class Recorder:
    """A run that keeps what is logged to it."""

    id = "a promotion"

    def __init__(self) -> None:
        self.logged: list[Any] = []

    def metrics(self, metrics: dict[str, float]) -> None:
        self.logged.append(metrics)

    def tags(self, tags: dict[str, str]) -> None:
        self.logged.append(tags)


TAGS = {"arch": "fcn", "augmentation": "10x", "noise_augmentation": "false", "folds": "stratified",
        "dataset_digest": "d", "dataset_uri": "made up"}  # fmt: skip


def record_of(arch: str = "fcn", **data: Any) -> Any:
    """The record of a cross-validation, of which only tags and `data` are known."""
    data = {"tags": TAGS | {"arch": arch}, **data}
    return SimpleNamespace(info=SimpleNamespace(run_id="a run"), data=SimpleNamespace(**data))


def measured_with(accuracy: list[float], arch: str = "fcn", **metrics: float) -> promotion.Measured:
    """A candidate of which only numbers are known: held-out accuracies by fold, and metrics."""
    record = record_of(arch, params={})
    data = spectra(12)
    finished = FinishedCv(f"{arch} 10x", data, split(data, "stratified", 2), [], record)
    predictor = Predictor(MN, None, made_up_net(3))
    numbers = {**dict.fromkeys(MEASURED_BEFORE, 0.95), "calibration/error": 0.01, **metrics}
    reliability = calibration.Reliability(*(np.full(2, x) for x in (0.5, 0.25, 4.0)), 0.125)  # type: ignore[arg-type]
    return promotion.Measured(finished, predictor, {}, numbers, accuracy, reliability)


@pytest.mark.parametrize(
    ("arch", "last", "theirs", "note"),
    [
        ("dense", None, None,
         "Version 7 of mn-valence is registered (dense 10x); only a fully convolutional net can become "
         "champion.\nVERDICT"),
        ("fcn", None, None,
         "Version 7 of mn-valence is the champion: fcn 10x, fully convolutional, passes all 6 thresholds.\n"
         "VERDICT"),
        ("fcn", "5", [0.75, 0.5],
         "Version 7 of mn-valence is the champion in place of version 5: fcn 10x, fully convolutional, "
         "passes all 6 thresholds.\nVERDICT\n+0.2500 ± 0.1250 compared with the champion (held-out accuracy, "
         "paired over folds)"),
    ],
)  # fmt: skip
def test_the_note_of_a_promotion(
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    arch: str,
    last: str | None,
    theirs: list[float] | None,
    note: str,
) -> None:
    measured, run, done = measured_with([0.875, 0.875], arch), Recorder(), []
    asked: Any = measured.finished.record
    monkeypatch.setattr(cross_validation, "load_cv", lambda record: (record is asked) and measured.finished)
    monkeypatch.setattr(promotion, "measure", lambda *words: done.append(words) or measured)
    monkeypatch.setattr(promotion, "show", lambda *words: done.append(words))
    monkeypatch.setattr(promotion, "verdict", lambda record: "VERDICT" if record is asked else "")
    monkeypatch.setattr(promotion, "_register", lambda *words: done.append(words) or "7")
    monkeypatch.setattr(registry, "aliased", lambda alias: theirs and f"the {alias}")
    known = ("the champion", "d", measured.folds_digest)
    monkeypatch.setattr(promotion, "held_out_of", lambda *words: words == known and theirs)
    monkeypatch.setattr(registry, "set_champion", lambda version: last if version == "7" else "wrong")
    assert promotion.promote(run, asked, Gate(), 3, "refit") == note  # type: ignore[arg-type]
    assert run.logged[0] == measured.metrics
    assert run.logged[1] == {
        **{k: v for k, v in measured.finished.tags.items() if k != "dataset_uri"}, "cv_run": "a run",
    }  # fmt: skip
    comparison = None if theirs is None else gate.compare([0.875, 0.875], theirs)
    assert done == [(measured.finished, 3, "refit"), (run, measured), (run, measured, comparison, 3)]


@pytest.mark.parametrize("seed", [None, "7"])
def test_what_a_version_is_registered_with(monkeypatch: pytest.MonkeyPatch, seed: str | None) -> None:
    measured, comparison, done = measured_with([0.5, 0.75]), gate.Comparison(0.5, 0.25), []
    finished: Any = measured.finished
    finished.record.data.params |= {} if seed is None else {"seed": seed}

    def said(answer: Any) -> Any:
        return lambda *words: done.append(words) or answer

    monkeypatch.setattr(promotion, "registered_before", lambda predictor: None)
    monkeypatch.setattr(version_contents, "examples", said("examples"))
    monkeypatch.setattr(version_contents, "log_model", said("a model"))
    monkeypatch.setattr(promotion, "card", said("a card"))
    monkeypatch.setattr(promotion, "register", said(SimpleNamespace(version=4)))
    run: Any = Recorder()
    assert promotion._register(run, measured, comparison, 3) == "4"
    record = Registration(
        measured.metrics,
        [0.5, 0.75],
        measured.folds_digest,
        version_contents.model_digest(measured.predictor),
        {},
        {**{k: TAGS[k] for k in (*names.SETTING, "dataset_digest", "dataset_uri")}, "seed": seed or "unknown",
         "code_version": registration.code_version(), "classes": "Mn2+,Mn3+,Mn4+"},
    )  # fmt: skip
    shown = {"arch": "fcn", "strategy": "ensemble of 3 fold models", "cv_run": "a run", "dataset_digest": "d"}
    assert done == [
        (finished.spectra, 3),
        (run, measured.predictor, measured.keras_files, "examples"),
        (finished, measured.metrics, "ensemble of 3 fold models", comparison),
        ("a model", run, shown, record, "a card"),
    ]
    known = SimpleNamespace(version=2)
    monkeypatch.setattr(promotion, "registered_before", lambda p: known if p is measured.predictor else None)
    assert promotion._register(run, measured, comparison, 3) == "2"
    assert len(done) == 4, "the same model is not registered twice"


def test_all_that_stands_in_the_way_is_named() -> None:
    worse = gate.Comparison(-0.5, 0.125)
    assert promotion._pass(Gate(), measured_with([0.5]), None) is None
    assert promotion._pass(Gate(), measured_with([0.5, 0.75], **{"refit/accuracy": 0.375}), None) is None
    with pytest.raises(InputError) as refused:
        promotion._pass(
            Gate(), measured_with([0.5, 0.75], **{"refit/accuracy": 0.37, "shift/worst_accuracy": 0.8}), worse
        )
    assert str(refused.value) == (
        "Run a run (fcn 10x) does not pass the gate: shift/worst_accuracy is 0.8; the minimum is 0.85 "
        "(min_worst_shift_accuracy); it is worse than the champion: -0.5000 ± 0.1250 compared with the "
        "champion (held-out accuracy, paired over folds); refit/accuracy is 0.37; the minimum is 0.375: what "
        "the fold models reach unseen. The champion stays as it is."
    )
    with pytest.raises(InputError, match="refit/accuracy is nan"):
        promotion._pass(Gate(), measured_with([0.5], **{"refit/accuracy": float("nan")}), None)


def test_a_candidate_is_compared_with_a_champion_of_the_same_data_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = measured_with([0.5, 1.0])
    monkeypatch.setattr(registry, "aliased", lambda alias: None)
    assert promotion.beside_champion(measured) is None
    monkeypatch.setattr(registry, "aliased", lambda alias: {"champion": "it"}[alias])
    monkeypatch.setattr(promotion, "held_out_of", lambda *words: None)
    assert promotion.beside_champion(measured) is None


@pytest.mark.parametrize("strategy", ["ensemble", "refit"])
def test_an_element_without_a_shipped_model_is_answered_by_its_nets(
    monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    data = spectra(36, edge=replace(MN, element="Fe"))
    folds = split(data, "stratified", 3)
    small = design("fcn", filters=(2, 2, 2, 2, 2))
    models = [keras_nets.build(small) for _ in folds]
    record = record_of(metrics=dict.fromkeys([*MEASURED_BEFORE, "other"], 0.75))
    finished, asked = FinishedCv("fcn", data, folds, models, record), []
    novelty = SimpleNamespace(false_alarm_rate=0.125)
    others = [np.zeros((2, 300), np.float32)]
    monkeypatch.setattr(out_of_distribution, "other_elements", lambda *words: asked.append(words) or others)
    monkeypatch.setattr(promotion, "fit_novelty", lambda *words: asked.append(words) or novelty)
    monkeypatch.setattr(out_of_distribution, "flagged", lambda *words: asked.append(words) or {"seen": 0.5})
    again = keras_nets.build(small)
    monkeypatch.setattr(promotion, "refit", lambda f: keras_nets.to_bytes(again) if f is finished else b"")
    measured = promotion.measure(finished, 3, strategy)
    held = calibration.held_out(from_keras(models), data, folds, 3)
    reliability = calibration.reliability(calibration.cross_calibrated(held), held.truth)
    expected = {
        **dict.fromkeys(MEASURED_BEFORE, 0.75),
        "calibration/error": reliability.error,
        "calibration/temperature": calibration.fit_temperature(held.logits, held.truth),
        "held_out/accuracy": held.fold_accuracy().mean(),
        "novelty/false_alarm_rate": 0.125,
        "seen": 0.5,
    }
    served = from_keras(models)
    if strategy == "refit":
        served = from_keras([again])
        expected["refit/accuracy"] = (served.logits(held.crops)[0].argmax(axis=1) == held.truth).mean()
    assert measured.metrics == pytest.approx(expected)
    assert measured.fold_accuracy == held.fold_accuracy().tolist()
    assert measured.reliability.error == reliability.error
    predictor = measured.predictor
    assert (predictor.edge, predictor.posterior, predictor.novelty) == (data.edge, None, novelty)
    assert predictor.temperature == measured.metrics["calibration/temperature"]
    assert predictor.facts == {"cv_run": "a run", "dataset_digest": "d", "code": registration.code_version()}
    assert predictor.net is not None
    np.testing.assert_array_equal(predictor.net.logits(held.crops), served.logits(held.crops))
    by_fold = {f"fold_{f.number}.keras": [m] for f, m in zip(folds, models, strict=True)}
    files = {"refit.keras": [again]} if strategy == "refit" else by_fold
    assert measured.keras_files.keys() == files.keys()
    for name, nets in files.items():
        saved = from_keras([keras_nets.from_bytes(measured.keras_files[name])])
        np.testing.assert_array_equal(saved.logits(held.crops), from_keras(nets).logits(held.crops))
    (edge, rng), (crops, group, same, foreign), (flagged, seed) = asked
    assert (edge, rng, foreign, flagged, seed) == (data.edge, same, others, predictor, 3)
    np.testing.assert_array_equal(crops, held.crops)
    assert group.tolist() == data.group[held.index].tolist()


def test_where_a_model_is_shipped_it_answers_and_its_novelty_score_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = spectra(36)
    folds = split(data, "stratified", 3)
    models = [keras_nets.build(design("fcn", filters=(2, 2, 2, 2, 2))) for _ in folds]
    record = record_of(metrics=dict.fromkeys(MEASURED_BEFORE, 0.75))

    def reasons(located: Any) -> np.ndarray:
        """A quarter is beyond one limit, and another quarter beyond two."""
        first, second = np.arange(len(located.crops)) % 4 < 2, np.arange(len(located.crops)) % 4 == 0
        return np.stack([first, second, 0 * first == 1], axis=1)

    novelty: Any = SimpleNamespace(reasons=reasons)
    shipped = Predictor(MN, made_up_posterior(), novelty=novelty)
    monkeypatch.setattr(promotion, "pretrained_for", lambda edge: shipped if edge == data.edge else None)
    asked: list[Any] = []
    monkeypatch.setattr(mixture_errors, "measure", lambda *words: asked.append(words) or {"mixture": 0.5})
    monkeypatch.setattr(out_of_distribution, "flagged", lambda *words: asked.append(words) or {"seen": 0.25})
    measured = promotion.measure(FinishedCv("fcn", data, folds, models, record), 3)
    n = len(calibration.held_out(from_keras(models), data, folds, 3).truth)
    assert n % 4 == 0
    own = {"novelty/false_alarm_rate": 0.5, "mixture": 0.5, "seen": 0.25}
    assert measured.metrics.items() >= own.items()
    predictor = measured.predictor
    assert (predictor.posterior, predictor.novelty) == (shipped.posterior, novelty)
    assert predictor.temperature == measured.metrics["calibration/temperature"]
    assert predictor.facts == {"cv_run": "a run", "dataset_digest": "d", "code": registration.code_version()}
    assert predictor.net is not None
    np.testing.assert_array_equal(predictor.net.steps[0].weight, from_keras(models).steps[0].weight)
    assert asked == [(predictor, 3)] * 2


def test_the_strategy_in_words() -> None:
    measured = measured_with([0.5])
    assert measured.strategy == "ensemble of 3 fold models"
    assert replace(measured, keras_files={"refit.keras": b""}).strategy == "refit on all spectra"
    none = replace(measured.predictor, net=None, posterior=made_up_posterior())
    assert replace(measured, predictor=none).strategy == "ensemble of 0 fold models"


def test_the_saliency_is_of_the_first_hundred_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(promotion.plots, "saliency", lambda *words: drawn.append(words) or "a figure")
    monkeypatch.setattr(promotion.plots, "reliability_diagram", lambda *words: drawn.append(words) or "first")
    looked: list[Any] = []
    monkeypatch.setattr(
        promotion, "occlusion", lambda opinion, crops: looked.append((opinion, crops)) or crops
    )
    monkeypatch.setattr(promotion, "SHOWN", 3)
    data = spectra(12)
    measured = measured_with([0.5])
    figures: list[Any] = []
    promotion.show(SimpleNamespace(figure=lambda *words: figures.append(words)), measured)  # type: ignore[arg-type]
    assert figures == [("first", "reliability"), ("a figure", "saliency")]
    reliability, (energy_ev, mean, where, classes) = drawn
    assert [np.mean(x) for x in reliability] == [0.5, 0.25, 4.0, 0.125]
    np.testing.assert_allclose(energy_ev, MN.crop_axis_ev)
    assert classes == MN.classes
    assert [opinion == measured.predictor.second_opinion for opinion, _ in looked] == [True] * 3
    for label in range(3):
        crops = crop(data)[label:9:3]
        for found in (mean[label], where[label], looked[label][1].mean(axis=0)):
            np.testing.assert_allclose(found, crops.mean(axis=0), atol=1e-6)


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
    command = [sys.executable, "-c", code, path]
    env = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = subprocess.run(command, cwd=store, env=env, capture_output=True, text=True, timeout=120)
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

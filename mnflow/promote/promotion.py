"""One promotion: measure the candidate, apply the gate, register it, move the alias."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from mlflow.entities import Run as MlflowRun

from mnflow import plots
from mnflow.errors import InputError
from mnflow.evaluate.saliency import occlusion
from mnflow.fit import mixture_errors, out_of_distribution
from mnflow.fit.out_of_distribution import fit_novelty
from mnflow.folds import Fold
from mnflow.models import keras_nets
from mnflow.models.architectures import FULLY_CONVOLUTIONAL
from mnflow.preprocess import crop
from mnflow.promote import calibration, registry, version_contents
from mnflow.promote.candidates import verdict
from mnflow.promote.card import card
from mnflow.promote.gate import CALIBRATION_ERROR, DEVIATIONS, MEASURED_BEFORE, Comparison, Gate, compare
from mnflow.promote.registration import (
    MODEL,
    STRATEGY,
    Registration,
    code_version,
    folds_digest,
    held_out_of,
    register,
    registered_before,
)
from mnflow.serve.numpy_nets import from_keras
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import pretrained_for
from mnflow.spectra.axis import axis_ev
from mnflow.track import cross_validation, names, tracking
from mnflow.track.cross_validation import FinishedCv
from mnflow.train import cross_validate

REFIT_ACCURACY = "refit/accuracy"
"""Of a net that was trained on all spectra, on the shifted and noisy ones that the fold models are judged by.
"""

SHOWN = 100
"""Spectra of a class that the saliency figure averages over."""


@dataclass(frozen=True)
class Measured:
    """A candidate with all its numbers; `keras_files` are those of what the predictor holds."""

    finished: FinishedCv
    predictor: Predictor
    keras_files: dict[str, bytes]
    metrics: dict[str, float]
    fold_accuracy: list[float]
    reliability: calibration.Reliability

    @property
    def strategy(self) -> str:
        """In words, for the version's tag and card."""
        n = self.predictor.net.n_folds if self.predictor.net else 0
        return "refit on all spectra" if "refit.keras" in self.keras_files else f"ensemble of {n} fold models"

    @property
    def folds_digest(self) -> str:
        return folds_digest(self.finished.folds)


def promote(run: tracking.Run, record: MlflowRun, gate: Gate, seed: int, strategy: str = "ensemble") -> str:
    """Register the net of a finished CV run, make it the champion if it may be, and return a note.

    It may be if it is fully convolutional and passes the gate. One promotion at a time
    applies the gate and moves the alias, so that nothing is compared with a champion that is being replaced.

    Raises `InputError` if the gate is not passed: nothing changes, and the message names every number that
    failed.
    """
    measured = measure(cross_validation.load_cv(record), seed, strategy)
    run.metrics(measured.metrics)
    show(run, measured)
    tags = measured.finished.tags
    run.tags({**names.setting_of(tags), names.CV_RUN: record.info.run_id})
    label, beside = measured.finished.label, verdict(record)
    with registry.locked():
        if tags[names.ARCH] not in FULLY_CONVOLUTIONAL:  # the others lose accuracy under shift
            version = _register(run, measured, None, seed)
            return (
                f"Version {version} of {MODEL} is registered ({label}); only a fully convolutional net can "
                f"become champion.\n{beside}"
            )
        comparison = beside_champion(measured)
        _pass(gate, measured, comparison)
        version = _register(run, measured, comparison, seed)
        last = registry.set_champion(version)
    replaced = f" in place of version {last}" if last else ""
    return (
        f"Version {version} of {MODEL} is the champion{replaced}: {label}, fully convolutional, passes all "
        f"{len(fields(Gate))} thresholds.\n{beside}\n{comparison or ''}"
    ).strip()


def measure(finished: FinishedCv, seed: int, strategy: str = "ensemble") -> Measured:
    """Everything that the gate and the version's tags need, on spectra that no judged model has trained on.

    What is served is the fold models (`ensemble`) or one net, trained anew on all spectra (`refit`).
    """
    spectra = finished.spectra
    net = from_keras(finished.models)
    held = calibration.held_out(net, spectra, finished.folds, seed)
    reliability = calibration.reliability(calibration.cross_calibrated(held), held.truth)
    temperature = calibration.fit_temperature(held.logits, held.truth)
    accuracy = held.fold_accuracy()
    metrics = {
        **{k: finished.record.data.metrics[k] for k in MEASURED_BEFORE},
        CALIBRATION_ERROR: reliability.error,
        "calibration/temperature": temperature,
        "held_out/accuracy": float(accuracy.mean()),
    }
    keras_files = {
        f"fold_{f.number}.keras": keras_nets.to_bytes(m)
        for f, m in zip(finished.folds, finished.models, strict=True)
    }
    if strategy == "refit":
        keras_files = {"refit.keras": refit(finished)}
        net = from_keras([keras_nets.from_bytes(keras_files["refit.keras"])])
        metrics[REFIT_ACCURACY] = float((net.logits(held.crops)[0].argmax(axis=1) == held.truth).mean())
    facts = {names.CV_RUN: finished.run.id, names.DATASET_DIGEST: finished.tags[names.DATASET_DIGEST]}
    facts["code"] = code_version()
    shipped = pretrained_for(spectra.edge)
    if shipped is not None:  # it answers, so its novelty score counts, not the nets'
        predictor = replace(shipped, net=net, temperature=temperature, facts=facts)
        strange = predictor(held.crops).strange.any(axis=1)
        metrics["novelty/false_alarm_rate"] = float(strange.mean())
        metrics |= mixture_errors.measure(predictor, seed)
    else:
        rng = np.random.default_rng([seed, len(spectra)])
        others = out_of_distribution.other_elements(spectra.edge, rng)
        novelty = fit_novelty(held.crops, spectra.group[held.index], rng, others)
        metrics["novelty/false_alarm_rate"] = novelty.false_alarm_rate
        predictor = Predictor(spectra.edge, None, net, temperature, novelty, facts)
    metrics |= out_of_distribution.flagged(predictor, seed)
    return Measured(finished, predictor, keras_files, metrics, accuracy.tolist(), reliability)


def refit(finished: FinishedCv) -> bytes:
    """A .keras file of the CV run's net, trained with its settings on all of its spectra."""
    everything = np.arange(len(finished.spectra))
    fold = Fold(len(finished.folds), everything, everything[:1])  # what is tested is thrown away
    settings = cross_validation.load_settings(finished.record)
    return cross_validate.train_folds(finished.spectra, [fold], settings, workers=1)[0].model


def show(run: tracking.Run, measured: Measured) -> None:
    """Log how far the probabilities hold, and where the nets looked in each class."""
    found = measured.reliability
    diagram = plots.reliability_diagram(found.confidence, found.accuracy, found.count, found.error)
    run.figure(diagram, "reliability")
    spectra = measured.finished.spectra
    edge = spectra.edge
    mean, looked = [], []
    for label in range(len(edge.classes)):
        crops = crop(spectra.select(np.flatnonzero(spectra.valence == label)[:SHOWN]))
        mean.append(crops.mean(axis=0))
        looked.append(occlusion(measured.predictor.second_opinion, crops).mean(axis=0))
    energy_ev = axis_ev(edge.crop_ev[0], edge.n_crop, edge.dispersion_ev)
    run.figure(plots.saliency(energy_ev, np.stack(mean), np.stack(looked), edge.classes), "saliency")


def beside_champion(measured: Measured) -> Comparison | None:
    """The candidate and the champion, if there is one that was measured on the same data and folds."""
    champion = registry.aliased(registry.CHAMPION)
    if champion is None:
        return None
    theirs = held_out_of(champion, measured.finished.tags[names.DATASET_DIGEST], measured.folds_digest)
    return None if theirs is None else compare(measured.fold_accuracy, theirs)


def _pass(gate: Gate, measured: Measured, comparison: Comparison | None) -> None:
    failures = gate.failures(measured.metrics)
    if comparison is not None and comparison.is_worse:
        failures.append(f"it is worse than the champion: {comparison}")
    refitted, least = measured.metrics.get(REFIT_ACCURACY, 1.0), _least_of_refit(measured.fold_accuracy)
    if not refitted >= least:
        failures.append(
            f"{REFIT_ACCURACY} is {refitted:.4g}; the minimum is {least:.4g}: what the fold models reach "
            f"unseen"
        )
    if failures:
        raise InputError(
            f"Run {measured.finished.run.id} ({measured.finished.label}) does not pass the gate: "
            f"{'; '.join(failures)}. The champion stays as it is."
        )


def _least_of_refit(fold_accuracy: Sequence[float]) -> float:
    """The least accuracy of a refit model: the fold models' accuracy minus their scatter.

    The refit model saw these spectra in training, so it must reach that.
    """
    return float(np.mean(fold_accuracy) - DEVIATIONS * np.std(fold_accuracy))


def _register(run: tracking.Run, measured: Measured, comparison: Comparison | None, seed: int) -> str:
    """A new version, or the one that serves the same model by the same code already."""
    if known := registered_before(measured.predictor):
        return str(known.version)
    finished, tags = measured.finished, measured.finished.tags
    examples = version_contents.examples(finished.spectra, seed)
    uri = version_contents.log_model(run, measured.predictor, measured.keras_files, examples)
    facts = {
        **names.setting_of(tags),
        names.DATASET_URI: tags[names.DATASET_URI],
        "seed": finished.record.data.params.get("seed", "unknown"),
        "code_version": code_version(),
        "classes": ",".join(finished.spectra.edge.classes),
    }
    digests = measured.folds_digest, version_contents.model_digest(measured.predictor)
    record = Registration(measured.metrics, measured.fold_accuracy, *digests, files={}, facts=facts)
    for_readers = {
        names.ARCH: tags[names.ARCH],
        STRATEGY: measured.strategy,
        names.CV_RUN: finished.run.id,
        names.DATASET_DIGEST: tags[names.DATASET_DIGEST],
    }
    text = card(finished, measured.metrics, measured.strategy, comparison)
    return str(register(uri, run, for_readers, record, text).version)

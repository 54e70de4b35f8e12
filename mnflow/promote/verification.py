"""Verify that a registered version still gives its recorded numbers, from its own artifacts."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Run as MlflowRun
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mnflow.errors import InputError
from mnflow.evaluate.accuracy import predict
from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.preprocess import crop
from mnflow.promote import promotion, registration, registry, version_contents
from mnflow.references import References
from mnflow.serve.answer import answer
from mnflow.serve.numpy_nets import from_keras
from mnflow.serve.predictor import Predictor
from mnflow.spectra.arrays import Bools
from mnflow.track import cross_validation, evaluations, names, provenance, tracking
from mnflow.track.cross_validation import FinishedCv
from mnflow.track.query import finished_run, finished_runs, where
from mnflow.train.settings import TrainSettings

TOLERANCE = 1e-5
"""Relative difference up to which a number holds."""

ANSWER_TOLERANCE = 1e-3
"""Absolute difference up to which a probability, a fraction or a mean valence is the same."""

ANSWER_SECONDS = 300
"""How long a served model may take to load and answer."""

SHOWN_FILES = 5

_ANSWER = """\
import json, sys, mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(model.predict(json.load(open(sys.argv[2]))["spectra"])))
"""

_LOGITS_TOLERANCE = 1e-3  # of float32 sums in another order


@dataclass(frozen=True)
class Check:
    """One number: what the version was registered with, and what its artifacts give now."""

    name: str
    registered: float
    found: float

    @property
    def holds(self) -> bool:
        return bool(np.isclose(self.found, self.registered, rtol=TOLERANCE, atol=TOLERANCE))


@dataclass(frozen=True)
class Answered:
    """Spectra as a request brings them, and what a model answered to them when it was registered."""

    spectra: list[dict[str, Any]]
    answers: list[dict[str, Any]]

    def hold(self, found: Sequence[Any], who: str) -> None:
        """Raise `InputError` if the answers are not these; the message names what differs."""
        if len(found) != len(self.answers):
            raise InputError(f"{who} gives {len(found)} answers instead of {len(self.answers)}.")
        for i, (was, now) in enumerate(zip(self.answers, found, strict=True)):
            if different := _different(was, now):
                raise InputError(
                    f"{who} does not answer as the version did when it was registered: {different} of "
                    f"spectrum {i} in {version_contents.ANSWERS}."
                )


def _different(was: Any, now: Any, name: str = "the answer") -> str | None:
    """The first thing that differs by more than `ANSWER_TOLERANCE`, in words."""
    if isinstance(was, dict) and isinstance(now, dict) and was.keys() == now.keys():
        return next((d for k in was if (d := _different(was[k], now[k], str(k)))), None)
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        return next((d for w, n in zip(was, now, strict=True) if (d := _different(w, n, name))), None)
    if isinstance(was, float) and isinstance(now, float) and abs(was - now) <= ANSWER_TOLERANCE:
        return None
    return None if was == now else f"{name} was {was} and is {now}"


def find_version(name: str) -> ModelVersion:
    """A version of the registered model by its number or alias; raises `InputError` if there is none."""
    try:
        version = (
            tracking.connect().get_model_version(registration.MODEL, name)
            if name.isdecimal()
            else registry.aliased(name)
        )
    except MlflowException:
        version = None
    if version is None:
        raise InputError(
            f"The model {registration.MODEL} has no version {name!r} {where()}: expected a number, or an "
            "alias such as champion."
        )
    return version


def own_artifacts(version: ModelVersion) -> tuple[FinishedCv, Answered]:
    """The version's cross-validation with the fold models that the version itself holds, and what it answers.

    Every file that is served is held against its digest, and then the served code answers the spectra again
    that it answered when it was made.

    Raises
    ------
    InputError
        If an artifact is missing or is not what was registered.
    """
    uri = f"models:/{registration.MODEL}/{version.version}"
    with TemporaryDirectory() as name:
        folder = registry.download(uri, name)
        check_files(version, folder)
        answered = check_answers(version, folder)
        predictor = Predictor.load(folder / version_contents.PREDICTOR)
        nets = {p.stem: keras_nets.load(p) for p in sorted(folder.glob("artifacts/keras/*.keras"))}
    return _with_nets(version, nets, predictor), answered


def check_files(version: ModelVersion, folder: Path) -> int:
    """Hold every file of a downloaded model against its digest at registration; returns how many there are.

    Raises
    ------
    InputError
        If one was changed, added or taken away; the message names the first of them.
    """
    registered = registration.registration(version).files
    found = version_contents.digests(folder)
    changed = [f"{name} is missing" for name in sorted(registered.keys() - found.keys())]
    changed += [f"{name} was added" for name in sorted(found.keys() - registered.keys())]
    both = sorted(registered.keys() & found.keys())
    changed += [f"{name} was changed" for name in both if registered[name] != found[name]]
    if changed:
        raise InputError(
            f"Version {version.version} does not serve what was registered: "
            f"{'; '.join(changed[:SHOWN_FILES])}"
            f"{f' and {len(changed) - SHOWN_FILES} more' if len(changed) > SHOWN_FILES else ''}. Do not "
            "serve it."
        )
    return len(found)


def check_answers(version: ModelVersion, folder: Path) -> Answered:
    """Let a downloaded model's own code, in a process of its own, answer the spectra that it brings.

    Raises
    ------
    InputError
        If it cannot be loaded, or says anything else than when it was made.
    """
    kept = json.loads((folder / version_contents.ANSWERS).read_text())
    done = subprocess.run(
        [sys.executable, "-c", _ANSWER, str(folder), str(folder / version_contents.ANSWERS)],
        capture_output=True, text=True, cwd=folder, timeout=ANSWER_SECONDS,
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise InputError(f"The model of version {version.version} cannot be loaded: {said[:300]}")
    answered = Answered(kept["spectra"], kept["answers"])
    answered.hold(json.loads(done.stdout.splitlines()[-1]), f"Version {version.version}")
    return answered


def check_tags(
    version: ModelVersion, predictor: Predictor, nets: Mapping[str, Any], settings: TrainSettings
) -> None:
    """Hold a version's tags against the model's own files: whoever copies a version can write others.

    Parameters
    ----------
    nets : mapping of str to keras.Model
        Of its .keras files.
    settings : TrainSettings
        Of its cross-validation: what differs from the network that the tag names.

    Raises
    ------
    InputError
        If the files hold nets of another architecture, or the model comes from another run or dataset.
    """
    for key in (names.CV_RUN, names.DATASET_DIGEST):
        if version.tags.get(key) != predictor.facts.get(key):
            raise InputError(
                f"Version {version.version} is tagged {key}={version.tags.get(key)}, and its model says "
                f"{predictor.facts.get(key)}: do not serve it."
            )
    arch = version.tags[names.ARCH]
    for name, net in nets.items():
        plan = design(arch, net.output_shape[-1], net.input_shape[-1], **settings.changes)
        if keras_nets.outline(net) != keras_nets.outline(keras_nets.build(plan)):
            raise InputError(
                f"Version {version.version} is tagged {names.ARCH}={arch}, and {name}.keras holds another "
                "network: do not serve it."
            )


def _with_nets(version: ModelVersion, nets: dict[str, Any], predictor: Predictor) -> FinishedCv:
    """The cross-validation of a version with the nets that the version holds, if they are its folds'."""
    finished = cross_validation.load_cv(finished_run(cross_validation.STEP, version.tags[names.CV_RUN]))
    check_tags(version, predictor, nets, cross_validation.load_settings(finished.record))
    folds = registration.registration(version).folds_digest
    for name, was, found in (
        ("dataset digest", version.tags[names.DATASET_DIGEST], finished.spectra.digest()),
        ("folds digest", folds, registration.folds_digest(finished.folds)),
    ):
        if found != was:
            raise InputError(
                f"Version {version.version} was registered with the {name} {was}, now it is {found}."
            )
    if not nets:
        raise InputError(f"Version {version.version} holds no .keras files.")
    of_folds = len(nets) == len(finished.folds)
    held = [nets[f"fold_{f.number}"] for f in finished.folds] if of_folds else [*nets.values()]
    crops = crop(finished.spectra)[:100]
    if predictor.net is None:
        raise InputError(f"Version {version.version} holds no nets: it was not made by `promote`.")
    apart = float(np.abs(from_keras(held).logits(crops) - predictor.net.logits(crops)).max())
    if apart > _LOGITS_TOLERANCE:
        raise InputError(
            f"The served net of version {version.version} and its .keras files differ by {apart:.2g} in "
            f"logits."
        )
    # A net that was trained anew on all spectra cannot be judged by them: its fold models are those of the
    # cross-validation.
    return replace(finished, models=held) if of_folds else finished


def param_of(step: str, finished: FinishedCv, name: str, **params: str) -> int:
    """A parameter of the newest `step` run that evaluated a cross-validation.

    Raises `InputError` if there is none.
    """
    for record in finished_runs(step, cv_run=finished.run.id):
        if record.data.params.items() >= params.items():
            return int(float(record.data.params[name]))
    raise InputError(
        f"Run {finished.run.id} has no finished {step} run any more, whose {name} is needed to recompute its "
        f"numbers."
    )


def recompute(
    run: tracking.Run,
    finished: FinishedCv,
    references: References,
    seed: int,
    strategy: str,
    answered: Answered,
) -> dict[str, float]:
    """Every number of a version from its nets, data and folds; curves and figures are logged to `run`.

    Raises
    ------
    InputError
        If the model, made again from them, answers other than the served one.
    """
    right = [_right(finished, place).mean() for place in range(len(finished.folds))]
    found = {names.CV_ACCURACY: float(np.mean(right))}
    found |= evaluations.log_shift([run], finished)
    found |= evaluations.log_noise([run], finished, param_of("noise_eval", finished, "kept_components"))
    found |= evaluations.log_references([run], finished.models, references)
    measured = promotion.measure(finished, seed, strategy)
    answered.hold(answer(measured.predictor, answered.spectra), f"Run {finished.run.id}, measured again,")
    return measured.metrics | found


def _right(finished: FinishedCv, place: int) -> Bools:
    fold = finished.folds[place]
    p = predict([finished.models[place]], crop(finished.spectra.select(fold.test)))[0]
    right: Bools = p.argmax(axis=1) == finished.spectra.valence[fold.test]
    return right


def compare(registered: Mapping[str, float], found: Mapping[str, float]) -> list[Check]:
    """The numbers that a version was registered with and that were found again."""
    return [Check(name, registered[name], value) for name, value in found.items() if name in registered]


def table(checks: list[Check]) -> pd.DataFrame:
    """A row for every number."""
    rows: list[dict[str, Any]] = [
        {"number": c.name, "registered": c.registered, "found": c.found, "holds": c.holds} for c in checks
    ]
    return pd.DataFrame(rows)


def promoted_by(version: ModelVersion) -> MlflowRun:
    """The run that registered a version."""
    try:
        record = tracking.connect().get_run(str(version.run_id))
    except MlflowException:
        record = None
    if record is None or not record.data.params.keys() >= {"seed", "strategy"}:
        raise InputError(
            f"Version {version.version} was not registered by `promote` (its run is unknown here): verify "
            "one that was."
        )
    return record


def changed_since(promoted: MlflowRun) -> str:
    """Whether code or environment changed since a promotion, in parentheses; empty if neither did."""
    now = provenance.tags()
    changed = [k for k in (names.CODE, names.ENVIRONMENT) if promoted.data.tags.get(k) != now[k]]
    return f" ({' and '.join(k.removeprefix('mnflow.') for k in changed)} changed since)" if changed else ""

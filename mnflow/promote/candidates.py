"""Which finished cross-validation is promoted, and how it compares with others on the same folds."""

from collections.abc import Sequence

import numpy as np
from mlflow.entities import Run as MlflowRun

from mnflow.errors import InputError
from mnflow.models.architectures import FULLY_CONVOLUTIONAL
from mnflow.promote.gate import MEASURED_BEFORE
from mnflow.track import names
from mnflow.track.cross_validation import STEP
from mnflow.track.query import finished_run, finished_runs, where

SELECTED_BY = (names.CV_ACCURACY, names.SHIFT_ACCURACY, names.NOISE_5X_ACCURACY)
"""Metrics whose mean ranks candidates: all on test spectra of the cross-validation, none on references."""

CV_TAGS = (*names.SETTING, names.DATASET_DIGEST, names.DATASET_URI)
"""Tags without which a run is no cross-validation of this project."""


def candidate(run: str) -> MlflowRun:
    """The cv_train run to promote: by its id, or the `best` fully convolutional one on the newest data.

    Raises `InputError` if there is none, or an evaluation is missing; the message names the step to run.
    """
    if run != "best":
        record = finished_run(STEP, run)
        if not _is_ours(record):
            raise InputError(
                f"Run {run} lacks the tags of a cross-validation of mnflow ({', '.join(CV_TAGS)}): name a "
                f"run that `mlflow run . -e {STEP}` has made."
            )
        _ask_for_evaluations([record])
        return record
    ours = [r for r in finished_runs(STEP) if _is_ours(r)] or [finished_run(STEP)]  # or say where none is
    digest = ours[0].data.tags.get(names.DATASET_DIGEST)
    records = [
        r for r in ours if r.data.tags.get(names.DATASET_DIGEST) == digest and is_fully_convolutional(r)
    ]
    if not records:
        raise InputError(
            f"No finished cv_train run of a fully convolutional net on the newest data {where()}: "
            f"`mlflow run . -e {STEP}` makes one."
        )
    return max(_ask_for_evaluations(records), key=score)


def is_fully_convolutional(record: MlflowRun) -> bool:
    """Whether a run's model may become champion."""
    return record.data.tags.get(names.ARCH) in FULLY_CONVOLUTIONAL


def score(record: MlflowRun) -> float:
    """What candidates are ranked by: the mean of `SELECTED_BY`."""
    return float(np.mean([record.data.metrics[k] for k in SELECTED_BY]))


def rivals(record: MlflowRun) -> list[MlflowRun]:
    """Other models with all evaluations on the same data and kind of folds, the best first.

    Cross-validations and baselines; of several runs with one setting only the newest.
    """
    tags = record.data.tags
    same = {names.DATASET_DIGEST: tags[names.DATASET_DIGEST], names.FOLDS: tags[names.FOLDS]}
    newest = {_setting(record): record}
    for run in (r for step in (STEP, "baseline") for r in finished_runs(step, **same) if _is_complete(r)):
        newest.setdefault(_setting(run), run)
    return sorted((r for r in newest.values() if r is not record), key=score, reverse=True)


def verdict(record: MlflowRun) -> str:
    """By how much a candidate is ahead of, or behind, its best rivals, in words; empty without any."""
    others = rivals(record)
    clauses = []
    for what, fully_convolutional in (("next fully convolutional", True), ("best of the others", False)):
        found = [r for r in others if is_fully_convolutional(r) == fully_convolutional]
        if found:
            clauses.append(f"{what}: {_beside(record, found[0])}")
    if not clauses:
        return ""
    return f"Mean of unshifted, shifted and noise x 5: {score(record):.4f}; {'; '.join(clauses)}."


def _beside(record: MlflowRun, rival: MlflowRun) -> str:
    theirs, ours = rival.data.metrics, record.data.metrics
    ahead = [name.replace(",", "") for key, name in names.COLUMNS.items() if theirs[key] > ours[key]]
    words = f" (ahead in {', '.join(ahead)})" if ahead else " (ahead in no column)"
    return f"{rival.info.run_name} {score(rival):.4f}, {score(record) - score(rival):+.4f}{words}"


def _setting(record: MlflowRun) -> tuple[str | None, ...]:
    return tuple(record.data.tags.get(k) for k in names.SETTING)


def _is_ours(record: MlflowRun) -> bool:
    """Whether a run is a cross-validation of this project, and no run of another that has our step's name."""
    return record.data.tags.keys() >= {*CV_TAGS, names.CODE}


def _is_share(value: float | None) -> bool:
    """Whether a metric is there and a share in [0, 1]; NaN is not."""
    return value is not None and 0 <= value <= 1


def _is_complete(record: MlflowRun) -> bool:
    return all(_is_share(record.data.metrics.get(k)) for k in names.COLUMNS)


def _ask_for_evaluations(records: Sequence[MlflowRun]) -> list[MlflowRun]:
    """The runs with all evaluations; without any, say which steps the newest lacks."""
    if complete := [r for r in records if _is_complete(r)]:
        return complete
    record = records[0]
    steps = dict.fromkeys(
        step for metric, step in MEASURED_BEFORE.items() if not _is_share(record.data.metrics.get(metric))
    )
    commands = " and ".join(f"`mlflow run . -e {step} -P run={record.info.run_id}`" for step in steps)
    raise InputError(
        f"Run {record.info.run_id} was not evaluated in full, and cannot be judged: first {commands}."
    )

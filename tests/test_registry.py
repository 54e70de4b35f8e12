"""Aliases move as they should, and go back; the best candidate is found."""

import contextlib

import pytest
from mlflow.exceptions import MlflowException

from mnflow import registry, tracking
from mnflow.errors import InputError
from mnflow.gate import MEASURED_BEFORE

pytestmark = pytest.mark.usefixtures("store")


def new_version() -> str:
    client = tracking.connect()
    with contextlib.suppress(MlflowException):  # it exists
        client.create_registered_model(registry.MODEL)
    return str(client.create_model_version(registry.MODEL, "file:///nowhere").version)


def versions() -> tuple[str | None, str | None]:
    found = [registry.aliased(alias) for alias in (registry.CHAMPION, registry.PREVIOUS)]
    return tuple(str(v.version) if v else None for v in found)  # type: ignore[return-value]


def test_no_champion_before_there_is_a_model() -> None:
    assert versions() == (None, None)
    with pytest.raises(InputError, match="no version `previous` to go back to"):
        registry.roll_back()


def test_promotion_keeps_the_previous_one_and_its_history() -> None:
    first, second = new_version(), new_version()
    assert registry.promote(first) is None
    assert registry.promote(second) == first
    assert versions() == (second, first)
    history = tracking.connect().get_model_version(registry.MODEL, first).tags["history"]
    assert history.startswith("promoted")
    assert f"by version {second}" in history


def test_promoting_the_champion_again_changes_nothing() -> None:
    first, second = new_version(), new_version()
    registry.promote(first)
    registry.promote(second)
    registry.promote(second)
    assert versions() == (second, first)


def test_roll_back_and_forth() -> None:
    first, second = new_version(), new_version()
    registry.promote(first)
    registry.promote(second)
    assert registry.roll_back() == (first, second)
    assert versions() == (first, second)
    assert registry.roll_back() == (second, first)


def cv_run(metrics: dict[str, float], **tags: str) -> str:
    known = {"dataset_digest": "d"} | tags
    with tracking.step({**tracking.tags_of("cv_train", "fcn", "10x", "stratified"), **known}, "cv", {}) as run:
        run.metrics(metrics)
    return run.id


COMPLETE = dict.fromkeys(MEASURED_BEFORE, 0.9)


def test_the_best_candidate_is_an_evaluated_fcn_on_the_newest_data() -> None:
    cv_run({**COMPLETE, "shift/integrated_accuracy": 1.0}, dataset_digest="older data")
    best = cv_run({**COMPLETE, "shift/integrated_accuracy": 0.95})
    cv_run(COMPLETE)
    cv_run({**COMPLETE, "cv/accuracy_mean": 1.0}, arch="dense")
    cv_run({"cv/accuracy_mean": 1.0})
    assert registry.candidate("best").info.run_id == best


def test_a_run_without_evaluations_says_what_to_run() -> None:
    run = cv_run({"cv/accuracy_mean": 1.0, "shift/integrated_accuracy": 1.0, "shift/worst_accuracy": 1.0})
    for asked in (run, "best"):
        with pytest.raises(
            InputError, match=f"first `mlflow run . -e noise_eval -P run={run}` and `mlflow run . -e reference_test"
        ):
            registry.candidate(asked)


def test_nothing_to_promote() -> None:
    with pytest.raises(InputError, match="No finished cv_train run was found"):
        registry.candidate("best")
    cv_run(COMPLETE, arch="dense")
    with pytest.raises(InputError, match="No finished cv_train run of a fully convolutional net on the newest data"):
        registry.candidate("best")
    with pytest.raises(InputError, match="No run 'abc'"):
        registry.candidate("abc")


def test_code_version_names_a_commit() -> None:
    assert len(registry.code_version().rstrip("+")) in (40, len("unknown"))

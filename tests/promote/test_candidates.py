"""The best candidate is found, and compared with the other models."""

import time

import pytest

from mnflow.errors import InputError
from mnflow.promote import candidates
from mnflow.track import names, tracking
from mnflow.track.query import finished_run, finished_runs

pytestmark = pytest.mark.usefixtures("store")

COMPLETE = dict.fromkeys(names.COLUMNS, 0.9)


def cv_run(metrics: dict[str, float], **tags: str) -> str:
    known = {"dataset_digest": "d", "dataset_uri": "made up", "noise_augmentation": "false"} | tags
    with tracking.step(
        {**tracking.tags_of("cv_train", "fcn", "10x", "stratified"), **known}, "cv", {}
    ) as run:
        run.metrics(metrics)
    return run.id


def test_a_deleted_run_is_not_promoted() -> None:
    run = cv_run(COMPLETE)
    other = cv_run({**COMPLETE, "cv/accuracy_mean": 0.8})
    tracking.connect().delete_run(run)
    with pytest.raises(InputError, match=f"Run {run} was deleted: restore it"):
        candidates.candidate(run)
    assert candidates.candidate("best").info.run_id == other


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 97.0, 1.001, -0.001])
def test_what_is_no_share_is_never_the_best(value: float) -> None:
    odd = cv_run({**COMPLETE, "shift/integrated_accuracy": value})
    good = cv_run(COMPLETE)
    last = cv_run({**COMPLETE, "noise/accuracy_at_5x": value})
    assert candidates.candidate("best").info.run_id == good
    for run, step in ((odd, "shift_eval"), (last, "noise_eval")):
        said = f"^Run {run} was not evaluated in full, and cannot be judged: first `mlflow run . -e {step} "
        with pytest.raises(InputError, match=rf"{said}-P run={run}`\.$"):
            candidates.candidate(run)


def test_shares_of_none_and_of_all_are_shares() -> None:
    run = cv_run({**COMPLETE, "shift/worst_accuracy": 0.0, "noise/accuracy_at_5x": 1.0})
    assert candidates.candidate("best").info.run_id == run


def test_a_run_of_another_project_is_never_the_best() -> None:
    ours = cv_run(COMPLETE)
    client = tracking.connect()
    experiment = client.get_run(ours).info.experiment_id
    for tags in ({"arch": "fcn", "dataset_digest": "d"}, {}):
        foreign = client.create_run(experiment, tags={"mnflow.step": "cv_train", **tags}).info.run_id
        for key in COMPLETE:
            client.log_metric(foreign, key, 1.0)
        client.set_terminated(foreign)
        assert candidates.candidate("best").info.run_id == ours
        with pytest.raises(InputError) as refused:
            candidates.candidate(foreign)
        assert str(refused.value) == (
            f"Run {foreign} lacks the tags of a cross-validation of mnflow ({', '.join(candidates.CV_TAGS)})"
            ": name a run that `mlflow run . -e cv_train` has made."
        )


def test_the_newest_is_the_one_that_began_last_though_the_clock_went_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = cv_run(COMPLETE, dataset_digest="older data")
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() - 86_400_000_000_000)
    monkeypatch.setattr(time, "time", lambda now=time.time: now() - 86_400)
    last = cv_run(COMPLETE)
    monkeypatch.undo()
    records = {r.info.run_id: r for r in finished_runs("cv_train")}
    assert records[last].info.start_time < records[first].info.start_time
    assert list(records) == [last, first]
    assert candidates.candidate("best").info.run_id == last


def test_the_best_candidate_is_an_evaluated_fcn_on_the_newest_data() -> None:
    cv_run({**COMPLETE, "shift/integrated_accuracy": 1.0}, dataset_digest="older data")
    best = cv_run({**COMPLETE, "shift/integrated_accuracy": 0.95})
    cv_run(COMPLETE)
    cv_run({**COMPLETE, "cv/accuracy_mean": 1.0}, arch="dense")
    cv_run({"cv/accuracy_mean": 1.0})
    failed = cv_run({**COMPLETE, "shift/integrated_accuracy": 1.0})
    tracking.connect().set_terminated(failed, "FAILED")
    assert candidates.candidate("best").info.run_id == best
    other = cv_run({**COMPLETE, "noise/accuracy_at_5x": 0.96, "shift/worst_accuracy": 0.1})
    assert candidates.candidate("best").info.run_id == other  # by the mean of three, and by nothing else
    assert candidates.candidate(best).info.run_id == best


def test_a_run_without_evaluations_says_what_to_run() -> None:
    run = cv_run({"cv/accuracy_mean": 1.0, "shift/integrated_accuracy": 1.0, "shift/worst_accuracy": 1.0})
    for asked in (run, "best"):
        with pytest.raises(
            InputError,
            match=f"first `mlflow run . -e noise_eval -P run={run}` and `mlflow run . -e reference_test",
        ):
            candidates.candidate(asked)


def test_nothing_to_promote() -> None:
    with pytest.raises(
        InputError, match="No finished cv_train run was found in the experiment test of sqlite:"
    ):
        candidates.candidate("best")
    cv_run(COMPLETE, arch="dense")
    said = (
        "^No finished cv_train run of a fully convolutional net on the newest data in the experiment test of "
    )
    with pytest.raises(InputError, match=said + r".*: `mlflow run . -e cv_train` makes one\.$"):
        candidates.candidate("best")
    with pytest.raises(InputError, match="No run 'abc'"):
        candidates.candidate("abc")


def test_a_verdict_names_the_best_of_both_kinds_and_where_they_are_ahead() -> None:
    cv_run({**COMPLETE, names.CV_ACCURACY: 0.99}, dataset_digest="older data", arch="conv_dense")
    best = finished_run("cv_train", cv_run({**COMPLETE, names.CV_ACCURACY: 0.96}, arch="fcn_wide"))
    cv_run(COMPLETE)
    cv_run({**COMPLETE, names.CV_ACCURACY: 0.3}, arch="dense")
    cv_run({**COMPLETE, names.NOISE_5X_ACCURACY: 0.93}, arch="conv_dense")
    cv_run({**COMPLETE, names.CV_ACCURACY: 1.0}, arch="conv_dense", folds="grouped")
    assert [r.data.tags["arch"] for r in candidates.rivals(best)] == ["conv_dense", "fcn", "dense"]
    assert candidates.verdict(best) == (
        "Mean of unshifted, shifted and noise x 5: 0.9200; next fully convolutional: cv 0.9000, +0.0200 "
        "(ahead in no column); best of the others: cv 0.9100, +0.0100 (ahead in noise x 5)."
    )


def test_a_verdict_counts_baselines_and_says_all_that_they_are_ahead_in() -> None:
    run = finished_run("cv_train", cv_run(COMPLETE))
    known = {"dataset_digest": "d", "dataset_uri": "made up", "noise_augmentation": "false"}
    better = {**COMPLETE, names.REFERENCE_ACCURACY: 1.0, names.REFERENCE_VOTE_ACCURACY: 0.95}
    with tracking.step(
        {**tracking.tags_of("baseline", "lda", "none", "stratified"), **known}, "lda", {}
    ) as other:
        other.metrics(better)
    cv_run({}, arch="dense")
    assert [r.info.run_id for r in candidates.rivals(run)] == [other.id]
    assert candidates.verdict(run) == (
        "Mean of unshifted, shifted and noise x 5: 0.9000; best of the others: lda 0.9000, +0.0000 (ahead in "
        "other labs mean, other labs vote)."
    )


def test_of_several_runs_with_one_setting_the_newest_counts() -> None:
    old = cv_run({**COMPLETE, names.CV_ACCURACY: 0.3})
    cv_run({**COMPLETE, names.CV_ACCURACY: 1.0}, arch="dense")
    new = cv_run({**COMPLETE, names.CV_ACCURACY: 0.4}, arch="dense")
    noisy = cv_run({**COMPLETE, names.CV_ACCURACY: 0.5}, arch="dense", noise_augmentation="true")
    asked = finished_run("cv_train", old)
    assert [r.info.run_id for r in candidates.rivals(asked)] == [noisy, new]


def test_a_verdict_without_rivals_is_empty() -> None:
    assert candidates.verdict(finished_run("cv_train", cv_run(COMPLETE))) == ""

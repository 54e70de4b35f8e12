"""A tune study in the tracking store: a nested run per trial, and the study's proposal."""

import json
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from mnflow.pipeline import tuning
from mnflow.track import names, tracking
from mnflow.track.query import children
from mnflow.train.settings import TrainSettings
from mnflow.tune import search
from tests.helpers.memory_store import MemoryStore
from tests.helpers.spectra import COARSE, spectra

DATA = spectra(12, edge=COARSE)
INNER: Any = ["fold 0", "fold 1", "fold 2"]
BASE = TrainSettings(arch="dense")


def score(k: int) -> search.FoldScore:
    curves = {"test/accuracy": np.array([0.5, 0.7 + 0.1 * k], np.float32)}
    return search.FoldScore(
        0.9, 0.8, 0.7 - 0.1 * k, np.array([-1, 1]), np.array([0.5, 0.6 + 0.2 * k]), curves
    )


class Trials:
    """In place of training: what was to be scored, and by how many folds it was."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.pruned, self.fits, self.scored = False, True, list[Any]()
        patch.setattr(search, "score_trial", self.score)
        patch.setattr(search, "fits", lambda settings, edge: self.fits and edge is COARSE)

    def score(self, trial: Any, data: Any, inner: Any, settings: TrainSettings, prune: bool) -> Any:
        self.scored.append((data is DATA, inner, settings.dropout, prune))
        attrs = {
            "score": 0.812345,
            "accuracy": 0.9,
            "shift_accuracy": 0.8,
            "noise_accuracy": 0.7,
            "n_weights": 650,
        }
        for name, value in attrs.items():
            trial.set_user_attr(name, value)
        return [score(k) for k in range(2 if self.pruned else 3)], self.pruned


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> Trials:
    return Trials(monkeypatch)


def optimise(memory: MemoryStore, mode: str = "score") -> tuple[optuna.Study, Any]:
    """A study of one trial, and its nested run."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    run = tracking.Run(memory.create_run("7").info.run_id)
    study = optuna.create_study(directions=search.MODES[mode], sampler=optuna.samplers.RandomSampler(0))
    tags = {**tracking.tags_of("tune", "dense"), "study": "small"}
    study.optimize(tuning.objective(run, tags, BASE, ("dropout",), DATA, INNER, mode), n_trials=1)
    (record,) = children(run.id)
    return study, record


@pytest.mark.parametrize("mode", ["score", "front"])
def test_a_trial_is_a_nested_run_with_its_scores(
    memory: MemoryStore, trials: Trials, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    study, record = optimise(memory, mode)
    (trial,) = study.trials
    assert trial.values == ([0.812345] if mode == "score" else [0.812345, 650])
    assert trials.scored == [(True, INNER, trial.params["dropout"], mode == "score")]
    assert trial.user_attrs["mlflow_run"] == record.info.run_id
    assert (record.info.run_name, record.info.status) == ("trial 0", "FINISHED")
    known = {"mnflow.step": "trial", "trial": "0", "study": "small", "trial_state": "complete"}
    assert record.data.tags.items() >= known.items()
    assert record.data.params == {"dropout": str(trial.params["dropout"])}
    own = tracking.Run(record.info.run_id)
    single = {
        "score": 0.812345,
        "accuracy": 0.9,
        "shift_accuracy": 0.8,
        "noise_accuracy": 0.7,
        "n_weights": 650,
    }
    for name, value in {**single, "folds": 3}.items():
        assert memory.curve(own, f"inner/{name}")[0] == value
    assert memory.curve(own, "inner/shift_curve") == pytest.approx({-1: 0.5, 1: 0.8})  # mean over the folds
    curve = memory.curve(own, "inner/accuracy")
    assert (curve[1], curve[2]) == pytest.approx((0.5, 0.8))
    said = "trial 0: complete, score 0.8123, 650 weights"
    assert record.data.tags[names.NOTE] == f"{said}."
    assert said in capsys.readouterr().err.splitlines()


def test_a_pruned_trial_says_after_how_many_folds(memory: MemoryStore, trials: Trials) -> None:
    trials.pruned = True
    study, record = optimise(memory)
    assert study.trials[0].state == TrialState.PRUNED
    assert (record.info.run_name, record.info.status) == ("trial 0 (pruned)", "FINISHED")
    assert record.data.tags["trial_state"] == "pruned"
    assert record.data.metrics["inner/folds"] == 2
    note = "trial 0: pruned after 2 of 3 folds, score 0.8123, 650 weights."
    assert record.data.tags[names.NOTE] == note


def test_a_net_that_does_not_fit_is_not_trained(memory: MemoryStore, trials: Trials) -> None:
    trials.fits = False
    study, record = optimise(memory)
    assert study.trials[0].state == TrialState.PRUNED
    assert (trials.scored, record.data.tags["trial_state"]) == ([], "pruned")
    note = "Pruned untrained: the spectrum is too short for these bins and kernels."
    assert record.data.tags[names.NOTE] == note
    assert record.info.status == "FINISHED"


def test_a_trial_whose_worker_died_is_closed(memory: MemoryStore) -> None:
    run = tracking.Run(memory.create_run("7").info.run_id)
    tuning.close_lost(create_trial(value=1.0))  # it had not begun
    tuning.close_lost(create_trial(value=1.0, user_attrs={"mlflow_run": run.id}))
    record = memory.get_run(run.id)
    assert record.info.status == "KILLED"
    assert record.data.tags == {
        "trial_state": "lost", "mnflow.error": "Its worker died; the trial was queued again.",
    }  # fmt: skip


def study_of(scores: list[float]) -> optuna.Study:
    """Complete trials with these scores, the second last pruned; the third has the net's own parameters."""
    study = optuna.create_study(study_name="small", direction="maximize")
    space = {"learning_rate": FloatDistribution(1e-3, 1.0), "dropout": FloatDistribution(0, 1)}
    for k, value in enumerate(scores):
        attrs: dict[str, Any] = {"score": value, "n_weights": 100 * (k + 1), "folds": 3}
        attrs |= dict.fromkeys(search.MEASURES, value)
        params = {"learning_rate": 0.01 * (k + 1), "dropout": 0.1 * k}
        state = TrialState.PRUNED if k == len(scores) - 2 else TrialState.COMPLETE
        study.add_trial(
            create_trial(
                value=value, params=params, distributions=space, user_attrs=attrs, state=state,
            )
        )  # fmt: skip
    return study


def test_a_study_is_logged_with_its_proposal(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shares = {"dropout": 0.75, "learning_rate": 0.25}
    monkeypatch.setattr(search, "importance", lambda study: shares)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    run = tracking.Run(memory.create_run("7").info.run_id)
    study = study_of([0.5, 0.9, 0.7, 0.2, 0.95, 0.6])
    own = {"learning_rate": 0.03, "dropout": 0.2}
    tuning.log_study(run, study, "dense", own)
    record = memory.get_run(run.id)
    assert record.data.metrics == {"tune/trials": 6.0, "tune/best_score": 0.9, "tune/weights": 200.0}
    assert record.data.tags[names.NOTE] == (
        "Trial 1 of 6 is proposed (1 pruned): score 0.9000 with 200 weights. Next: `mlflow run . -e cv_train "
        "-P study=small`."
    )
    best = study.trials[1].params
    assert capsys.readouterr().err == f"study small: trial 1 is proposed, {best}\n"
    assert json.loads(memory.text(run, "study/proposed.json")) == {"trial": 1, **best}
    table = memory.table(run, "tables/study_small.csv")
    assert table["trial"].tolist() == list(range(6))
    figures = [f for f in memory.files(run) if f.endswith("png")]
    assert figures == [f"figures/{name}.png" for name in ("front", "history", "importance", "slices")]
    front = memory.table(run, "figures/front.csv")
    (marked,) = front[front["series"].str.contains("dense itself")].to_dict("records")
    assert marked["series"] == "dense itself (trial 2): 300 weights, 0.7000"
    assert (float(marked["x"]), float(marked["y"])) == (300.0, 0.7)
    assert 500.0 not in front["x"].astype(float).tolist()  # it was pruned
    shares = {}
    other = tracking.Run(memory.create_run("7").info.run_id)
    tuning.log_study(other, study, "dense", {"learning_rate": 0.5, "dropout": 0.2})
    assert "figures/importance.png" not in memory.files(other)
    assert not memory.table(other, "figures/front.csv")["series"].str.contains("itself").any()

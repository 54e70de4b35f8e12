"""The search: what may vary, that only inner validation spectra are scored, what is pruned, and what is
proposed.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from entrypoints import tune as entry
from mnflow.errors import InputError
from mnflow.folds import split
from mnflow.models import jax_predict, keras_nets
from mnflow.models.architectures import count_weights
from mnflow.pipeline.cross_validation import run_name
from mnflow.spectra import MN
from mnflow.track import tracking
from mnflow.track.query import children
from mnflow.train import cross_validate
from mnflow.train.settings import TrainSettings
from mnflow.tune import search, study
from tests.helpers.spectra import spectra

FCN = TrainSettings("fcn", augmentation=1, epochs=2, noise_augmentation=False, degraded_copies=0)


def made_up_score(accuracy: float) -> search.FoldScore:
    bins = np.arange(-2, 3)
    return search.FoldScore(
        accuracy,
        accuracy,
        accuracy,
        bins,
        np.full(5, accuracy),
        {"train/loss": np.ones(2), "test/loss": np.ones(2)},
    )


def test_search_words_become_names_or_a_clear_error() -> None:
    assert search.parse_search("dropout, filters") == ("dropout", "filters")
    assert search.parse_search(" kernels ,, depth,") == ("kernels", "depth")
    some = "expected some of dropout, filters, learning_rate, kernels, depth, l3_bin."
    for words, wrong in (("dropout,width,XX", "width, XX"), (" , ", "nothing")):
        with pytest.raises(InputError) as error:
            search.parse_search(words)
        assert str(error.value) == f"Cannot search {wrong}: {some}"


def test_what_is_drawn_lies_around_the_net() -> None:
    study_ = optuna.create_study()
    trial = study_.ask()
    base = TrainSettings("fcn_wide", epochs=7)
    settings = search.suggest(trial, base, search.SEARCHABLE)
    numbers = {k: (d.low, d.high, d.step, d.log) for k, d in trial.distributions.items()}
    assert numbers == {
        "dropout": (0.0, 0.9, 0.05, False),
        "learning_rate": (1e-3, 1e-1, None, True),
        "depth": (1, 3, 1, False),
        "l3_bin": (2, 7, 1, False),
        **{f"filters_{i}": (1, 2 * n, 1, False) for i, n in ((1, 16), (2, 32), (3, 48))},
        **{f"kernel_{i}": (3, 7, 2, False) for i in (1, 2, 3)},
    }
    assert settings == replace(base, **search.train_settings_of(trial.params))
    assert settings.epochs == 7
    trial = study_.ask()
    search.suggest(trial, TrainSettings("fcn"), ("kernels", "depth", "l3_bin"))
    assert set(trial.params) == {"depth", *(f"kernel_{i}" for i in range(1, 6))}
    trial = study_.ask()
    assert search.suggest(trial, TrainSettings("dense"), ("depth", "filters", "kernels")) == TrainSettings(
        "dense"
    )
    assert trial.params == {}


def test_the_first_trial_has_the_nets_own_values() -> None:
    assert search.own_params(TrainSettings("fcn_wide", learning_rate=0.02), search.SEARCHABLE) == {
        "dropout": 0.2, "learning_rate": 0.02, "depth": 3, "l3_bin": 5, "filters_1": 16, "kernel_1": 5,
        "filters_2": 32, "kernel_2": 5, "filters_3": 48, "kernel_3": 5,
    }  # fmt: skip
    only = search.own_params(TrainSettings("fcn_wide"), ["kernels", "l3_bin"])
    assert only == {"l3_bin": 5, "kernel_1": 5, "kernel_2": 5, "kernel_3": 5}
    assert search.own_params(TrainSettings("dense"), ["dropout", "depth", "filters", "l3_bin"]) == {
        "dropout": 0.5
    }


def test_as_many_folds_are_scored_as_there_are() -> None:
    some = spectra(60)
    for n_used in (0, 4):
        with pytest.raises(InputError) as error:
            search.inner_folds(some, "stratified", 3, n_used, seed=0)
        assert str(error.value) == f"Expected to score 1 ... 3 of the 3 folds, got {n_used}."
    first, again, other = (search.inner_folds(some, "stratified", 3, 3, seed=seed) for seed in (0, 0, 1))
    assert len(first) == 3
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a.test, b.test)
        assert not np.array_equal(a.test, c.test)


def test_a_trial_keeps_means_over_its_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = [
        replace(made_up_score(0.6), shift_accuracy=0.9),
        replace(made_up_score(0.8), noise_accuracy=0.2),
    ]
    assert [s.score for s in scores] == pytest.approx([0.7, 0.6])
    left = iter(scores)
    monkeypatch.setattr(search, "score_fold", lambda *_: next(left))
    trial = optuna.create_study(direction="maximize").ask()
    found = search.score_trial(trial, spectra(6), [None, None], FCN, prune=False)  # type: ignore[list-item]
    assert found == (scores, False)
    assert trial.user_attrs == {
        "n_weights": 673, "folds": 2, "score": pytest.approx(0.65), "accuracy": pytest.approx(0.7),
        "shift_accuracy": pytest.approx(0.85), "noise_accuracy": pytest.approx(0.4),
    }  # fmt: skip
    assert trial.storage.get_trial(trial._trial_id).intermediate_values == {}


@pytest.mark.parametrize(
    ("arch", "n_weights"), [("fcn", 673), ("conv_dense", 1293), ("dense", 10915), ("fcn_wide", 10755)]
)
def test_the_first_trial_is_the_net_itself(arch: str, n_weights: int) -> None:
    base = TrainSettings(arch)
    params = search.own_params(base, search.SEARCHABLE)
    trial: Any = optuna.trial.FixedTrial(params)
    settings = search.suggest(trial, base, search.SEARCHABLE)
    assert count_weights(cross_validate.make_plan(settings, MN)) == n_weights
    assert set(search.own_params(base, ["dropout"])) == {"dropout"}


def test_parameters_become_settings() -> None:
    params = {
        "filters_2": 3,
        "filters_1": 1,
        "kernel_1": 9,
        "kernel_2": 5,
        "dropout": 0.5,
        "learning_rate": 0.01,
    }
    assert search.train_settings_of(params) == {
        "filters": (1, 3),
        "kernels": (9, 5),
        "dropout": 0.5,
        "learning_rate": 0.01,
    }


def test_depth_and_bins_become_a_net_that_is_evaluated_as_it_was_trained() -> None:
    params = search.own_params(TrainSettings("fcn_wide"), search.SEARCHABLE) | {"depth": 2, "l3_bin": 4}
    settings = TrainSettings("fcn_wide", **search.train_settings_of(params))
    plan = cross_validate.make_plan(settings, MN)
    assert (plan.shape.filters, plan.shape.l3_bin) == ((16, 32), 4)
    assert jax_predict.from_keras(keras_nets.build(plan)).plan.shape == replace(plan.shape, dropout=0.0)


def test_what_does_not_fit_the_spectrum_is_pruned_untrained(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "fits", lambda *_: False)
    path = spectra(60).save(store / "some.npz")
    given: Any = {"study": "s", "data": str(path), "n_folds": 3, "storage": f"sqlite:///{store}/s.db"}
    with pytest.raises(InputError, match="no complete trial"):
        entry.run(entry.Options(trials=1, **given))
    found = study.load_study("s", given["storage"])
    assert [t.state for t in found.trials] == [TrialState.PRUNED]
    long = TrainSettings("fcn_wide", kernels=(7, 7, 7))
    monkeypatch.undo()
    assert not search.fits(long, MN)
    assert search.fits(TrainSettings("fcn_wide", kernels=(7, 7, 7), l3_bin=3), MN)


@pytest.mark.parametrize("kind", ["stratified", "grouped"])
def test_no_outer_test_spectrum_is_trained_on_or_scored(kind: str) -> None:
    some = spectra(240)
    if kind == "grouped":
        some = type(some)(
            some.energy_ev, some.intensity, some.valence, [f"{i // 6} {i % 3}" for i in range(240)]
        )
    inner = search.inner_folds(some, kind, 4, 3, seed=1)
    outer = split(some, kind, 4, seed=1)  # as cv_train divides
    assert len(inner) == 3
    for ours, theirs in zip(inner, outer, strict=False):
        assert not set(theirs.test) & {*ours.train, *ours.test}
        assert not set(ours.train) & set(ours.test)


@pytest.mark.slow
def test_a_net_is_trained_and_scored_on_the_inner_fold() -> None:
    some = spectra(180)
    (inner,) = search.inner_folds(some, "stratified", 3, 1, seed=0)
    score = search.score_fold(
        some,
        inner,
        TrainSettings("fcn", augmentation=2, epochs=12, noise_augmentation=False, degraded_copies=0),
    )
    assert score.accuracy > 0.9
    assert score.score == pytest.approx((score.accuracy + score.shift_accuracy + score.noise_accuracy) / 3)
    assert len(score.shift_curve) == len(score.shift_bins) == 101
    again = search.score_fold(
        some,
        inner,
        TrainSettings("fcn", augmentation=2, epochs=12, noise_augmentation=False, degraded_copies=0),
    )
    assert again.score == score.score


def test_a_bad_trial_is_pruned_after_its_first_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    found = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=2))
    some = spectra(60)
    folds = search.inner_folds(some, "stratified", 3, 3, seed=0)
    for accuracy, pruned in ((0.9, False), (0.8, False), (0.5, True), (0.95, False)):
        monkeypatch.setattr(search, "score_fold", lambda *_, a=accuracy: made_up_score(a))
        trial = found.ask()
        scores, stopped = search.score_trial(trial, some, folds, FCN, prune=True)
        assert (len(scores), stopped) == ((1, True) if pruned else (3, False))
        assert trial.user_attrs["n_weights"] == 673
        found.tell(
            trial, None if stopped else accuracy, TrialState.PRUNED if stopped else TrialState.COMPLETE
        )


def test_front_and_knee() -> None:
    weights = [100, 200, 300, 250, 1000, 3000]
    score = [0.5, 0.9, 0.85, 0.95, 0.96, 0.96]
    front = search.front(weights, score)
    assert front == [0, 1, 3, 4]
    assert search.knee(np.take(weights, front), np.take(score, front)) == 2
    assert search.knee([1, 10, 100, 1000], [0.0, 0.3, 0.75, 1.0]) == 2  # over log(weights)
    assert search.knee([1, 10, 100, 1000], [0.5, 0.95, 0.98, 1.0]) == 1
    assert search.front([100, 100, 50], [0.5, 0.7, 0.7]) == [2]
    assert search.front([100, 100, 50], [0.5, 0.7, 0.6]) == [2, 1]
    assert search.knee([100], [0.5]) == 0
    assert search.knee([100, 200], [0.5, 0.6]) == 1


def made_up_study(folder: Path, mode: str) -> str:
    """A study with four complete trials and a pruned one; returns its storage."""
    url = f"sqlite:///{folder}/studies.db"
    found = study.open_study(
        "s", study.connect(url), search.MODES[mode], {"arch": "fcn"}, {"dropout": 0.8}, seed=0
    )
    distribution = {"dropout": optuna.distributions.FloatDistribution(0.0, 0.9)}
    for dropout, score, weights in ((0.1, 0.5, 100), (0.2, 0.95, 200), (0.3, 0.96, 900), (0.4, 0.94, 950)):
        attributes = dict.fromkeys(("score", *search.MEASURES), score) | {"n_weights": weights, "folds": 3}
        values: Any = [score] if mode == "score" else [score, weights]
        found.add_trial(
            create_trial(
                params={"dropout": dropout}, distributions=distribution, values=values, user_attrs=attributes
            )
        )
    return url


@pytest.mark.parametrize(("mode", "dropout"), [("score", 0.3), ("front", 0.2)])
def test_the_best_or_the_knee_is_proposed(mode: str, dropout: float, tmp_path: Path) -> None:
    url = made_up_study(tmp_path, mode)
    assert search.best_settings("s", url) == {"arch": "fcn", "dropout": dropout}
    rows = search.table(study.load_study("s", url))
    assert dict(zip(rows["n_weights"], rows["place"], strict=True)) == {
        100: "front",
        200: "knee",
        900: "best",
        950: "",
    }
    assert list(rows.columns) == [
        "trial", "state", "score", *search.MEASURES, "n_weights", "folds", "dropout", "place",
    ]  # fmt: skip
    assert rows["dropout"].tolist() == [0.1, 0.2, 0.3, 0.4]
    assert set(rows["state"]) == {"complete"}


def test_what_explains_the_score_is_said_from_five_trials_on() -> None:
    space = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("a", "b")}
    for alike in (False, True):
        found = optuna.create_study(direction="maximize")
        for n in range(8):
            params = {"a": n / 8, "b": n * 5 % 8 / 8}
            attributes = {"score": 0.5 if alike else params["a"] ** 2}
            found.add_trial(
                create_trial(params=params, distributions=space, value=0.0, user_attrs=attributes)
            )
            assert bool(search.importance(found)) == (n >= 4 and not alike)
        if not alike:
            shares = search.importance(found)
            assert shares == search.importance(found)
            assert shares["a"] > 0.7
            assert sum(shares.values()) == pytest.approx(1)


def test_a_study_without_complete_trials_proposes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    study.open_study("s", study.connect(url), ["maximize"], {"arch": "fcn"}, {"dropout": 0.8}, seed=0)
    found = study.load_study("s", url)
    assert search.table(found).empty
    for state in (None, TrialState.PRUNED):
        if state:
            attributes = dict.fromkeys(("score", *search.MEASURES), 0.5) | {"n_weights": 9, "folds": 1}
            found.add_trial(create_trial(state=state, user_attrs=attributes))
            assert search.table(found)["place"].tolist() == [""]
        with pytest.raises(InputError) as error:
            search.best_settings("s", url)
        assert str(error.value) == "The study 's' has no complete trial yet: run `tune` with this name again."


@pytest.mark.parametrize(("mode", "first", "second"), [("score", 5, 6), ("front", 2, 3)])
def test_the_entry_point_logs_trials_nested_and_resumes(
    store: Path, mode: str, first: int, second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        search, "score_fold", lambda data, fold, settings: made_up_score(1 - settings.dropout / 2)
    )
    path = spectra(60).save(store / "some.npz")
    given: Any = {"study": "s", "mode": mode, "search": "dropout,filters", "data": str(path), "n_folds": 3}
    monkeypatch.setenv(study.STORAGE_VARIABLE, f"sqlite:///{store}/s.db")
    entry.run(entry.Options(trials=first, **given))
    (trial,) = children(run_id := entry.run(entry.Options(trials=second, **given)))
    assert trial.data.tags["trial_state"] == "complete"
    assert {"inner/score", "inner/n_weights", "inner/shift_curve", "inner/loss", "train/loss"} <= set(
        trial.data.metrics
    )
    assert {"dropout", "filters_1"} <= set(trial.data.params)
    assert tracking.connect().get_run(run_id).data.metrics["tune/trials"] == second
    logged = {a.path for a in tracking.connect().list_artifacts(run_id, "figures")}
    assert {f"figures/{n}.png" for n in ("history", "slices", "front")} <= logged
    assert ("figures/importance.png" in logged) == (second >= 5)
    tags = {**tracking.tags_of("cv_train", "fcn", "10x", "stratified"), "study": "s"}
    assert run_name(tags, True) == "study s 10x + noise stratified"
    assert search.best_settings("s")["arch"] == "fcn"


def test_a_study_of_other_terms_fails_the_run_with_a_clear_error(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "score_fold", lambda *_: made_up_score(0.9))
    path = spectra(60).save(store / "some.npz")
    given = {"study": "s", "n_folds": 3, "trials": 1, "data": str(path), "storage": f"sqlite:///{store}/s.db"}
    entry.run(entry.Options(**given))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="epochs=10 there, 5 here"):
        entry.run(entry.Options(epochs=5, **given))  # type: ignore[arg-type]

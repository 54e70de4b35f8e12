"""A study is resumed by name, shared by workers, and loses no trial when one of them dies."""

import logging
import os
import signal
import socket
import sys
from collections import Counter
from contextlib import ExitStack
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import Trial, TrialState

from mnflow.errors import InputError
from mnflow.runtime.project import ROOT
from mnflow.tune import study
from tests.helpers.services import postgres, process, wait_until

pytestmark = pytest.mark.slow

TERMS = {"arch": "fcn", "epochs": 3}


def opened(folder: Path, name: str = "s", terms: dict[str, Any] = TERMS) -> optuna.Study:
    return study.open_study(
        name, study.connect(f"sqlite:///{folder}/studies.db"), ["maximize"], terms, {"x": 0.5}, seed=0
    )


def parabola(trial: Trial) -> float:
    return -((trial.suggest_float("x", 0, 1) - 0.3) ** 2)


def test_a_study_starts_with_the_given_trial_and_is_resumed_by_name(tmp_path: Path) -> None:
    study.run_trials(opened(tmp_path), parabola, 3)
    again = opened(tmp_path)
    study.run_trials(again, parabola, 5)
    assert [t.number for t in study.settled(again)] == [0, 1, 2, 3, 4]
    assert again.trials[0].params == {"x": 0.5}
    assert len({t.params["x"] for t in again.trials}) == 5
    study.run_trials(again, parabola, 5)  # has enough
    assert len(again.trials) == 5
    assert study.terms_of(study.load_study("s", f"sqlite:///{tmp_path}/studies.db")) == TERMS


def test_one_worker_draws_the_same_trials_from_the_same_seed(tmp_path: Path) -> None:
    drawn = []
    for name in ("a", "b"):
        found = opened(tmp_path, name)
        study.run_trials(found, parabola, 4)
        drawn.append([t.params["x"] for t in found.trials])
    assert drawn[0] == drawn[1]


def test_a_search_that_was_stopped_draws_what_it_would_have_drawn(tmp_path: Path) -> None:
    whole = opened(tmp_path, "whole")
    study.run_trials(whole, parabola, 14)
    wanted = [t.params for t in study.settled(whole)]

    def dying(trial: Trial) -> float:
        parabola(trial)
        raise KeyboardInterrupt

    for n_ended in (0, 1, 3, 12):  # queued, at random (the first ten), by TPE
        study.run_trials(opened(tmp_path, "stopped"), parabola, n_ended)
        with pytest.raises(KeyboardInterrupt):
            study.run_trials(opened(tmp_path, "stopped"), dying, 14)
        # kill -9: its trial is left running
        killed = optuna.load_study(study_name="stopped", storage=f"sqlite:///{tmp_path}/studies.db")
        killed.sampler = study._steady_sampler(killed)
        trial = killed.ask()
        trial.suggest_float("x", 0, 1)
        trial.set_user_attr("worker", f"{socket.gethostname()} 1 0")
    found = opened(tmp_path, "stopped")
    study.run_trials(found, parabola, 14)
    assert [t.params for t in study.settled(found)] == wanted
    assert not found.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))


def test_a_trial_that_stops_its_worker_again_and_again_is_passed_over(tmp_path: Path) -> None:
    study.run_trials(opened(tmp_path), parabola, 2)
    drawn = []

    def deadly(trial: Trial) -> float:
        drawn.append(trial.suggest_float("x", 0, 1))
        raise KeyboardInterrupt

    for _ in range(study.RETRIES + 2):
        with pytest.raises(KeyboardInterrupt):
            study.run_trials(opened(tmp_path), deadly, 3)
    assert len(set(drawn[:-1])) == 1
    assert drawn[-1] != drawn[0]


def test_an_interrupted_trial_prints_no_traceback(tmp_path: Path) -> None:
    printed = StringIO()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    handler = logging.StreamHandler(printed)
    logging.getLogger("optuna").addHandler(handler)

    def stopped(trial: Trial) -> float:
        raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            study.run_trials(opened(tmp_path), stopped, 1)
    finally:
        logging.getLogger("optuna").removeHandler(handler)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert "Traceback" not in printed.getvalue()


def test_a_trial_whose_worker_died_before_it_named_itself_is_not_left_running(tmp_path: Path) -> None:
    found = opened(tmp_path)
    study.run_trials(found, parabola, 2)
    for seconds in (61, 50):  # a minute is what others have for a sign of life
        nameless = optuna.trial.create_trial(state=TrialState.RUNNING)
        nameless.datetime_start = datetime.now() - timedelta(seconds=seconds)
        found.add_trial(nameless)
    assert study.wait_for_room(found, 4)
    assert [t.state.name for t in found.trials] == ["COMPLETE", "COMPLETE", "FAIL", "RUNNING"]


def test_a_trial_of_a_dead_worker_is_told_of_and_queued_again(tmp_path: Path) -> None:
    lost: list[int] = []
    storage = study.connect(f"sqlite:///{tmp_path}/s.db", on_lost=lambda trial: lost.append(trial.number))
    found = study.open_study("s", storage, ["maximize"], TERMS, {"x": 0.25}, seed=0)
    trial = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/s.db").ask()
    assert trial.suggest_float("x", 0, 1) == 0.25
    trial.set_user_attr("worker", f"{socket.gethostname()} 1 0")
    study.run_trials(found, parabola, 1)
    assert lost == [0]
    assert [(t.state.name, t.params) for t in found.trials] == [
        ("FAIL", {"x": 0.25}), ("COMPLETE", {"x": 0.25}),
    ]  # fmt: skip


def test_a_worker_waits_for_the_last_trial_of_another_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, clock = opened(tmp_path), [0.0]
    elsewhere = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/studies.db")
    others = elsewhere.ask()
    others.set_user_attr("worker", study.this_process())
    monkeypatch.setattr(study.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(study.time, "sleep", lambda seconds: clock.append(clock.pop() + 100 * seconds))
    assert study.wait_for_room(found, 2)  # for two of them there is room at once
    assert clock == [0]
    assert study.wait_for_room(found, 1)
    assert clock == [800]  # after more than ten minutes, in steps of 100 times two seconds
    monkeypatch.setattr(study.time, "sleep", lambda seconds: elsewhere.tell(others, 1.0))
    assert not study.wait_for_room(found, 1)


def test_a_study_that_was_stopped_before_its_first_trial_gets_it(tmp_path: Path) -> None:
    storage = study.connect(f"sqlite:///{tmp_path}/studies.db")
    optuna.create_study(study_name="s", storage=storage, direction="maximize")
    for _ in range(2):
        found = opened(tmp_path)
        assert study.terms_of(found) == TERMS
        assert [t.system_attrs["fixed_params"] for t in found.trials] == [{"x": 0.5}]
    assert isinstance(found.pruner, optuna.pruners.MedianPruner)


def test_nothing_is_pruned_before_eight_trials_are_complete(tmp_path: Path) -> None:
    found = optuna.create_study(pruner=opened(tmp_path).pruner, direction="maximize")
    for n in range(9):
        trial = found.ask()
        trial.report(-1.0 if n in (7, 8) else 1.0, 0)
        assert trial.should_prune() == (n == 8)
        found.tell(trial, 1.0)


def test_other_terms_are_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(InputError) as error:
        opened(tmp_path, terms={"epochs": 4, "seed": 1})
    assert str(error.value) == (
        "The study 's' exists with other terms (arch=fcn there, None here; epochs=3 there, 4 here; seed=None "
        "there, 1 here): use its own to resume it, or give another study name."
    )
    assert study.terms_of(opened(tmp_path)) == TERMS


def test_a_study_made_elsewhere_has_no_terms() -> None:
    assert study.terms_of(optuna.create_study()) == {}


def test_an_unknown_study_gives_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    for there in ("none", "s, t"):
        with pytest.raises(InputError) as error:
            study.load_study("other", f"sqlite:///{tmp_path}/studies.db")
        makes = "`mlflow run . -e tune` makes one."
        assert str(error.value) == f"There is no study 'other', only {there}: {makes}"
        opened(tmp_path, "s")
        opened(tmp_path, "t")


@pytest.mark.parametrize(
    ("storage", "sentence"),
    [
        (
            "somewhere",
            "'somewhere' is no database's address: expected sqlite:///FILE or postgresql://HOST/NAME.",
        ),
        ("mysql://host/db", "Studies are kept in sqlite or postgresql, not in mysql: give such an address."),
        (
            "postgresql://me:secret@host/db",
            "The storage's address holds a password, and parameters are logged: put the address into "
            "MNFLOW_STUDY_STORAGE, or the password into PGPASSWORD or ~/.pgpass.",
        ),
    ],
)
def test_a_wrong_storage_gives_a_clear_error(storage: str, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        study.storage_url(storage)
    assert str(error.value) == sentence
    for address in ("sqlite:///a.db", "postgresql://me@host/db"):
        assert study.storage_url(address) == address


def test_a_storage_that_does_not_answer_gives_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(study.time, "sleep", waited.append)
    with pytest.raises(InputError) as error:
        study.connect(f"sqlite:///{tmp_path}/no/such/folder.db")
    assert str(error.value) == (
        f"The studies' storage sqlite:///{tmp_path}/no/such/folder.db cannot be opened ((sqlite3."
        "OperationalError) unable to open database file): start the database, or correct the address."
    )
    assert sum(waited) == 7.5  # seconds, for others that make its tables


def test_a_worker_lives_that_gave_a_sign_of_it_within_a_minute(tmp_path: Path) -> None:
    storage = study.connect(f"sqlite:///{tmp_path}/s.db")
    assert (storage.get_heartbeat_interval(), storage.grace_period) == (30, 60)
    storage = study.connect(f"sqlite:///{tmp_path}/s.db", heartbeat_seconds=5)
    assert (storage.get_heartbeat_interval(), storage.grace_period) == (5, 10)


def test_the_storage_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(study.STORAGE_VARIABLE, "postgresql://me:secret@host/db")
    assert study.storage_url() == "postgresql://me:secret@host/db"
    monkeypatch.delenv(study.STORAGE_VARIABLE)
    assert study.storage_url() == f"sqlite:///{ROOT / 'studies.db'}"


def test_a_failed_trial_is_kept_and_the_search_goes_on(tmp_path: Path) -> None:
    def objective(trial: Trial) -> float:
        if trial.number == 1:
            raise FloatingPointError("no number")
        return parabola(trial)

    found = opened(tmp_path)
    study.run_trials(found, objective, 3)
    assert [t.state.name for t in found.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert found.trials[1].user_attrs["error"] == "FloatingPointError: no number"
    assert all(t.user_attrs["worker"] == study.this_process() for t in found.trials)


def test_three_failures_in_a_row_end_the_search(tmp_path: Path) -> None:
    def objective(trial: Trial) -> float:
        if trial.number == 2:
            return parabola(trial)
        raise InputError("This never works." + 2000 * ".")

    with pytest.raises(
        RuntimeError, match="3 trials failed one after the other, the last with: This never works"
    ):
        study.run_trials(found := opened(tmp_path), objective, 10)
    assert [t.state.name for t in found.trials] == ["FAIL", "FAIL", "COMPLETE", "FAIL", "FAIL", "FAIL"]
    assert len(found.trials[0].user_attrs["error"]) == 1000


def test_an_interrupted_trial_is_queued_again(tmp_path: Path) -> None:
    def objective(trial: Trial) -> float:
        value = parabola(trial)
        if trial.number == 1:
            raise KeyboardInterrupt
        return value

    found = opened(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        study.run_trials(found, objective, 3)
    study.run_trials(found, parabola, 3)
    assert [t.state.name for t in found.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert found.trials[2].params == found.trials[1].params


@pytest.mark.parametrize("notices", [True, False], ids=["in the trial", "at its end"])
def test_a_worker_whose_trial_was_taken_for_lost_goes_on_with_another(tmp_path: Path, notices: bool) -> None:
    def objective(trial: Trial) -> float:
        value = parabola(trial)
        if trial.number == 1:  # as a worker does that waited in vain for a sign of life
            storage = study.connect(f"sqlite:///{tmp_path}/studies.db")
            storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            study._queue_again(found, found.trials[1])
            if notices:
                trial.set_user_attr("folds", 1)
        return value

    found = opened(tmp_path)
    study.run_trials(found, objective, 3)
    assert [t.state.name for t in found.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert found.trials[2].params == found.trials[1].params


WORKER = """
import os, sys, time
from mnflow.tune import study

def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.set_user_attr("pid", os.getpid())
    trial.report(x, 0)
    if sys.argv[1] == "hang" and trial.number >= 4:
        time.sleep(600)  # killed in here
    time.sleep(0.2)
    return x

lost = lambda t: print("lost", t.number, flush=True)
storage = study.connect(study.storage_url(), heartbeat_seconds=1, on_lost=lost)
found = study.open_study("shared", storage, ["maximize"], {"arch": "fcn"}, {"x": 0.5}, seed=0)
study.run_trials(found, objective, 12)
"""


def test_two_workers_on_postgresql_and_one_is_killed_in_mid_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    with postgres() as server, ExitStack() as workers:
        server.create_database("studies")
        for name, value in {
            **server.environment,
            "PYTHONPATH": str(ROOT),
            study.STORAGE_VARIABLE: "postgresql:///studies",
        }.items():
            monkeypatch.setenv(name, value)
        # Both start on the empty database together.
        victim, survivor = (
            workers.enter_context(process([sys.executable, "-c", WORKER, word], {}, log))
            for word in ("hang", "work")
        )
        wait_until(lambda: _running(victim.pid), 120, "the victim's trial", log)
        os.kill(victim.pid, signal.SIGKILL)
        assert survivor.wait(120) == 0, log.read_text()
        trials = study.load_study("shared").trials
    assert Counter(t.state.name for t in trials) == {"COMPLETE": 12, "FAIL": 1}
    (lost,) = (t for t in trials if t.state == TrialState.FAIL)
    assert lost.user_attrs["pid"] == victim.pid
    assert f"lost {lost.number}" in log.read_text()
    complete = [t.params["x"] for t in trials if t.state == TrialState.COMPLETE]
    assert complete.count(lost.params["x"]) == 1  # not lost
    assert len(set(complete)) == 12  # nor any double
    assert survivor.pid in {t.user_attrs["pid"] for t in trials if t.state == TrialState.COMPLETE}


def _running(pid: int) -> bool:
    """Whether the worker is in the trial that hangs."""
    try:
        trials = study.load_study("shared").trials
    except InputError:
        return False
    return any(
        t.number >= 4 and t.state == TrialState.RUNNING and t.user_attrs.get("pid") == pid for t in trials
    )

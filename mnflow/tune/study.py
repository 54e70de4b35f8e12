"""A shared, resumable study: its storage, its workers, and recovery of a dead worker's trials.

Nothing here depends on networks: `mnflow.tune.search` defines a trial. Optuna keeps the study in SQLite (one
worker) or in PostgreSQL (several processes, containers or machines).
"""

import os
import secrets
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Literal

import numpy as np
import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from mnflow.errors import InputError
from mnflow.runtime.process import is_gone, this_process
from mnflow.runtime.project import ROOT

STORAGE_VARIABLE = "MNFLOW_STUDY_STORAGE"
"""Environment variable with the storage's address, for addresses that hold a password."""

HEARTBEAT_SECONDS = 30
"""Interval of a worker's heartbeats; after twice as long without one its trial goes to another worker."""

RETRIES = 3
"""How often a trial is tried again whose worker died."""

Direction = Literal["maximize", "minimize"]

_TERMS = "terms"
_SEED = "seed"  # of a study that is one worker's alone
_WORKER = "worker"
_UNPRUNED = 8  # trials that run to their end before others are measured by them
_FAILURES_IN_A_ROW = 3

optuna.logging.set_verbosity(optuna.logging.WARNING)


def storage_url(storage: str = "default") -> str:
    """The storage's URL: `storage`, or by default MNFLOW_STUDY_STORAGE, or studies.db in the project.

    Raises
    ------
    InputError
        For an address that is none, is of another database, or holds a password (parameters are logged).
    """
    if storage == "default":
        return os.environ.get(STORAGE_VARIABLE) or f"sqlite:///{ROOT / 'studies.db'}"
    try:
        url = make_url(storage)
    except ArgumentError:
        raise InputError(
            f"{storage!r} is no database's address: expected sqlite:///FILE or postgresql://HOST/NAME."
        ) from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise InputError(
            f"Studies are kept in sqlite or postgresql, not in {url.get_backend_name()}: give such an "
            f"address."
        )
    if url.password:
        raise InputError(
            "The storage's address holds a password, and parameters are logged: put the address into "
            f"{STORAGE_VARIABLE}, or the password into PGPASSWORD or ~/.pgpass."
        )
    return storage


def connect(
    url: str, heartbeat_seconds: int = HEARTBEAT_SECONDS, on_lost: Callable[[FrozenTrial], None] | None = None
) -> RDBStorage:
    """Open the storage, and make its tables if it is new.

    Parameters
    ----------
    url : str
        See `storage_url`.
    heartbeat_seconds : int
        See `HEARTBEAT_SECONDS`.
    on_lost : callable, optional
        Called with a trial whose worker died, before the trial is queued again.

    Raises
    ------
    InputError
        If the database cannot be opened.
    """
    # No connection is kept: a trial takes far longer than to connect, and a restarted database does no harm.
    arguments: dict[str, Any] = {"poolclass": NullPool}
    if url.startswith("sqlite"):
        arguments["connect_args"] = {"timeout": 60}

    def lost(study: optuna.Study, trial: FrozenTrial) -> None:
        if on_lost:
            on_lost(trial)
        _queue_again(study, trial)

    # Workers that start together on an empty database get into each other's way: all but one of them try
    # again.
    for wait_seconds in (0.5, 1.0, 2.0, 4.0, 0.0):
        try:
            return _open(url, arguments, heartbeat_seconds, lost)
        except (SQLAlchemyError, ImportError) as error:
            reason = str(error).strip().splitlines()[0]
            time.sleep(wait_seconds)
    shown = make_url(url).render_as_string(hide_password=True)
    raise InputError(
        f"The studies' storage {shown} cannot be opened ({reason}): start the database, or correct the "
        f"address."
    )


def _open(
    url: str, arguments: dict[str, Any], heartbeat_seconds: int, lost: Callable[..., None]
) -> RDBStorage:
    with _quiet():
        return RDBStorage(
            url,
            engine_kwargs=arguments,
            heartbeat_interval=heartbeat_seconds,
            grace_period=2 * heartbeat_seconds,
            heartbeat_stale_trial_callback=lost,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Heartbeat and retry are experimental in Optuna 5; the version is pinned and a test kills a worker."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def _queue_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue the parameters of a trial that did not end once more.

    What a worker alone had drawn itself it draws again (see `_steady_sampler`); only what was queued must be
    queued anew.
    """
    if _SEED not in study.user_attrs:
        with _quiet():
            RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)(study, trial)
    elif "fixed_params" in trial.system_attrs:
        study.enqueue_trial(trial.system_attrs["fixed_params"])


def open_study(
    name: str,
    storage: RDBStorage,
    directions: Sequence[Direction],
    terms: Mapping[str, Any],
    first: Mapping[str, Any],
    seed: int,
) -> optuna.Study:
    """Make the study `name`, or join it.

    Parameters
    ----------
    name : str
        A study of this name is resumed.
    storage : RDBStorage
        See `connect`.
    directions : sequence of `maximize` or `minimize`
        One for every objective.
    terms : mapping
        What all trials must share to be comparable; kept with the study.
    first : mapping
        Parameters of a new study's first trial.
    seed : int
        One worker alone draws the same trials from the same seed; workers that share a database draw their
        own.

    Raises
    ------
    InputError
        If the study exists with other terms.
    """
    try:
        study = optuna.create_study(study_name=name, storage=storage, directions=list(directions))
        new = True
    except DuplicatedStudyError:
        study = optuna.load_study(study_name=name, storage=storage)
        _check_terms(study, terms)
        new = False
    alone = storage.url.startswith("sqlite")
    if new or (alone and _TERMS not in study.user_attrs):  # stopped before it had its first trial
        if not study.trials:
            study.enqueue_trial(dict(first))
        study.set_user_attr(_TERMS, dict(terms))
    if alone:
        study.set_user_attr(_SEED, seed)
    else:
        study.sampler = _sampler(seed, secrets.randbits(32))
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED)
    return study


def _sampler(*entropy: int) -> optuna.samplers.TPESampler:
    with _quiet():
        return optuna.samplers.TPESampler(
            seed=int(np.random.SeedSequence(entropy).generate_state(1)[0]), multivariate=True
        )


def _steady_sampler(study: optuna.Study) -> optuna.samplers.TPESampler:
    """The sampler of a lone worker's next trial, seeded by the number of ended trials.

    So a resumed search draws what it would have drawn. A trial that stopped it more than `RETRIES` times is
    skipped.
    """
    n_ended = n_lost = 0
    for trial in study.get_trials(deepcopy=False):
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or "error" in trial.user_attrs:
            n_ended, n_lost = n_ended + 1, 0
        elif trial.state == TrialState.FAIL:
            n_lost += 1
    return _sampler(study.user_attrs[_SEED], n_ended, n_lost // (RETRIES + 1))


def _check_terms(study: optuna.Study, terms: Mapping[str, Any]) -> None:
    known: dict[str, Any] = study.user_attrs.get(_TERMS, {})
    names = sorted(k for k in {*known, *terms} if known.get(k) != terms.get(k))
    differing = [f"{k}={known.get(k)} there, {terms.get(k)} here" for k in names]
    if known and differing:
        raise InputError(
            f"The study {study.study_name!r} exists with other terms ({'; '.join(differing)}): "
            "use its own to resume it, or give another study name."
        )


def load_study(name: str, storage: str = "default") -> optuna.Study:
    """An existing study; raises `InputError` with the names there are if there is none of that name."""
    opened = connect(storage_url(storage))
    names = optuna.get_all_study_names(opened)
    if name not in names:
        raise InputError(
            f"There is no study {name!r}, only {', '.join(names) or 'none'}: `mlflow run . -e tune` makes "
            f"one."
        )
    return optuna.load_study(study_name=name, storage=opened)


def terms_of(study: optuna.Study) -> dict[str, Any]:
    """What all trials of the study share."""
    return dict(study.user_attrs.get(_TERMS, {}))


def settled(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that are complete or pruned, in their order."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def run_trials(study: optuna.Study, objective: Callable[[Trial], Any], n_trials: int) -> None:
    """Run trials until the study, with those of all workers, has `n_trials` that are complete or pruned.

    A failed trial is kept as failed and the search goes on; three in a row end it. When the last trials run
    elsewhere, this worker waits for them and takes over what a dead worker leaves. A trial that is
    interrupted is queued again. One that others took for lost, since this worker was too slow to say that it
    lives, is theirs and counts as failed here.
    """
    failed = 0
    while wait_for_room(study, n_trials):
        errors: list[Exception] = []
        if _SEED in study.user_attrs:
            study.sampler = _steady_sampler(study)
        try:
            study.optimize(_noting(objective, study, errors), n_trials=1, catch=(Exception,))
        except (
            UpdateFinishedTrialError,
            ValueError,
            AssertionError,
        ) as error:  # raised by Optuna if the trial has ended already
            errors.append(error)
        failed = failed + 1 if errors else 0
        if failed == _FAILURES_IN_A_ROW:
            raise RuntimeError(
                f"{failed} trials failed one after the other, the last with: {errors[-1]}"
            ) from errors[-1]


def _noting(
    objective: Callable[[Trial], Any], study: optuna.Study, errors: list[Exception]
) -> Callable[[Trial], Any]:
    """`objective`, with errors recorded on the trial and in `errors`; an interrupted trial is requeued."""

    def noted(trial: Trial) -> Any:
        try:
            trial.set_user_attr(_WORKER, this_process())
            return objective(trial)
        except optuna.TrialPruned:
            raise
        except Exception as error:
            errors.append(error)
            with suppress(UpdateFinishedTrialError):
                trial.set_user_attr("error", f"{type(error).__name__}: {error}"[:1000])
            raise
        except KeyboardInterrupt:
            _queue_again(study, study.trials[trial.number])
            optuna.logging.set_verbosity(optuna.logging.ERROR)  # else it prints where the trial was
            raise

    return noted


def wait_for_room(
    study: optuna.Study, n_trials: int, poll_seconds: float = 2.0, patience_seconds: float = 600.0
) -> bool:
    """Whether another trial is wanted; waits while those that run elsewhere could be the last.

    A worker that died before its first heartbeat looks like a slow one, so the wait ends after
    `patience_seconds`.
    """
    deadline = time.monotonic() + patience_seconds
    while (n_settled := len(settled(study))) < n_trials:
        with _quiet():
            optuna.storages.fail_stale_trials(study)
        _fail_lost_trials(study)
        running = len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
        if n_settled + running < n_trials or time.monotonic() > deadline:
            return True
        time.sleep(poll_seconds)
    return False


def _fail_lost_trials(study: optuna.Study) -> None:
    """Fail the trials of this machine's dead workers at once, a minute before their heartbeats would.

    A worker names itself at a trial's begin. One that died even before has no heartbeat that could stop, and
    is given the same time as the others.
    """
    storage: Any = study._storage
    grace_seconds = 2 * storage.get_heartbeat_interval()
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if is_gone(trial.user_attrs.get(_WORKER, "")) or _is_nameless(trial, grace_seconds):
            with suppress(UpdateFinishedTrialError):  # another worker was quicker
                storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
                storage.get_heartbeat_stale_trial_callback()(study, study.trials[trial.number])


def _is_nameless(trial: FrozenTrial, seconds: float) -> bool:
    """Whether a trial began longer ago than that, and still has no worker."""
    began = trial.datetime_start
    return _WORKER not in trial.user_attrs and bool(
        began and (datetime.now() - began).total_seconds() > seconds
    )

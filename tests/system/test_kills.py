"""Every entry point is killed at random moments; started again, it ends with undisturbed numbers and files.

MNFLOW_KILLS is the number of kills per step (`make kills KILLS=10`), MNFLOW_KILL_SEED draws other moments.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from mnflow.promote import registration, registry
from mnflow.promote.registration import MODEL
from mnflow.runtime.project import ROOT
from mnflow.track import names
from mnflow.track.connection import connect
from mnflow.track.query import _runs, artifact, finished_run
from mnflow.tune import study
from tests.helpers.killing import STEPS
from tests.helpers.spectra import spectra

pytestmark = pytest.mark.services

KILLS = int(os.environ.get("MNFLOW_KILLS", "3"))
"""Of each step, one by each signal."""

NEEDS = {
    "preprocess": ["simulate"], "shift_eval": ["cv_train"], "noise_eval": ["cv_train"],
    "reference_test": ["cv_train"],
    "tsne": ["cv_train"], "promote": ["shift_eval", "noise_eval", "reference_test"], "predict": ["simulate",
    "promote"],
}  # fmt: skip
"""What must have ended before a step can begin."""

HOW = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TIMES = ("cv/seconds",)
"""Metrics that are no result."""

DATED = (".keras", ".pdf")
"""Files that hold the time at which they were written, and are not compared."""

NUMBERED = (
    "study/proposed.json", "tables/study.csv",
    *(f"figures/{name}.{suffix}" for name in ("front", "history") for suffix in ("csv", "png")),
)  # fmt: skip
"""Files of a search that hold numbers of trials, which a killed one uses up: compared without them."""


@dataclass
class Shop:
    """A folder with a store and made-up data, and the process that starts entry points in it."""

    folder: Path
    server: "subprocess.Popen[str]"
    commands: dict[str, list[str]]
    tried: list[str] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)

    def start(self, step: str) -> int:
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps([step, *self.commands[step]]) + "\n")
        self.server.stdin.flush()
        return int(self._answer())

    def wait(self) -> int:
        """The exit code."""
        return int(self._answer())

    def _answer(self) -> str:
        assert self.server.stdout is not None
        return self.server.stdout.readline()

    def parts(self) -> set[Path]:
        """Unfinished files; lock files do not count."""
        return {p for p in self.folder.rglob(".*") if p.is_file() and p.suffix != ".lock"}

    def end(self, step: str) -> float:
        """Run a step to its end, and before it what it needs; returns the seconds that it took itself."""
        for needed in NEEDS.get(step, []):
            if needed not in self.ended:
                self.end(needed)
        began = time.monotonic()
        self.start(step)
        code = self.wait()
        assert code == 0, (self.folder / f"{step}.log").read_text()[-3000:]
        self.ended.add(step)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def shop(module_store: Path) -> Iterator[Shop]:
    data = spectra(90, noise=0.3, n_groups=9).save(module_store / "made_up.npz")
    training = {"data": data, "n_folds": 3, "epochs": 2}
    gate = {
        f"min_{k}": 0
        for k in ("cv_accuracy", "shift_accuracy", "worst_shift_accuracy", "noise_accuracy", "reference_vote")
    }
    options: dict[str, dict[str, object]] = {
        "simulate": {"out": "images", "size": "quick"},
        "preprocess": {"source": "images"},
        "cv_train": {**training, "augmentation": "1x", "workers": 2},
        "shift_eval": {},
        "noise_eval": {},
        "reference_test": {},
        "tsne": {"perplexity": 10, "iterations": 250},
        "promote": {**gate, "max_calibration_error": 1},
        "predict": {"file": "images/Mn2+/Mn2_01.hspy", "out": "maps"},
        "tune": {
            **training,
            "trials": 3,
            "scored_folds": 1,
            "search": "dropout,learning_rate",
            "storage": "sqlite:///studies.db",
            "heartbeat": 1,
        },
        "main": {},
    }
    commands = {
        step: [w for k, v in words.items() for w in (f"--{k}", str(v))] for step, words in options.items()
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.killing"], cwd=module_store, env=environment, text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    shop = Shop(module_store, server, commands)
    yield shop
    server.communicate()
    print("\n".join(shop.tried))


def results(shop: Shop, step: str) -> dict[str, object]:
    """What the newest finished run of a step has come to: its metrics, and what else is a result."""
    record = finished_run(step)
    found: dict[str, object] = {k: v for k, v in record.data.metrics.items() if k not in TIMES}
    if step == "simulate":
        found |= {
            p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (shop.folder / "images").rglob("*.*")
        }
    if "dataset_digest" in record.data.tags:
        found["data"] = record.data.tags["dataset_digest"]
    if step == "promote":
        aliased = {alias: registry.aliased(alias) for alias in (registry.CHAMPION, registry.PREVIOUS)}
        known = {k: v and registration.registration(v) for k, v in aliased.items()}
        found |= {k: v and replace(v, files={}, facts={}) for k, v in known.items()}
    if step == "predict":
        found |= digests(shop.folder / "maps")
    with artifact(record.info.run_id, "") as folder:
        found |= digests(folder)
        if step == "tune":
            kept = study.load_study(record.data.params["study"], f"sqlite:///{shop.folder}/studies.db")
            found = {k: v for k, v in found.items() if k not in NUMBERED} | trials(kept, folder)
        return found


def trials(kept: optuna.Study, folder: Path) -> dict[str, object]:
    """A search's ended trials in their order, and its proposal, without their numbers; how many are open."""
    table = pd.read_csv(folder / "tables" / f"study_{kept.study_name}.csv")
    proposal = json.loads((folder / "study" / "proposed.json").read_text())
    return {
        "trials": table.drop(columns="trial").to_csv(),
        "proposed": {**proposal, "trial": table["trial"].tolist().index(proposal["trial"])},
        "open": len(kept.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))),
    }


def digests(folder: Path) -> dict[str, object]:
    """SHA-256 of every file's bytes; of an HDF5 file, of its arrays."""
    found: dict[str, object] = {}
    for path in (p for p in folder.rglob("*") if p.is_file()):
        name = re.sub(r"study_(fcn|study \d+)", "study", path.relative_to(folder).as_posix())
        if path.suffix == ".hspy":
            with h5py.File(path) as file:
                file.visititems(partial(_add_arrays, found, name))
        elif path.suffix not in DATED and path.name != registration.RECORD:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _add_arrays(found: dict[str, object], name: str, key: str, node: object) -> None:
    if isinstance(node, h5py.Dataset) and node.ndim:
        array = np.asarray(node)
        found[f"{name}/{key}"] = (
            array.tolist() if array.dtype.hasobject else hashlib.sha256(array).hexdigest()
        )


def left_running(pid: int) -> list[str]:
    """Runs of a process that are not ended."""
    running = _runs("attributes.status = 'RUNNING'", {})
    return [str(r.info.run_name) for r in running if r.data.tags[names.PROCESS].split()[1] == str(pid)]


def again(shop: Shop, step: str) -> None:
    """Let the step do its work anew: a search that has its trials, or a champion, leaves nothing to do."""
    if step == "tune":
        shop.commands[step] += ["--study", f"study {len(shop.commands[step])}"]
    if step == "promote":
        _forget_newest_champion()


def _forget_newest_champion() -> None:
    """Make the first version the champion, and delete all others."""
    client = connect()
    versions = sorted(client.search_model_versions(f"name = '{MODEL}'"), key=lambda v: int(v.version))
    registry.set_champion(str(versions[0].version))
    if registry.aliased(registry.PREVIOUS):
        client.delete_registered_model_alias(MODEL, registry.PREVIOUS)
    for version in versions[1:]:
        client.delete_model_version(MODEL, version.version)


@pytest.mark.parametrize("step", STEPS)
def test_killed_and_started_again_it_ends_as_undisturbed(shop: Shop, step: str) -> None:
    rng = np.random.default_rng([int(os.environ.get("MNFLOW_KILL_SEED", "0")), STEPS.index(step)])
    shop.end(step)
    if step == "promote":  # over that champion, again and again
        shop.commands[step] += ["--seed", "1"]
        shop.end(step)
    undisturbed = results(shop, step)
    again(shop, step)
    seconds = shop.end(step)  # with compiled code, like the killed ones
    assert results(shop, step) == undisturbed
    again(shop, step)
    killed = 0
    while killed < KILLS:
        how, after = HOW[killed % len(HOW)], float(rng.uniform(0.05, 1)) * seconds
        parts = shop.parts()
        log = shop.folder / f"{step}.log"
        said_before = log.stat().st_size
        began, pid = time.monotonic(), shop.start(step)
        while Path(f"/proc/{pid}").exists() and time.monotonic() < began + after:
            time.sleep(0.02)
        try:
            # Ctrl-C and a power cut reach all its processes
            kill = os.kill if how == signal.SIGTERM else os.killpg
            kill(pid, how)
            killed += 1
        except ProcessLookupError:  # it was quicker than before, and is at its end
            seconds = time.monotonic() - began
        code = shop.wait()
        shop.tried.append(f"{step}: {how.name} after {after:.2f} of {seconds:.2f} s, exit code {code}")
        said = log.read_bytes()[said_before:].decode()
        assert code in ((0, -9) if how == signal.SIGKILL else (0, 130)), said[-3000:]
        if code == 130:
            assert "Traceback" not in said
            assert said.splitlines()[-1] == f"mnflow: stopped by {how.name}; what was finished is kept."
        if code == 0:
            again(shop, step)
        if how != signal.SIGKILL:
            assert not left_running(pid), shop.tried[-1]
            assert shop.parts() <= parts, shop.tried[-1]
        assert step not in ("promote", "predict") or registry.load_predictor(f"models:/{MODEL}@champion")
        if step == "tune" and killed in range(study.RETRIES, KILLS, study.RETRIES):
            shop.end(step)  # a trial that is stopped more often may be passed over
            assert results(shop, step) == undisturbed
            again(shop, step)
    shop.end(step)
    assert not shop.parts()
    assert not _runs("attributes.status = 'RUNNING'", {})
    assert results(shop, step) == undisturbed

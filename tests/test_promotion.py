"""A promotion from a finished cross-validation to a served answer, and what stands in its way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run as MlflowRun

from mnflow import cv, models, promotion, registry, tracking
from mnflow.cv import FinishedCv
from mnflow.errors import InputError
from mnflow.folds import split
from mnflow.gate import MEASURED_BEFORE, Gate
from mnflow.options import parse
from tests.made_up_spectra import spectra

OPEN = Gate(0, 0, 0, 0, 0, 1)
"""Lets everything pass: the nets here are not trained."""


@pytest.fixture
def record(store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowRun:
    """A CV run in the store, whose data and nets are made up instead of read back."""
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(store / "environments"))
    return run_of("fcn", monkeypatch)


def run_of(arch: str, monkeypatch: pytest.MonkeyPatch) -> MlflowRun:
    data = spectra(36)
    tags = {"dataset_digest": data.digest(), "dataset_uri": "made up", "noise_augmentation": "false"}
    with tracking.step({**tracking.tags_of("cv_train", arch, "10x", "stratified"), **tags}, "cv", {"seed": 7}) as run:
        run.metrics(dict.fromkeys(MEASURED_BEFORE, 0.9))
    record = tracking.finished_run("cv_train", run.id)
    folds = split(data, "stratified", 3)
    finished = FinishedCv(arch, data, folds, [models.build(arch) for _ in folds], record)
    monkeypatch.setattr(cv, "load_cv", lambda record: finished)
    return record


def promote(record: MlflowRun, gate: Gate = OPEN) -> str:
    with tracking.step(tracking.tags_of("promote"), "promote", {}) as run:
        return promotion.promote(run, record, gate, seed=0)


def test_a_champion_carries_what_it_is_trusted_for(record: MlflowRun) -> None:
    assert promote(record) == "Version 1 of mn-valence is the champion."
    champion = registry.aliased("champion")
    assert champion is not None
    tags = champion.tags
    assert tags.items() >= {"labels": "Mn2+,Mn3+,Mn4+", "seed": "7", "cv_run": record.info.run_id, "arch": "fcn"}.items()
    assert {*MEASURED_BEFORE, "calibration/error", "dataset_digest", "code_version"} <= tags.keys()
    assert len(json.loads(tags["held_out_accuracy"])) == 3
    assert "Trained on 36 spectra (12 Mn2+, 12 Mn3+, 12 Mn4+; made up; digest" in champion.description


def test_a_failed_gate_names_the_number_and_leaves_the_alias(record: MlflowRun) -> None:
    with pytest.raises(InputError, match=r"does not pass the gate: shift/worst_accuracy is 0.9, at least 0.95 is asked"):
        promote(record, Gate(0, 0, 0.95, 0, 0, 1))
    assert registry.aliased("champion") is None
    assert tracking.connect().search_model_versions() == []


def test_a_worse_candidate_does_not_replace_the_champion(record: MlflowRun) -> None:
    promote(record)
    champion = registry.aliased("champion")
    assert champion is not None
    tracking.connect().set_model_version_tag(registry.MODEL, champion.version, "held_out_accuracy", "[0.98, 0.99, 0.98]")
    with pytest.raises(InputError, match=r"worse than the champion: -0\.\d+ ± 0\.\d+"):
        promote(record)
    tracking.connect().set_model_version_tag(registry.MODEL, champion.version, "dataset_digest", "other data")
    assert promote(record) == "Version 2 of mn-valence is the champion in place of version 1, now `previous`."


def test_a_dense_net_is_registered_without_an_alias(record: MlflowRun, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "only a fully convolutional net can become champion" in promote(run_of("dense", monkeypatch))
    assert registry.aliased("champion") is None


def test_the_model_loads_without_the_project_keras_or_pickle(record: MlflowRun, store: Path) -> None:
    promote(record)
    path = mlflow.artifacts.download_artifacts("models:/mn-valence@champion", dst_path=str(store / "model"))
    code = (
        "import io, sys, json, mlflow\n"
        "from mlflow.pyfunc import scoring_server\n"
        f"model = mlflow.pyfunc.load_model({path!r})\n"
        "import mnflow; assert mnflow.__file__.startswith(sys.argv[1]), mnflow.__file__\n"
        "request = json.load(open(sys.argv[1] + '/serving_input_example.json'))['inputs']\n"
        "print(json.dumps(model.predict(request + [None])))\n"
        "try:\n"
        "    scoring_server.parse_csv_input(io.StringIO('a'), model.metadata.get_input_schema())\n"
        "except mlflow.MlflowException as error:\n"
        "    assert 'stack_trace' not in error.serialize_as_json()\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'sklearn', 'hyperspy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=store, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    good, bad = json.loads(done.stdout.splitlines()[-1])
    assert good["error"] is None
    assert sum(good["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert bad["error"].startswith("Spectrum 1: expected an object")


def test_models_serve_finds_an_environment(record: MlflowRun, store: Path) -> None:
    promote(record)
    activate = list((store / "environments").glob("mlflow-*/bin/activate"))
    assert len(activate) == 1
    assert "/.venv/bin/activate" in activate[0].read_text()


def test_rollback_is_an_option_of_the_entry_point() -> None:
    from entrypoints.promote import Options

    assert parse(Options, ["--rollback", "true", "--min_cv_accuracy", "0.5"]).rollback is True

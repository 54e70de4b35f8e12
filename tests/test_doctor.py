"""The environment files say the same, and `mlflow run` finds the environment that set-up made."""

from pathlib import Path

import pytest
import yaml

from mnflow.doctor import doctor
from mnflow.runtime.mlflow_env import mlflow_environment, register_environment
from mnflow.runtime.project import EXPERIMENT, ROOT, default_tracking_uri
from mnflow.track.connection import prepare_store

pytestmark = pytest.mark.slow


def pins(name: str) -> dict[str, str]:
    lines = [
        line.split(" ")[0].split("==") for line in (ROOT / name).read_text().splitlines() if "==" in line
    ]
    return {line[0].lower().replace("_", "-"): line[1] for line in lines}


def test_python_env_conda_and_lock_install_the_same() -> None:
    python_env = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    assert python_env["dependencies"] == ["-r requirements.txt"]
    assert conda["dependencies"][-1] == {"pip": python_env["dependencies"]}
    assert f"python={python_env['python']}" in conda["dependencies"]
    assert yaml.safe_load((ROOT / "MLproject").read_text())["python_env"] == "python_env.yaml"


def test_the_lock_holds_every_direct_pin_with_hashes_and_no_address() -> None:
    locked = pins("requirements.txt")
    assert pins("requirements.in").items() <= locked.items()
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert text.count("--hash=sha256:") >= text.count("==")


def test_the_store_is_prepared_once_and_a_bare_mlflow_run_lands_in_our_experiment(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/store.db"
    for _ in range(2):
        prepare_store(uri)
    client = MlflowClient(uri)
    assert [e.name for e in client.search_experiments()] == [EXPERIMENT]
    assert client.get_experiment("0").name == EXPERIMENT


def test_doctor_names_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path))
    assert doctor() == 3
    said = capsys.readouterr().out
    assert "no tracking database" in said
    assert "does not know the project's environment yet: run `make setup`" in said
    assert "MLFLOW_TRACKING_URI names" in said
    assert "3 problem(s) found" in said


def test_doctor_is_content_after_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "envs"))
    prepare_store(default_tracking_uri())
    register_environment(mlflow_environment())
    assert doctor() == 0, capsys.readouterr().out


def test_a_worker_that_comes_second_takes_the_experiment_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/store.db"
    prepare_store(uri)
    found = MlflowClient(uri).get_experiment_by_name(EXPERIMENT)
    answers = iter([None, found])  # not there when it looked, there when it tried to make it
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", lambda client, name: next(answers))
    monkeypatch.setattr(MlflowClient, "get_experiment", lambda client, number: found)
    prepare_store(uri)
    assert next(answers, None) is None

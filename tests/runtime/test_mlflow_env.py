"""`mlflow run` finds the project's .venv where it looks for an environment of its own making."""

import subprocess
import sys
from pathlib import Path

import pytest

from mnflow.runtime.mlflow_env import mlflow_environment, register_environment
from mnflow.runtime.project import ROOT


def _activated(script: Path, folder: Path) -> list[str]:
    """VIRTUAL_ENV and PATH of a shell in `folder` that has run the script."""
    done = subprocess.run(
        ["/bin/sh", "-c", '. "$0" && echo "$VIRTUAL_ENV" && echo "$PATH"', str(script)],
        cwd=folder, env={"PATH": "/usr/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="`mlflow run` is not used on Windows")
def test_the_script_activates_the_venv_of_the_folder_or_else_the_registered_one(tmp_path: Path) -> None:
    register_environment(tmp_path / "mlflow-x", venv=tmp_path / "venv")
    script = tmp_path / "mlflow-x" / "bin" / "activate"
    for own, venv in ((False, tmp_path / "venv"), (True, tmp_path / ".venv")):
        if own:
            (tmp_path / ".venv" / "bin").mkdir(parents=True)
            (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
        assert _activated(script, tmp_path) == [str(venv), f"{venv}/bin:/usr/bin"]


def test_an_environment_that_mlflow_built_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").write_text("")
    register_environment(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pyvenv.cfg"]


@pytest.mark.slow
def test_mlflow_looks_for_an_environment_per_content_of_the_requirements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "envs"))
    found = []
    for name, pin in (("a", "numpy==2.0.0"), ("b", "numpy==2.0.0"), ("c", "numpy==2.1.0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "python_env.yaml").write_bytes((ROOT / "python_env.yaml").read_bytes())
        (tmp_path / name / "requirements.txt").write_text(f"{pin}\n")
        found.append(mlflow_environment(tmp_path / name))
    assert {path.parent for path in found} == {tmp_path / "envs"}
    assert found[0] == found[1] != found[2]

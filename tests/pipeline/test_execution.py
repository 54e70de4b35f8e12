"""A refused command ends at once where MLflow has started no run, and marks the run where it has."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mnflow.pipeline import execution
from mnflow.runtime import cli
from mnflow.runtime.project import ROOT
from mnflow.track import tracking

_CODE = """
import sys
class Loud:
    def find_spec(self, name, path=None, target=None):
        if name == "mlflow":
            print("mlflow was imported", flush=True)
sys.meta_path.insert(0, Loud())
from entrypoints.cv_train import Options, run
from mnflow.pipeline.execution import execute
execute(Options, run, ["--arch", "typo"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("run_id", ["", "0123"])
def test_mlflow_is_imported_for_a_refused_command_only_if_it_has_a_run(tmp_path: Path, run_id: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_RUN_ID"} | {"PYTHONPATH": str(ROOT)}
    environment |= {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}  # where nobody answers
    environment |= {"MLFLOW_RUN_ID": run_id} if run_id else {}
    done = subprocess.run(
        [sys.executable, "-c", _CODE], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Option arch: expected one of" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ("mlflow was imported\n" if run_id else "")


def test_a_refused_command_marks_the_run_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    refused, given = list[str](), list[Any]()

    def execute(*words: Any, refused: Any) -> None:
        given.append(words)
        refused("Option arch: ...")

    monkeypatch.setattr(cli, "execute", execute)
    monkeypatch.setattr(tracking, "refuse_run", refused.append)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    execution.execute(str, print, ["--a", "b"])
    assert (given, refused) == ([(str, print, ["--a", "b"])], [])
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123")
    execution.execute(str, print)
    assert (given[1], refused) == ((str, print, None), ["Option arch: ..."])

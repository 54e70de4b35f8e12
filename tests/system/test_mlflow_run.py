"""`mlflow run .` in a shell without conda, Docker or network: what it starts, resumes and marks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mnflow.runtime.project import EXPERIMENT, ROOT
from mnflow.track import provenance

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a shell after set-up, with a store and an environment folder of its own."""
    folder = tmp_path_factory.mktemp("shell")
    variables = {
        k: v
        for k, v in os.environ.items()
        if k in ("HOME", "LANG", "OMP_NUM_THREADS", "TF_CPP_MIN_LOG_LEVEL")
    }
    variables |= {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "MLFLOW_ENV_ROOT": str(folder / "envs"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    subprocess.run([sys.executable, "-m", "mnflow.setup", "--here"], env=variables, cwd=ROOT, check=True)
    return variables


def mlflow_run(shell: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = ["mlflow", "run", ".", *words]
    return subprocess.run(command, env=shell, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_an_entry_point_resumes_the_run_that_mlflow_started(shell: dict[str, str], tmp_path: Path) -> None:
    done = mlflow_run(shell, "-e", "simulate", "-P", f"out={tmp_path}/images", "-P", "size=quick")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "images" / "manifest.csv").is_file()
    client = MlflowClient(shell["MLFLOW_TRACKING_URI"])
    (experiment,) = client.search_experiments()
    assert experiment.name == EXPERIMENT
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["mnflow.step"] == "simulate"
    assert run.data.params["size"] == "quick"
    images = (tmp_path / "images").rglob("*.hspy")
    assert run.data.tags["images_digest"] == provenance.files_digest(images, tmp_path / "images")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-e", "cv_train", "-P", "arch=resnet"], "Option arch: expected one of dense, conv_dense, fcn"),
        (
            ["-e", "main", "-P", "preset=fast"],
            "Option preset: expected one of quick, paper, claims, got 'fast'",
        ),
        (["-e", "simulate", "-P", "sizes=quick"], "unrecognized arguments: --sizes quick"),
        (["-e", "preprocess", "-P", "source=/no/such/folder"], "No folder or file at /no/such/folder"),
        (["-e", "shift_eval", "-P", "run=0123"], "No run '0123' in sqlite:///"),
    ],
)
def test_a_refused_command_gives_an_error_exit_1_and_a_run_to_be_deleted(
    shell: dict[str, str], words: list[str], sentence: str
) -> None:
    client = MlflowClient(shell["MLFLOW_TRACKING_URI"])
    done = mlflow_run(shell, *words)
    assert done.returncode == 1
    assert f"mnflow: {sentence}" in done.stderr
    assert "Traceback" not in done.stderr
    (refused,) = client.search_runs(["0"], "tags.`mnflow.refused` = 'true'")  # those before are deleted
    assert refused.info.status == "FAILED"
    assert sentence in refused.data.tags["mnflow.error"]
    assert refused.info.run_name == f"refused: {words[1]}"


def test_a_step_that_meets_a_bad_file_is_a_failed_run(shell: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "nonsense.csv").write_text("no spectrum")
    done = mlflow_run(shell, "-e", "preprocess", "-P", f"source={tmp_path}/nonsense.csv")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    client = MlflowClient(shell["MLFLOW_TRACKING_URI"])
    newest = client.search_runs(["0"], max_results=1, order_by=["attributes.start_time DESC"])[0]
    assert newest.info.status == "FAILED"
    assert client.search_runs(["0"], "tags.`mnflow.refused` = 'true'") == []
    assert "nonsense.csv" in newest.data.tags["mnflow.error"]
    assert newest.data.tags["mlflow.project.entryPoint"] == "preprocess"

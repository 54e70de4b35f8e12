"""The Kubernetes job template holds what MLflow's backend fills in, is valid, and asks for a GPU."""

import json
from typing import Any

import kubernetes_validate
import pytest
import yaml

from mnflow.runtime.project import ROOT

FOLDER = ROOT / "deploy/kubernetes"
VERSIONS = ("1.31", "1.33")


def filled() -> dict[str, Any]:
    """The template as `mlflow.projects.kubernetes` fills it in (which itself needs the client library)."""
    job: dict[str, Any] = yaml.safe_load((FOLDER / "job.yaml").read_text())
    job["metadata"]["name"] = "mnflow-2026-01-31-12-00-00-000000"
    container = job["spec"]["template"]["spec"]["containers"][0]
    container |= {
        "name": "mnflow",
        "image": "registry.example.org/mnflow@sha256:" + 64 * "0",
        "command": ["python", "-m", "x"],
    }
    container["env"] = [*container["env"], {"name": "MLFLOW_RUN_ID", "value": "1"}]
    return job


@pytest.mark.parametrize("version", VERSIONS)
def test_the_job_template_is_valid(version: str) -> None:
    kubernetes_validate.validate(filled(), version, strict=True)


def test_a_wrong_template_would_be_noticed() -> None:
    job = filled()
    job["spec"]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, VERSIONS[0], strict=True)


def test_a_worker_gets_a_gpu_and_holds_no_secret() -> None:
    container = filled()["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert not [e["name"] for e in container["env"] if "PASSWORD" in e["name"]]


def test_its_entry_point_is_the_projects() -> None:
    ours, projects = (yaml.safe_load((folder / "MLproject").read_text()) for folder in (FOLDER, ROOT))
    assert ours["entry_points"] == {"tune": projects["entry_points"]["tune"]}
    assert (
        json.loads((FOLDER / "backend.json").read_text())["kube-job-template-path"]
        == "deploy/kubernetes/job.yaml"
    )

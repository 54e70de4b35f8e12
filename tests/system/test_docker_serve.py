"""The serving image: a registered model's folder is mounted, and a container of a plain user answers from it.

Needs what tests/system/test_docker.py needs.
"""

import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import mlflow
import numpy as np
import pytest

from benchmarks.client import serve_command
from mnflow.promote.version_contents import log_model
from mnflow.serve.answer import answer
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from mnflow.track import tracking
from tests.helpers.nets import made_up_net
from tests.helpers.services import docker, docker_image, free_port, wait_until
from tests.helpers.spectra import edge_shape

pytestmark = pytest.mark.services

ENERGY_EV = 600 + 0.25 * np.arange(400)
SPECTRUM = {"energy_ev": ENERGY_EV.tolist(), "intensity": (edge_shape(ENERGY_EV, 1) + 0.1).tolist()}


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(MN, net=made_up_net())


@pytest.fixture(scope="module")
def server(predictor: Predictor, module_store: Path) -> Iterator[tuple[str, str]]:
    """A container that serves a logged model: its address and its name."""
    image = docker_image("serve")
    with tracking.step(tracking.tags_of("promote"), "promote", {}) as run:
        uri = log_model(run, predictor, {}, [SPECTRUM])
    model = mlflow.artifacts.download_artifacts(uri, dst_path=str(module_store / "model"))
    module_store.chmod(0o755)
    port, name = free_port(), f"mnflow-serve-{time.time_ns()}"
    command = serve_command("/model", port, "-h", "127.0.0.1")
    mounted = ("--network", "host", "--volume", f"{model}:/model:ro")
    docker("run", "--detach", "--name", name, *mounted, image, *command)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: _status(f"{address}/ping") == 200, 120, "the container's server")
        yield address, name
    finally:
        docker("rm", "--force", name)
        shutil.rmtree(model)


def _status(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return int(response.status)
    except HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_the_container_says_what_the_model_says(server: tuple[str, str], predictor: Predictor) -> None:
    body = json.dumps({"inputs": [SPECTRUM, {"energy_ev": [1], "intensity": [None]}]}).encode()
    request = urllib.request.Request(f"{server[0]}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        good, bad = json.load(response)["predictions"]
    expected: dict[str, Any] = answer(predictor, [SPECTRUM])[0]
    assert good["class"] == expected["class"]
    assert good["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)
    assert bad["error"].startswith("Spectrum 1: expected")


def test_its_user_is_not_root_and_nothing_is_unpickled(server: tuple[str, str]) -> None:
    assert docker("exec", server[1], "id", "-u").strip() == "1000"
    assert docker("exec", server[1], "printenv", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION").strip() == "false"


def test_the_image_serves_the_mounted_model_on_8080(server: tuple[str, str]) -> None:
    said = json.loads(docker("inspect", "mnflow-serve:test"))[0]["Config"]
    assert said["Cmd"][-1] == "8080"
    assert "/model" in said["Cmd"]
    assert "8080/tcp" in said["ExposedPorts"]

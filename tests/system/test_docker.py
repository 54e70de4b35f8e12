"""The CPU image: it builds, and cv_train and tune run in it by the same MLproject, onto a mounted folder.

Needs a Docker engine (DOCKER_HOST says which). Where that engine has no bridge network, as in some CI, the
tests use the host's; where its base image is another, MNFLOW_BASE_IMAGE names it.
"""

import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.helpers.services import docker, docker_image
from tests.helpers.spectra import spectra

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def image() -> str:
    return docker_image("cpu")


@pytest.fixture(scope="module")
def mounted(image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that cv_train and then tune have worked on, each in a container of its own."""
    folder = tmp_path_factory.mktemp("mounted")
    folder.chmod(0o777)
    spectra(90).save(folder / "some.npz").chmod(0o644)
    small = ["-P", "data=/data/some.npz", "-P", "n_folds=3"]
    run = [
        "run",
        "--rm",
        "--network",
        "host",
        "--volume",
        f"{folder}:/data",
        "--user",
        "1234:1234",
        image,
        "mlflow",
        "run",
        ".",
    ]
    docker(*run, "-e", "cv_train", *small, "-P", "epochs=2", "-P", "augmentation=1x")
    tuning = ["-P", "study=small", "-P", "trials=2", "-P", "scored_folds=2", "-P", "epochs=2"]
    docker(*run, "-e", "tune", *small, *tuning)
    return folder


def query(path: Path, text: str) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(text).fetchall()
    finally:
        connection.close()


def test_the_health_command_names_the_device_and_the_user_is_not_root(image: str) -> None:
    said = docker("run", "--rm", "--network", "host", image)
    assert "networks run on the jax backend, on CPU" in said
    assert "Everything is in place." in said
    assert docker("run", "--rm", "--network", "host", image, "id", "-u").strip() == "1000"


def test_the_gpu_image_warns_when_it_sees_no_gpu(image: str) -> None:
    """The CPU image in the GPU image's place: the check itself needs none of NVIDIA's wheels."""
    words = ["docker", "run", "--rm", "--network", "host", "--env", "MNFLOW_IMAGE=gpu", image]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    assert "This is the GPU image, but jax sees no GPU" in done.stdout


def test_a_folder_that_cannot_be_written_gives_a_clear_error(image: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    words = ["docker", "run", "--rm", "--network", "host", "--volume", f"{tmp_path}:/data", image]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert "cannot be written by user 1000: mount a folder of yours" in done.stdout


def test_runs_models_and_study_came_back_in_the_mounted_folder(mounted: Path) -> None:
    runs = query(
        mounted / "mlflow.db",
        "SELECT t.value, r.status FROM runs r JOIN tags t USING (run_uuid) WHERE t.key = 'mnflow.step'",
    )
    assert sorted(runs) == sorted(
        [
            ("cv_train", "FINISHED"),
            *3 * [("fold", "FINISHED")],
            ("tune", "FINISHED"),
            *2 * [("trial", "FINISHED")],
        ]
    )
    assert len(list(mounted.glob("mlruns/**/model.keras"))) == 3
    assert list(mounted.glob("mlruns/**/figures/front.png"))
    assert query(mounted / "studies.db", "SELECT study_name FROM studies") == [("small",)]


def test_no_secret_data_or_history_is_in_the_image(image: str) -> None:
    listed = docker("run", "--rm", "--network", "host", image, "ls", "-A", "/app").split()
    assert set(listed) <= {
        ".environments", ".venv", "MLproject", "data", "deploy", "entrypoints", "mnflow", "pyproject.toml",
        "python_env.yaml",
        *(f"requirements{part}.{end}" for part in ("", "-dev", "-gpu", "-server") for end in ("in", "txt")),
    }  # fmt: skip

"""Each check of the installation says what is wrong and what to do."""

import io
import logging
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mnflow import doctor
from mnflow.pretrained.stored_answers import differences, load_stored
from mnflow.runtime.mlflow_env import mlflow_environment, register_environment
from mnflow.runtime.project import default_tracking_uri, user
from mnflow.track.connection import away, prepare_store
from tests.helpers.help_pages import check_help

SET_UP = "run `make setup` (or `python -m mnflow.setup`)"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, which is also the working directory."""
    for name in ("MLproject", "requirements.in"):
        (tmp_path / name).touch()
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setattr("mnflow.runtime.project.ROOT", tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def _serving_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither MLflow nor Keras is installed."""
    monkeypatch.setattr(doctor, "find_spec", {"numpy": True}.get)


def said(check: Callable[[], str]) -> str:
    """What a check finds, or what is wrong."""
    try:
        return check()
    except RuntimeError as error:
        return f"problem: {error}"


@pytest.mark.slow
def test_doctor_names_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path))
    assert doctor.doctor() == 3
    shown = capsys.readouterr().out
    for part in (
        "no tracking database",
        "run `make setup`",
        "MLFLOW_TRACKING_URI names",
        "3 problem(s)",
    ):
        assert part in shown


@pytest.mark.slow
def test_doctor_is_content_after_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "envs"))
    prepare_store(default_tracking_uri())
    register_environment(mlflow_environment())
    code, shown = doctor.doctor(), capsys.readouterr().out
    assert code == 0, shown
    assert f"ok       1 experiment(s) in tracking store {default_tracking_uri()}" in shown.splitlines()


def test_every_check_is_a_line_and_the_number_of_problems_is_the_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> str:
        raise OSError("no disk")

    for checks, lines, code in (
        (
            (lambda: "fine", fail, fail),
            ["ok       fine", *["problem  no disk"] * 2, "2 problem(s) found."],
            1,
        ),
        ((lambda: "fine",), ["ok       fine", "Everything is in place."], 0),
    ):
        monkeypatch.setattr(doctor, "CHECKS", checks)
        assert doctor.main([]) == code
        assert capsys.readouterr().out.splitlines() == lines
    check_help("doctor", doctor.main, capsys)


def test_every_line_is_shown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    seen: list[int] = []

    def check() -> str:
        seen.append(shown.getvalue().count(b"\n"))
        if len(seen) == 2:
            raise OSError("no disk")
        return "fine"

    monkeypatch.setattr(doctor, "CHECKS", [check] * 4)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown))
    assert doctor.doctor() == 1
    assert seen == [0, 1, 2, 3]


def test_an_old_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sys.version.split()[0]
    assert said(doctor._check_python) == f"Python {found} on {sys.platform}"
    for number, old in (((3, 11), False), ((3, 10, 9), True)):
        monkeypatch.setattr(sys, "version_info", number)
        told = f"problem: Python {found} runs here, 3.11 or newer is needed."
        assert (said(doctor._check_python) == told) == old


def test_a_project_needs_the_versions_of_its_requirements(root: Path) -> None:
    pins = f"# numpy==1\nnumpy=={np.__version__}\n-r other.in\n"
    (root / "requirements.in").write_text(pins)
    assert said(doctor._check_packages) == "packages are those of requirements.in"
    (root / "requirements.in").write_text(f"{pins}numpy==0.1\nno-such-package==2\n")
    assert said(doctor._check_packages) == (
        f"problem: numpy is {np.__version__}, 0.1 is needed; no-such-package is missing, 2 is needed: "
        f"{SET_UP}."
    )


def test_an_installed_package_needs_what_it_declares(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "MLproject").unlink()
    fine = f"mnflow {version('mnflow')} has the packages that it needs"
    extra = "no-such-package>=2; extra == 'more'"
    for declared, told in (
        (None, fine),
        (
            ["numpy<1", extra, "no-such-package>=2; python_version > '3'", "PyYAML"],
            f"problem: numpy is {np.__version__}, <1 is needed; no-such-package is missing, >=2 is needed: "
            "install mnflow again with pip.",
        ),
        (["numpy>=1", extra, "PyYAML"], fine),
    ):
        monkeypatch.setattr(doctor, "requires", {"mnflow": declared}.__getitem__)
        assert said(doctor._check_packages) == told
    monkeypatch.setattr(doctor, "version", lambda name: "2.0rc1")  # a version of tomorrow will do
    assert said(doctor._check_packages) == "mnflow 2.0rc1 has the packages that it needs"


def test_code_and_environment_belong_to_the_project(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "is_foreign", lambda: False)
    assert said(doctor._check_place) == f"project, code and environment are those of {root}"
    monkeypatch.setattr(doctor, "is_foreign", lambda: True)
    assert said(doctor._check_place) == (
        f"problem: {doctor.VENV} was made for another place or interpreter: {SET_UP} to make it anew."
    )
    (root / "MLproject").unlink()
    code = Path(doctor.__file__).parent
    assert said(doctor._check_place) == f"mnflow is installed in {code}; no project in {root}"


def test_mlflow_run_needs_an_environment_except_on_windows(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnflow.runtime.mlflow_env.mlflow_environment", lambda: root / "env")
    used = "`mlflow run .` uses the project's environment"
    assert said(doctor._check_mlflow_run) == (
        f"problem: `mlflow run .` does not know the project's environment yet: {SET_UP}."
    )
    with monkeypatch.context() as patch:
        patch.setattr(doctor, "os", SimpleNamespace(name="nt"))
        assert said(doctor._check_mlflow_run) == used
    (root / "env" / "bin").mkdir(parents=True)
    (root / "env" / "bin" / "activate").touch()
    assert said(doctor._check_mlflow_run) == used
    none = "no project to train in: only shipped models are used"
    with monkeypatch.context() as patch:
        patch.setattr(doctor, "find_spec", {"keras": True}.get)
        assert said(doctor._check_mlflow_run) == none
    (root / "MLproject").unlink()
    assert said(doctor._check_mlflow_run) == none


@pytest.mark.usefixtures("_serving_only")
def test_a_missing_store_is_a_problem_in_a_project_only(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = f"problem: There is no tracking database at {root}/mlflow.db: {SET_UP}."
    assert said(doctor._check_store) == missing
    (root / "MLproject").unlink()
    assert said(doctor._check_store) == "no tracking store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    assert said(doctor._check_store) == missing


@pytest.mark.usefixtures("_serving_only")
def test_a_container_needs_a_folder_that_can_be_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "IMAGE", "cpu")
    assert said(doctor._check_store) == f"the first step will make its tracking database in {root}"
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (root, os.W_OK))
    assert said(doctor._check_store) == (
        f"problem: {root} cannot be written by user {user()}: mount a folder of yours there and start the "
        "container with --user $(id -u):$(id -g)."
    )


@pytest.mark.usefixtures("_serving_only")
def test_a_store_that_was_moved_with_its_project_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "mlruns" / "0").mkdir(parents=True)
    for folder in (root, root / "elsewhere"):
        folder.mkdir(exist_ok=True)
        connection = sqlite3.connect(folder / "mlflow.db")
        with connection:
            connection.execute("CREATE TABLE experiments (experiment_id TEXT, artifact_location TEXT)")
            connection.execute("INSERT INTO experiments VALUES ('0', '/old/place/mlruns/0')")
        connection.close()
    uri = f"sqlite:///{root}/mlflow.db"
    assert said(doctor._check_store) == (
        f"problem: The tracking store {uri} names artifacts in /old/place, not in {root}: {SET_UP}."
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other := f"sqlite:///{root}/elsewhere/mlflow.db")
    assert said(doctor._check_store) == f"unread runs in tracking store {other}"


@pytest.mark.usefixtures("_serving_only")
def test_a_server_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr("mnflow.track.connection.answers", lambda: False)
    assert said(doctor._check_store) == f"problem: {away()} Start it, or correct MLFLOW_TRACKING_URI."
    monkeypatch.setattr("mnflow.track.connection.answers", lambda: True)
    assert said(doctor._check_store) == "unread runs on tracking server http://127.0.0.1:9"


def test_a_model_that_answers_otherwise_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "choose_predictor", lambda: (None, "a model"))
    assert said(doctor._check_model) == "answers come from: a model"
    monkeypatch.setattr(doctor, "TOLERANCE", -1.0)
    told = f"The shipped model's answers differ from the stored ones ({differences(load_stored(), -1.0)[0]})"
    assert said(doctor._check_model) == f"problem: {told}: install mnflow anew."


def test_a_full_disk_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, told in (
        (1_000_000_000, "1 GB of disk are free"),
        (949_999_999, "problem: Only 0.9 GB are free here; a demo needs 1 GB: make room."),
    ):
        monkeypatch.setattr(shutil, "disk_usage", {root: SimpleNamespace(free=free)}.__getitem__)
        assert said(doctor._check_disk) == told


class Device(SimpleNamespace):
    def __str__(self) -> str:
        return str(self.name)


@pytest.mark.parametrize(
    ("backend", "gpus", "image", "told"),
    [
        ("torch", [], "", "networks run on the torch backend (it predicts, but cannot train)"),
        ("jax", [], "cpu", "networks run on the jax backend, on CPU"),
        ("tensorflow", ["gpu:0"], "gpu", "networks run on the tensorflow backend, on gpu:0"),
        ("jax", ["gpu:0", "gpu:1"], "gpu", "networks run on the jax backend, on gpu:0, gpu:1"),
        (
            "jax", [], "gpu",
            "problem: This is the GPU image, but jax sees no GPU: networks would run on the CPU, slowly. "
            "Start the container with `docker run --gpus all`, on a machine with an NVIDIA driver and the "
            "NVIDIA container toolkit; `nvidia-smi` in the container must list the GPU. Without one, use the "
            "CPU image.",
        ),
    ],
)  # fmt: skip
def test_where_networks_run(
    backend: str, gpus: list[str], image: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = [Device(name="cpu:0", platform="cpu"), *(Device(name=g, platform="gpu") for g in gpus)]
    others = [Device(name="of the other", platform="gpu")]
    listed = devices[1:] if backend == "tensorflow" else others
    config = SimpleNamespace(list_physical_devices=lambda kind: listed if kind == "GPU" else others)
    keras = SimpleNamespace(backend=SimpleNamespace(backend=lambda: backend))
    for name, module in (
        ("mnflow.models.keras_import", SimpleNamespace(keras=keras)),
        ("jax", SimpleNamespace(devices=lambda: devices if backend == "jax" else others)),
        ("tensorflow", SimpleNamespace(config=config)),
    ):
        monkeypatch.setitem(sys.modules, name, module)  # type: ignore[arg-type]
    monkeypatch.setattr(doctor, "IMAGE", image)
    log = logging.getLogger("jax")
    monkeypatch.setattr(log, "level", log.level)
    assert said(doctor._check_backend) == told
    assert not log.isEnabledFor(logging.ERROR)
    monkeypatch.setattr(doctor, "find_spec", {"mlflow": True}.get)
    assert said(doctor._check_backend) == "no training: `pip install 'mnflow[train]'` adds it"

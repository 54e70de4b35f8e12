"""The wheel holds every file that the package reads, and works in an environment of its own."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mnflow.runtime.project import ROOT
from mnflow.setup import venv_python

MAX_MEGABYTES = 700
"""What an environment with the base (reading, physics, prediction, figures) may take on disk, with its
dependencies, bytecode and pip.
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy: setuptools leaves folders in what it builds."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("mnflow", "entrypoints"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    files = [p for p in (ROOT / "mnflow").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    missing = {p.relative_to(ROOT).as_posix() for p in files if not p.name.startswith(".")} - held
    assert missing == set()
    licences = [Path(name).name for name in held if "/licenses/" in name]
    assert sorted(licences) == ["LICENSE", "LICENSE.crispy"]
    assert "mnflow/py.typed" in held


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and its dependencies, from the package index."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    subprocess.run([str(venv_python(folder)), *words], check=True)
    return folder


def run(installed: Path, *words: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PYTHON", "MNFLOW"))}
    done = subprocess.run(
        words, cwd=installed.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.services
def test_a_fresh_environment_predicts_and_tests_itself(installed: Path) -> None:
    command = str(venv_python(installed).with_name("mnflow"))
    example = run(
        installed,
        str(venv_python(installed)),
        "-c",
        "from mnflow.pretrained.shipped import EXAMPLE; print(EXAMPLE)",
    )
    assert Path(example.strip()).is_relative_to(installed)
    row = json.loads(run(installed, command, "predict", example.strip(), "--json"))
    assert (row["error"], row["n"]) == (None, 768)
    assert "stored answers agree" in run(installed, command, "selftest")
    assert "Everything is in place" in run(installed, command, "doctor")


@pytest.mark.services
def test_the_base_is_small_and_holds_no_trainer(installed: Path) -> None:
    files = [p for p in installed.rglob("*") if p.is_file() and not p.is_symlink()]
    total = sum(p.stat().st_size for p in files)
    assert total / 1e6 < MAX_MEGABYTES
    names = {p.name for p in next(installed.rglob("site-packages")).iterdir()}
    assert {"numpy", "hyperspy", "matplotlib"} <= names
    assert not {"tensorflow", "jax", "keras", "mlflow", "sklearn", "numba"} & names


@pytest.mark.services
def test_a_signal_of_hyperspy_estimates_its_valence(installed: Path) -> None:
    code = (
        "import hyperspy.api as hs\n"
        "from mnflow.pretrained.shipped import EXAMPLE\n"
        "s = hs.load(EXAMPLE); s.set_signal_type('EELS_valence')\n"
        "print(s.estimate_valence().mean_valence.data.shape)"
    )
    done = subprocess.run(
        [str(venv_python(installed)), "-c", code],
        cwd=installed.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "(24, 32)"  # HyperSpy by itself prints that numba is not there

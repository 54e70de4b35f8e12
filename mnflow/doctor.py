"""Diagnose an installation, and a project if there is one.

Each check is a line that says what is wrong and what to do.
"""

import argparse
import logging
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mnflow.pretrained.choose import choose_predictor
from mnflow.pretrained.stored_answers import TOLERANCE, differences, load_stored
from mnflow.runtime.cli import check_place
from mnflow.runtime.project import IMAGE, ROOT, default_tracking_uri, project_of, user
from mnflow.runtime.relocate import former_root
from mnflow.setup import VENV, is_foreign

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_SET_UP = "run `make setup` (or `python -m mnflow.setup`)"


def _check_python() -> str:
    found = sys.version.split()[0]
    if sys.version_info < (3, 11):  # noqa: UP036  whoever runs this wants to know
        raise RuntimeError(f"Python {found} runs here, 3.11 or newer is needed.")
    return f"Python {found} on {sys.platform}"


def _check_packages() -> str:
    """A project has the versions of requirements.in; an installed package those that it declares."""
    project = project_of(ROOT)
    if project is None:
        return _check_declared()
    wrong = []
    for line in (project / "requirements.in").read_text(encoding="utf-8").splitlines():
        if "==" in line and not line.startswith("#"):
            name, wanted = line.split("==")
            found = _version(name)
            if found != wanted:
                wrong.append(f"{name} is {found}, {wanted} is needed")
    if wrong:
        raise RuntimeError(f"{'; '.join(wrong)}: {_SET_UP}.")
    return "packages are those of requirements.in"


def _check_declared() -> str:
    from packaging.requirements import Requirement

    wanted = [r for r in map(Requirement, requires("mnflow") or []) if not r.marker or r.marker.evaluate()]
    wrong = [
        f"{r.name} is {_version(r.name)}, {r.specifier} is needed" for r in wanted if not _fits(r.name, r)
    ]
    if wrong:
        raise RuntimeError(f"{'; '.join(wrong)}: install mnflow again with pip.")
    return f"mnflow {version('mnflow')} has the packages that it needs"


def _fits(name: str, requirement: "Requirement") -> bool:
    found = _version(name)
    return found != "missing" and requirement.specifier.contains(found, prereleases=True)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _check_place() -> str:
    """Code, environment and working directory belong together: a moved or copied project's do not."""
    check_place()
    if project_of(ROOT) is None:
        return f"mnflow is installed in {Path(__file__).parent}; no project in {ROOT}"
    if is_foreign():
        raise RuntimeError(f"{VENV} was made for another place or interpreter: {_SET_UP} to make it anew.")
    return f"project, code and environment are those of {ROOT}"


def _check_mlflow_run() -> str:
    if project_of(ROOT) is None or not find_spec("mlflow"):
        return "no project to train in: only shipped models are used"
    from mnflow.runtime.mlflow_env import mlflow_environment

    if os.name != "nt" and not (mlflow_environment() / "bin" / "activate").exists():
        raise RuntimeError(f"`mlflow run .` does not know the project's environment yet: {_SET_UP}.")
    return "`mlflow run .` uses the project's environment"


def _check_store() -> str:
    uri = default_tracking_uri()
    if not uri.startswith("sqlite:///"):
        return _check_server(uri)
    path = Path(uri.removeprefix("sqlite:///"))
    if not path.exists():
        if IMAGE:
            return _check_mount(path.parent)
        if project_of(ROOT) is None and "MLFLOW_TRACKING_URI" not in os.environ:
            return "no tracking store"
        raise RuntimeError(f"There is no tracking database at {path}: {_SET_UP}.")
    if find_spec("mlflow"):
        from mnflow.track.connection import check_database

        check_database(uri)
    connection = sqlite3.connect(path)
    try:
        moved = former_root(connection, ROOT) if path.resolve().parent == ROOT else None
    finally:
        connection.close()
    if moved:
        raise RuntimeError(f"The tracking store {uri} names artifacts in {moved}, not in {ROOT}: {_SET_UP}.")
    return f"{_experiments(uri)} in tracking store {uri}"


def _check_server(uri: str) -> str:
    from mnflow.track.connection import answers, away

    if not answers():
        raise RuntimeError(f"{away()} Start it, or correct MLFLOW_TRACKING_URI.")
    return f"{_experiments(uri)} on tracking server {uri}"


def _experiments(uri: str) -> str:
    if not find_spec("mlflow"):
        return "unread runs"
    from mlflow import MlflowClient

    return f"{len(MlflowClient(uri).search_experiments())} experiment(s)"


def _check_mount(folder: Path) -> str:
    """In a container the first step makes the database, in a folder that must outlive the container."""
    if not os.access(folder, os.W_OK):
        raise RuntimeError(
            f"{folder} cannot be written by user {user()}: mount a folder of yours there and start the "
            "container with --user $(id -u):$(id -g)."
        )
    return f"the first step will make its tracking database in {folder}"


def _check_model() -> str:
    """The model of `mnflow predict` is loaded, and the shipped one answers as it did when it was made."""
    wrong = differences(load_stored(), TOLERANCE)
    if wrong:
        raise RuntimeError(
            f"The shipped model's answers differ from the stored ones ({wrong[0]}): install mnflow anew."
        )
    return f"answers come from: {choose_predictor()[1]}"


def _check_disk() -> str:
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < 1:
        raise RuntimeError(f"Only {free_gb:.1f} GB are free here; a demo needs 1 GB: make room.")
    return f"{free_gb:.0f} GB of disk are free"


def _check_backend() -> str:
    if not find_spec("keras"):
        return "no training: `pip install 'mnflow[train]'` adds it"
    # a GPU image without a GPU: one message says more than a traceback
    logging.getLogger("jax").setLevel(logging.CRITICAL)
    from mnflow.models.keras_import import keras

    name = keras.backend.backend()
    if name not in ("jax", "tensorflow"):
        return f"networks run on the {name} backend (it predicts, but cannot train)"
    gpus = _gpus(name)
    if IMAGE == "gpu" and not gpus:
        raise RuntimeError(
            f"This is the GPU image, but {name} sees no GPU: networks would run on the CPU, slowly. Start "
            "the container with `docker run --gpus all`, on a machine with an NVIDIA driver and the NVIDIA "
            "container toolkit; `nvidia-smi` in the container must list the GPU. Without one, use the CPU "
            "image."
        )
    return f"networks run on the {name} backend, on {', '.join(gpus) or 'CPU'}"


def _gpus(backend: str) -> list[str]:
    """What the backend calls the GPUs that it will use."""
    if backend == "jax":
        import jax

        return [str(d) for d in jax.devices() if d.platform != "cpu"]
    import tensorflow as tf

    return [d.name for d in tf.config.list_physical_devices("GPU")]


CHECKS: tuple[Callable[[], str], ...] = (
    _check_python, _check_packages, _check_place, _check_mlflow_run, _check_store, _check_model, _check_disk,
    _check_backend,
)  # fmt: skip


def doctor() -> int:
    """Run every check and print a line for each; returns the number that failed."""
    failed = 0
    for check in CHECKS:
        try:
            print(f"ok       {check()}", flush=True)
        except Exception as error:
            failed += 1
            print(f"problem  {error}", flush=True)
    print("Everything is in place." if not failed else f"{failed} problem(s) found.")
    return failed


def main(argv: Sequence[str] | None = None) -> int:
    """`mnflow doctor`; returns 1 if a check failed."""
    argparse.ArgumentParser(prog="mnflow doctor", description=__doc__).parse_args(argv)
    return int(doctor() > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Make `mlflow run .` use the project's own .venv, prepare the tracking store, and say what is wrong if neither works."""

import argparse
import fcntl
import hashlib
import logging
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The project's top folder."""

EXPERIMENT = "mn-valence"
"""Name of the experiment and of the registered model."""

EXPERIMENT_TAGS = {
    "mlflow.note.content": "The oxidation state of manganese from EELS. Tick `cv_train` runs and press Compare to see nets and "
    "augmentations side by side; every run has a note in plain words."
}
"""What the UI says above the runs."""

LOCK_SECONDS = 5.0
"""How long a tracking database that is locked by another process is waited for at the start."""

IMAGE = os.environ.get("MNFLOW_IMAGE", "")
"""`cpu` or `gpu` in a container of one of the project's images, else empty."""

_ACTIVATE = """\
# Written by mnflow's set-up: `mlflow run` uses the .venv of the project it is started in.
if [ -f .venv/bin/activate ]; then . .venv/bin/activate; else . "{venv}/bin/activate"; fi
"""


def default_tracking_uri() -> str:
    """MLFLOW_TRACKING_URI if set, else the SQLite store at the project's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"


def mlflow_environment(root: Path = ROOT) -> Path:
    """The folder in which `mlflow run` looks for the environment of this project's python_env.yaml."""
    # Private names: MLflow is pinned, and a test runs `mlflow run` against them.
    from mlflow.utils.environment import _PythonEnv
    from mlflow.utils.virtualenv import _get_mlflow_virtualenv_root, _get_virtualenv_name

    python_env = _PythonEnv.from_yaml(str(root / "python_env.yaml"))
    return Path(_get_mlflow_virtualenv_root()) / _get_virtualenv_name(python_env, root)


def register_environment(folder: Path, venv: Path = ROOT / ".venv") -> None:
    """Put an `activate` into `folder` that leads to `venv`; an environment that MLflow built itself is left alone."""
    activate = folder / "bin" / "activate"
    if (folder / "pyvenv.cfg").exists():
        return
    from mnflow.files import whole_file

    with whole_file(activate) as part:
        part.write_text(_ACTIVATE.format(venv=venv))


def prepare_store(uri: str) -> None:
    """Create the tracking database and its experiment, if they are not there yet; workers may do so at the same time.

    A database must exist before several processes open it. On a local store the experiment 0, which a bare
    `mlflow run .` falls back to, is the project's own.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with one_at_a_time(uri):
        client = MlflowClient(uri)
        if client.get_experiment_by_name(EXPERIMENT) is not None:
            return
        if uri.startswith("sqlite:") and client.get_experiment("0").name == "Default":
            client.rename_experiment("0", EXPERIMENT)
            for key, value in EXPERIMENT_TAGS.items():
                client.set_experiment_tag("0", key, value)
            return
        try:
            client.create_experiment(EXPERIMENT, tags=EXPERIMENT_TAGS)
        except MlflowException:
            if client.get_experiment_by_name(EXPERIMENT) is None:  # else a worker on another machine was first
                raise


@contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Let one process of this machine at a time make or change what must not be made or changed twice in a store."""
    name = hashlib.sha256(uri.encode()).hexdigest()[:16]
    with open(Path(tempfile.gettempdir()) / f"mnflow-{os.getuid()}-{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_database(uri: str) -> None:
    """Make sure that a local tracking database that exists can be written; raises `RuntimeError` with a sentence if not."""
    if not uri.startswith("sqlite:///"):
        return
    path = Path(uri.removeprefix("sqlite:///"))
    for place, what in ((path.parent, "folder of the tracking database"), (path, "tracking database")):
        if place.exists() and not os.access(place, os.W_OK):  # the journal is written in the folder
            raise RuntimeError(f"The {what} {path} cannot be written: check permissions.")
    if not path.exists():
        return
    connection = sqlite3.connect(path, timeout=LOCK_SECONDS)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    except sqlite3.Error as error:
        raise RuntimeError(
            f"The tracking database {path} cannot be written ({error}): close what holds it, or check its permissions."
        ) from error
    finally:
        connection.close()


def _check_python() -> str:
    if sys.version_info[:2] != (3, 11):
        raise RuntimeError(f"Python {sys.version.split()[0]} runs here, 3.11 is needed: install it and run `make setup` again.")
    return f"Python {sys.version.split()[0]}"


def _check_packages() -> str:
    wrong = []
    for line in (ROOT / "requirements.in").read_text().splitlines():
        if "==" in line and not line.startswith("#"):
            name, wanted = line.split("==")
            try:
                found = version(name)
            except PackageNotFoundError:
                found = "missing"
            if found != wanted:
                wrong.append(f"{name} is {found}, {wanted} is needed")
    if wrong:
        raise RuntimeError("; ".join(wrong) + ": remove .venv and run `make setup`.")
    return "packages are those of requirements.in"


def _check_mlflow_run() -> str:
    activate = mlflow_environment() / "bin" / "activate"
    if not activate.exists():
        raise RuntimeError("`mlflow run .` does not know the project's environment yet: run `make setup`.")
    return "`mlflow run .` uses the project's environment"


def _check_store() -> str:
    uri = default_tracking_uri()
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        if IMAGE and not path.exists():
            return _check_mount(path.parent)
        if not path.exists():
            raise RuntimeError(f"There is no tracking database at {path}: run `make setup`.")
        check_database(uri)
    return f"tracking store {uri} is ready"


def _check_mount(folder: Path) -> str:
    """In a container the first step makes the database, in a folder that must outlive the container."""
    if not os.access(folder, os.W_OK):
        raise RuntimeError(
            f"{folder} cannot be written by user {os.getuid()}: mount a folder of yours there and start the container "
            "with --user $(id -u):$(id -g)."
        )
    return f"the first step will make its tracking database in {folder}"


def _check_disk() -> str:
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < 1:
        raise RuntimeError(f"Only {free_gb:.1f} GB are free here; a demo needs 1 GB: make room.")
    return f"{free_gb:.0f} GB of disk are free"


def _check_backend() -> str:
    logging.getLogger("jax").setLevel(logging.CRITICAL)  # a GPU image without a GPU: one sentence says more than a traceback
    import keras

    name = keras.backend.backend()
    if name not in ("jax", "tensorflow"):
        return f"nets run on the {name} backend (it predicts, but cannot train)"
    gpus = _gpus(name)
    if IMAGE == "gpu" and not gpus:
        raise RuntimeError(
            f"This is the GPU image, but {name} sees no GPU: nets would run on the CPU, slowly. Start the container with "
            "`docker run --gpus all`, on a machine with an NVIDIA driver and the NVIDIA container toolkit; `nvidia-smi` in "
            "the container must list the GPU. Without one, use the CPU image."
        )
    return f"nets run on the {name} backend, on {', '.join(gpus) or 'CPU'}"


def _gpus(backend: str) -> list[str]:
    """What the backend calls the GPUs that it will use."""
    if backend == "jax":
        import jax

        return [str(d) for d in jax.devices() if d.platform != "cpu"]
    import tensorflow as tf

    return [d.name for d in tf.config.list_physical_devices("GPU")]


CHECKS: tuple[Callable[[], str], ...] = (
    _check_python, _check_packages, _check_mlflow_run, _check_store, _check_disk, _check_backend,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["setup", "register", "doctor"])
    action = parser.parse_args().action
    if action == "doctor":
        sys.exit(bool(doctor()))
    register_environment(mlflow_environment())
    if action == "setup":  # an image is built without a store
        prepare_store(default_tracking_uri())


if __name__ == "__main__":
    main()

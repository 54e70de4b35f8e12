"""Make `mlflow run .` use the project's own .venv, prepare the tracking store, and say what is wrong if
neither works.
"""

import argparse
import logging
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mnflow.runtime.mlflow_env import mlflow_environment
from mnflow.runtime.project import IMAGE, ROOT, default_tracking_uri
from mnflow.track.database import check_database


def _check_python() -> str:
    if sys.version_info[:2] != (3, 11):
        raise RuntimeError(
            f"Python {sys.version.split()[0]} runs here, 3.11 is needed: install it and run `make setup` "
            f"again."
        )
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
            f"{folder} cannot be written by user {os.getuid()}: mount a folder of yours there and start the "
            f"container "
            "with --user $(id -u):$(id -g)."
        )
    return f"the first step will make its tracking database in {folder}"


def _check_disk() -> str:
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < 1:
        raise RuntimeError(f"Only {free_gb:.1f} GB are free here; a demo needs 1 GB: make room.")
    return f"{free_gb:.0f} GB of disk are free"


def _check_backend() -> str:
    logging.getLogger("jax").setLevel(
        logging.CRITICAL
    )  # a GPU image without a GPU: one sentence says more than a traceback
    from mnflow.models.backend import keras

    name = keras.backend.backend()
    if name not in ("jax", "tensorflow"):
        return f"nets run on the {name} backend (it predicts, but cannot train)"
    gpus = _gpus(name)
    if IMAGE == "gpu" and not gpus:
        raise RuntimeError(
            f"This is the GPU image, but {name} sees no GPU: nets would run on the CPU, slowly. Start the "
            f"container with "
            "`docker run --gpus all`, on a machine with an NVIDIA driver and the NVIDIA container toolkit; "
            "`nvidia-smi` in "
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


def main(argv: Sequence[str] | None = None) -> int:
    """`mnflow doctor`; returns 1 if a check failed."""
    argparse.ArgumentParser(prog="mnflow doctor", description=__doc__).parse_args(argv)
    return int(doctor() > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Set up the project's own .venv, make `mlflow run .` use it, and prepare the tracking store.

`python -m mnflow.setup` needs nothing but Python: it is started before any package is installed.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from mnflow.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / ".ready"
"""Holds what was installed and for which folder; set-up is done again when either has changed."""

_BASE, _DEV = ("requirements.txt",), ("requirements.txt", "requirements-dev.txt")


def venv_python(folder: Path = VENV) -> Path:
    """The interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_foreign(folder: Path = VENV) -> bool:
    """Whether an environment was copied or moved here from another place, or its interpreter is gone."""
    if folder.is_symlink() or not folder.exists():
        return False
    try:
        lines = (folder / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return True
    commands = [line for line in lines if line.startswith("command = ")]  # "... -m venv FOLDER"
    return not venv_python(folder).exists() or any(not c.endswith(f" {folder}") for c in commands)


def wanted(requirements: Sequence[str], root: Path = ROOT) -> str:
    """What the stamp says after a set-up with these requirement files."""
    h = hashlib.sha256(str(root).encode())
    for name in (*requirements, "python_env.yaml", "pyproject.toml"):
        h.update((root / name).read_bytes())
    return f"{'+'.join(requirements)} {h.hexdigest()}"


def set_up(dev: bool = False) -> None:
    """Bring .venv, MLflow's environment and the store up to date; does nothing if they are."""
    done = STAMP.read_text(encoding="utf-8") if STAMP.is_file() and not is_foreign() else ""
    if done == wanted(_DEV) or (not dev and done == wanted(_BASE)):
        return
    requirements = _DEV if dev or done.startswith("+".join(_DEV)) else _BASE
    if is_foreign():
        print(f"{VENV} was made for another place or interpreter: making it anew.", flush=True)
        shutil.rmtree(VENV)
    if not venv_python().exists():
        venv.create(VENV, with_pip=True)
    print("Setting up .venv (once, 1 to 3 minutes) ...", flush=True)
    pip = [str(venv_python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--require-hashes", *(w for r in requirements for w in ("-r", r))], cwd=ROOT, check=True
    )
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", "."], cwd=ROOT, check=True)
    subprocess.run([str(venv_python()), "-m", "mnflow.setup", "--here"], cwd=ROOT, check=True)
    STAMP.write_text(wanted(requirements), encoding="utf-8")


def use_here(store: bool = True) -> None:
    """Make `mlflow run .` use this interpreter, and prepare the store, which may have been moved."""
    from mnflow.runtime.mlflow_env import mlflow_environment, register_environment

    if os.name != "nt":  # `mlflow run` makes no environments there: `mnflow STEP` runs the steps
        register_environment(mlflow_environment())
    if store:
        from mnflow.track.connection import connect

        connect()


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m mnflow.setup", description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    parser.add_argument("--here", action="store_true", help="install nothing: register this interpreter")
    parser.add_argument(
        "--no-store", action="store_true", help="with --here: make no tracking store (images)"
    )
    options = parser.parse_args(argv)
    if sys.version_info < (3, 11):  # noqa: UP036  started before anything has checked it
        print(f"mnflow: Python 3.11 or newer is needed, this is {sys.version.split()[0]}.", file=sys.stderr)
        return 1
    try:
        if options.here:
            use_here(store=not options.no_store)
        else:
            set_up(options.dev)
    except InputError as error:
        print(f"mnflow: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(
            f"mnflow: set-up failed: `{' '.join(error.cmd[1:5])} ...` ended with {error.returncode}.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

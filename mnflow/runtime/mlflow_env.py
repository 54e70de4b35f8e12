"""Make `mlflow run .` use the project's own .venv."""

from pathlib import Path

from mnflow.runtime.project import ROOT

_ACTIVATE = """\
# Written by mnflow's set-up: `mlflow run` uses the .venv of its project. A copied .venv's own
# activate would lead to the folder that it was copied from.
if [ -x .venv/bin/python ]; then VIRTUAL_ENV="$PWD/.venv"; else VIRTUAL_ENV="{venv}"; fi
export VIRTUAL_ENV PATH="$VIRTUAL_ENV/bin:$PATH"
"""


def mlflow_environment(root: Path = ROOT) -> Path:
    """The folder in which `mlflow run` looks for the environment of this project's python_env.yaml."""
    # Private names: MLflow is pinned, and a test runs `mlflow run` against them.
    from mlflow.utils.environment import _PythonEnv
    from mlflow.utils.virtualenv import _get_mlflow_virtualenv_root, _get_virtualenv_name

    python_env = _PythonEnv.from_yaml(str(root / "python_env.yaml"))
    return Path(_get_mlflow_virtualenv_root()) / _get_virtualenv_name(python_env, root)


def register_environment(folder: Path, venv: Path = ROOT / ".venv") -> None:
    """Write an `activate` script in `folder` that leads to `venv`.

    An environment that MLflow built itself is left alone.
    """
    activate = folder / "bin" / "activate"
    if (folder / "pyvenv.cfg").exists():
        return
    from mnflow.runtime.files import whole_file

    with whole_file(activate) as part:
        part.write_text(_ACTIVATE.format(venv=venv))

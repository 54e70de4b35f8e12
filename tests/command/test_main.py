"""The `mnflow` command: cold start without heavy packages, typos, and steps that are MLproject's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mnflow.command import main as command
from mnflow.pretrained.shipped import EXAMPLE
from mnflow.runtime.project import ROOT

pytestmark = pytest.mark.slow

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
HEAVY = ("mlflow", "keras", "jax", "tensorflow", "sklearn", "hyperspy.api", "matplotlib", "pandas", "numba")


def in_fresh_interpreter(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_predict_imports_nothing_that_takes_long(tmp_path: Path) -> None:
    said = in_fresh_interpreter(
        "import sys\n"
        "from mnflow.command.predict import main\n"
        f"main([{str(EXAMPLE)!r}, '--model', 'shipped', '--json'])\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))",
        tmp_path,
    )
    assert said.splitlines()[-1] == "[]"


def test_the_page_waits_for_nothing_that_its_map_does_not_need(tmp_path: Path) -> None:
    later = {*HEAVY, "scipy.optimize"} - {"matplotlib"}
    said = in_fresh_interpreter(
        f"import sys, mnflow.view.server; print(sorted({later!r} & set(sys.modules)))", tmp_path
    )
    assert said == "[]\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_stop_nothing(closed: str, tmp_path: Path) -> None:
    asked = f"'{sys.executable}' -m mnflow predict '{EXAMPLE}' --model shipped --csv {closed}"
    done = subprocess.run(["sh", "-c", asked], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_importing_mnflow_changes_nothing_and_loads_nothing(tmp_path: Path) -> None:
    said = in_fresh_interpreter(
        "import os, sys; before = dict(os.environ)\n"
        "import mnflow\n"
        "found = sorted(m for m in sys.modules if 'mnflow' in m or m == 'numpy')\n"
        "print(dict(os.environ) == before, found, 'predict' in dir(mnflow))",
        tmp_path,
    )
    modules = [w for w in said.split("'") if w.startswith(("mnflow", "numpy"))]
    assert said.startswith("True")
    assert said.endswith("True\n")
    assert [m for m in modules if "editable" not in m] == ["mnflow"]


def test_a_typo_names_the_nearest_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(["predct"])
    assert end.value.code == 2
    assert "did you mean predict?" in capsys.readouterr().err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"]):
        with pytest.raises(SystemExit) as end:
            command.main(words)
        assert end.value.code == 0
        said = capsys.readouterr().out
        assert all(name in said for name in (*command.COMMANDS, *command.STEPS))


def test_every_step_of_mlproject_but_predict_is_a_step_of_the_command() -> None:
    entry_points = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
    assert set(entry_points) == {*command.STEPS, "predict", "doctor"}


def test_a_missing_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")

    monkeypatch.setattr(command, "import_module", missing)
    with pytest.raises(SystemExit) as end:
        command.main(["cv_train"])
    assert end.value.code == 1
    assert "pip install 'mnflow[train]'" in capsys.readouterr().err


def test_a_typo_in_a_step_ends_before_anything_is_imported_or_tracked(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mnflow", "cv_train", "--arhc", "fcn"],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "unrecognized arguments: --arhc fcn. `mnflow cv_train --help` lists the options." in done.stderr
    assert "mlflow" not in done.stderr.replace("mnflow", "")
    assert list(tmp_path.iterdir()) == []

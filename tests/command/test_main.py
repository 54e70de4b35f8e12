"""The `mnflow` command: cold start without heavy packages, typos, and steps that are MLproject's."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import mnflow
from mnflow.command import main as command
from mnflow.errors import InputError
from mnflow.pretrained.shipped import EXAMPLE
from mnflow.runtime.project import ROOT
from tests.helpers.help_pages import KEPT

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


def test_public_names_are_there_and_others_are_not() -> None:
    assert dir(mnflow) == sorted(mnflow.__all__)
    assert mnflow.InputError is InputError
    assert [name for name in mnflow.__all__ if not hasattr(mnflow, name)] == []
    with pytest.raises(AttributeError, match=r"^module 'mnflow' has no attribute 'predcit'$"):
        mnflow.predcit  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("predct", "did you mean predict?"),
        ("wise_eval", "did you mean noise_eval or shift_eval?"),
        ("preprocte", "did you mean preprocess or reproduce or report?"),
        ("xyz", "`mnflow --help` lists the commands."),
    ],
)
def test_a_typo_names_the_nearest_commands(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.main([word])
    assert end.value.code == 2
    assert capsys.readouterr().err == f"mnflow: unknown command {word!r}: {hint}\n"


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["help"], ["-V"], ["--version"]])
def test_help_lists_every_command(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = (KEPT / "mnflow.txt").read_text(encoding="utf-8").replace("VERSION", mnflow.__version__)
    monkeypatch.setattr(sys, "argv", ["mnflow", *words])
    for given in (words, None):
        with pytest.raises(SystemExit) as end:
            command.main(given)
        assert end.value.code == 0
        shown = f"mnflow {mnflow.__version__}\n" if words in (["-V"], ["--version"]) else kept
        assert capsys.readouterr().out == shown
    assert all(f"  {name} " in kept for name in (*command.COMMANDS, *command.STEPS))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InputError("No such folder."), "No such folder."),
        (
            ModuleNotFoundError("No module", name="mlflow.tracking"),
            "`mnflow view` needs the package mlflow.tracking, which is not installed: run `pip install "
            "'mnflow[train]'`.",
        ),
        (
            ModuleNotFoundError("No module", name="panel"),
            "`mnflow view` needs the package panel, which is not installed: run `pip install "
            "'mnflow[view]'`.",
        ),
    ],
)
def test_bad_input_and_a_missing_extra_are_a_line_and_exit_code_1(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(argv: list[str]) -> None:
        raise error

    monkeypatch.setattr(command, "import_module", {"mnflow.command.view": SimpleNamespace(main=fail)}.get)
    with pytest.raises(SystemExit) as end:
        command.main(["view"])
    assert end.value.code == 1
    assert capsys.readouterr() == ("", f"mnflow: {said}\n")


@pytest.mark.parametrize("name", ["ours", None])
def test_a_missing_package_of_no_extra_is_not_hidden(
    name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(module: str) -> None:
        raise ModuleNotFoundError("No module", name=name)

    monkeypatch.setattr(command, "import_module", missing)
    with pytest.raises(ModuleNotFoundError):
        command.main(["view"])


@pytest.mark.parametrize(("name", "code"), [("view", 0), ("doctor", 1), ("fit", None)])
def test_a_command_gets_its_words_and_gives_the_exit_code(
    name: str, code: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def run(argv: list[str]) -> int | None:
        given.append(argv)
        return code

    module = command.COMMANDS[name][0]
    monkeypatch.setattr(command, "import_module", {module: SimpleNamespace(main=run)}.get)
    with pytest.raises(SystemExit) as end:
        command.main([name, "--a", "b"])
    assert (end.value.code, given) == (code, [["--a", "b"]])


def test_a_step_is_the_entry_point_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from entrypoints import tsne

    given: list[tuple[object, ...]] = []

    def stub(*words: object) -> None:
        given.append(words)
        sys.exit(7)

    monkeypatch.setattr("mnflow.pipeline.execution.execute", stub)
    with pytest.raises(SystemExit) as end:
        command.main(["tsne", "--seed", "3"])
    assert (end.value.code, given) == (7, [(tsne.Options, tsne.run, ["--seed", "3"])])


def test_every_step_of_mlproject_but_predict_is_a_step_of_the_command() -> None:
    entry_points = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
    assert set(entry_points) == {*command.STEPS, "predict", "doctor"}


def test_a_typo_in_a_step_ends_before_anything_is_imported_or_tracked(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mnflow", "cv_train", "--arhc", "fcn"],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "unrecognized arguments: --arhc fcn. `mnflow cv_train --help` lists the options." in done.stderr
    assert "mlflow" not in done.stderr.replace("mnflow", "")
    assert list(tmp_path.iterdir()) == []

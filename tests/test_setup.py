"""Set-up installs once, again when what it installs or the place has changed, and notices a foreign .venv."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mnflow import setup
from mnflow.errors import InputError
from tests.helpers.help_pages import check_help


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder; install commands are recorded, not run."""
    root = tmp_path / "a project"
    root.mkdir()
    for name in ("requirements.txt", "requirements-dev.txt", "python_env.yaml", "pyproject.toml"):
        (root / name).write_text(name)
    use(monkeypatch, root)
    return root


def use(patch: pytest.MonkeyPatch, root: Path) -> None:
    patch.setattr(setup, "ROOT", root)
    patch.setattr(setup, "VENV", root / ".venv")
    patch.setattr(setup, "STAMP", root / ".venv" / ".ready")
    patch.setattr(setup.is_foreign, "__defaults__", (root / ".venv",))
    patch.setattr(setup.venv_python, "__defaults__", (root / ".venv",))
    patch.setattr(setup.wanted, "__defaults__", (root,))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requirement files of every installation; nothing is installed."""
    found: list[str] = []

    def create(folder: Path, with_pip: bool) -> None:
        subprocess.Popen([sys.executable, "-m", "venv", "--without-pip", str(folder)]).wait()

    def run(command: list[str], **_: object) -> None:
        if "--require-hashes" in command:
            found.append("+".join(w for w in command if w.endswith(".txt")))

    monkeypatch.setattr(setup.venv, "create", create)
    monkeypatch.setattr(setup.subprocess, "run", run)
    return found


def test_what_a_set_up_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[object] = []

    def create(folder: Path, with_pip: bool) -> None:
        folder.mkdir()
        done.append((folder, with_pip))

    monkeypatch.setattr(setup.venv, "create", create)
    monkeypatch.setattr(setup.subprocess, "run", lambda command, **how: done.append((command, how)))
    setup.set_up(dev=True)
    python, how = str(setup.venv_python()), {"cwd": project, "check": True}
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    files = ["-r", "requirements.txt", "-r", "requirements-dev.txt"]
    assert done == [
        (project / ".venv", True),
        ([*pip, "--require-hashes", *files], how),
        ([*pip, "--no-deps", "--no-build-isolation", "-e", "."], how),
        ([python, "-m", "mnflow.setup", "--here"], how),
    ]
    assert capsys.readouterr().out == "Setting up .venv (once, 1 to 3 minutes) ...\n"


@pytest.mark.parametrize(
    ("words", "called"),
    [
        ([], ("set_up", False)),
        (["--dev"], ("set_up", True)),
        (["--here"], ("use_here", True)),
        (["--here", "--no-store"], ("use_here", False)),
    ],
)
def test_the_command_line(
    words: list[str],
    called: tuple[str, bool],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = []
    monkeypatch.setattr(setup, "set_up", lambda dev: done.append(("set_up", dev)))
    monkeypatch.setattr(setup, "use_here", lambda store: done.append(("use_here", store)))
    for version, code in (((3, 11), 0), ((3, 10, 9), 1)):
        with monkeypatch.context() as patch:
            patch.setattr(setup.sys, "version_info", version)
            assert setup.main(words) == code
    assert done == [called]
    found = sys.version.split()[0]
    assert capsys.readouterr() == ("", f"mnflow: Python 3.11 or newer is needed, this is {found}.\n")


def test_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    check_help("setup", setup.main, capsys)


@pytest.mark.parametrize("system", ["posix", "nt"])
def test_this_interpreter_is_registered_with_mlflow_and_the_store_prepared(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    monkeypatch.setattr("mnflow.runtime.mlflow_env.mlflow_environment", lambda: tmp_path)
    monkeypatch.setattr("mnflow.runtime.mlflow_env.register_environment", done.append)
    stub = SimpleNamespace(connect=lambda: done.append("store"))
    monkeypatch.setitem(sys.modules, "mnflow.track.connection", stub)  # type: ignore[arg-type]
    monkeypatch.setattr(setup, "os", SimpleNamespace(name=system))
    setup.use_here()
    setup.use_here(store=False)
    registered = [tmp_path] if system == "posix" else []  # `mlflow run` is not used on Windows
    assert done == [*registered, "store", *registered]
    folder = Path("bin" if system == "posix" else "Scripts")
    assert setup.venv_python(tmp_path).relative_to(tmp_path).parent == folder


def test_an_environment_is_foreign_without_its_interpreter_or_its_note_but_not_as_a_link(
    project: Path, installed: list[str]
) -> None:
    venv = project / ".venv"
    assert not setup.is_foreign()  # there is none
    setup.set_up()
    assert not setup.is_foreign()
    (project / "link").symlink_to(venv)
    assert not setup.is_foreign(project / "link")
    setup.venv_python().rename(python := project / "python")
    assert setup.is_foreign()
    python.rename(setup.venv_python())
    assert not setup.is_foreign()
    (venv / "pyvenv.cfg").unlink()
    assert setup.is_foreign()


def test_a_second_set_up_does_nothing(project: Path, installed: list[str]) -> None:
    setup.set_up()
    setup.set_up()
    assert installed == ["requirements.txt"]


def test_development_tools_are_added_when_they_are_wanted_and_then_stay(
    project: Path, installed: list[str]
) -> None:
    setup.set_up()
    setup.set_up(dev=True)
    setup.set_up()
    assert installed == ["requirements.txt", "requirements.txt+requirements-dev.txt"]


def test_what_is_installed_and_has_changed_is_installed_again(project: Path, installed: list[str]) -> None:
    setup.set_up()
    names = ("requirements-dev.txt", "requirements.txt", "python_env.yaml", "pyproject.toml")
    for times, name in enumerate(names):  # the first is not used here
        (project / name).write_text("more")
        setup.set_up()
        assert installed == ["requirements.txt"] * (times + 1)
        assert setup.STAMP.read_text() == setup.wanted(["requirements.txt"])


@pytest.mark.parametrize("put", [shutil.move, shutil.copytree])
def test_the_environment_of_another_place_is_made_anew(
    project: Path, installed: list[str], put: object, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    setup.set_up()
    new = project.with_name("elsewhere")
    if put is shutil.copytree:
        shutil.copytree(project, new, symlinks=True)
    else:
        shutil.move(project, new)
    use(monkeypatch, new)
    assert setup.is_foreign()
    setup.set_up()
    assert len(installed) == 2
    assert not setup.is_foreign()
    said = f"{new}/.venv was made for another place or interpreter: making it anew."
    assert said in capsys.readouterr().out.splitlines()


def test_a_failed_installation_is_a_message_and_is_tried_again(
    project: Path, installed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(setup.subprocess, "run", fail)
    assert setup.main([]) == 1
    assert capsys.readouterr().err == ("mnflow: set-up failed: `-m pip install --quiet ...` ended with 1.\n")
    assert not setup.STAMP.exists()

    def refuse(dev: bool) -> None:
        raise InputError("The store is of tomorrow.")

    monkeypatch.setattr(setup, "set_up", refuse)
    assert setup.main([]) == 1
    assert capsys.readouterr().err == "mnflow: The store is of tomorrow.\n"

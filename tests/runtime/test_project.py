"""Locks lie in the store's own folder, are waited for with a message and a limit, and empty no file."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mnflow.errors import InputError
from mnflow.runtime import project
from mnflow.runtime.project import ROOT, one_at_a_time, project_of, shown_store

HOLD = """
import sys
from pathlib import Path
from mnflow.runtime.project import one_at_a_time
with one_at_a_time(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_that_is_held_is_waited_for_with_a_message_and_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(project, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(project, "LOCK_SECONDS", 0.1)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, uri],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(InputError) as error,
            one_at_a_time(uri),
        ):
            pass
        holder.communicate("")
    (lock,) = tmp_path.iterdir()
    assert re.fullmatch(r"\.mnflow-[0-9a-f]{16}\.lock", lock.name)
    assert str(error.value) == (
        f"Another process has held the lock {lock} for 0 s: let it end, or stop it, and start this command "
        "again."
    )
    said = f"mnflow: another process holds {lock}; waiting for it ...\n"
    assert capsys.readouterr() == ("", said)
    with one_at_a_time(uri):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_link_has_its_target_left_alone(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with one_at_a_time(uri):
        (lock,) = tmp_path.glob(".mnflow-*.lock")
    precious = tmp_path / "precious"
    precious.write_text("data")
    lock.unlink()
    lock.symlink_to(precious)
    with pytest.raises(OSError, match="symbolic"), one_at_a_time(uri):
        pass
    assert precious.read_text() == "data"


def test_a_server_has_its_lock_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        with one_at_a_time("http://somewhere:5000"):
            assert len(list((tmp_path / "mnflow").iterdir())) == 1
    with one_at_a_time("http://somewhere:5000", tmp_path / "of" / "its" / "own"):
        assert len(list((tmp_path / "of" / "its" / "own").iterdir())) == 1


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@db/mlflow")
    assert shown_store() == "postgresql://me:***@db/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere:5000")
    assert shown_store() == "http://somewhere:5000"
    for unset in ("", None):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "") if unset == "" else monkeypatch.delenv(
            "MLFLOW_TRACKING_URI"
        )
        assert shown_store() == f"sqlite:///{ROOT}/mlflow.db"


def test_a_project_is_a_folder_with_its_two_files(tmp_path: Path) -> None:
    found = []
    for name in ("MLproject", "requirements.in"):
        found.append(project_of(tmp_path))
        (tmp_path / name).touch()
    assert [*found, project_of(tmp_path)] == [None, None, tmp_path]
    (tmp_path / "MLproject").unlink()
    assert project_of(tmp_path) is None


def test_a_user_has_a_number_or_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert project.user() == str(os.getuid())
    monkeypatch.delattr(os, "getuid")  # as on Windows
    monkeypatch.delenv("USERNAME", raising=False)
    assert project.user() == "user"
    monkeypatch.setenv("USERNAME", "ada")
    assert project.user() == "ada"


def test_where_locks_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert project._folder_of("http://somewhere") == Path.home() / ".cache" / "mnflow"
    monkeypatch.chdir(tmp_path)
    assert project._folder_of("sqlite:///mlflow.db") == tmp_path

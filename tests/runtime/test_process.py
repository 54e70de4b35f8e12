"""Processes that have ended are told from those that run, as far as the system tells."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnflow.runtime.process import is_gone, this_process


@pytest.mark.parametrize("system", ["Linux", "macOS", "Windows"])
def test_a_process_that_has_ended_is_gone(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if system != "Linux":

        def no_proc(path: Path) -> str:
            raise FileNotFoundError

        monkeypatch.setattr(Path, "read_text", no_proc)
    elif not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc")
    own = this_process()
    host, number, started = own.split()
    assert number == str(os.getpid())
    assert started.isdigit() == (system == "Linux")
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    others = [f"{host} {number} {started}" for number in (ended.pid, 10**30)]
    with monkeypatch.context() as patch:
        if system == "Windows":
            patch.setattr(sys, "platform", "win32")
        found = [is_gone(process) for process in (own, *others)]
    assert found == ([False] * 3 if system == "Windows" else [False, True, True])
    for words in (f"elsewhere {ended.pid} {started}", f"{host} none {started}", "", f"{host} {ended.pid}"):
        assert not is_gone(words)


def test_another_users_process_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", forbidden)
    monkeypatch.setattr(os, "kill", forbidden)
    assert not is_gone(this_process())

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


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_number_that_another_process_has_now_and_one_that_nobody_has_waited_for_are_gone() -> None:
    host, number, started = this_process().split()
    assert is_gone(f"{host} {number} {int(started) - 1}")
    assert not is_gone(f"{host}  {number} {started}")  # not as this_process names one
    code = "import sys; open('/proc/self/comm', 'w').write('a) 1 S'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()  # from here on it has a name like the end of one
        start = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
        assert not is_gone(named := f"{host} {child.pid} {start}")
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # has ended, and stays in the system's table
        assert is_gone(named)


def test_another_users_process_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", forbidden)
    monkeypatch.setattr(os, "kill", forbidden)
    assert this_process().endswith(f" {os.getpid()} unknown")
    assert not is_gone(this_process())

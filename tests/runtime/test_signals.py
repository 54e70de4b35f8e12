"""Signals stop a program where it may be stopped, and wait where it may not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from mnflow.runtime import signals
from mnflow.runtime.project import ROOT


@pytest.fixture(autouse=True)
def _listening(_own_handlers: None) -> None:
    signals.listen()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_is_an_exception_with_its_name(name: str) -> None:
    with pytest.raises(KeyboardInterrupt, match=name):
        os.kill(os.getpid(), signal.Signals[name])


def _stopped_in(steps: Callable[[], None]) -> str:
    """The signal that `steps` ended with."""
    with pytest.raises(KeyboardInterrupt) as stop:
        steps()
    return str(stop.value)


def test_signals_wait_for_the_end_of_the_outermost_block_and_come_once() -> None:
    reached = []

    def nested() -> None:
        with signals.held():
            with signals.held():
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGINT)
                reached.append("inner")
            reached.append("outer")

    assert _stopped_in(nested) == "SIGTERM"
    assert reached == ["inner", "outer"]
    with signals.held():
        reached.append("again")
    assert reached[-1] == "again"


def test_a_signal_is_not_lost_when_the_block_fails() -> None:
    def failing() -> None:
        with signals.held():
            os.kill(os.getpid(), signal.SIGTERM)
            raise ValueError

    assert _stopped_in(failing) == "SIGTERM"


def test_a_signal_in_a_destructor_is_not_lost() -> None:
    class Stopped:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    def drop() -> None:
        thing = Stopped()
        del thing
        time.sleep(10)  # is not slept to its end

    assert _stopped_in(drop) == "SIGTERM"


ON_THE_WAY_OUT = {
    "before anything is taken apart": "atexit.register(os.kill, os.getpid(), {number})",
    "when modules are taken apart": (
        "class Late:\n    def __del__(self, kill=os.kill, pid=os.getpid()): kill(pid, {number})\nlate = "
        "Late()"
    ),
}


@pytest.mark.parametrize("when", ON_THE_WAY_OUT)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_on_the_way_out_does_not_change_how_a_command_ended(
    when: str, number: signal.Signals
) -> None:
    code = (
        "import atexit, os\nfrom mnflow.runtime import signals\nsignals.listen()\n"
        f"{ON_THE_WAY_OUT[when].format(number=int(number))}\nprint('done')\nsignals.leave(7)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "done\n", "")


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_a_signal_on_the_way_out_keeps_the_exit_code(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(flush=fail))  # nobody listens any more
    with pytest.raises(SystemExit) as left:
        signals.leave(3)
    assert left.value.code == 3
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
    assert ended == [3, 3]
    signals._ignore()
    os.kill(os.getpid(), signal.SIGTERM)
    assert ended == [3, 3]


@pytest.mark.parametrize("alarm", [True, False])
def test_a_dropped_signal_comes_again(alarm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not alarm:
        monkeypatch.delattr(signal, "SIGALRM")  # as on Windows
    sys.unraisablehook(SimpleNamespace(exc_value=KeyboardInterrupt("SIGTERM")))  # type: ignore[arg-type]

    def wait() -> None:
        for _ in range(6000):
            time.sleep(0.01)

    assert _stopped_in(wait) == "SIGTERM"


def test_other_errors_of_destructors_are_still_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    signals.listen()
    error = SimpleNamespace(exc_value=ValueError("lost"))
    sys.unraisablehook(error)  # type: ignore[arg-type]
    assert seen == [error]

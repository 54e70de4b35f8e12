"""SIGTERM and Ctrl-C as one exception, which waits for the end of critical sections."""

import _thread
import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

_depth = 0
_waiting: list[str] = []

_STOPS = (signal.SIGTERM, signal.SIGINT)
_AGAIN_SECONDS = 0.02


def listen() -> None:
    """Make SIGTERM and SIGINT raise KeyboardInterrupt with the signal's name, except in `held` blocks.

    Python drops an exception that is raised in a destructor or in a callback of the garbage collector, and
    JAX has one of these: what is dropped is raised again a moment later.
    """
    for number in _STOPS:
        signal.signal(number, lambda signum, frame: _stop(signal.Signals(signum).name))
    atexit.register(_ignore)  # early, and so it is called late
    dropped = sys.unraisablehook

    def again(unraisable: "sys.UnraisableHookArgs") -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            return dropped(unraisable)
        name = str(unraisable.exc_value)
        if hasattr(signal, "SIGALRM"):  # interrupts what the main thread waits for, too
            signal.signal(signal.SIGALRM, lambda signum, frame: _stop(name))
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        else:
            threading.Timer(_AGAIN_SECONDS, _thread.interrupt_main, [signal.Signals[name]]).start()

    sys.unraisablehook = again


def leave(code: int) -> NoReturn:
    """Exit with this code, ignoring signals that arrive on the way out.

    A signal ends what is still waited for. At the very end Python gives signals their own meaning back:
    without `_ignore` a command that has done all its work would end as one that was stopped.
    """
    with suppress(OSError, ValueError):  # nobody listens any more
        sys.stdout.flush()
    for number in _STOPS:
        signal.signal(number, lambda signum, frame: os._exit(code))
    sys.exit(code)


def _ignore() -> None:
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)


def _stop(name: str) -> None:
    if _depth:
        _waiting.append(name)
    else:
        raise KeyboardInterrupt(name)


@contextmanager
def held() -> Iterator[None]:
    """Hold signals until the block has ended, then raise them; only in the main thread."""
    global _depth
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if _waiting and not _depth:
            name = _waiting[0]
            _waiting.clear()
            raise KeyboardInterrupt(name)

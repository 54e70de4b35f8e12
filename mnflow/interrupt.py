"""SIGTERM and Ctrl-C as one exception, which waits while something must not be cut in two."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_depth = 0
_waiting: list[str] = []


def listen() -> None:
    """From now on SIGTERM and SIGINT raise KeyboardInterrupt with the signal's name, outside of `held` blocks."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _arrived)


def _arrived(signum: int, frame: FrameType | None) -> None:
    name = signal.Signals(signum).name
    if _depth:
        _waiting.append(name)
    else:
        raise KeyboardInterrupt(name)


@contextmanager
def held() -> Iterator[None]:
    """Let signals wait until the block has ended; they are raised then. Another thread than the first is never stopped."""
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

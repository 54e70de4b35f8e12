"""Signals as a command takes them."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mnflow.runtime import signals


@contextmanager
def stoppable() -> Iterator[None]:
    """For the block SIGTERM raises KeyboardInterrupt, or waits where it is held."""
    before = signal.signal(signal.SIGTERM, lambda *_: signals._stop("SIGTERM"))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stopped_after(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, and a SIGTERM before its result is given back."""

    def called(*arguments: Any, **words: Any) -> Any:
        result = function(*arguments, **words)
        os.kill(os.getpid(), signal.SIGTERM)
        return result

    return called

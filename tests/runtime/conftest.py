"""Signal handlers as they were before a test."""

import signal
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture
def _own_handlers() -> Iterator[None]:
    """What a program does to signals ends with the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)

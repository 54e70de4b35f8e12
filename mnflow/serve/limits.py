"""What a request may bring, checked before it is parsed, and how long its headers may take."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.serve.request import FIELDS

MAX_BODY_BYTES = 100_000_000
"""Some 5,000 spectra of 1,000 channels."""

MAX_SPECTRA = 10_000
"""In one request."""

MAX_CHANNELS = 100_000
"""Of one spectrum."""

MAX_SPECTRUM_BYTES = 64 * MAX_CHANNELS
"""Of one spectrum: two numbers of 31 characters a channel. Python reads so much in a tenth of a second or
less, in which no other client gets a turn.
"""

LEAST_SPECTRUM_BYTES = 300
"""What spectra take on average where there are more than `SOME_SPECTRA`: an answer takes some 2 kB of memory,
an error no less, and a request of ten thousand empty spectra would take hundreds of times its own size.
"""

SOME_SPECTRA = 100
_PIECE_BYTES = 1_000_000  # is counted at a time; other clients get a turn between two

FEW_BYTES = 50_000
FEW_SPECTRA = 2
"""So few are answered at once, since to hand them to a thread takes longer; all other clients wait meanwhile,
so that eight spectra, each with an axis of its own, are too many.
"""

MAX_CONNECTIONS = 500
"""Open at a time; fewer where the process may open less than twice as many files."""

HEADER_SECONDS = 10.0
"""How long a request's headers may take to arrive."""


def parse(body: bytes | bytearray) -> list[Any]:
    """The spectra of a request, {"inputs": [...]}, as they are; lists of numbers become arrays one by one.

    The number of elements is bounded before anything is parsed, so that a body takes a few times its own size
    in memory.

    Raises
    ------
    InputError
        If it is no such JSON, or holds too much.
    """
    _check_counts(body)
    try:
        request = json.loads(body, object_hook=_with_arrays)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The request cannot be read ({type(error).__name__}): expected JSON in UTF-8."
        ) from None
    if (
        not isinstance(request, dict)
        or request.keys() != {"inputs"}
        or not isinstance(request["inputs"], list)
    ):
        raise InputError(
            'Expected {"inputs": [{"energy_ev": [...], "intensity": [...]}, ...]}, a list of spectra.'
        )
    if (n := len(request["inputs"])) > MAX_SPECTRA:
        raise _too_many(n)
    if n > SOME_SPECTRA and len(body) < LEAST_SPECTRUM_BYTES * n:
        raise InputError(
            f"Expected spectra, got {n:,} elements of {len(body) / n:.0f} bytes on average, which hold none: "
            f"send {SOME_SPECTRA} at most, and each gets its own error."
        )
    return request["inputs"]


def _check_counts(body: bytes | bytearray) -> None:
    """Bound objects, lists, the numbers of each list and a spectrum's length, without reading any."""
    if (n := _count(body, b"{")) > MAX_SPECTRA + 1:
        raise _too_many(n - 1)
    if _count(body, b"[") > 2 * MAX_SPECTRA + 1:
        raise InputError("Expected two lists of numbers a spectrum, got more lists than that.")
    for start, end in _parts(body, b"}"):
        if end - start > MAX_SPECTRUM_BYTES:
            raise InputError(
                f"Expected at most {MAX_SPECTRUM_BYTES / 1e6:g} MB a spectrum, got {(end - start) / 1e6:.1f}."
            )
    for start, end in _parts(body, b"]"):
        if (n := body.count(b",", start, end)) > MAX_CHANNELS + 2:
            raise InputError(
                f"Expected at most {MAX_CHANNELS:,} channels a spectrum, got a list of {n:,} elements."
            )


def _count(body: bytes | bytearray, sign: bytes) -> int:
    return sum(body.count(sign, i, i + _PIECE_BYTES) for i in range(0, len(body), _PIECE_BYTES))


def _parts(body: bytes | bytearray, sign: bytes) -> Iterator[tuple[int, int]]:
    """Where what lies between two signs begins and ends."""
    start = 0
    while start <= len(body):
        end = body.find(sign, start)
        end = len(body) if end < 0 else end
        yield start, end
        start = end + 1


def _too_many(n: int) -> InputError:
    return InputError(
        f"Expected at most {MAX_SPECTRA:,} spectra in one request, got {n:,}: send fewer at a time."
    )


def _with_arrays(spectrum: dict[str, Any]) -> dict[str, Any]:
    """Lists of numbers as arrays, which take a fifth of the memory; all else unchanged, refused by name."""
    for name in FIELDS:
        values = spectrum.get(name)
        if isinstance(values, list) and set(map(type, values)) <= {int, float}:
            try:
                spectrum[name] = np.array(values, dtype=np.float64)
            except OverflowError:  # an integer of hundreds of digits
                continue
    return spectrum


def bound_connections(protocol: type[Any], seconds: float = HEADER_SECONDS, most: int | None = None) -> None:
    """Make a uvicorn protocol close connections whose headers do not arrive in time, and keep a number free.

    Where more than `most` (by default `most_connections`) are open, the oldest that brings no whole request
    goes: an operating system that has no file left for a connection would let nobody in.
    """
    made, received, lost = protocol.connection_made, protocol.data_received, protocol.connection_lost
    most = most or most_connections()
    connected: dict[Any, None] = {}

    def arm(self: Any) -> None:
        if getattr(self, "_headers_due", None) is None:
            self._headers_due = asyncio.get_running_loop().call_later(seconds, self.transport.close)

    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        made(self, transport)
        arm(self)
        connected[self] = None
        if len(connected) > most:
            oldest = next(one for one in connected if one is self or _waits(one))
            del connected[oldest]
            oldest.transport.close()

    def data_received(self: Any, data: bytes) -> None:
        received(self, data)
        if self.cycle is None or self.cycle.response_complete:  # of the next request only a part is there
            arm(self)
        elif self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def connection_lost(self: Any, error: Exception | None) -> None:
        connected.pop(self, None)
        lost(self, error)

    protocol.connection_made, protocol.data_received = connection_made, data_received
    protocol.connection_lost = connection_lost
    protocol._headers_due = None


def _waits(protocol: Any) -> bool:
    """Whether a connection has nothing that is being answered: no request, or not the whole of one."""
    return protocol.cycle is None or protocol.cycle.response_complete or protocol.cycle.more_body


def most_connections() -> int:
    """How many connections may be open: half of the files that this process may open."""
    try:
        import resource
    except ImportError:  # Windows, where sockets are no files
        return MAX_CONNECTIONS
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else max(1, min(MAX_CONNECTIONS, files // 2))

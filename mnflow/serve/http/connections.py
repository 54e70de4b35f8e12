"""How many connections a server keeps open, and how long a request's headers may take."""

import asyncio
from typing import Any

MAX_CONNECTIONS = 500
"""Open at a time; fewer where the process may open less than twice as many files."""

HEADER_SECONDS = 10.0
"""How long a request's headers may take to arrive."""


def bound_connections(protocol: type[Any], seconds: float = HEADER_SECONDS, most: int | None = None) -> None:
    """Make a uvicorn protocol close connections whose headers do not arrive in time, and keep a number free.

    Where more than `most` (by default `most_connections`) are open, the oldest that brings no whole request
    goes: an operating system that has no file left for a connection would let nobody in.
    """
    made, received, lost = protocol.connection_made, protocol.data_received, protocol.connection_lost
    most = most or most_connections()
    connected: dict[Any, None] = {}

    def arm(self: Any) -> None:
        if self._headers_due is None:
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

"""Headers must arrive in time, and a server keeps a number of connections free."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mnflow.serve.http.app import App
from mnflow.serve.http.connections import MAX_CONNECTIONS, bound_connections, most_connections


class Impatient(H11Protocol):
    pass


class Crowded(H11Protocol):
    pass


bound_connections(Impatient, seconds=0.3)
bound_connections(Crowded, most=3)


@contextmanager
def served_by(
    protocol: type[H11Protocol], answer_all: Any = lambda spectra: [1] * len(spectra)
) -> Iterator[int]:
    """The port of a server."""
    config = uvicorn.Config(App(answer_all), port=0, http=protocol, log_level="critical")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.fixture
def port() -> Iterator[int]:
    """A server whose headers are due within 0.3 s."""
    with served_by(Impatient) as port:
        yield port


def said_until_it_hangs_up(connection: socket.socket) -> bytes:
    """All that the other side sends before it closes the connection, which it must within five seconds."""
    connection.settimeout(5)
    said = b""
    while part := connection.recv(65536):
        said += part
    return said


ASK = (
    b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b'Content-Length: 15\r\n\r\n{"inputs": [0]}'
)


@pytest.mark.slow
def test_half_sent_headers_are_closed(port: int) -> None:
    """Of a first request and of a second on the same connection; a whole one is answered."""
    with ExitStack() as stack:
        silent, first, second = (
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(3)
        )
        first.sendall(b"POST /invocations HTTP/1.1\r\nHos")
        second.sendall(ASK)
        second.settimeout(5)
        said = b""
        while not said.endswith(b'{"predictions": [1]}'):
            part = second.recv(65536)
            assert part, "closed before its answer"
            said += part
        second.sendall(b"POST /invoc")
        for connection in (silent, first, second):
            assert said_until_it_hangs_up(connection) == b""


@pytest.mark.parametrize("part", [b"POST /invoc", ASK[:-1], ASK], ids=["header", "body", "whole"])
def test_the_oldest_that_brings_no_whole_request_makes_room(part: bytes) -> None:
    """Of four connections where three are allowed; a request that came before is answered in any case."""
    with served_by(Crowded) as port, ExitStack() as stack:
        waiting = []
        for _ in range(3):
            waiting.append(stack.enter_context(socket.create_connection(("127.0.0.1", port))))
            waiting[-1].sendall(part)
            time.sleep(0.05)
        fourth = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        fourth.sendall(ASK)
        assert said_until_it_hangs_up(waiting[0]).endswith(b'{"predictions": [1]}' if part == ASK else b"")
        assert fourth.recv(65536).startswith(b"HTTP/1.1 200")
        for other in waiting[1:]:
            other.settimeout(0.1)
            with suppress(TimeoutError):
                assert other.recv(65536).startswith(b"HTTP/1.1 200"), "closed, and was not the oldest"


def test_half_of_the_files_are_left_for_other_things(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    for files, expected in ((256, 128), (257, 128), (3, 1), (1, 1), (1_000_000, MAX_CONNECTIONS),
                            (resource.RLIM_INFINITY, MAX_CONNECTIONS)):  # fmt: skip
        limits = {resource.RLIMIT_NOFILE: (files, resource.RLIM_INFINITY)}
        monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
        assert most_connections() == expected


def test_a_smuggled_request_is_not_answered(port: int) -> None:
    head = ASK.partition(b"\r\n\r\n")[0]
    with socket.create_connection(("127.0.0.1", port)) as smuggler:
        smuggler.sendall(head + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + ASK)
        said = said_until_it_hangs_up(smuggler)
    assert said.startswith(b"HTTP/1.1 400")
    assert b"predictions" not in said


def test_a_giant_header_is_not_waited_for() -> None:
    """Its connection is closed long before its headers are due."""
    with served_by(Crowded) as port, socket.create_connection(("127.0.0.1", port)) as giant:
        with suppress(OSError):  # it hangs up while more is coming
            giant.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 1_000_000)
            assert said_until_it_hangs_up(giant).startswith(b"HTTP/1.1 400")
        with suppress(ConnectionError):
            assert giant.recv(1) == b""


def test_an_error_of_ours_gives_out_no_traceback() -> None:
    def fail(spectra: Any) -> Any:
        raise RuntimeError("a secret")

    with served_by(Crowded, fail) as port, socket.create_connection(("127.0.0.1", port)) as asking:
        asking.sendall(ASK)
        said = said_until_it_hangs_up(asking)
    assert said.startswith(b"HTTP/1.1 500")
    assert b"Traceback" not in said
    assert b"secret" not in said


class Wire:
    """A transport that knows whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


def made_protocol(**settings: float) -> type[Any]:
    """A protocol of its own that only keeps what it is told."""

    class Told:
        transport: Any
        cycle: Any = None

        def __init__(self) -> None:
            self.told: list[Any] = []

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.told.append(data)

        def connection_lost(self, error: Exception | None) -> None:
            self.told.append(error)

    bound_connections(Told, **settings)  # type: ignore[arg-type]
    return Told


def connected(kind: type[Any], cycle: Any = None) -> Any:
    """A new connection; `cycle` is its request."""
    protocol = kind()
    protocol.cycle = cycle
    protocol.connection_made(Wire())
    return protocol


ANSWERING = SimpleNamespace(response_complete=False, more_body=False)
HALF_A_BODY = SimpleNamespace(response_complete=False, more_body=True)
ANSWERED = SimpleNamespace(response_complete=True, more_body=False)


@pytest.mark.parametrize("first", [None, HALF_A_BODY, ANSWERED])
def test_room_is_made_by_the_oldest_that_waits(first: Any) -> None:
    async def crowd() -> None:
        kind = made_protocol(seconds=60, most=2)
        busy, waiting = connected(kind, ANSWERING), connected(kind, first)
        assert not waiting.transport.closed
        third = connected(kind)
        assert [p.transport.closed for p in (busy, waiting, third)] == [False, True, False]
        third.cycle = ANSWERING
        fourth = connected(kind)
        assert [p.transport.closed for p in (busy, third, fourth)] == [False, False, True], (
            "all others are busy"
        )
        waiting.connection_lost(None)  # it is told of its own end
        busy.connection_lost(error := OSError())
        assert busy.told == [error]
        assert not connected(kind).transport.closed, "there is room again"

    asyncio.run(crowd())


def test_headers_are_due_until_a_request_is_there_and_again_after_it() -> None:
    async def slow() -> None:
        kind = made_protocol(seconds=0.05, most=9)
        silent, asking, next_one = (connected(kind) for _ in range(3))
        for protocol in (silent, asking):
            for part in (b"half a", b" header"):
                protocol.data_received(part)
        asking.cycle = next_one.cycle = ANSWERING
        for protocol in (asking, next_one):
            protocol.data_received(b"a whole request")
        next_one.cycle = ANSWERED
        next_one.data_received(b"half a")
        next_one.data_received(b" header")
        await asyncio.sleep(0.2)
        assert [p.transport.closed for p in (silent, asking, next_one)] == [True, False, True]
        assert next_one.told == [b"a whole request", b"half a", b" header"]

    asyncio.run(slow())

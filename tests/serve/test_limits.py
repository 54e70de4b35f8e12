"""What a request brings is bounded before it is parsed, in little memory, and headers must arrive in time."""

import asyncio
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import numpy as np
import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mnflow.errors import InputError
from mnflow.serve.app import App
from mnflow.serve.limits import (
    MAX_CHANNELS,
    MAX_CONNECTIONS,
    MAX_SPECTRA,
    bound_connections,
    most_connections,
    parse,
)


def test_lists_of_numbers_become_arrays() -> None:
    (found, other) = parse(b'{"inputs": [{"energy_ev": [1, 2.5], "intensity": [1, true]}, null]}')
    assert found["energy_ev"].dtype == np.float64
    assert found["energy_ev"].tolist() == [1, 2.5]
    assert found["intensity"] == [1, True], "what is no list of numbers is left for the refusal to name"
    assert other is None


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"inputs": [' + b"0," * 3_000_000 + b"0]}", "a list of 3,000,000 elements"),
        (b'{"inputs": [' + b"0," * 4_000_000 + b"0]}", r"at most 6\.4 MB a spectrum, got 8\.0"),
        (b" " * 7_000_000, r"at most 6\.4 MB a spectrum, got 7\.0"),
        (b'{"inputs": [{}, {"a": "' + b"a" * 7_000_000 + b'"}, {}]}', r"at most 6\.4 MB a spectrum, got 7"),
        (b'{"inputs": [' + b"0," * 9_999 + b"0]}", "got 10,000 elements of 2 bytes on average"),
        (b'{"inputs": [' + b"{}," * 100 + b"{}]}", "got 101 elements of 3 bytes on average"),
        (
            b'{"inputs": [' + b"{}," * MAX_SPECTRA + b"{}]}",
            "at most 10,000 spectra in one request, got 10,001",
        ),
        (b'{"inputs": [' + b"0," * MAX_SPECTRA + b"0]}", "at most 10,000 spectra in one request, got 10,001"),
        (b"[" * 100_000, "more lists than that"),
        (b"[" * 5_000, "cannot be read"),
        (b"9" * 100_000, "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"{", "cannot be read"),
        (b'{"instances": []}', "Expected"),
        (b'{"inputs": {}}', "Expected"),
        (b"[]", "Expected"),
    ],
    ids=lambda x: repr(x[:20]),
)
def test_what_is_too_much_or_no_request_is_refused(body: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse(body)


def test_as_much_as_is_allowed_is_parsed() -> None:
    assert parse(b'{"inputs": [' + b"{}," * 99 + b"{}]}") == [{}] * 100
    short = b'{"energy_ev": [' + b"640.25," * 22 + b'650], "intensity": [' + b"640.25," * 22 + b"650]}"
    assert len(parse(b'{"inputs": [' + (short + b",") * (MAX_SPECTRA - 1) + short + b"]}")) == MAX_SPECTRA
    row = b"[" + b"1," * (MAX_CHANNELS - 1) + b"1]"
    (one,) = parse(b'{"inputs": [{"energy_ev": ' + row + b', "intensity": ' + row + b"}]}")
    assert one["energy_ev"].tolist() == one["intensity"].tolist() == [1.0] * MAX_CHANNELS
    with pytest.raises(InputError, match=f"got a list of {MAX_CHANNELS + 3:,} elements"):
        parse(b'{"inputs": [' + b"1," * (MAX_CHANNELS + 3) + b"1]}")


def test_a_body_takes_a_few_times_its_size_in_memory() -> None:
    """Numbers of two characters, where a Python object for each would take thirty times as much."""
    row = b"[" + b"1e3," * 20_000 + b"1e3]"
    one = b'{"energy_ev":' + row + b',"intensity":' + row + b"}"
    body = b'{"inputs":[' + b",".join([one] * 10) + b"]}"
    tracemalloc.start()
    try:
        assert len(parse(body)) == 10
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(body)
    assert MAX_CHANNELS >= 2**16, "an axis of a camera"


class Impatient(H11Protocol):
    pass


class Crowded(H11Protocol):
    pass


bound_connections(Impatient, seconds=0.3)
bound_connections(Crowded, most=3)


@contextmanager
def served_by(protocol: type[H11Protocol]) -> Iterator[int]:
    """The port of a server."""
    config = uvicorn.Config(
        App(lambda spectra: [1] * len(spectra)), port=0, http=protocol, log_level="critical"
    )
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
    sent = {
        b"": b"",
        b"POST /invocations HTTP/1.1\r\nHos": b"",
        ASK + b"POST /invoc": b'{"predictions": [1]}',
    }
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in sent]
        for connection, words in zip(connections, sent, strict=True):
            connection.sendall(words)
        for connection, expected in zip(connections, sent.values(), strict=True):
            assert said_until_it_hangs_up(connection).endswith(expected)


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
    for files, expected in ((256, 128), (1, 1), (1_000_000, MAX_CONNECTIONS),
                            (resource.RLIM_INFINITY, MAX_CONNECTIONS)):  # fmt: skip
        monkeypatch.setattr(resource, "getrlimit", lambda kind, files=files: (files, files))
        assert most_connections() == expected


def test_a_smuggled_request_is_not_answered(port: int) -> None:
    head = ASK.partition(b"\r\n\r\n")[0]
    with socket.create_connection(("127.0.0.1", port)) as smuggler:
        smuggler.sendall(head + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + ASK)
        said = said_until_it_hangs_up(smuggler)
    assert said.startswith(b"HTTP/1.1 400")
    assert b"predictions" not in said

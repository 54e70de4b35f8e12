"""The server: a small ASGI app with /invocations, and health checks /ping, /health and /version."""

import asyncio
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mnflow.errors import InputError
from mnflow.runtime.files import whole_file
from mnflow.serve.answer import answer
from mnflow.serve.http.connections import bound_connections
from mnflow.serve.predictor import Predictor
from mnflow.serve.request import FEW_BYTES, FEW_SPECTRA, MAX_BODY_BYTES, parse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TIMEOUT_S = 60.0
"""After it the answer is 504, whether the body or the model is what takes so long."""

SWITCH_S = 0.0002
"""How long Python lets a thread run on when another waits: numpy hands over often in an answer, and a small
one would wait 5 ms each time beside a large one.
"""

_THREADS = 2  # for requests of many spectra: more at a time would take more memory, and none would end sooner
_BACKLOG = 64
"""Connections accepted at once, before any is closed: fewer than the files that are left."""
_SUPPORTED = {b"application/json", b"application/json;charset=utf-8"}
_PATHS = {"/invocations": "POST", "/ping": "GET", "/health": "GET", "/version": "GET"}


class _Refused(Exception):
    """An HTTP status and error message; closes the connection if its rest cannot be trusted."""

    def __init__(self, status: int, sentence: str, close: bool = False) -> None:
        super().__init__(sentence)
        self.status, self.close = status, close


WATCH_VARIABLE = "MNFLOW_WATCH"
"""Environment variable with the folder in which a server keeps its counts; without it nothing is counted."""

_WRITE_EVERY_S = 30.0


class Watch:
    """Counts of what is served, per day (UTC), in one small JSON file per process; no spectra, no clients.

    Per day: `requests`, `spectra`, `errors`, `classes` and `flags` {name: count}, and `moved_ev` [number,
    sum, sum of squares] of how far windows had to move: a spectrometer's drift. `mlflow run . -e watch` draws
    them. A folder that cannot be written costs the counts, not the answers.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"served-{secrets.token_hex(6)}.json"
        self.days: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._written = time.monotonic()

    def add(self, answers: Sequence[Any]) -> None:
        """Count a request by its answers, and write the counts now and then."""
        with self._lock:
            nothing: dict[str, Any] = dict.fromkeys(("requests", "spectra", "errors"), 0)
            nothing |= {"classes": {}, "flags": {}, "moved_ev": [0, 0.0, 0.0]}
            day = self.days.setdefault(time.strftime("%Y-%m-%d", time.gmtime()), nothing)
            day["requests"] += 1
            for found in answers:
                day["spectra"] += 1
                for flag in found["flags"]:
                    day["flags"][flag] = day["flags"].get(flag, 0) + 1
                if found["error"] is not None:
                    day["errors"] += 1
                    continue
                name = found["class"] or "undecided"
                day["classes"][name] = day["classes"].get(name, 0) + 1
                moved = found["moved_ev"]
                sums = zip(day["moved_ev"], (1, moved, moved * moved), strict=True)
                day["moved_ev"] = [a + b for a, b in sums]
            due = time.monotonic() - self._written > _WRITE_EVERY_S
        if due:
            self.write()

    def write(self) -> None:
        """Write the counts, whole or not at all."""
        with self._lock, suppress(OSError):
            self._written = time.monotonic()
            with whole_file(self.path) as part:
                part.write_text(json.dumps(self.days))


@dataclass(frozen=True)
class App:
    """An ASGI app.

    Attributes
    ----------
    answer_all : callable
        Takes the list of spectra of a request and returns their answers. More than a few spectra are answered
        in a thread, so that no other client waits for them.
    version : str
        What /version answers.
    timeout_s : float
        See `TIMEOUT_S`.
    max_bytes : int
        The answer is 413 to a larger body, announced or not, without reading it to its end.
    threads : ThreadPoolExecutor
        Where requests of many spectra are answered.
    watch : Watch, optional
        Counts what is answered.
    """

    answer_all: Callable[[Sequence[Any]], Sequence[Any]]
    version: str = ""
    timeout_s: float = TIMEOUT_S
    max_bytes: int = MAX_BODY_BYTES
    threads: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, _THREADS), repr=False)
    watch: Watch | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            sys.setswitchinterval(SWITCH_S)
            await _live(receive, send)
            return self.watch.write() if self.watch else None
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})
        status, text, close = 200, "\n", False
        try:
            needed = _PATHS.get(scope["path"])
            if needed is None:
                raise _Refused(
                    404, f"There is nothing at {scope['path'][:100]}: POST spectra to /invocations.", True
                )
            if scope["method"] != needed:
                raise _Refused(405, f"{scope['path']} needs {needed}, got {scope['method']}.", True)
            if scope["path"] == "/invocations":
                async with asyncio.timeout(self.timeout_s):
                    body = await self._read(scope["headers"], receive)
                    if body is None:
                        return None  # the client hung up
                    text = await self._answer(body)
            elif scope["path"] == "/version":
                text = self.version
        except _Refused as error:
            status, text, close = error.status, _sentence(str(error)), error.close
        except InputError as error:
            status, text = 400, _sentence(str(error))
        except TimeoutError:
            status, close = 504, True
            text = _sentence("The request took too long: send fewer spectra at a time.")
        await _respond(send, status, text.encode(), close)

    async def _read(self, headers: Sequence[tuple[bytes, bytes]], receive: Receive) -> bytearray | None:
        """The body, or None if the client hung up."""
        named = dict(headers)
        # two ends of one body: a second is smuggled
        if b"transfer-encoding" in named and b"content-length" in named:
            raise _Refused(400, "Content-Length and Transfer-Encoding exclude each other.", True)
        announced = named.get(b"content-length", b"")
        if announced.isdigit() and int(announced[:20]) > self.max_bytes:
            raise _too_large(self.max_bytes)
        if named.get(b"content-type", b"").lower().replace(b" ", b"") not in _SUPPORTED:
            raise _Refused(415, "Expected the content type application/json.", True)
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self.max_bytes:
                raise _too_large(self.max_bytes)
        return body

    async def _answer(self, body: bytearray) -> str:
        in_thread = partial(asyncio.get_running_loop().run_in_executor, self.threads)
        small = len(body) <= FEW_BYTES
        spectra = parse(body) if small else await in_thread(parse, body)
        if small and len(spectra) <= FEW_SPECTRA:  # a thread takes longer
            return self._text(spectra)
        return await in_thread(self._text, spectra)

    def _text(self, spectra: Sequence[Any]) -> str:
        answers = self.answer_all(spectra)
        if self.watch:
            self.watch.add(answers)
        each = (json.dumps(a, allow_nan=False) for a in answers)  # others get a turn between two
        return f'{{"predictions": [{", ".join(each)}]}}'


def create(predictor: Predictor, version: str = "") -> App:
    """The app that serves a predictor, watched if `WATCH_VARIABLE` names a folder."""
    folder = os.environ.get(WATCH_VARIABLE)
    watch = Watch(Path(folder)) if folder else None
    return App(lambda spectra: answer(predictor, spectra), version, watch=watch)


def run(predictor: Predictor, host: str = "127.0.0.1", port: int = 5001, version: str = "") -> None:
    """Serve a predictor until the process is stopped; raises `InputError` if the port is taken."""
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):
        """uvicorn's, that does not wait for half a header for ever."""

    bound_connections(Protocol)
    app = create(predictor, version)
    try:
        uvicorn.run(app, host=host, port=port, http=Protocol, log_level="warning", backlog=_BACKLOG)
    except SystemExit as error:  # uvicorn has logged the reason
        if error.code:
            raise InputError(
                f"Cannot listen on {host}:{port}: name another port, or stop what listens there."
            ) from None


async def _live(receive: Receive, send: Send) -> None:
    while (kind := (await receive())["type"]) != "lifespan.shutdown":
        await send({"type": f"{kind}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _respond(send: Send, status: int, content: bytes, close: bool) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(b"connection", b"close")] if close else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _sentence(message: str) -> str:
    return json.dumps({"error_code": "INVALID_PARAMETER_VALUE", "message": message})


def _too_large(max_bytes: int) -> _Refused:
    return _Refused(
        413, f"A request may bring {max_bytes / 1e6:g} MB at most: send fewer spectra at a time.", True
    )

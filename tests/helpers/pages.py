"""The page's server in a thread, and requests to it."""

import asyncio
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mnflow.serve.predictor import Predictor
from mnflow.view.server import make_server


@contextmanager
def running(model: Predictor, file: Path | None = None) -> Iterator[str]:
    """The address of a page's server, which runs in a thread."""
    ready, found = threading.Event(), []

    def run() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        found.append(make_server(file, model=model))
        found[0].start()
        found[0].io_loop.add_callback(ready.set)
        found[0].io_loop.start()
        found[0].io_loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(60)
    server = found[0]
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.io_loop.add_callback(server.stop)
        server.io_loop.add_callback(server.io_loop.stop)
        thread.join(60)
        server._tornado.settings["shared"].close()


def fetch(address: str, path: str, **settings: Any) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address + path, **settings), timeout=60) as answer:
        return bytes(answer.read())


def token_of(address: str) -> str:
    """The token of the page, which is opened for it."""
    return fetch(address, "/").decode().split('const token = "')[1].split('"')[0]

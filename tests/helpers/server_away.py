"""A tracking server that goes away and comes back, between the outbox and the store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from mnflow.runtime.process import this_process
from mnflow.track import calls, outbox, tracking


class Server:
    """Between us and the store: `there`: does it answer; `tried`: what was asked; `made`: what it did."""

    def __init__(self) -> None:
        self.there, self.tried, self.made = True, list[str](), list[str]()
        self.make = calls.make

    def __call__(self, run_id: str, call: str, files: Sequence[Path], words: dict[str, Any]) -> None:
        self.tried.append(call)
        if not self.there:
            raise MlflowException("no answer")
        self.make(run_id, call, files, words)
        self.made.append(call)


@contextmanager
def between(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setattr("mnflow.track.connection.answers", lambda: server.there)
    monkeypatch.setattr(tracking, "answers", lambda: server.there)
    monkeypatch.setattr("mnflow.track.connection.PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(calls, "make", server)
    yield server
    outbox._waiting.clear()


def left_by_another() -> None:
    """Rename this process's entries as if a process that has ended had made them."""
    host, pid, started = this_process().split()
    for path in sorted(outbox.FOLDER.glob("*~*")):
        path.rename(path.with_name(path.name.replace(f"{host}~{pid}~{started}", f"{host}~4194304~{started}")))
    outbox._waiting.clear()


def on_disk() -> list[str]:
    return sorted(p.name for p in outbox.FOLDER.glob("*~*"))

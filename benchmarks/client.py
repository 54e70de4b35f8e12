"""Requests to a served model, malformed bodies, and the server's memory, for benchmarks and tests."""

import http.client
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

BAD: list[bytes] = [
    b"", b"{", b"null", b"[]", b"{}", b'{"inputs": 3}', b'{"inputs": [null]}', b"\xff\xfe\x00",
    b"9" * 100_000,
    b'{"inputs": [{"energy_ev": "x", "intensity": []}]}',
    b'{"inputs": [{"energy_ev": true, "intensity": {}}]}',
    b'{"inputs": [{"energy_ev": [1, 2], "intensity": [NaN, 1]}]}',
    b'{"inputs": [{"energy_ev": [1e999, 2], "intensity": [1, 1]}]}',
    b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}',
    b"[" * 100_000,
    b'{"inputs": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b'{"inputs": [' + b'{"a":' * 3_000 + b"1" + b"}" * 3_000 + b"]}",
]  # fmt: skip
"""Bodies that hold no spectrum."""


class Response(NamedTuple):
    """A server's status and body."""

    status: int
    body: bytes

    @property
    def predictions(self) -> list[dict[str, Any]]:
        """The answers to the spectra of a request; raises `RuntimeError` with the body if it was refused."""
        if self.status != 200:
            raise RuntimeError(f"{self.status}: {self.body[:300]!r}")
        return list(json.loads(self.body)["predictions"])

    @property
    def is_answered(self) -> bool:
        """Whether every spectrum of the request has an answer."""
        return self.status == 200 and all(said["error"] is None for said in self.predictions)


def connect(port: int) -> http.client.HTTPConnection:
    """A connection to a server on this machine, for many requests."""
    return http.client.HTTPConnection("127.0.0.1", port, timeout=120)


def post(
    to: int | http.client.HTTPConnection, body: bytes, content_type: str = "application/json"
) -> Response:
    """Post a body to a served model: by its port, or on a connection, which opens again if it was closed."""
    connection = connect(to) if isinstance(to, int) else to
    try:
        connection.request("POST", "/invocations", body, {"Content-Type": content_type})
        response = connection.getresponse()
        return Response(response.status, response.read())
    finally:
        if isinstance(to, int):
            connection.close()


def request_of(*spectra: Any) -> bytes:
    """The body that asks for spectra."""
    return json.dumps({"inputs": spectra}).encode()


def serve_command(model: str, port: int, *words: str) -> list[str]:
    """MLflow's command that serves a model on a port of this machine, in this environment."""
    return ["mlflow", "models", "serve", "-m", model, "-p", str(port), "--env-manager", "local", *words]


def is_up(port: int) -> bool:
    """Whether the server answers /ping."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def memory_mb(group: int) -> float:
    """Resident memory of all processes of a process group."""
    pages = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) == group:
                pages += int((folder / "statm").read_text().split()[1])
        except (OSError, ProcessLookupError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

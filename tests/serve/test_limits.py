"""A body that is too large is refused before it is in memory."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from mnflow.serve.limits import BodyLimit, harden


async def _echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def _with_patience(request: Request, call_next: Any) -> Any:
    return await asyncio.wait_for(call_next(request), timeout=60)


def ask(chunks: list[bytes], announced: int | None = None) -> tuple[int, str, int]:
    """Status and text of the answer to a body that comes in chunks, and how many of these were asked for."""
    app = Starlette(routes=[Route("/", _echo, methods=["POST"])])
    app.add_middleware(BaseHTTPMiddleware, dispatch=_with_patience)  # as MLflow's server has one
    app.add_middleware(BodyLimit, max_bytes=10)  # type: ignore[arg-type]
    sent: list[dict[str, Any]] = []
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": chunks[taken - 1], "more_body": taken < len(chunks)}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [] if announced is None else [(b"content-length", str(announced).encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "query_string": b"", "root_path": ""}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], sent[1]["body"].decode(), taken


def test_a_small_body_passes() -> None:
    assert ask([b"12345", b"67890"], announced=10) == (200, "10", 2)


@pytest.mark.parametrize(
    ("chunks", "announced", "taken"), [([b"123456"] * 9, None, 2), ([b"1"], 11, 1), ([b"123456"] * 9, 3, 2)]
)
def test_a_large_one_is_not_read_to_its_end(chunks: list[bytes], announced: int | None, taken: int) -> None:
    status, text, asked_for = ask(chunks, announced)
    assert (status, asked_for) == (413, taken)
    assert "send fewer spectra at a time" in text


def hardened(invocations: Any) -> Any:
    """A server like MLflow's, changed."""
    server = SimpleNamespace(
        init=None,
        invocations=invocations,
        CONTENT_TYPE_JSON=scoring_server.CONTENT_TYPE_JSON,
        _decode_json_input=scoring_server._decode_json_input,
        _handle_serving_error=lambda include_traceback=True: None,
    )
    harden(server)
    return server


@pytest.mark.parametrize("error", [RecursionError, ValueError])
@pytest.mark.parametrize("content_type", ["application/json", "text/csv"])
def test_a_request_that_cannot_be_read_is_a_bad_request(error: type[Exception], content_type: str) -> None:
    def invocations(*arguments: Any) -> None:
        raise error

    with pytest.raises(MlflowException, match=rf"cannot be read \({error.__name__}\)") as found:
        hardened(invocations).invocations(b"{}", content_type)
    assert found.value.get_http_status_code() == 400


def test_json_is_decoded_before_mlflow_would_decode_it_twice() -> None:
    server = hardened(lambda *arguments: arguments)
    assert server.invocations(b'{"inputs": [1]}', "application/json", "model") == ({"inputs": [1]}, "application/json", "model")
    assert server.invocations(b"1,2", "text/csv") == (b"1,2", "text/csv")
    with pytest.raises(MlflowException, match="valid JSON"):
        server.invocations(b"{", "application/json")
    decoded = {"inputs": [1]}
    assert scoring_server._decode_json_input(decoded) is decoded, "MLflow takes a body that is decoded"

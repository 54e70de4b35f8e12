"""A body that is too large is refused before it is in memory, and every other one is answered, or its error
is.
"""

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import fastapi
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from mnflow.serve.limits import FEW_BYTES, Invocations, harden

JSON = {b"content-type": b"application/json"}
GOOD = b'{"inputs":[1,2]}'


async def _mlflow(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"MLflow got {(await request.body()).decode()}")


def ask_app(
    app: Any,
    chunks: list[bytes],
    headers: dict[bytes, bytes] = JSON,
    path: str = "/invocations",
    hangs_up: bool = False,
) -> tuple[int | None, str, int]:
    """Status and text of the answer to a body that comes in chunks, and how many of these were asked for."""
    sent: list[dict[str, Any]] = []
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        if taken > len(chunks):
            return {"type": "http.disconnect"}
        return {
            "type": "http.request",
            "body": chunks[taken - 1],
            "more_body": hangs_up or taken < len(chunks),
        }

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": list(headers.items()),
        "query_string": b"",
    }
    asyncio.run(app(scope, receive, send))
    return (sent[0]["status"], sent[1]["body"].decode(), taken) if sent else (None, "", taken)


def ask(chunks: list[bytes], headers: dict[bytes, bytes] = JSON, predict: Any = sum, **settings: Any) -> Any:
    """`ask_app` of an app that says what it got, behind ours, whose model adds numbers up."""
    app = Starlette(routes=[Route("/invocations", _mlflow, methods=["POST"])])
    hangs_up = settings.pop("hangs_up", False)
    app.add_middleware(Invocations, **{"predict": predict, "max_bytes": 20, **settings})
    return ask_app(app, chunks, headers, hangs_up=hangs_up)


def refuse(inputs: Any) -> Any:
    raise MlflowException.invalid_parameter_value("No.")


def test_spectra_go_straight_to_the_model() -> None:
    assert ask([GOOD[:3], GOOD[3:]], JSON | {b"content-length": b"16"}) == (200, '{"predictions": 3}', 2)


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"a,b", {b"content-type": b"text/csv"}), (GOOD, {}), (b'{"instances": []}', JSON), (b"[]", JSON)],
)
def test_all_else_goes_mlflows_way(body: bytes, headers: dict[bytes, bytes]) -> None:
    assert ask([body[:2], body[2:]], headers)[:2] == (200, f"MLflow got {body.decode()}")


@pytest.mark.parametrize(
    ("chunks", "announced", "taken"),
    [([b"123456789ab"] * 9, None, 2), ([b"1"], b"21", 1), ([b"123456789ab"] * 9, b"3", 2)],
)
@pytest.mark.parametrize("headers", [JSON, {}])
def test_a_large_one_is_not_read_to_its_end(
    chunks: list[bytes], announced: Any, taken: int, headers: Any
) -> None:
    status, text, asked_for = ask(
        chunks, headers if announced is None else {**headers, b"content-length": announced}
    )
    assert (status, asked_for) == (413, taken)
    assert "send fewer spectra at a time" in text


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe\x00", b"9" * 5_000, b"[" * 100_000])
def test_what_is_no_json_is_a_bad_request(body: bytes) -> None:
    status, text, _ = ask([body], max_bytes=1_000_000)
    assert status == 400
    assert "cannot be read" in json.loads(text)["message"]


def test_what_the_model_refuses_is_said_as_mlflow_says_it() -> None:
    status, text, _ = ask([GOOD], predict=refuse)
    said = json.loads(text)
    assert (status, said["error_code"], said["message"]) == (400, "INVALID_PARAMETER_VALUE", "No.")


def test_who_takes_too_long_is_told() -> None:
    many = GOOD + b" " * FEW_BYTES
    assert ask([many], max_bytes=1_000_000)[:2] == (200, '{"predictions": 3}')
    status, text, _ = ask([many], predict=lambda inputs: time.sleep(0.2), timeout_s=0.01, max_bytes=1_000_000)
    assert (status, text) == (504, "Request processing time exceeded limit")


def test_who_hangs_up_gets_no_answer() -> None:
    assert ask([b"1", b"2"], hangs_up=True) == (None, "", 3)


def test_mlflows_own_server_is_changed_though_it_looks_up_its_maker_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for owner, name in ((scoring_server, "invocations"), (fastapi, "FastAPI")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(scoring_server._handle_serving_error, "__defaults__", (True,))
    maker = scoring_server.init  # as mlflow.pyfunc.scoring_server.app does, before it loads the model
    harden(scoring_server, sum)
    app = maker(SimpleNamespace(metadata=SimpleNamespace(get_input_schema=lambda: None)))
    assert ask_app(app, [GOOD])[:2] == (200, '{"predictions": 3}')
    assert ask_app(app, [b"1"], {b"content-length": b"1000000000"})[0] == 413


@pytest.mark.parametrize("error", [RecursionError, ValueError])
def test_a_request_that_mlflow_cannot_read_is_a_bad_request(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def invocations(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(fastapi, "FastAPI", fastapi.FastAPI)
    server = SimpleNamespace(
        invocations=invocations, _handle_serving_error=lambda include_traceback=True: None
    )
    harden(server, sum)
    with pytest.raises(MlflowException, match=rf"cannot be read \({error.__name__}\)") as found:
        server.invocations(b"")
    assert found.value.get_http_status_code() == 400

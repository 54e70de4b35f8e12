"""A body that is too large is refused before it is in memory, and every other one is answered, or its error is."""

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from starlette.applications import Starlette

from mnflow.serve.limits import Invocations, harden

JSON = {b"content-type": b"application/json"}


def echo(body: bytes, content_type: str) -> Any:
    return SimpleNamespace(response=f"{content_type}: {len(body)}", status=200, mimetype="application/json")


def refuse(body: bytes, content_type: str) -> Any:
    raise MlflowException.invalid_parameter_value("No.")


def sleep(body: bytes, content_type: str) -> Any:
    time.sleep(0.2)


def ask(
    chunks: list[bytes], headers: dict[bytes, bytes] = JSON, path: str = "/invocations", hangs_up: bool = False, **settings: Any
) -> tuple[int | None, str, int]:
    """Status and text of the answer to a body that comes in chunks, and how many of these were asked for."""
    app = Starlette()
    app.add_middleware(Invocations, **{"invoke": echo, "max_bytes": 10, **settings})
    sent: list[dict[str, Any]] = []
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        if taken > len(chunks):
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunks[taken - 1], "more_body": hangs_up or taken < len(chunks)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": list(headers.items()),
        "query_string": b"",
        "root_path": "",
    }
    asyncio.run(app(scope, receive, send))
    return (sent[0]["status"], sent[1]["body"].decode(), taken) if sent else (None, "", taken)


def test_a_small_body_passes() -> None:
    assert ask([b"12345", b"67890"], JSON | {b"content-length": b"10"}) == (200, "application/json: 10", 2)
    assert ask([b"1"], {}) == (200, ": 1", 1), "whether a content type is needed is for MLflow to say"


@pytest.mark.parametrize(
    ("chunks", "announced", "taken"), [([b"123456"] * 9, None, 2), ([b"1"], b"11", 1), ([b"123456"] * 9, b"3", 2)]
)
def test_a_large_one_is_not_read_to_its_end(chunks: list[bytes], announced: bytes | None, taken: int) -> None:
    status, text, asked_for = ask(chunks, {} if announced is None else {b"content-length": announced})
    assert (status, asked_for) == (413, taken)
    assert "send fewer spectra at a time" in text


def test_what_the_model_refuses_is_said_as_mlflow_says_it() -> None:
    status, text, _ = ask([b"1"], invoke=refuse)
    said = json.loads(text)
    assert (status, said["error_code"], said["message"]) == (400, "INVALID_PARAMETER_VALUE", "No.")


def test_who_takes_too_long_is_told() -> None:
    assert ask([b"1"], invoke=sleep, timeout_s=0.01)[:2] == (504, "Request processing time exceeded limit")


def test_who_hangs_up_gets_no_answer() -> None:
    assert ask([b"1", b"2"], hangs_up=True) == (None, "", 3)


def test_all_else_is_left_to_mlflow() -> None:
    assert ask([b"1"], path="/ping")[0] == 404  # there is nothing behind in this test


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

"""The way of a request through MLflow's server: straight to the model, with a bound on its size, and an
answer to every one.

None of it can be reached by a setting; MLflow is pinned, and tests ask a real server.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fastapi
from mlflow.environment_variables import MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 100_000_000
"""Some 5,000 spectra of 1,000 channels."""

FEW_BYTES = 100_000
"""Some five spectra of 1,000 channels: to hand them to a thread takes longer than to answer them."""

_PATH, _JSON = "/invocations", b"application/json"


@dataclass(frozen=True)
class Invocations:
    """ASGI middleware that answers spectra posted to `/invocations` itself: MLflow's way there takes as long
    as a spectrum.

    A body that is no JSON object with `inputs` and nothing else goes MLflow's way, and all other requests do.

    Attributes
    ----------
    app : ASGI app
        MLflow's.
    predict : callable
        Takes the `inputs` and returns the `predictions`; for more than a few it runs in a thread.
    timeout_s : float
        After it the answer is 504, whether the body or the model is what takes so long.
    max_bytes : int
        The answer is 413 to a larger body, announced or not, without reading it to its end.
    """

    app: ASGIApp
    predict: Callable[[Any], Any]
    timeout_s: float = 60.0
    max_bytes: int = MAX_BODY_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != _PATH or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            async with asyncio.timeout(self.timeout_s):
                body = await self._read(headers.get(b"content-length", b""), receive)
                if body is None:
                    return  # the client hung up
                response = body if isinstance(body, Response) else None
                if isinstance(body, bytes) and headers.get(b"content-type") == _JSON:
                    few = len(body) <= FEW_BYTES
                    response = self._answer(body) if few else await asyncio.to_thread(self._answer, body)
        except TimeoutError:
            response = Response("Request processing time exceeded limit", 504, media_type="application/json")
        if response is not None:
            await response(scope, receive, send)
            return

        async def read_already() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, read_already, send)

    async def _read(self, announced: bytes, receive: Receive) -> bytes | Response | None:
        """The body; the answer to one that is too large; None if the client hung up."""
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if max(len(body), int(announced) if announced.isdigit() else 0) > self.max_bytes:
                return _too_large(self.max_bytes)
        return bytes(body)

    def _answer(self, body: bytes) -> Response | None:
        try:
            request = json.loads(body)
        except (ValueError, RecursionError) as error:
            return _refusal(MlflowException.invalid_parameter_value(_unreadable(error)))
        if not isinstance(request, dict) or request.keys() != {"inputs"}:
            return None
        try:
            answer = json.dumps({"predictions": self.predict(request["inputs"])}, allow_nan=False)
        except MlflowException as error:
            return _refusal(error)
        return Response(answer, media_type="application/json")


def _too_large(max_bytes: int) -> Response:
    sentence = f"A request may bring {max_bytes / 1e6:g} MB at most: send fewer spectra at a time."
    content = json.dumps({"error_code": "INVALID_PARAMETER_VALUE", "message": sentence})
    return Response(content, 413, {"Connection": "close"}, media_type="application/json")


def _refusal(error: MlflowException) -> Response:
    return Response(error.serialize_as_json(), error.get_http_status_code(), media_type="application/json")


def _unreadable(error: Exception) -> str:
    return f"The request cannot be read ({type(error).__name__})."


def harden(scoring_server: Any, predict: Callable[[Any], Any]) -> None:
    """Change MLflow's server before it is made: see `Invocations`; no traceback in answers, no error 500 for
    bad JSON.

    MLflow looks up the function that makes its server before it loads the model, so that this function is as
    it was; but it makes a `fastapi.FastAPI`, and looks that up when it runs.
    """
    scoring_server._handle_serving_error.__defaults__ = (False,)  # include_traceback
    invoke, plain = scoring_server.invocations, fastapi.FastAPI

    class Server(plain):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            self.add_middleware(
                Invocations, predict=predict, timeout_s=MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT.get()
            )

    def invocations(*arguments: Any) -> Any:
        try:
            return invoke(*arguments)
        except (
            ValueError,
            RecursionError,
        ) as error:  # lists within lists within lists, and numbers of thousands of digits
            raise MlflowException.invalid_parameter_value(_unreadable(error)) from None

    scoring_server.invocations, fastapi.FastAPI = invocations, Server  # type: ignore[misc]

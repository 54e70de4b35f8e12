"""The way of a request through MLflow's server: straight to the model, with a bound on its size, and an answer to every one.

None of it can be reached by a setting; MLflow is pinned, and tests ask a real server.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlflow.environment_variables import MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

MAX_BODY_BYTES = 100_000_000
"""Some 5,000 spectra of 1,000 channels."""

PATH = "/invocations"


@dataclass(frozen=True)
class Invocations:
    """ASGI middleware that answers what is posted to `/invocations` itself: MLflow's way there takes as long as a spectrum.

    Attributes
    ----------
    app : ASGI app
        MLflow's, for everything else.
    invoke : callable
        Takes a body and its content type, and returns MLflow's `InvocationsResponse`; it runs in a thread.
    timeout_s : float
        After it the answer is 504, whether the body or the model is what takes so long.
    max_bytes : int
        The answer is 413 to a larger body, announced or not, without reading it to its end.
    """

    app: ASGIApp
    invoke: Callable[[bytes, str], Any]
    timeout_s: float = 60.0
    max_bytes: int = MAX_BODY_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self.timeout_s):
                response = await self._respond(dict(scope["headers"]), receive)
        except TimeoutError:
            response = Response("Request processing time exceeded limit", 504, media_type="application/json")
        if response is not None:
            await response(scope, receive, send)

    async def _respond(self, headers: dict[bytes, bytes], receive: Receive) -> Response | None:
        """The answer; None if the client hung up."""
        length = headers.get(b"content-length", b"0")
        came, announced, parts = 0, int(length) if length.isdigit() else 0, []
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            came, more = came + len(parts[-1]), message.get("more_body", False)
            if max(came, announced) > self.max_bytes:
                sentence = f"A request may bring {self.max_bytes / 1e6:g} MB at most: send fewer spectra at a time."
                content = {"error_code": "INVALID_PARAMETER_VALUE", "message": sentence}
                return JSONResponse(content, 413, {"Connection": "close"})
        try:
            content_type = headers.get(b"content-type", b"").decode("latin-1")
            result = await asyncio.to_thread(self.invoke, b"".join(parts), content_type)
        except MlflowException as error:
            return Response(error.serialize_as_json(), error.get_http_status_code(), media_type="application/json")
        return Response(result.response, result.status, media_type=result.mimetype)


def harden(scoring_server: Any) -> None:
    """Change MLflow's server before it is made: see `Invocations`; no traceback in answers, and no error 500 for bad JSON.

    And no second reading of a body: MLflow decodes JSON twice, once to see of which kind it is, but takes it decoded, too.
    """
    scoring_server._handle_serving_error.__defaults__ = (False,)  # include_traceback
    make, invoke = scoring_server.init, scoring_server.invocations

    def init(model: Any) -> Any:
        app, schema = make(model), model.metadata.get_input_schema()

        def answer(data: Any, content_type: str) -> Any:
            return scoring_server.invocations(data, content_type, model, schema)

        app.add_middleware(Invocations, invoke=answer, timeout_s=MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT.get())
        return app

    def invocations(data: Any, content_type: str, *others: Any) -> Any:
        try:
            if content_type == scoring_server.CONTENT_TYPE_JSON:
                data = scoring_server._decode_json_input(data)
            return invoke(data, content_type, *others)
        except (ValueError, RecursionError) as error:  # lists within lists within lists, and numbers of thousands of digits
            raise MlflowException.invalid_parameter_value(f"The request cannot be read ({type(error).__name__}).") from None

    scoring_server.init, scoring_server.invocations = init, invocations

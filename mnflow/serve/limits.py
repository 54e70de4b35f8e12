"""What MLflow's server lacks where others can reach it: a bound on a request's size, and an answer to every one.

None of it can be reached by a setting; MLflow is pinned, and tests ask a real server.
"""

from typing import Any

from mlflow.exceptions import MlflowException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 100_000_000
"""Some 5,000 spectra of 1,000 channels."""


class BodyLimit:
    """ASGI middleware that answers 413 to a body of more than `max_bytes`, announced or not, without reading it to its end."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = dict(scope.get("headers", ())).get(b"content-length", b"0")
        came, announced, refused = 0, int(length) if length.isdigit() else 0, False

        async def counted() -> Message:
            nonlocal came, refused
            message = await receive()
            came += len(message.get("body", b""))
            if not refused and max(came, announced) > self.max_bytes:
                refused = True
                sentence = f"A request may bring {self.max_bytes / 1e6:g} MB at most: send fewer spectra at a time."
                content = {"error_code": "INVALID_PARAMETER_VALUE", "message": sentence}
                await JSONResponse(content, 413, {"Connection": "close"})(scope, receive, send)
            return {"type": "http.disconnect"} if refused else message  # nobody is there any more, as far as the app knows

        async def answer(message: Message) -> None:
            if not refused:
                await send(message)

        try:
            await self.app(scope, counted, answer)
        except Exception:
            if not refused:
                raise


def harden(scoring_server: Any) -> None:
    """Change MLflow's server before it is made: no traceback in answers, no giant bodies, no error 500 for bad JSON.

    And no second reading of a body: MLflow decodes JSON twice, once to see of which kind it is, but takes it decoded, too.
    """
    scoring_server._handle_serving_error.__defaults__ = (False,)  # include_traceback
    make, invoke = scoring_server.init, scoring_server.invocations

    def init(model: Any) -> Any:
        app = make(model)
        app.add_middleware(BodyLimit)
        return app

    def invocations(data: Any, content_type: Any, *others: Any) -> Any:
        try:
            if content_type == scoring_server.CONTENT_TYPE_JSON:
                data = scoring_server._decode_json_input(data)
            return invoke(data, content_type, *others)
        except (ValueError, RecursionError) as error:  # lists within lists within lists, and numbers of thousands of digits
            raise MlflowException.invalid_parameter_value(f"The request cannot be read ({type(error).__name__}).") from None

    scoring_server.init, scoring_server.invocations = init, invocations

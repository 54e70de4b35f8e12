"""A bound on what one request may bring, so that a single client cannot fill the server's memory."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException

MAX_BODY_BYTES = 100_000_000
"""Some 5,000 spectra of 1,000 channels."""

Receive = Callable[[], Awaitable[dict[str, Any]]]


class BodyLimit:
    """ASGI middleware that answers 413 to a body of more than `max_bytes`, announced or not, without reading it to its end."""

    def __init__(self, app: Any, max_bytes: int = MAX_BODY_BYTES) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Any) -> None:
        came = 0

        async def counted() -> dict[str, Any]:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if max(came, announced) > self.max_bytes:
                sentence = f"A request may bring {self.max_bytes / 1e6:g} MB at most: send fewer spectra at a time."
                raise HTTPException(413, sentence)
            return message

        length = dict(scope.get("headers", ())).get(b"content-length", b"0")
        announced = int(length) if length.isdigit() else 0
        await self.app(scope, counted, send)


def limit_bodies(scoring_server: Any) -> None:
    """Let MLflow's server, which is about to be made, refuse bodies that are too large; no setting of its own reaches that."""
    make = scoring_server.init

    def init(model: Any) -> Any:
        app = make(model)
        app.add_middleware(BodyLimit)
        return app

    scoring_server.init = init

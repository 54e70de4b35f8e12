"""The local server of the page: Bokeh's, with one handler for uploads and one for exports.

It listens on this machine only. Files come and go with a token that only the page knows, so that no other
site that is open in the same browser can reach them; Bokeh checks the origin of its own connection.
"""

import json
import secrets
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mnflow.errors import InputError
from mnflow.pretrained.choose import DEFAULT
from mnflow.view.session import Session
from mnflow.view.shared import Shared

if TYPE_CHECKING:
    from bokeh.server.server import Server

    from mnflow.serve.predictor import Predictor

MAX_FILE_BYTES = 64 * 10**9

_MOST_NAME_BYTES, _MOST_SUFFIX = 200, 20

_PAGE = Path(__file__).with_name("page.html")


def serve(
    file: str | Path | None = None,
    port: int = 0,
    model: "str | Path | Predictor" = DEFAULT,
    show: bool = True,
) -> None:
    """Open the page in the browser and serve it until Ctrl-C.

    Parameters
    ----------
    file : str or Path, optional
        What the page shows at first.
    port : int
        0 for any that is free.
    model : str, Path or Predictor
        As in `mnflow.predict`.
    show : bool
        Whether to open a browser.

    Raises
    ------
    InputError
        If there is no such file, or the port is taken.
    """
    server = make_server(file, port, model)
    address = f"http://127.0.0.1:{server.port}/"
    print(f"{address}  (Ctrl-C ends it)", flush=True)
    if show:
        server.io_loop.add_callback(server.show, "/")
    try:
        server.run_until_shutdown()
    except KeyboardInterrupt:
        pass
    finally:
        server._tornado.settings["shared"].close()


def make_server(
    file: str | Path | None = None, port: int = 0, model: "str | Path | Predictor" = DEFAULT
) -> "Server":
    """The server, not yet running: `start` it, and its `io_loop`."""
    from bokeh.server.server import Server
    from jinja2 import Template

    from mnflow.maps import load_predictor
    from mnflow.serve.predictor import Predictor

    path = None if file is None else Path(file)
    if path is not None and not path.is_file():
        raise InputError(f"{path}: expected a file with spectra, found none.")
    loaded: list[Predictor] = [model] if isinstance(model, Predictor) else []

    def load() -> Predictor:
        if not loaded:
            loaded.append(load_predictor(model))  # type: ignore[arg-type]
        return loaded[0]

    shared = Shared(load, path)
    template = Template(_PAGE.read_text(encoding="utf-8"))

    def page(document: Any) -> None:
        session = Session(document, shared)
        document.title = "mnflow view"
        document.template = template
        document.template_variables.update(token=shared.token, number=session.number)

    free = _free_port(port)
    server = Server(
        {"/": page},
        port=free,
        address="127.0.0.1",
        allow_websocket_origin=[f"127.0.0.1:{free}", f"localhost:{free}"],
        extra_patterns=_handlers(),
        session_token_expiration=24 * 3600,
    )
    server._tornado.settings["shared"] = shared
    return server


def _free_port(wanted: int) -> int:
    """`wanted`, or any port that is free if it is 0; raises `InputError` if it is taken."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise InputError(f"Port {wanted} is taken ({error}): choose another with --port.") from error
        return int(probe.getsockname()[1])


def _file_name(given: str) -> str:
    """A dropped file's own name as any file system takes it, with its ending."""
    path = Path("".join(c for c in given if c.isprintable()))
    stem, suffix = path.stem.encode()[:_MOST_NAME_BYTES].decode(errors="ignore"), path.suffix
    return f"{stem}{suffix if len(suffix) < _MOST_SUFFIX else ''}".strip(".") or "spectra"


def _handlers() -> list[tuple[str, Any]]:
    """Tornado's handlers; made here, since Tornado comes with the extra."""
    from tornado.ioloop import IOLoop
    from tornado.web import HTTPError, RequestHandler, stream_request_body

    class Guarded(RequestHandler):
        def prepare(self) -> None:
            self.shared: Shared = self.settings["shared"]
            given = self.request.headers.get("X-Mnflow-Token") or self.get_query_argument("token", "")
            if not secrets.compare_digest(given.encode(), self.shared.token.encode()):
                raise HTTPError(403)

        def session(self, number: str) -> Session:
            if number not in self.shared.sessions:
                raise HTTPError(404)
            found: Session = self.shared.sessions[number]
            return found

    @stream_request_body
    class Incoming(Guarded):
        """A dropped file, written to disk as it comes."""

        def prepare(self) -> None:
            super().prepare()
            self.request.connection.set_max_body_size(MAX_FILE_BYTES)  # type: ignore[union-attr]
            folder = Path(tempfile.mkdtemp(dir=self.shared.folder))
            self.path = folder / _file_name(self.get_query_argument("name"))
            self.part = self.path.open("wb")

        def data_received(self, chunk: bytes) -> None:
            self.part.write(chunk)

        def put(self, number: str) -> None:
            self.part.close()
            session, use = self.session(number), self.get_query_argument("as", "spectra")
            if use == "references" and self.get_query_argument("first", "true") == "true":
                session.forget_references()  # a new choice takes the place of the one before
            session.open_file(self.path, use)
            self.write(json.dumps({"name": self.path.name}))

        def on_connection_close(self) -> None:
            self.part.close()
            shutil.rmtree(self.path.parent, ignore_errors=True)

    class Outgoing(Guarded):
        """An export, made on request."""

        async def get(self, number: str, name: str) -> None:
            session = self.session(number)
            try:
                content, kind, filename = await IOLoop.current().run_in_executor(None, session.export, name)
            except InputError as error:
                raise HTTPError(404, reason=str(error)[:200].replace("\n", " ")) from error
            self.set_header("Content-Type", kind)
            self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(filename)}")
            self.write(content)

    return [(r"/files/([0-9]+)", Incoming), (r"/export/([0-9]+)/([a-z0-9.]+)", Outgoing)]

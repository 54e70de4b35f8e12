"""The page's server: what it is asked with, what it takes and gives, and how it ends."""

import io
import json
import socket
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bokeh.server.server import Server

from mnflow.errors import InputError
from mnflow.serve.predictor import Predictor
from mnflow.view import server as page_server
from mnflow.view.server import _file_name, make_server
from mnflow.view.session import Session
from tests.helpers.pages import fetch, running, token_of
from tests.helpers.services import wait_until
from tests.maps.conftest import ENERGY_EV, image

pytestmark = pytest.mark.slow


def table(counts: np.ndarray) -> bytes:
    whole, rows = io.BytesIO(), np.stack([ENERGY_EV, counts], axis=1)
    np.savetxt(whole, rows, delimiter=",", header="energy_ev,counts", comments="")
    return whole.getvalue()


def asked(address: str, path: str, **settings: Any) -> tuple[int, str]:
    """The code of an answer, and the answer or the reason why there is none."""
    try:
        return 200, fetch(address, path, **settings).decode()
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, error.reason


def put(address: str, path: str, token: str, data: bytes = b"xy") -> tuple[int, str]:
    headers = {"X-Mnflow-Token": token.encode().decode("latin-1")}
    return asked(address, path, method="PUT", data=data, headers=headers)


def test_a_dropped_file_is_answered_on_its_own_page_and_given_back(predictor: Predictor) -> None:
    with running(predictor) as address:
        token = token_of(address)
        assert token_of(address) == token  # of page 2
        given = put(address, "/files/2?name=n%C2%B5.csv", token, table(image()[0, 0]))
        assert (given[0], json.loads(given[1])) == (200, {"name": "nµ.csv"})
        wanted = f"/export/2/methods.txt?token={token}"
        for _ in range(600):  # until it is read
            code, said = asked(address, wanted)
            if code == 200:
                break
            time.sleep(0.05)
        assert said.startswith("The oxidation state of Mn")
        with urllib.request.urlopen(address + wanted) as answered:
            assert answered.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''")
            assert answered.headers["Content-Type"].startswith("text/plain")
        none = "There is no figure.png to export: open a file first."
        assert asked(address, f"/export/1/figure.png?token={token}") == (404, none)
        assert asked(address, f"/export/3/figure.png?token={token}") == (404, "Not Found")


def test_each_page_names_itself_and_a_reason_is_one_line(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(session: Session, name: str) -> None:
        raise InputError(f"two\nlines of {name}")

    monkeypatch.setattr(Session, "export", refuse)
    with running(predictor) as address:
        for number in "12":
            page = fetch(address, "/").decode()
            assert f'number = "{number}"' in page
            assert f'href="/export/{number}/figure.png?token=' in page
        wanted = f"/export/2/figure.png?token={token_of(address)}"
        assert asked(address, wanted) == (404, "two lines of figure.png")


def test_only_who_knows_the_token_and_a_page_is_let_in(predictor: Predictor) -> None:
    with running(predictor) as address:
        token = token_of(address)
        assert len(token) >= 22  # 16 bytes
        for number, given, code in (
            (1, "", 403), (1, "x" + token[1:], 403), (1, "\N{MICRO SIGN}", 403), (2, token, 404),
            (1, token, 200),
        ):  # fmt: skip
            assert put(address, f"/files/{number}?name=a.csv", given)[0] == code, given


def test_new_references_take_the_place_of_those_before_and_more_are_added(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Any] = []

    def opened(session: Any, path: Path, use: str) -> None:
        done.append((path.name, use, path.read_bytes(), path.parent.parent.name[:12]))

    monkeypatch.setattr(page_server.Session, "forget_references", lambda self: done.append("forgotten"))
    monkeypatch.setattr(page_server.Session, "open_file", opened)
    references = "&as=references"
    with running(predictor) as address:
        token = token_of(address)
        for query in ("", "&as=low_loss", references, f"{references}&first=false", "&as=spectra&first=true"):
            put(address, f"/files/1?name=a.csv{query}", token)
    kept = (b"xy", "mnflow-view-")
    assert done == [
        ("a.csv", "spectra", *kept), ("a.csv", "low_loss", *kept), "forgotten",
        ("a.csv", "references", *kept), ("a.csv", "references", *kept), ("a.csv", "spectra", *kept),
    ]  # fmt: skip


def test_what_comes_in_part_only_is_removed(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with running(predictor) as address:
        token = token_of(address)
        (folder,) = tmp_path.glob("mnflow-view-*")
        head = f"PUT /files/1?name=a.csv&token={token} HTTP/1.1\r\nHost: a\r\nContent-Length: 999"
        with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))) as sent:
            sent.sendall(f"{head}\r\n\r\nenergy".encode())
            wait_until(lambda: any(folder.rglob("a.csv")), 60, "a file")
        wait_until(lambda: not any(folder.iterdir()), 60, "no file")


def test_the_page_is_served_on_this_machine_until_it_is_stopped(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[Server] = []

    def stopped(server: Server) -> None:
        ran.append(server)
        assert server._tornado.settings["shared"].folder.is_dir()
        raise KeyboardInterrupt

    shown: list[str] = []
    monkeypatch.setattr(Server, "run_until_shutdown", stopped)
    monkeypatch.setattr(Server, "show", lambda self, path: shown.append(path))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    for show in (False, True):
        page_server.serve(port=port, model=predictor, show=show)
        server = ran.pop()
        assert server.port == port
        assert server.address == "127.0.0.1"
        assert capsys.readouterr().out == f"http://127.0.0.1:{port}/  (Ctrl-C ends it)\n"
        assert not server._tornado.settings["shared"].folder.exists()
        server.io_loop.add_callback(server.io_loop.stop)
        server.io_loop.start()
        assert shown == (["/"] if show else [])
        server.stop()
        server._http.stop()


def test_the_model_is_loaded_once_when_it_is_needed(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    server = make_server(model=str(path))
    predictor.save(path)
    load = server._tornado.settings["shared"].load
    first = load()
    path.unlink()
    assert load() is first
    assert first.edge == predictor.edge
    server._tornado.settings["shared"].close()
    origins = {f"127.0.0.1:{server.port}", f"localhost:{server.port}"}
    assert server._tornado.websocket_origins == origins
    server._http.stop()


def test_what_cannot_be_served_is_said(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        make_server(tmp_path, model=predictor)
    assert str(error.value) == f"{tmp_path}: expected a file with spectra, found none."
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with pytest.raises(InputError) as error:
            make_server(port=port, model=predictor)
    assert str(error.value).startswith(f"Port {port} is taken (")
    assert str(error.value).endswith("): choose another with --port.")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Mn\u2082O\u2083 \u00b5.hspy", "Mn\u2082O\u2083 \u00b5.hspy"),
        ("../../a.csv", "a.csv"), ("..", "spectra"), ("", "spectra"), ("a\r\nX: y\0.csv", "aX: y.csv"),
        ("\u00b5" * 300 + ".dm4", "\u00b5" * 100 + ".dm4"), ("a." + "n" * 300, "a"),
    ],
)  # fmt: skip
def test_a_dropped_file_keeps_its_name_where_it_is_one(given: str, name: str) -> None:
    assert _file_name(given) == name

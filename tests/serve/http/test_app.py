"""Every request is answered, and what is too large or takes too long is refused before it costs anything."""

import asyncio
import json
import re
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import mlflow
import pytest
import uvicorn
from uvicorn.protocols.http import auto
from uvicorn.protocols.http.h11_impl import H11Protocol

from mnflow.errors import InputError
from mnflow.serve import model as served_model
from mnflow.serve.answer import answer
from mnflow.serve.http.app import WATCH_VARIABLE, App, Watch, create, run
from mnflow.serve.predictor import Predictor
from mnflow.serve.request import FEW_BYTES
from tests.serve.test_answer import raw

JSON = {b"content-type": b"application/json"}
GOOD = b'{"inputs":[1,2]}'


def sent_by(app: Any, scope: dict[str, Any], receive: Any) -> list[dict[str, Any]]:
    """All that an app sends in answer to what it receives."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def ask_app(
    app: Any,
    chunks: list[bytes],
    headers: Any = JSON,
    path: str = "/invocations",
    method: str = "POST",
    hangs_up: bool = False,
) -> tuple[int | None, str, int]:
    """Status and text of the answer to a body that comes in chunks, and how many of these were asked for."""
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        if taken > len(chunks):
            return {"type": "http.disconnect"}
        more = hangs_up or taken < len(chunks)
        return {"type": "http.request", "body": chunks[taken - 1], "more_body": more}

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers.items())}
    sent = sent_by(app, scope, receive)
    return (sent[0]["status"], sent[1]["body"].decode(), taken) if sent else (None, "", taken)


def doubled(spectra: Any) -> list[Any]:
    return [2 * x for x in spectra]


def ask(
    chunks: list[bytes],
    headers: Any = JSON,
    hangs_up: bool = False,
    answer_all: Any = doubled,
    **settings: Any,
) -> Any:
    return ask_app(App(answer_all, **{"max_bytes": 20, **settings}), chunks, headers, hangs_up=hangs_up)


def test_spectra_are_answered() -> None:
    assert ask([GOOD[:3], GOOD[3:]], JSON | {b"content-length": b"16"}) == (200, '{"predictions": [2, 4]}', 2)
    assert ask([GOOD], {b"content-type": b"application/json; charset=UTF-8"})[0] == 200


@pytest.mark.parametrize(
    ("n", "length", "waits"),
    [(1, 0, True), (2, 0, True), (3, 0, False), (1, FEW_BYTES, True), (1, FEW_BYTES + 1, False)],
)
def test_nobody_waits_for_many_or_for_much(n: int, length: int, waits: bool) -> None:
    """They are answered in a thread, not on the event loop, which runs in this test's own."""
    threads: list[threading.Thread] = []

    def answer_all(spectra: Any) -> Any:
        threads.append(threading.current_thread())
        return doubled(spectra)

    body = json.dumps({"inputs": [1] * n}).encode().ljust(length)
    status, text, _ = ask([body], answer_all=answer_all, max_bytes=1_000_000)
    assert (status, json.loads(text)["predictions"]) == (200, [2] * n)
    assert [thread is threading.current_thread() for thread in threads] == [waits]


@pytest.mark.parametrize(
    "kind", [b"text/csv", b"", b"application/json; charset=nonsense", b"application/x-parquet"]
)
def test_other_content_types_are_refused(kind: bytes) -> None:
    assert ask([GOOD], {b"content-type": kind})[0] == 415


@pytest.mark.parametrize(
    ("chunks", "announced", "taken"),
    [([b"123456789ab"] * 9, None, 2), ([b"1"], b"21", 0), ([b"123456789ab"] * 9, b"3", 2), ([b"1"],
    b"9" * 5_000, 0)],
)  # fmt: skip
def test_a_large_one_is_not_read_to_its_end(chunks: list[bytes], announced: Any, taken: int) -> None:
    status, text, asked_for = ask(
        chunks, JSON if announced is None else {**JSON, b"content-length": announced}
    )
    assert (status, asked_for) == (413, taken)
    assert "send fewer spectra at a time" in text


def test_what_is_no_request_gets_a_clear_error() -> None:
    status, text, _ = ask([b"{"])
    said = json.loads(text)
    assert (status, said["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "cannot be read" in said["message"]

    def refuse(spectra: Any) -> Any:
        raise InputError("No.")

    status, text, _ = ask([GOOD], answer_all=refuse)
    assert (status, json.loads(text)["message"]) == (400, "No.")


BOTH = JSON | {b"content-length": b"16", b"transfer-encoding": b"chunked"}


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        (("/nothing", "GET", {}), 404, "There is nothing at /nothing: POST spectra to /invocations."),
        (("/invoke", "POST", JSON), 404, "There is nothing at /invoke: POST spectra to /invocations."),
        (
            ("/" + "x" * 150, "GET", {}),
            404,
            f"There is nothing at /{'x' * 99}: POST spectra to /invocations.",
        ),
        (("/ping", "POST", {}), 405, "/ping needs GET, got POST."),
        (("/invocations", "GET", {}), 405, "/invocations needs POST, got GET."),
        (("/invocations", "POST", {}), 415, "Expected the content type application/json."),
        (("/invocations", "POST", BOTH), 400, "Content-Length and Transfer-Encoding exclude each other."),
        (
            ("/invocations", "POST", JSON | {b"content-length": b"17"}),
            413,
            "A request may bring 1.6e-05 MB at most: send fewer spectra at a time.",
        ),
        (("/invocations", "POST", JSON), 200, None),
        (("/invocations", "POST", JSON | {b"content-length": b"16"}), 200, None),
        (("/ping", "GET", {}), 200, None),
    ],
)
def test_a_refusal_says_why_and_closes_a_connection_whose_rest_cannot_be_trusted(
    asked: tuple[str, str, dict[bytes, bytes]], status: int, message: str | None
) -> None:
    path, method, headers = asked

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": GOOD}

    scope = {"type": "http", "path": path, "method": method, "headers": list(headers.items())}
    sent = sent_by(App(doubled, max_bytes=16), scope, receive)
    body = sent[1].pop("body")
    closes = [(b"connection", b"close")] if message else []
    length = (b"content-length", str(len(body)).encode())
    sent_headers = [(b"content-type", b"application/json"), length, *closes]
    start = {"type": "http.response.start", "status": status, "headers": sent_headers}
    assert sent == [start, {"type": "http.response.body"}]
    if message:
        assert json.loads(body) == {"error_code": "INVALID_PARAMETER_VALUE", "message": message}


def test_a_websocket_is_closed() -> None:
    assert sent_by(App(doubled), {"type": "websocket"}, lambda: None) == [{"type": "websocket.close"}]


def test_slow_request_gets_504() -> None:
    def slowly(spectra: Any) -> Any:
        time.sleep(0.2)
        return []

    status, text, _ = ask([GOOD + b" " * FEW_BYTES], answer_all=slowly, timeout_s=0.01, max_bytes=1_000_000)
    assert status == 504
    assert json.loads(text) == {
        "error_code": "INVALID_PARAMETER_VALUE",
        "message": "The request took too long: send fewer spectra at a time.",
    }


def test_who_hangs_up_gets_no_answer() -> None:
    assert ask([b"1", b"2"], hangs_up=True) == (None, "", 3)


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/ping", "GET", 200), ("/health", "GET", 200), ("/version", "GET", 200), ("/", "GET", 404), ("/docs",
        "GET", 404),
        ("/openapi.json", "GET", 404), ("/redoc", "GET", 404), ("/invocations", "GET", 405), ("/ping", "POST",
        405),
    ],
)  # fmt: skip
def test_other_paths(path: str, method: str, status: int) -> None:
    found, text, _ = ask_app(App(doubled, "1.2"), [], {}, path, method)
    assert found == status
    if path == "/version":
        assert text == "1.2"


def test_it_lives_and_ends_with_its_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    waits: list[float] = []
    monkeypatch.setattr(sys, "setswitchinterval", waits.append)
    said: list[str] = []
    came = iter(["lifespan.startup", "lifespan.shutdown"] * 2)

    async def receive() -> Any:
        return {"type": next(came)}

    async def send(message: Any) -> None:
        said.append(message["type"])

    for app in (App(doubled), App(doubled, watch=Watch(tmp_path))):
        asyncio.run(app({"type": "lifespan"}, receive, send))
        assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        said.clear()
    assert waits == [0.0002] * 2
    assert [path.read_text() for path in tmp_path.iterdir()] == ["{}"], "counts are written at the end"


@pytest.mark.parametrize("code", [None, 0, 1])
def test_a_server_listens_where_it_is_told_or_says_that_it_cannot(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    served: list[dict[str, Any]] = []

    def run_app(app: App, **settings: Any) -> None:
        served.append({"app": app, **settings})
        if code is not None:
            raise SystemExit(code)

    monkeypatch.setattr(uvicorn, "run", run_app)
    cannot = "^Cannot listen on 0.0.0.0:5002: name another port, or stop what listens there.$"
    with pytest.raises(InputError, match=cannot) if code else nullcontext():
        run(predictor, "0.0.0.0", 5002, "1.2")
    (one,) = served
    app, protocol = one.pop("app"), one.pop("http")
    assert one == {"host": "0.0.0.0", "port": 5002, "log_level": "warning", "backlog": 64}
    assert issubclass(protocol, H11Protocol)
    assert protocol.data_received is not H11Protocol.data_received, "headers are due"
    assert H11Protocol.data_received.__module__ == H11Protocol.__module__, "uvicorn's own is left alone"
    assert ask_app(app, [], {}, "/version", "GET")[:2] == (200, "1.2")
    (found,) = json.loads(ask_app(app, [json.dumps({"inputs": [raw()]}).encode()])[1])["predictions"]
    assert found == answer(predictor, [raw()])[0]


def test_a_server_listens_on_this_machine_alone_unless_told(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[dict[str, Any]] = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **settings: served.append({"app": app, **settings}))
    run(predictor)
    assert (served[0]["host"], served[0]["port"]) == ("127.0.0.1", 5001)
    assert ask_app(served[0]["app"], [], {}, "/version", "GET")[:2] == (200, "")


def test_a_spectrum_with_true_among_its_numbers_is_refused(predictor: Predictor) -> None:
    body = b'{"inputs": [{"energy_ev": [600, 601, 602], "intensity": [1, true, 2]}]}'
    status, text, _ = ask_app(create(predictor), [body])
    (said,) = json.loads(text)["predictions"]
    assert status == 200
    assert said["error"] == "Spectrum 0: expected a list of numbers for intensity, got bool at 1."


def test_mlflows_server_gives_out_ours(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """As mlflow.pyfunc.scoring_server.app does it: the model is loaded first, then `app` is made in the
    module.
    """
    module, bounded = ModuleType("mlflow.pyfunc.scoring_server.app"), []
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(served_model, "bound_connections", bounded.append)
    monkeypatch.setattr(auto, "AutoHTTPProtocol", chosen := type("Chosen", (), {}))  # httptools, perhaps
    path = predictor.save(tmp_path / "predictor.npz")
    context: Any = SimpleNamespace(artifacts={"predictor": path})
    served_model.ValenceModel().load_context(context)
    exec("app = 'what MLflow makes'", module.__dict__)
    assert ask_app(module.app, [], {}, "/version", "GET")[:2] == (200, mlflow.__version__)
    status, text, _ = ask_app(module.app, [json.dumps({"inputs": [raw()]}).encode()])
    assert (status, json.loads(text)["predictions"]) == (200, answer(predictor, [raw()]))
    assert bounded == [chosen]


def test_what_is_served_is_counted_per_day_without_spectra(tmp_path: Path) -> None:
    read = {"class": "Mn2+", "flags": ["out_of_distribution", "noise"], "moved_ev": 1.5, "error": None}
    answers = [read, {**read, "class": None, "flags": [], "moved_ev": -0.5}]
    answers += [{"class": None, "flags": ["unreadable"], "moved_ev": None, "error": "Spectrum 2: ..."}]
    watch = Watch(tmp_path)
    for _ in range(2):
        ask([GOOD], answer_all=lambda spectra: answers, watch=watch)
    watch.write()
    (path,) = tmp_path.iterdir()
    ((day, counts),) = json.loads(path.read_text()).items()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", day)
    assert counts == {
        "requests": 2, "spectra": 6, "errors": 2, "classes": {"Mn2+": 2, "undecided": 2},
        "flags": {"out_of_distribution": 2, "noise": 2, "unreadable": 2}, "moved_ev": [4, 2.0, 5.0],
    }  # fmt: skip


def test_counts_are_kept_per_day_and_written_every_half_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    watch = Watch(tmp_path)
    for seconds, day, written in ((30, 4, 0), (1, 4, 2), (30, 4, 2), (1, 5, 4)):
        now += seconds
        monkeypatch.setattr(time, "gmtime", lambda day=day: time.struct_time((2026, 5, day, *[0] * 6)))
        watch.add([])
        paths = list(tmp_path.iterdir())
        assert [path.name for path in paths] == [watch.path.name] * bool(written)
        if paths:
            requests = [counts["requests"] for counts in json.loads(paths[0].read_text()).values()]
            assert sum(requests) == written
    by_day = {day: counts["requests"] for day, counts in watch.days.items()}
    assert by_day == {"2026-05-04": 3, "2026-05-05": 1}
    assert re.fullmatch(r"served-[0-9a-f]{12}\.json", watch.path.name)
    assert Watch(tmp_path).path != watch.path, "of each process its own"


def test_counts_that_cannot_be_written_cost_no_answer(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    watch = Watch(tmp_path / "file" / "folder")
    watch.add([{"class": None, "flags": [], "moved_ev": 0.0, "error": None}])
    watch.write()
    assert watch.days


def test_a_server_is_watched_where_the_environment_says_so(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(WATCH_VARIABLE, raising=False)
    assert create(predictor).watch is None
    monkeypatch.setenv(WATCH_VARIABLE, str(tmp_path))
    watch = create(predictor).watch
    assert watch is not None
    assert watch.path.parent == tmp_path
    assert WATCH_VARIABLE == "MNFLOW_WATCH"

"""The served model under abuse: every good request is answered, every bad one refused, and the memory stays
flat.

MNFLOW_ABUSE scales the 10,000 good and 10,000 bad requests.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from mnflow.promote.served import log_model
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from mnflow.track import tracking
from tests.helpers.nets import made_up_net
from tests.helpers.services import free_port, process, wait_until
from tests.helpers.spectra import edge_shape

pytestmark = pytest.mark.services

ENERGY_EV = 600 + 0.25 * np.arange(400)
GOOD = {"energy_ev": ENERGY_EV.tolist(), "intensity": edge_shape(ENERGY_EV, 1).round(5).tolist()}
BAD: list[bytes] = [
    b"", b"{", b"null", b"[]", b"{}", b'{"inputs": 3}', b'{"inputs": [null]}', b"\xff\xfe\x00",
    b"9" * 100_000,
    b'{"inputs": [{"energy_ev": "x", "intensity": []}]}',
    b'{"inputs": [{"energy_ev": true, "intensity": {}}]}',
    b'{"inputs": [{"energy_ev": [1, 2], "intensity": [NaN, 1]}]}',
    b'{"inputs": [{"energy_ev": [1e999, 2], "intensity": [1, 1]}]}',
    b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}',
    b"[" * 100_000,
    b'{"inputs": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b'{"inputs": [' + b'{"a":' * 3_000 + b"1" + b"}" * 3_000 + b"]}",
]  # fmt: skip


@dataclass
class Served:
    url: str
    port: int
    group: int

    def ask(self, body: bytes, kind: str = "application/json") -> requests.Response:
        return requests.post(
            f"{self.url}/invocations", data=body, headers={"Content-Type": kind}, timeout=120
        )

    def is_right(self) -> bool:
        (said,) = self.ask(json.dumps({"inputs": [GOOD]}).encode()).json()["predictions"]
        return said["error"] is None and abs(sum(said["probabilities"].values()) - 1) < 1e-4

    def memory_mb(self) -> float:
        """Resident memory of all its processes."""
        pages = 0
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.getpgid(int(folder.name)) == self.group:
                    pages += int((folder / "statm").read_text().split()[1])
            except (OSError, ProcessLookupError):
                continue
        return pages * 4096 / 1e6


@pytest.fixture(scope="module")
def served(module_store: Path) -> Iterator[Served]:
    with tracking.step(tracking.tags_of("promote"), "promote", {}) as run:
        uri = log_model(run, Predictor(MN, net=made_up_net()), {}, [GOOD])
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        uri,
        "-p",
        str(port),
        "--env-manager",
        "local",
    ]
    log = module_store / "serve.log"
    with process(command, {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}, log) as server:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _is_up(url), 180, "the model's server", log)
        yield Served(url, port, os.getpgid(server.pid))


def _is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/ping", timeout=5).ok
    except requests.RequestException:
        return False


def test_it_listens_on_loopback_only(served: Served) -> None:
    listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    addresses = {
        line.split()[3] for line in listening.splitlines() if line.split()[3].endswith(f":{served.port}")
    }
    assert addresses == {f"127.0.0.1:{served.port}"}


@pytest.mark.parametrize("body", BAD, ids=lambda b: repr(b[:24]))
def test_a_bad_body_is_refused_without_a_traceback(served: Served, body: bytes) -> None:
    answer = served.ask(body)
    if answer.status_code == 200:
        assert all(said["error"] for said in answer.json()["predictions"])
    else:
        assert 400 <= answer.status_code < 500, answer.text[:500]
    assert "Traceback" not in answer.text
    assert served.is_right()


@pytest.mark.parametrize(
    "kind", ["text/csv", "application/x-parquet", "text/plain", "", "application/json; charset=nonsense"]
)
def test_a_bad_content_type_is_refused(served: Served, kind: str) -> None:
    answer = served.ask(b"a,b\n1,2\n", kind)
    assert 400 <= answer.status_code < 500, answer.text[:500]
    assert "Traceback" not in answer.text


def test_an_oversize_body_is_refused_before_memory_goes(served: Served) -> None:
    before = served.memory_mb()

    def endless() -> Iterator[bytes]:
        for _ in range(3000):
            yield b" " * 1_000_000

    try:
        status = requests.post(
            f"{served.url}/invocations",
            data=endless(),
            headers={"Content-Type": "application/json"},
            timeout=120,
        ).status_code
    except requests.ConnectionError:  # it hung up while more was coming
        status = 413
    assert status in (413, 504)  # 504: its minute was over before it had sent as much as is allowed
    assert served.memory_mb() < before + 300
    assert served.is_right()


def test_nobody_waits_for_anothers_rubbish(served: Served) -> None:
    """8 MB and 98 kB of elements that are no spectra, again and again, beside a small good request."""
    rubbish = [b'{"inputs": [' + b"0," * n + b"0]}" for n in (4_000_000, 49_000, 9_900)]
    before, stop = served.memory_mb(), threading.Event()

    def seconds() -> float:
        began = time.perf_counter()
        assert served.is_right()
        return time.perf_counter() - began

    alone = [seconds() for _ in range(50)]

    def annoy(body: bytes) -> None:
        while not stop.is_set():
            assert served.ask(body).status_code in (200, 400)

    with ThreadPoolExecutor(len(rubbish)) as pool:
        annoying = [pool.submit(annoy, body) for body in rubbish]
        try:
            waited = [seconds() for _ in range(50)]
        finally:
            stop.set()
        assert [future.result() for future in annoying] == [None] * len(rubbish)
    after = served.memory_mb()
    alone_ms, beside_ms = 1000 * np.array([np.median(alone), np.median(waited)])
    print(f"alone {alone_ms:.0f} ms, beside {beside_ms:.0f} ms; {before:.0f} -> {after:.0f} MB")
    assert beside_ms < alone_ms + 100
    assert after < before + 80


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_no_page_loads_scripts_from_elsewhere(served: Served, path: str) -> None:
    assert requests.get(served.url + path, timeout=10).status_code == 404


def test_half_sent_headers_are_not_kept_for_ever(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as half:
        half.sendall(b"POST /invocations HTTP/1.1\r\nHost")
        half.settimeout(30)
        assert half.recv(100) == b""


def test_slow_clients_keep_nobody_waiting(served: Served) -> None:
    slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(200)]
    for connection in slow:
        connection.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
            b"100\r\n\r\n{"
        )
    assert served.is_right()
    for connection in slow:
        connection.close()
    assert served.is_right()


def test_ten_thousand_good_ones_among_ten_thousand_bad_ones(served: Served) -> None:
    n = round(10_000 * float(os.environ.get("MNFLOW_ABUSE", "1")))
    good = json.dumps({"inputs": [GOOD]}).encode()

    def client(number: int) -> Counter[str]:
        rng, session, said = np.random.default_rng(number), requests.Session(), Counter[str]()
        for is_good in rng.permutation(np.repeat([True, False], n // 8)):
            body = good if is_good else BAD[int(rng.integers(len(BAD)))]
            answer = session.post(
                f"{served.url}/invocations",
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=120,
            )
            right = answer.status_code == 200 and all(
                a["error"] is None for a in answer.json()["predictions"]
            )
            said[f"{'good' if is_good else 'bad'} {'answered' if right else 'refused'}"] += 1
        return said

    def all_clients(clients: int) -> Counter[str]:
        with ThreadPoolExecutor(clients) as pool:
            return sum(pool.map(client, range(clients)), Counter[str]())

    client(0)  # what it allocates once
    before: float = served.memory_mb()
    said: Any = all_clients(8)
    after = served.memory_mb()
    print(f"{dict(said)}; memory {before:.0f} -> {after:.0f} MB")
    assert set(said) == {"good answered", "bad refused"}
    assert said["good answered"] == 8 * (n // 8)
    assert after < before + 50


def test_it_ends_when_it_is_told_to(served: Served) -> None:
    os.killpg(served.group, signal.SIGTERM)
    wait_until(lambda: not _is_up(served.url), 30, "the end of the server")

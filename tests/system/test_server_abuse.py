"""The served model under abuse: good requests are answered, bad ones refused, memory stays flat.

MNFLOW_ABUSE scales the 10,000 good and 10,000 bad requests.
"""

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
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from benchmarks.client import BAD, connect, is_up, memory_mb, post, request_of, serve_command
from mnflow.promote.version_contents import log_model
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from mnflow.track import tracking
from tests.helpers.nets import made_up_net
from tests.helpers.services import free_port, process, wait_until
from tests.helpers.spectra import edge_shape

pytestmark = pytest.mark.services

ENERGY_EV = 600 + 0.25 * np.arange(400)
GOOD = {"energy_ev": ENERGY_EV.tolist(), "intensity": edge_shape(ENERGY_EV, 1).round(5).tolist()}


@dataclass
class Served:
    port: int
    group: int

    def is_right(self) -> bool:
        (said,) = post(self.port, request_of(GOOD)).predictions
        return said["error"] is None and abs(sum(said["probabilities"].values()) - 1) < 1e-4


@pytest.fixture(scope="module")
def served(module_store: Path) -> Iterator[Served]:
    with tracking.step(tracking.tags_of("promote"), "promote", {}) as run:
        uri = log_model(run, Predictor(MN, net=made_up_net()), {}, [GOOD])
    port = free_port()
    command = [sys.executable, "-m", *serve_command(uri, port)]
    log = module_store / "serve.log"
    with process(command, {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}, log) as server:
        wait_until(lambda: is_up(port), 180, "the model's server", log)
        yield Served(port, os.getpgid(server.pid))


def test_it_listens_on_loopback_only(served: Served) -> None:
    listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    addresses = {
        line.split()[3] for line in listening.splitlines() if line.split()[3].endswith(f":{served.port}")
    }
    assert addresses == {f"127.0.0.1:{served.port}"}


@pytest.mark.parametrize("body", BAD, ids=lambda b: repr(b[:24]))
def test_a_bad_body_is_refused_without_a_traceback(served: Served, body: bytes) -> None:
    answer = post(served.port, body)
    if answer.status == 200:
        assert all(said["error"] for said in answer.predictions)
    else:
        assert 400 <= answer.status < 500, answer
    assert b"Traceback" not in answer.body
    assert served.is_right()


@pytest.mark.parametrize(
    "kind", ["text/csv", "application/x-parquet", "text/plain", "", "application/json; charset=nonsense"]
)
def test_a_bad_content_type_is_refused(served: Served, kind: str) -> None:
    answer = post(served.port, b"a,b\n1,2\n", kind)
    assert 400 <= answer.status < 500, answer
    assert b"Traceback" not in answer.body


def test_an_oversize_body_is_refused_before_memory_goes(served: Served) -> None:
    before = memory_mb(served.group)

    def endless() -> Iterator[bytes]:
        for _ in range(3000):
            yield b" " * 1_000_000

    try:
        status = requests.post(
            f"http://127.0.0.1:{served.port}/invocations",
            data=endless(),
            headers={"Content-Type": "application/json"},
            timeout=120,
        ).status_code
    except requests.ConnectionError:  # it hung up while more was coming
        status = 413
    assert status in (413, 504)  # 504: its minute was over before it had sent as much as is allowed
    assert memory_mb(served.group) < before + 300
    assert served.is_right()


def test_nobody_waits_for_anothers_rubbish(served: Served) -> None:
    """8 MB and 98 kB of elements that are no spectra, again and again, beside a small good request."""
    rubbish = [b'{"inputs": [' + b"0," * n + b"0]}" for n in (4_000_000, 49_000, 9_900)]
    before, stop = memory_mb(served.group), threading.Event()

    def seconds() -> float:
        began = time.perf_counter()
        assert served.is_right()
        return time.perf_counter() - began

    alone = [seconds() for _ in range(50)]

    def annoy(body: bytes) -> None:
        while not stop.is_set():
            assert post(served.port, body).status in (200, 400)

    with ThreadPoolExecutor(len(rubbish)) as pool:
        annoying = [pool.submit(annoy, body) for body in rubbish]
        try:
            waited = [seconds() for _ in range(50)]
        finally:
            stop.set()
        assert [future.result() for future in annoying] == [None] * len(rubbish)
    after = memory_mb(served.group)
    alone_ms, beside_ms = 1000 * np.array([np.median(alone), np.median(waited)])
    print(f"alone {alone_ms:.0f} ms, beside {beside_ms:.0f} ms; {before:.0f} -> {after:.0f} MB")
    assert beside_ms < alone_ms + 100
    assert after < before + 80


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_no_page_loads_scripts_from_elsewhere(served: Served, path: str) -> None:
    assert requests.get(f"http://127.0.0.1:{served.port}{path}", timeout=10).status_code == 404


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
    good = request_of(GOOD)

    def client(number: int) -> Counter[str]:
        rng, said = np.random.default_rng(number), Counter[str]()
        with closing(connect(served.port)) as connection:
            for is_good in rng.permutation(np.repeat([True, False], n // 8)):
                body = good if is_good else BAD[int(rng.integers(len(BAD)))]
                right = post(connection, body).is_answered
                said[f"{'good' if is_good else 'bad'} {'answered' if right else 'refused'}"] += 1
        return said

    def all_clients(clients: int) -> Counter[str]:
        with ThreadPoolExecutor(clients) as pool:
            return sum(pool.map(client, range(clients)), Counter[str]())

    client(0)  # what it allocates once
    before: float = memory_mb(served.group)
    said: Any = all_clients(8)
    after = memory_mb(served.group)
    print(f"{dict(said)}; memory {before:.0f} -> {after:.0f} MB")
    assert set(said) == {"good answered", "bad refused"}
    assert said["good answered"] == 8 * (n // 8)
    assert after < before + 50


def test_it_ends_on_sigterm(served: Served) -> None:
    os.killpg(served.group, signal.SIGTERM)
    wait_until(lambda: not is_up(served.port), 30, "the end of the server")

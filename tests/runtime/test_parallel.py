"""Work runs on local processes or a Dask cluster; a killed worker costs a retry of unfinished items only."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from distributed import Client

from mnflow.errors import InputError
from mnflow.runtime import parallel
from mnflow.runtime.parallel import ahead, local_cluster, run_parallel
from mnflow.runtime.project import ROOT

pytestmark = pytest.mark.slow


def _work(folder: str, item: int) -> tuple[int, int]:
    """Note who works on the item, and when it is done."""
    note = Path(folder) / f"{item}-{os.getpid()}"
    note.touch()
    if item == 99:
        raise ValueError("this item cannot be done")
    time.sleep(0.5)
    note.with_suffix(".done").touch()
    return item, os.getpid()


ATTACK = """
import asyncio, os, sys
from distributed import Security
from distributed.comm import connect

async def attack():
    refused = 0
    tls, tcp = sys.argv[1], sys.argv[1].replace("tls", "tcp")
    for address, keys in ((tls, None), (tcp, None), (tls, Security.temporary())):
        try:
            await connect(address, timeout=2, **(keys.get_connection_args("client") if keys else {}))
        except (OSError, TypeError, RuntimeError):
            refused += 1
    print(refused, "refused", flush=True)
    os._exit(0)

asyncio.run(attack())
"""


def _nothing(shared: None, item: int) -> tuple[int, None]:
    return item, shared


def test_a_killed_worker_costs_a_retry_of_its_unfinished_items(scheduler: str, tmp_path: Path) -> None:
    received: list[int] = []
    killed: list[int] = []

    def kill_one(place: int, result: tuple[int, int]) -> None:
        received.append(place)
        if not killed:
            time.sleep(0.1)  # until the scheduler has heard that this result is fetched
        notes = [p for p in tmp_path.iterdir() if "-" in p.name and not p.suffix]
        busy = [p for p in notes if not p.with_suffix(".done").exists()]
        if not killed and busy:
            killed.append(int(busy[0].name.split("-")[1]))
            os.kill(killed[0], signal.SIGKILL)
            safe.extend(received)

    safe: list[int] = []
    results = run_parallel(_work, str(tmp_path), list(range(6)), scheduler=scheduler, on_result=kill_one)
    assert [item for item, _ in results] == list(range(6))
    assert sorted(received) == list(range(6))
    assert len(killed) == 1
    tries = [sum(1 for p in tmp_path.glob(f"{item}-*") if not p.suffix) for item in range(6)]
    assert all(tries[item] == 1 for item in safe)
    assert 7 <= sum(tries) <= 8  # the one that was killed, and one that was done there but not fetched yet


def _wait(folder: str, item: int) -> None:
    Path(folder, str(item)).touch()
    time.sleep(600)


def test_ctrl_c_prints_nothing_from_the_workers(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom mnflow.runtime import parallel, signals\n"
        "from tests.runtime.test_parallel import _wait\n"
        "signals.listen()\n"
        "try:\n    parallel.run_parallel(_wait, sys.argv[1], [0, 1], workers=2)\n"
        "except KeyboardInterrupt as stop:\n    print(stop, file=sys.stderr)\n"
        "signals.leave(130)"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    while len(list(tmp_path.iterdir())) < 2 and started.poll() is None:
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does
    assert (started.communicate()[1], started.returncode) == ("SIGINT\n", 130)


def test_local_processes_work_and_what_fails_is_raised(tmp_path: Path) -> None:
    results = run_parallel(_work, str(tmp_path), [0, 1], workers=1)
    assert [item for item, _ in results] == [0, 1]
    assert {pid for _, pid in results} - {os.getpid()}
    with pytest.raises(ValueError, match="cannot be done"):
        run_parallel(_work, str(tmp_path), [99], workers=1)
    assert run_parallel(_work, str(tmp_path), []) == []


def _started_with(names: list[str], _: int) -> list[str]:
    """What the process was started with: malloc looks once, before Python does anything."""
    lines = Path("/proc/self/environ").read_text().split("\0")
    found = dict(line.split("=", 1) for line in lines if line)
    return [found[name] for name in names]


def _environment(names: list[str], _: int) -> tuple[list[str], list[str | None]]:
    return _started_with(list(parallel.KEPT_MEMORY), 0), [os.environ.get(name) for name in names]


def test_workers_keep_freed_memory_and_have_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    names = [*parallel.ONE_THREAD, "KERAS_BACKEND"]
    found = run_parallel(_environment, names, [0], workers=1)
    assert found == [(["268435456", "33554432"], [*parallel.ONE_THREAD.values(), "torch"])]


def test_a_local_cluster_runs_and_shows_nothing_for_who_has_no_keys() -> None:
    """Another user of the machine reaches its port."""
    with local_cluster(1) as address:
        assert address.startswith("tls://127.0.0.1:")
        attacked = subprocess.run(
            [sys.executable, "-c", ATTACK, address], capture_output=True, text=True, timeout=120, check=True
        )
        assert attacked.stdout == "3 refused\n"
        own = psutil.Process().net_connections("inet")
        ports = [c.laddr.port for c in own if c.status == psutil.CONN_LISTEN]
        assert len(ports) > 1
        for port in ports:
            with pytest.raises(OSError, match=r"404|reset|closed"):  # no such page, or no TLS
                urllib.request.urlopen(f"http://127.0.0.1:{port}/info/main/workers.html", timeout=10)
        assert [item for item, _ in run_parallel(_nothing, None, [1], scheduler=address)] == [1]


@pytest.mark.parametrize("times", [1, 99])
def test_lost_workers_cost_a_retry_and_then_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    answers = iter([True] * times)
    scatter = Client.scatter

    def gone(self: Client, *args: object, **kwargs: object) -> object:
        if next(answers, False):
            raise TimeoutError("No valid workers found")
        return scatter(self, *args, **kwargs)

    monkeypatch.setattr(Client, "scatter", gone)
    if times == 1:
        assert [item for item, _ in run_parallel(_work, str(tmp_path), [3], workers=1)] == [3]
        return
    with pytest.raises(InputError) as error:
        run_parallel(_work, str(tmp_path), [3], workers=1)
    assert str(error.value) == (
        "1 of 1 tasks were lost with their workers 5 times: look at the workers' logs (is there enough "
        "memory?) and start again."
    )


def test_no_cluster_gives_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnflow.runtime.parallel.CONNECT_SECONDS", 0.5)
    for address, why in (("tcp://127.0.0.1:9", ".*0.5 s.*"), ("nonsense://x", ".*unknown address scheme.*")):
        said = (
            rf"No Dask cluster answers at {address} \({why}\): start `dask scheduler` and `dask worker`, or "
            r"use local\."
        )
        with pytest.raises(InputError, match=rf"(?s)^{said}$"):
            run_parallel(_work, "", [1], scheduler=address)


def test_a_cluster_without_workers_gives_a_clear_error_and_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []

    class Empty:
        def __init__(self, address: str, **_: object) -> None:
            done.append(address)

        def wait_for_workers(self, n: int, timeout: float) -> None:
            done.append((n, timeout))
            raise TimeoutError

        def close(self) -> None:
            done.append("closed")

    monkeypatch.setattr("distributed.Client", Empty)
    said = "The Dask cluster at tls://a:1 has no workers: start some with `dask worker tls://a:1`."
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        run_parallel(_work, "", [1], scheduler="tls://a:1")
    assert done == ["tls://a:1", (1, parallel.CONNECT_SECONDS), "closed"]


@pytest.mark.parametrize(
    ("workers", "n_items", "used"), [(None, 9, 4), (0, 9, 4), (2, 9, 2), (9, 3, 3), (None, 1, 1)]
)
def test_there_are_no_more_workers_than_cores_or_items_unless_more_are_wanted(
    workers: int | None, n_items: int, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    @contextmanager
    def local(n: int) -> Iterator[str]:
        found.append(n)
        raise InterruptedError
        yield ""

    monkeypatch.setattr(parallel, "usable_cores", lambda: 4)
    monkeypatch.setattr(parallel, "local_cluster", local)
    with pytest.raises(InterruptedError):
        run_parallel(_work, "", range(n_items), workers)
    assert found == [used]


@pytest.mark.usefixtures("_own_handlers")
def test_workers_leave_ctrl_c_to_the_process_that_started_them() -> None:
    names = ("distributed", "distributed.worker.memory")
    before = [logging.getLogger(name).level for name in names]
    try:
        parallel.dask_setup(None)  # type: ignore[arg-type]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        for name, level in zip(
            (*names, "distributed.nanny"), ("CRITICAL", "WARNING", "CRITICAL"), strict=True
        ):
            assert logging.getLevelName(logging.getLogger(name).getEffectiveLevel()) == level
    finally:
        for name, level_before in zip(names, before, strict=True):
            logging.getLogger(name).setLevel(level_before)
    for text, news in (("Worker process still alive after 4 seconds, killing", False), ("Worker lost", True)):
        record = logging.LogRecord("distributed.nanny", logging.WARNING, "", 0, text, None, None)
        assert parallel._is_news(record) == news


def test_items_come_in_order_and_the_next_is_made_ahead() -> None:
    made: list[int] = []
    started = threading.Event()

    def items() -> Iterator[int]:
        for i in range(4):
            made.append(i)
            if i == 1:
                started.set()
            yield i

    found = ahead(items())
    assert next(found) == 0
    assert started.wait(60), "the second is made before it is asked for"
    assert [0, *found] == made == [0, 1, 2, 3]


def test_an_error_in_the_making_reaches_the_user_of_the_items() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("the file ends here")

    found = ahead(items())
    assert next(found) == 0
    with pytest.raises(ValueError, match="the file ends here"):
        next(found)


def test_usable_cores_are_those_that_the_system_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 3, raising=False)
    assert parallel.usable_cores() == 3
    monkeypatch.delattr(os, "process_cpu_count")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {pid, 4, 5, 6}, raising=False)
    assert parallel.usable_cores() == 4
    monkeypatch.delattr(os, "sched_getaffinity")
    for known, cores in ((7, 7), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda known=known: known)
        assert parallel.usable_cores() == cores


def test_a_users_worker_gets_one_thread_unless_it_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"OMP_NUM_THREADS": "4"}
    monkeypatch.setattr(os, "environ", environment)
    assert parallel._call(lambda shared, item: (shared, item), "shared", "item") == ("shared", "item")
    assert environment == {**parallel.ONE_THREAD, "OMP_NUM_THREADS": "4"}

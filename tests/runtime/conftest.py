"""Signal handlers as they were before a test, and a cluster of other processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnflow.runtime.project import ROOT


@pytest.fixture
def _own_handlers() -> Iterator[None]:
    """What a program does to signals ends with the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """A scheduler and two workers, each started by itself as on several machines."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    file = tmp_path / "scheduler.json"
    common = ["--no-dashboard", "--scheduler-file", str(file), "--host", "127.0.0.1"]
    processes = [subprocess.Popen([*dask, "scheduler", "--port", "0", *common], **quiet)]
    while not file.exists():
        assert processes[0].poll() is None, "the scheduler did not start"
        time.sleep(0.1)
    for _ in range(2):  # without a nanny: a killed worker stays dead
        processes.append(
            subprocess.Popen([*dask, "worker", "--no-nanny", "--nthreads", "1", *common], **quiet)
        )
    address = json.loads(file.read_text())["address"]
    from distributed import Client

    with Client(address) as client:
        client.wait_for_workers(2, timeout=60)
    yield address
    for process in processes:
        process.kill()
        process.wait()

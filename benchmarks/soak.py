"""`mnflow serve` under good and bad requests for half an hour: is memory flat, how long do good ones take?

`python -m benchmarks.soak [--seconds 1800]` prints a JSON line per minute and one for all. It fails if a good
request is refused or answered otherwise than the first, a bad one is answered, or memory grows.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np

import mnflow
from benchmarks.client import BAD, connect, is_up, memory_mb, post, request_of
from benchmarks.measure import emit
from mnflow.pretrained.shipped import EXAMPLE

PORT = 5098
GOOD_CLIENTS, BAD_CLIENTS = 3, 2
PAUSE_S = 0.02
"""After each answer: clients measure, they do not saturate the machine."""

WARM_UP = 2
"""Minutes whose growth of memory does not count."""

MAX_GROWTH_MB = 20.0


class Load:
    """Clients of a server until `stop` is set; what they saw."""

    def __init__(self) -> None:
        image = mnflow.read_file(EXAMPLE)
        spectra = [
            {"energy_ev": image.energy_ev.tolist(), "intensity": image.counts[i : i + 1][0].tolist()}
            for i in range(0, len(image), 40)
        ]
        self.bodies = [request_of(one) for one in spectra] + [request_of(*spectra)]
        self.expected = [post(PORT, body).body for body in self.bodies]
        self.stop = threading.Event()
        self.seen: Counter[str] = Counter()
        self.seconds: list[float] = []

    def good(self, seed: int) -> None:
        """Requests of one spectrum or some, on one connection."""
        rng, connection = np.random.default_rng(seed), connect(PORT)
        while not self.stop.wait(PAUSE_S):
            i = int(rng.integers(len(self.bodies)))
            start = time.perf_counter()
            answer = post(connection, self.bodies[i])
            self.seconds.append(time.perf_counter() - start)
            same = answer.body == self.expected[i]
            self.seen["good answered" if same else f"good NOT answered: {answer.status}"] += 1

    def bad(self, seed: int) -> None:
        """Requests that hold no spectrum."""
        rng, connection = np.random.default_rng(seed), connect(PORT)
        while not self.stop.wait(PAUSE_S):
            answer = post(connection, BAD[int(rng.integers(len(BAD)))])
            self.seen["bad ANSWERED" if answer.is_answered else "bad refused"] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0)
    options = parser.parse_args()
    command = [sys.executable, "-m", "mnflow", "serve", "--model", "shipped", "--port", str(PORT)]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as server:
        try:
            while not is_up(PORT):
                if server.poll() is not None:
                    raise RuntimeError(
                        f"`mnflow serve` ended with {server.returncode}: is port {PORT} taken?"
                    )
                time.sleep(0.1)
            return soak(Load(), server.pid, options.seconds)
        finally:
            server.terminate()


def soak(load: Load, group: int, seconds: float) -> int:
    """Run the load and print what was seen; 1 if it was not as it should be."""
    kinds = [load.good] * GOOD_CLIENTS + [load.bad] * BAD_CLIENTS
    threads = [threading.Thread(target=kind, args=[seed], daemon=True) for seed, kind in enumerate(kinds)]
    for thread in threads:
        thread.start()
    every: list[float] = []
    memory: list[float] = []
    for minute in range(max(1, round(seconds / 60))):
        time.sleep(min(60.0, seconds))
        took, load.seconds = load.seconds, []
        every += took
        memory.append(memory_mb(group))
        emit("soak", minute=minute + 1, memory_mb=memory[-1], **_quantiles(took), load=os.getloadavg()[0])
    alive = all(thread.is_alive() for thread in threads)
    load.stop.set()
    growth = memory[-1] - memory[min(WARM_UP, len(memory)) - 1]
    emit(
        "soak",
        seconds=seconds,
        **load.seen,
        **_quantiles(every),
        memory_growth_mb=growth,
        all_clients_ran=alive,
    )
    return int(not alive or set(load.seen) != {"good answered", "bad refused"} or growth > MAX_GROWTH_MB)


def _quantiles(seconds: list[float]) -> dict[str, float]:
    p50, p99, longest = (1000 * float(np.quantile(seconds, q)) for q in (0.5, 0.99, 1))
    return {"p50_ms": p50, "p99_ms": p99, "max_ms": longest}


if __name__ == "__main__":
    sys.exit(main())

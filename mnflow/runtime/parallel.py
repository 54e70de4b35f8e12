"""Run a function on many items in parallel: local one-thread processes, or a Dask cluster."""

import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from mnflow.errors import InputError
from mnflow.runtime.backend import keras_backend

if TYPE_CHECKING:
    from distributed import Client, Security, Worker

Item = TypeVar("Item")
Result = TypeVar("Result")

KEPT_MEMORY: dict[str, Any] = {"MALLOC_TRIM_THRESHOLD_": 2**28, "MALLOC_MMAP_THRESHOLD_": 2**25}
"""Bytes that workers keep of what they have freed, and up to which an array counts as such (glibc's malloc).

Dask's own setting gives all back at once: a third of the time of training then goes into getting it anew.
"""

ONE_THREAD = {
    "NPROC": "1",  # the size of XLA's own thread pool
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Environment of a worker: one thread each, since processes run in parallel."""

CONNECT_SECONDS = 10.0
"""How long a Dask cluster may take to answer."""

_keys: dict[str, "Security"] = {}  # of the local clusters of this process, by their addresses

MAX_ATTEMPTS = 5
"""How often work that was lost with its workers is sent again."""


def usable_cores() -> int:
    """Processor cores that this process may use: fewer in a container or under `taskset`."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, each of them made in a thread while the one before is used."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        coming: Future[Any] = pool.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, iterator, end)
            yield item


def run_parallel(
    function: Callable[[Any, Item], Result],
    shared: Any,
    items: Sequence[Item],
    workers: int | None = None,
    scheduler: str | None = None,
    on_result: Callable[[int, Result], Any] | None = None,
) -> list[Result]:
    """Call `function(shared, item)` for every item, in parallel processes.

    A worker that is killed costs a retry of its unfinished items and nothing else.

    Parameters
    ----------
    function : callable
        Importable by the workers.
    shared : object
        What all calls need; sent to every worker once.
    items : sequence
    workers : int, optional
        Processes on this machine; None or 0 for one per core.
    scheduler : str, optional
        Address of a Dask cluster (tls://... or tcp://...) to use instead; keys for TLS come from Dask's own
        settings.
    on_result : callable, optional
        Called with the item's place and its result, as soon as that is there.

    Returns
    -------
    list
        In the order of the items.

    Raises
    ------
    InputError
        If the cluster cannot be reached, or keeps losing its workers.
    """
    if not items:
        return []
    results: dict[int, Result] = {}
    with _client(min(workers or usable_cores(), len(items)), scheduler) as client:
        for _ in range(MAX_ATTEMPTS):
            left = [i for i in range(len(items)) if i not in results]
            for i, result in _attempt(client, function, shared, items, left):
                results[i] = result
                if on_result is not None:
                    on_result(i, result)
            if len(results) == len(items):
                return [results[i] for i in range(len(items))]
    raise InputError(
        f"{len(items) - len(results)} of {len(items)} tasks were lost with their workers {MAX_ATTEMPTS} "
        "times: look at the workers' logs (is there enough memory?) and start again."
    )


def _attempt(
    client: "Client",
    function: Callable[[Any, Item], Result],
    shared: Any,
    items: Sequence[Item],
    left: Sequence[int],
) -> Iterator[tuple[int, Result]]:
    """Yield what arrives; what is lost together with all copies of `shared` is left out."""
    from distributed import KilledWorker, as_completed

    try:
        data = client.scatter(shared, broadcast=True, hash=False)
    except TimeoutError:  # no worker is there just now: a nanny may start new ones
        return
    place = {client.submit(_call, function, data, items[i], pure=False): i for i in left}
    for future in as_completed(place):
        try:
            result = future.result()  # or raise what the function raised
        except (KilledWorker, CancelledError):
            continue
        future.release()  # or it would be worked out again, if the worker that still holds it were lost
        yield place[future], result


def _call(function: Callable[[Any, Item], Result], shared: Any, item: Item) -> Result:
    """One item on a worker that a user has started: on one thread, if its libraries are not loaded yet."""
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
    return function(shared, item)


@contextmanager
def local_cluster(workers: int | None = None) -> Iterator[str]:
    """Address of a local cluster of one-thread processes (one per core if None or 0), for the block.

    Several calls of `run_parallel` can share it, and with it what its workers have imported and compiled. A
    cluster runs whatever it is sent, and its ports are open to all users of the machine: it talks TLS with
    keys that are made for it and are in the memory of this process and its workers only.
    """
    import dask
    from distributed import LocalCluster, Security

    logging.getLogger("distributed.nanny").addFilter(_is_news)
    keys = Security.temporary()
    environment = ONE_THREAD | {"KERAS_BACKEND": keras_backend()}
    # no pages: any user could read logs there
    settings: dict[str, Any] = {"distributed.scheduler.http.routes": []}
    settings |= {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in KEPT_MEMORY.items()}
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers or usable_cores(),
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            security=keys,
            env=environment,
            preload=[__name__],
        ) as cluster,
    ):
        _keys[cluster.scheduler_address] = keys
        try:
            yield cluster.scheduler_address
        finally:
            del _keys[cluster.scheduler_address]


def _is_news(record: logging.LogRecord) -> bool:
    """Not that a worker is killed at the end, which is what Ctrl-C asked for."""
    return "still alive after" not in record.getMessage()


def dask_setup(worker: "Worker") -> None:
    """Dask calls it in every worker of a local cluster: Ctrl-C is for the process that started them.

    A terminal sends it to all of them, and each would print where it was, and what it had to leave.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    logging.getLogger("distributed.worker.memory").setLevel(logging.WARNING)


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator["Client"]:
    """A client of the cluster at `scheduler`, or of a local one that ends with it."""
    if scheduler:
        with _connect(scheduler) as client:
            yield client
        return
    with local_cluster(workers) as address, _connect(address) as client:
        yield client


def _connect(scheduler: str) -> "Client":
    from distributed import Client

    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS, security=_keys.get(scheduler))
    except (OSError, ValueError) as error:
        raise InputError(
            f"No Dask cluster answers at {scheduler} ({error}): start `dask scheduler` and `dask worker`, or "
            f"use local."
        ) from error
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError as error:
        client.close()
        raise InputError(
            f"The Dask cluster at {scheduler} has no workers: start some with `dask worker {scheduler}`."
        ) from error
    return client

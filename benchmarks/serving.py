"""Cold start, memory and latency of the served champion, MLflow's Keras flavor and an empty model.

Run it with `python -m benchmarks.serving [--model models:/mn-valence@champion] [--load SECONDS]`. Every model
is served by `mlflow models serve` on this machine, one after the other; a table is printed at the end.
"""

import argparse
import http.client
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.client import connect, is_up, post, request_of, serve_command

PORT = 5099
CLIENTS = 16
NAMES = ("champion", "keras-tensorflow", "keras-jax", "empty")

EMPTY = """
import mlflow
class Empty(mlflow.pyfunc.PythonModel):
    _skip_type_hint_validation = True
    def predict(self, context, model_input: list[dict[str, list[float]]], params=None):
        return [{} for _ in model_input]
mlflow.models.set_model(Empty())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models:/mn-valence@champion")
    parser.add_argument(
        "--load", type=float, default=60.0, help="seconds of load by 16 clients on the champion; 0 for none"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, uri, keras in _models(options.model, Path(folder)):
            row = measure(name, uri, keras)
            print(f"{name:16s} " + "  ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
        print(f"cold starts      {cold_starts(Path(folder))}", flush=True)
        print(
            f"by turns         {by_turns(str(Path(folder) / 'champion'), str(Path(folder) / 'empty'))}",
            flush=True,
        )
        if options.load:
            with served(str(Path(folder) / "champion")) as server:
                print(f"load             {load_test(server, options.load)}")


def _models(uri: str, folder: Path) -> Iterator[tuple[str, str, bool]]:
    """The champion, one of its nets as MLflow's Keras flavor saves it, and a model that does nothing.

    The flavor is measured as it comes, which is on TensorFlow, and on JAX too, which starts sooner.
    """
    import mlflow

    from mnflow.models import keras_nets
    from mnflow.track import tracking

    tracking.connect()
    champion = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder / "download")))
    champion.rename(folder / "champion")
    net = keras_nets.load(next((folder / "champion" / "artifacts" / "keras").glob("*.keras")))
    signature = mlflow.models.infer_signature(np.zeros((1, 300), np.float32), np.zeros((1, 3), np.float32))
    mlflow.keras.save_model(net, str(folder / "keras"), pip_requirements=["keras"], signature=signature)
    (folder / "empty.py").write_text(EMPTY)
    mlflow.pyfunc.save_model(
        str(folder / "empty"), python_model=str(folder / "empty.py"), pip_requirements=["mlflow"]
    )
    yield from ((name, str(folder / name.split("-")[0]), name.startswith("keras")) for name in NAMES)


def spectrum(keras: bool) -> Any:
    """One spectrum as the model expects it: raw on its own axis, or (Keras) cropped and normalised."""
    energy_ev = 610 + 0.15 * np.arange(500)
    counts = (
        100 * (energy_ev / 640) ** -3.0
        + 10 * np.exp(-((energy_ev - 642) ** 2))
        + 3 * np.exp(-((energy_ev - 653) ** 2))
    )
    if keras:
        return np.linspace(-0.5, 0.5, 300).tolist()
    return {"energy_ev": energy_ev.round(3).tolist(), "intensity": counts.round(4).tolist()}


def measure(name: str, path: str, keras: bool) -> dict[str, float]:
    """Serve one model and time it."""
    one, many = (request_of(*[spectrum(keras)] * n) for n in (1, 1000))
    with served(path, name.partition("-")[2] or "jax") as server:
        row = {"first_s": _timed(one)}
        singles = np.array([_timed(one) for _ in range(300)])
        batches = np.array([_timed(many) for _ in range(3)])
        row |= {"p50_ms": 1e3 * float(np.median(singles)), "p99_ms": 1e3 * float(np.quantile(singles, 0.99))}
        row |= {
            "batch_1000_s": float(batches.min()),
            "batch_gain": 1000 * float(np.median(singles)) / float(batches.min()),
        }
        row["memory_mb"] = _resident_mb(server)
    return row


def cold_starts(folder: Path) -> str:
    """Seconds until each server answers, the servers in turn, three times each."""
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(3):
        for name in NAMES:
            start = time.perf_counter()
            with served(str(folder / name.split("-")[0]), name.partition("-")[2] or "jax"):
                seconds[name].append(time.perf_counter() - start)
    return ", ".join(f"{name} {np.median(s):.2f} s" for name, s in seconds.items())


def by_turns(champion: str, empty: str) -> str:
    """One spectrum to two servers in turn, so that a slow moment of the machine slows both."""
    one = request_of(spectrum(False))
    with served(champion), served(empty, port=PORT + 1):
        # the first warm up
        times = np.array([[_timed(one, port=PORT + i) for i in (0, 1)] for _ in range(600)][100:])
    full, nothing = 1e3 * np.median(times, axis=0)
    return f"champion p50 {full:.2f} ms, empty p50 {nothing:.2f} ms, ratio {full / nothing:.2f}"


@contextmanager
def served(path: str, keras_backend: str = "jax", port: int = PORT) -> Iterator[subprocess.Popen[bytes]]:
    """A server of the model at `path`, for the length of a with-block; it is ready when the block begins."""
    command = [sys.executable, "-m", *serve_command(path, port)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["KERAS_BACKEND"] = keras_backend
    environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=environment, start_new_session=True)
    try:
        while not is_up(port):
            if server.poll() is not None:
                raise RuntimeError(f"The server of {path} ended with {server.returncode}.")
            time.sleep(0.05)
        yield server
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
        while is_up(port):  # the next server's port must be free
            time.sleep(0.05)


def _timed(body: bytes, connection: http.client.HTTPConnection | None = None, port: int = PORT) -> float:
    start = time.perf_counter()
    response = post(connection or port, body)
    took = time.perf_counter() - start
    if response.status != 200 or b'"error": "' in response.body or b"NaN" in response.body:
        raise RuntimeError(f"{response.status}: {response.body[:300]!r}")
    return took


def _resident_mb(server: subprocess.Popen[bytes]) -> float:
    """Memory of the process that answers, which is the greatest of the server's session."""
    total = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if os.getsid(int(status.parent.name)) == server.pid:
                lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
                if "uvicorn" in (status.parent / "cmdline").read_text():
                    total.append(int(lines["VmRSS"].split()[0]) / 1024)
        except (OSError, KeyError):
            continue
    return max(total, default=float("nan"))


def load_test(server: subprocess.Popen[bytes], seconds: float) -> str:
    """16 clients that ask for one spectrum after the other."""
    body = request_of(spectrum(False))
    times: list[float] = []
    errors: list[str] = []
    before, stop = _resident_mb(server), time.perf_counter() + seconds

    def client() -> None:
        connection = connect(PORT)
        while time.perf_counter() < stop:
            try:
                times.append(_timed(body, connection))
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                errors.append(str(error))
                connection.close()

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p50, p99 = (1e3 * float(np.quantile(times, q)) for q in (0.5, 0.99))
    return (
        f"{CLIENTS} clients, {seconds:.0f} s: {len(times)} answers ({len(times) / seconds:.0f}/s), "
        f"{len(errors)} errors, p50 {p50:.1f} ms, p99 {p99:.1f} ms, memory {before:.0f} -> "
        f"{_resident_mb(server):.0f} MB"
    )


if __name__ == "__main__":
    main()

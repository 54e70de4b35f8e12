"""Shared by all tests: pinned threads, a tracking store of their own, and the folder of real spectra."""

import atexit
import gc
import os
import platform
import random
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.helpers.memory_store import MemoryStore

# Before numpy, JAX or TensorFlow are imported: one thread each, so that results do not depend on the machine.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault("KERAS_BACKEND", "jax")  # tests that import Keras before mnflow does
for variable in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI"):
    os.environ.pop(variable, None)

_CPU = Path("/proc/cpuinfo")
_FEATURES = max(re.findall("(?:flags|Features).*", _CPU.read_text()), default="") if _CPU.exists() else ""
_HOME = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
_KEPT = _HOME / f"mnflow-tests-{zlib.crc32(f'{platform.node()} {_FEATURES}'.encode()):08x}"
"""Kept for every session on this processor: compiled code, an empty tracking database."""

_MONTH_S = 30 * 86_400


def _keep(path: Path) -> None:
    """Keep a finished file for later sessions, whole or not at all."""
    with suppress(OSError):
        _KEPT.mkdir(parents=True, exist_ok=True)
        if not (_KEPT / path.name).exists():
            shutil.copy(path, part := _KEPT / f"{path.name}.{os.getpid()}")
            part.replace(_KEPT / path.name)


def _keep_compiled(session: Path) -> None:
    """Keep what this session has compiled, but for what a killed process left half written; for a month."""
    for path in session.glob("*-cache"):
        with suppress(zlib.error):
            zlib.decompress(path.read_bytes())
            _keep(path)
    for path in _KEPT.glob("*"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _MONTH_S:
                path.unlink()
    shutil.rmtree(session, ignore_errors=True)


# What one process or an earlier session has compiled is not compiled again: half of the suite's processor
# time would go into that. Each session adds to a folder of its own, since JAX does not write whole files.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _session = Path(tempfile.mkdtemp(prefix="mnflow-tests-compiled-"))
    for _path in _KEPT.glob("*-cache"):
        shutil.copy(_path, _session)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_session)
    atexit.register(_keep_compiled, _session)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
os.environ["JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"] = "none"  # else an entry is for one folder only

# Rarer than by default: each collection goes through all of what Keras and MLflow keep, a sixth of the time.
gc.set_threshold(50_000, 20, 100)

settings.register_profile("mnflow", deadline=None, derandomize=True)  # no test depends on a timing or on luck
settings.load_profile("mnflow")


_SLOW_FIXTURES = {"store", "module_store", "store_in"}  # a tracking store takes MLflow and a database


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Pin the seeds that Keras draws for a net's first weights, before any fixture builds one."""
    random.seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what uses a tracking store or runs whole systems; others are marked in their files."""
    for item in items:
        uses_store = bool(_SLOW_FIXTURES & set(getattr(item, "fixturenames", ())))
        if uses_store or "system" in item.path.parts:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def _empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared store; made once per version of MLflow, since creating the tables takes seconds."""
    import mlflow

    from mnflow.runtime import project
    from mnflow.track import connection

    made_by = zlib.crc32(b"".join(Path(m.__file__).read_bytes() for m in (project, connection)))
    path = tmp_path_factory.mktemp("store") / f"mlflow-{mlflow.__version__}-{made_by}.db"
    if (_KEPT / path.name).exists():
        shutil.copy(_KEPT / path.name, path)
    else:
        connection.prepare_store(f"sqlite:///{path}")
        _keep(path)
    return path


@contextmanager
def _store(database: Path, folder: Path) -> Iterator[Path]:
    import mlflow

    from mnflow.runtime.project import EXPERIMENT_TAGS
    from mnflow.track import tracking

    shutil.copy(database, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        # The copied database names the first one's artifact folder: an experiment of its own keeps artifacts
        # in `folder`.
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "test")
        tracking.connect.cache_clear()
        place = (folder / "artifacts").as_uri()
        tracking.connect().create_experiment("test", artifact_location=place, tags=EXPERIMENT_TAGS)
        yield folder
        tracking.connect.cache_clear()
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture
def store_in(_empty_database: Path) -> Callable[[Path], AbstractContextManager[Path]]:
    """Makes a fresh tracking store in a folder, for the length of a with-block."""
    return partial(_store, _empty_database)


@pytest.fixture
def store(_empty_database: Path, tmp_path: Path) -> Iterator[Path]:
    """A fresh tracking store in a temporary folder that is also the working directory."""
    with _store(_empty_database, tmp_path) as folder:
        yield folder


@pytest.fixture(scope="module")
def module_store(_empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same for all tests of a file."""
    with _store(_empty_database, tmp_path_factory.mktemp("module")) as folder:
        yield folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real spectra, which is not part of the project."""
    folder = os.environ.get("MNFLOW_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip(
            "needs real spectra: set MNFLOW_REAL_DATA to the folder that holds digitized/, published/ and "
            "vendor/"
        )
    return Path(folder)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "MemoryStore":
    """A tracking store in memory: for what needs no database."""
    from tests.helpers.memory_store import memory_store

    return memory_store(tmp_path, monkeypatch)

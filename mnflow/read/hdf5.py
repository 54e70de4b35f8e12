"""A look into an HDF5 file before it is read, by a process of its own.

A damaged file can make the HDF5 library run in circles or crash, and no exception gets out of that. So
another process walks through the file first: if it does not come back, the file is refused, and nothing is
lost. That process is started once and serves all files; it imports h5py only.
"""

import atexit
import contextlib
import json
import math
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

SECONDS = 30.0
"""A survey that takes longer has met a file that leads HDF5 in circles."""

_MAX_MEMORY = 4_000_000_000
_lock = threading.Lock()
_process: "subprocess.Popen[str] | None" = None


def survey(path: str, seconds: float = SECONDS) -> dict[str, Any]:
    """What an HDF5 file promises, from headers alone.

    Parameters
    ----------
    path : str
        The file.
    seconds : float
        How long to wait.

    Returns
    -------
    dict
        `bytes` of all datasets, `chunk_bytes` of the greatest chunk, `outward` (names of links and data that
        lie in other files); or `error`, what went wrong.
    """
    global _process
    with _lock:
        if _process is None or _process.poll() is not None:
            command, pipe = [sys.executable, "-I", __file__], subprocess.PIPE
            _process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
            )
        assert _process.stdin is not None
        assert _process.stdout is not None
        try:
            # that process stays in the folder that it was started in, and this one may not
            _process.stdin.write(json.dumps(str(Path(path).resolve())) + "\n")
            _process.stdin.flush()
            answer = _line(_process.stdout, seconds)
        except BrokenPipeError:
            answer = ""
        except BaseException:  # Ctrl-C while it waits: the answer to this file must not become the next one's
            _stop()
            raise
        if not answer:  # it hangs, or is gone
            _stop()
            return {"error": "its structure leads nowhere"}
        found: dict[str, Any] = json.loads(answer)
        return found


def _line(pipe: IO[str], seconds: float) -> str:
    """The next line of a pipe, or nothing if it does not come in time (Windows cannot `select` pipes)."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda: lines.put(pipe.readline()), daemon=True).start()
    try:
        return lines.get(timeout=seconds)
    except queue.Empty:
        return ""


@atexit.register
def _stop() -> None:
    global _process
    process, _process = _process, None
    if process is not None:
        process.kill()
        process.communicate()


def _walk(path: str) -> dict[str, Any]:
    """The survey: visits the header and attributes of every object, and the text a reader would load."""
    import h5py

    outward: list[str] = []
    sizes, chunks = [0], [0]

    def link(name: str, found: Any) -> None:  # callbacks only collect: what they raise is lost within HDF5
        if isinstance(found, h5py.ExternalLink):
            outward.append(name)

    def visit(name: str, found: Any) -> None:
        for value in found.attrs.values():
            str(value)[:1]
        if isinstance(found, h5py.Dataset):
            if found.external or found.is_virtual:
                outward.append(name)
            size = math.prod(found.shape or (), start=found.dtype.itemsize)
            sizes.append(size)
            chunks.append(math.prod(found.chunks or (0,), start=found.dtype.itemsize))
            if h5py.check_string_dtype(found.dtype) and size < 1_000_000:
                found[()]

    with h5py.File(path, "r") as file:
        file.visititems_links(link)
        if not outward:
            visit("/", file)
            file.visititems(visit)
    return {"bytes": sum(sizes), "chunk_bytes": max(chunks), "outward": outward[:3]}


def _serve() -> None:
    with contextlib.suppress(ImportError):  # Windows has no limits of this kind
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    for line in sys.stdin:
        try:
            answer = _walk(json.loads(line))
        except Exception as error:  # of whatever kind: the answer says it
            answer = {"error": f"{type(error).__name__}: {str(error)[:120]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()

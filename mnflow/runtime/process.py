"""A unique process id (host, PID, start time), and a check whether that process still runs."""

import os
import socket
import sys
from pathlib import Path


def this_process() -> str:
    """Machine, number and start of this process, in three words.

    The start is in clock ticks since boot; only Linux tells it.
    """
    return _process(os.getpid())


def is_gone(process: str) -> bool:
    """Whether a process, as `this_process` named it, has ended: it can be told of this machine's only."""
    words = process.split(" ")
    return (
        len(words) == 3
        and words[0] == socket.gethostname()
        and words[1].isdigit()
        and _process(int(words[1])) != process
    )


def _process(pid: int) -> str:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        started = "gone" if after_name[0] == "Z" else after_name[19]
    except OSError:  # it has ended, or this is macOS or Windows
        started = "unknown" if _lives(pid) else "gone"
    return f"{socket.gethostname()} {pid} {started}"


def _lives(pid: int) -> bool:
    """Whether a process with this number may exist; on Windows, where a signal would end it, always."""
    try:
        if sys.platform != "win32":
            os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True

"""A unique process id (host, PID, start time), and a check whether that process still runs."""

import os
import socket
from pathlib import Path


def this_process() -> str:
    """Machine, number and start (clock ticks since boot) of this process, in three words."""
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
    except OSError:
        after_name = ["Z"]
    started = "gone" if after_name[0] == "Z" else after_name[19]
    return f"{socket.gethostname()} {pid} {started}"

"""A headless Chromium for tests that look at pages; they skip where none is installed."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

_PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_browser = pytest.mark.skipif(_PROGRAM is None, reason="no Chromium is installed (Debian: apt-get install chromium)")

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip


def look(url: str, folder: Path, name: str = "page", wait_ms: int = 3000, size: tuple[int, int] = (1280, 1600)) -> str:
    """Open `url`, save a screenshot as `folder`/`name`.png, and return the page as HTML after `wait_ms` of its own time."""
    assert _PROGRAM
    command = [
        _PROGRAM, *_FLAGS, f"--user-data-dir={folder / 'profile'}", f"--virtual-time-budget={wait_ms}",
        f"--window-size={size[0]},{size[1]}", f"--screenshot={folder / name}.png", "--dump-dom", url,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
    try:
        return process.communicate(timeout=120)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

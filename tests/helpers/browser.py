"""A headless Chromium for tests that look at pages; tests skip where none is installed."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

_PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# CI installs one and says so: then a missing browser is a failure, not a skip.
needs_browser = pytest.mark.skipif(
    _PROGRAM is None and "MNFLOW_BROWSER" not in os.environ,
    reason="no Chromium is installed (Debian: apt-get install chromium)",
)

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--remote-debugging-pipe",
)  # fmt: skip

# Chromium reads commands from descriptor 3 and answers on 4.
_START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execvp(sys.argv[3], sys.argv[3:])"
)

_ALL_WORDS = """(() => { const words = n => 
  [...(n.shadowRoot ? n.shadowRoot.childNodes : []), ...n.childNodes].map(
  c => c.nodeType === 3 ? c.data : c.nodeType === 1 && 
  !["STYLE", "SCRIPT"].includes(c.tagName) ? words(c) : "").join(" ");
  return document.body ? words(document.body) : ""; })()"""


class Page:
    """One tab, spoken to in the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

    def __init__(self, commands: BinaryIO, answers: BinaryIO, size: tuple[int, int]) -> None:
        self._out, self._in = commands, answers
        self._number, self._rest, self._session = 0, b"", None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.resize(*size)

    def resize(self, width: int, height: int) -> None:
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self) -> str:
        """The words that the page shows."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def words(self) -> str:
        """The same with what stands in shadow trees, as Bokeh's panels do, in one line."""
        return " ".join(str(self.run(_ALL_WORDS)).split())

    def wait_for_words(self, words: str, seconds: float = 60) -> str:
        """All words of the page, as soon as `words` is among them."""
        end = time.monotonic() + seconds
        while words not in (text := self.words()):
            assert time.monotonic() < end, f"the page does not show {words!r}, but:\n{text[:3000]}"
            time.sleep(0.2)
        return text

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the mouse at the first point, move along, release at the last; one point is a click."""
        button: dict[str, Any] = {"button": "left", "clickCount": 1}
        self._call("Input.dispatchMouseEvent", type="mousePressed", x=points[0][0], y=points[0][1], **button)
        for x, y in points[1:]:
            self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
            time.sleep(0.05)
        self._call(
            "Input.dispatchMouseEvent", type="mouseReleased", x=points[-1][0], y=points[-1][1], **button
        )

    def wait_for(self, *words: str, seconds: float = 60) -> str:
        """The page's text, once it contains all of `words`."""
        end = time.monotonic() + seconds
        while missing := [word for word in words if word not in (text := self.text())]:
            assert time.monotonic() < end, f"the page does not show {missing}, but:\n{text[:3000]}"
            time.sleep(0.2)
        return text

    def wait_for_plots(self, number: int, seconds: float = 60) -> None:
        """Wait until so many of Plotly's charts are drawn."""
        end = time.monotonic() + seconds
        while self.run("document.querySelectorAll('.js-plotly-plot .main-svg .trace').length") < number:
            assert time.monotonic() < end, f"fewer than {number} charts are drawn"
            time.sleep(0.2)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                part = self._in.read(1 << 16)
                assert part, "the browser has ended"
                self._rest += part
            first, self._rest = self._rest.split(b"\0", 1)
            answer = json.loads(first)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])


@contextmanager
def browse(folder: Path, size: tuple[int, int] = (1280, 1600)) -> Iterator[Page]:
    """A browser with an empty profile in `folder`, ended with the block."""
    assert _PROGRAM, "MNFLOW_BROWSER asks for the tests that need a browser, and no Chromium is installed"
    its_input, commands = os.pipe()
    answers, its_output = os.pipe()
    start = [sys.executable, "-c", _START, str(its_input), str(its_output)]
    process = subprocess.Popen(
        [*start, _PROGRAM, *_FLAGS, f"--user-data-dir={folder / 'profile'}"],
        pass_fds=(its_input, its_output),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(its_input)
    os.close(its_output)
    try:
        with os.fdopen(commands, "wb", buffering=0) as out, os.fdopen(answers, "rb", buffering=0) as back:
            yield Page(out, back, size)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

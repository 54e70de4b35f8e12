"""`mnflow serve` from its start to its end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import mnflow
from benchmarks.client import is_up, post, request_of
from mnflow.command import serve
from mnflow.command.predict import main as predict
from mnflow.command.summary import FIELDS
from mnflow.pretrained.shipped import EXAMPLE
from mnflow.runtime.project import ROOT
from mnflow.serve.pretrained import pretrained
from tests.helpers.help_pages import check_help
from tests.helpers.services import free_port, process, wait_until

SERVE = [sys.executable, "-m", "mnflow", "serve", "--model", "shipped", "--port"]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_as_predict_does_and_ends_on_sigterm(
    stop: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = mnflow.read_file(EXAMPLE)
    spectrum = np.column_stack([image.energy_ev, image.counts[:].mean(axis=0)]).round(3)
    np.savetxt(
        tmp_path / "mean.csv", spectrum, delimiter=",", header="energy_ev,counts", comments="", fmt="%.3f"
    )
    assert predict([str(tmp_path / "mean.csv"), "--json", "--model", "shipped"]) == 0
    predicted = json.loads(capsys.readouterr().out)
    port, log = free_port(), tmp_path / "serve.log"
    with process([*SERVE, str(port)], {"PYTHONPATH": str(ROOT)}, log) as server:
        wait_until(lambda: is_up(port), 60, "the server", log)
        energy_ev, intensity = spectrum.T.tolist()
        (answered,) = post(port, request_of({"energy_ev": energy_ev, "intensity": intensity})).predictions
        os.kill(server.pid, stop)
        assert server.wait(30) == (0 if stop == signal.SIGINT else -stop)
    assert set(answered) - {"disagreement"} == set(FIELDS)  # which a model without nets has none of
    assert {name: answered[name] for name in FIELDS} == {name: predicted[name] for name in FIELDS}
    assert answered["class"] is not None
    assert not is_up(port)
    assert "model: shipped mn.npz (sha256 " in log.read_text()


@pytest.mark.slow
def test_a_port_in_use_gives_a_clear_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = subprocess.run(
            [*SERVE, str(port)], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
        )
    assert done.returncode == 1
    assert f"mnflow: Cannot listen on 127.0.0.1:{port}: name another port" in done.stderr


def test_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    check_help("serve", serve.main, capsys)


@pytest.mark.parametrize(
    ("words", "at"),
    [
        (["--model", "shipped"], ("127.0.0.1", 5001)),
        (["--host", "0.0.0.0", "--port", "80", "--model", "shipped"], ("0.0.0.0", 80)),
    ],
)
def test_options_reach_the_server(
    words: list[str], at: tuple[str, int], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    served: list[tuple[object, ...]] = []
    stub = SimpleNamespace(run=lambda *given: served.append(given))
    monkeypatch.setitem(sys.modules, "mnflow.serve.http.app", stub)  # type: ignore[arg-type]
    assert serve.main(words) == 0
    ((predictor, *rest),) = served
    assert rest == [*at, mnflow.__version__]
    assert predictor.facts == pretrained().facts
    model = re.escape(f"http://{at[0]}:{at[1]}/invocations")
    assert re.fullmatch(rf"model: shipped mn\.npz \(sha256 \w+\); {model}\n", capsys.readouterr().err)

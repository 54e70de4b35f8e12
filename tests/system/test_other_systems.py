"""What a user calls needs nothing that only Linux has: it is taken away, and the commands still work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnflow.pretrained.shipped import EXAMPLE
from mnflow.runtime.project import ROOT

WITHOUT_LINUX = """
import errno, os, select, signal, sys
import filelock  # has files of its own for other systems, which it chooses by the system's name
for module in ("fcntl", "resource", "grp", "pwd"):
    sys.modules[module] = None
for holder, names in (
    (os, ("sched_getaffinity", "process_cpu_count", "getuid", "killpg", "setsid")),
    (signal, ("SIGALRM", "setitimer", "SIGKILL", "SIGHUP")),
    (errno, ("EDQUOT",)),
):
    for name in names:
        if hasattr(holder, name):
            delattr(holder, name)

def select_sockets_only(*arguments):
    raise OSError("select of something that is not a socket")

select.select = select_sockets_only
"""


def run(code: str, folder: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | {
        "PYTHONPATH": str(ROOT)
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LINUX + code], cwd=folder, env=environment, capture_output=True,
        text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("words", [[str(EXAMPLE), "--model", "shipped"], [str(EXAMPLE), "--csv"]])
def test_predict_works(tmp_path: Path, words: list[str]) -> None:
    said = run(f"from mnflow.command.predict import main\nsys.exit(main({words!r}))", tmp_path)
    assert "example.hspy" in said


def test_the_self_test_works(tmp_path: Path) -> None:
    assert "stored answers agree" in run(
        "from mnflow.command.selftest import main\nsys.exit(main([]))", tmp_path
    )


def test_maps_and_their_files_work(tmp_path: Path) -> None:
    code = f"""
import mnflow
maps = mnflow.predict({str(EXAMPLE)!r}, "shipped")
for name in ("maps.hspy", "maps.csv", "maps.tif"):
    maps.save(name)
maps.plot().savefig("figure.pdf")
print(maps.region())
"""
    assert "mean valence" in run(code, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"maps.hspy", "maps.csv", "maps.tif", "figure.pdf"}


@pytest.mark.slow
def test_the_page_is_served(tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    code = f"""
import threading, urllib.request
from mnflow.view.server import make_server
server = make_server({str(EXAMPLE)!r}, model="shipped")
server.start()

def look():
    with urllib.request.urlopen(f"http://127.0.0.1:{{server.port}}/", timeout=60) as page:
        print("mnflow view" in page.read().decode())
    server.io_loop.add_callback(server.io_loop.stop)

threading.Thread(target=look).start()
server.io_loop.start()
server._tornado.settings["shared"].close()
"""
    assert "True" in run(code, tmp_path)


@pytest.mark.slow
def test_a_spectrum_is_fitted(tmp_path: Path) -> None:
    code = f"from mnflow.command.fit import main\nsys.exit(main([{str(EXAMPLE)!r}, '--figure', 'fit.png']))"
    assert "mean valence" in run(code, tmp_path)
    assert (tmp_path / "fit.png").is_file()


def test_doctor_looks_at_everything(tmp_path: Path) -> None:
    said = run("from mnflow.doctor import main\nprint(main([]))", tmp_path)
    assert "answers come from" in said


def test_one_process_at_a_time_works(tmp_path: Path) -> None:
    code = "from mnflow.runtime.project import one_at_a_time\nwith one_at_a_time('x'): print('held')"
    assert run(code, tmp_path) == "held\n"


def test_stop_signals_are_heard_and_raised_again(tmp_path: Path) -> None:
    code = """
import gc, time
from mnflow.runtime import signals
signals.listen()

class Dropped:
    def __del__(self):
        raise KeyboardInterrupt("SIGTERM")

try:
    Dropped()
    time.sleep(5)
except KeyboardInterrupt as stop:
    print("stopped by", stop)
"""
    assert run(code, tmp_path) == "stopped by SIGTERM\n"


def test_a_step_parses_its_options(tmp_path: Path) -> None:
    code = "from mnflow.command.main import main\nmain(['cv_train', '--help'])"
    assert "usage: mnflow cv_train" in run(code, tmp_path)

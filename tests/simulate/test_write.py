"""Files of a simulation where no more can be written."""

import subprocess
import sys
from pathlib import Path

import pytest

from mnflow.runtime.project import ROOT

WRITE = """
import resource
from pathlib import Path
import numpy as np
from mnflow.runtime.cli import execute
from mnflow.simulate.write import write_hspy
from dataclasses import dataclass
@dataclass
class Options:
    'x'
def run(options):
    counts = np.random.default_rng(0).random((20, 20, 1000), dtype=np.float32)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    write_hspy(Path('image.hspy'), counts, 600 + 0.1 * np.arange(1000), 'x', 200.0, 0.1)
run.__module__ = 'entrypoints.x'
execute(Options, run, [])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of a file's size")
def test_no_room_for_an_image_gives_a_clear_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr  # -11: a segmentation fault of the HDF5 library
    assert "mnflow: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []

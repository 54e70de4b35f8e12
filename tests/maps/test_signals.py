"""Maps are HyperSpy signals without what HyperSpy can do without, and without its warnings."""

import os
import subprocess
import sys
from pathlib import Path

from mnflow.runtime.project import ROOT

_CODE = """
import sys
for name in ("numba", "llvmlite", "sparse"):
    sys.modules[name] = None
import mnflow
from mnflow.pretrained.shipped import EXAMPLE
maps = mnflow.predict(EXAMPLE, "shipped")
maps.save("maps.hspy")
maps.mean_valence.plot()
"""


def test_maps_need_no_numba_and_print_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-c", _CODE], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "maps.hspy").is_file()

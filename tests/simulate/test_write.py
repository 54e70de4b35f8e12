"""Files of a simulation: what is in them, and what is said where no more can be written."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from mnflow.runtime.project import ROOT
from mnflow.simulate.write import write_hspy, write_table


def test_a_table_is_written_as_spreadsheets_read_it_and_runs_nothing_there(tmp_path: Path) -> None:
    rows = [("a, b", 1, 0.25), ("=1+1", "µ", None)]
    path = write_table(("name", "n", "share"), rows, tmp_path / "table.csv")
    assert path == tmp_path / "table.csv"
    assert path.read_bytes().decode() == 'name,n,share\r\n"a, b",1,0.25\r\n\'=1+1,µ,\r\n'


def test_an_image_is_one_signal_with_its_axes_and_what_is_known_of_it(tmp_path: Path) -> None:
    counts = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    path = write_hspy(tmp_path / "a.hspy", counts, np.array([600.1, 600.3, 600.5, 600.7]), "A", 200.0, 0.05)
    assert path == tmp_path / "a.hspy"
    with h5py.File(path) as file:
        (signal,) = file["Experiments"].values()
        np.testing.assert_array_equal(signal["data"], counts)
        axes = [dict(signal[f"axis-{i}"].attrs) for i in range(3)]
        assert dict(signal.attrs) == {"package": "exspy", "package_version": ""}
        assert dict(signal["attributes"].attrs) == {"_lazy": False}
        metadata = signal["metadata"]
        assert dict(metadata["General"].attrs) == {"title": "A", "notes": "simulated by mnflow"}
        assert dict(metadata["Signal"].attrs) == {"signal_type": "EELS", "quantity": "Electrons (Counts)"}
        microscope = metadata["Acquisition_instrument/TEM"]
        assert dict(microscope.attrs) == {"beam_energy": 200.0}
        assert dict(microscope["Detector/EELS"].attrs) == {
            "dwell_time": 0.05, "dispersion": 0.2, "collection_angle": 20.0,
        }  # fmt: skip
    scan = {"_type": "UniformDataAxis", "scale": 2.0, "offset": 0.0, "units": "nm", "navigate": True}
    scan |= {"is_binned": False}
    assert axes == [
        scan | {"name": "y", "size": 2},
        scan | {"name": "x", "size": 3},
        {
            "_type": "UniformDataAxis", "name": "Energy loss", "size": 4, "scale": 0.2, "offset": 600.1,
            "units": "eV", "navigate": False, "is_binned": True,
        },
    ]  # fmt: skip


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
    command, env = [sys.executable, "-c", WRITE], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # -11: a segmentation fault of the HDF5 library
    assert "mnflow: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []

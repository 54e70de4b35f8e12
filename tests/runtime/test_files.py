"""Files are written whole or not at all, and archives are not trusted."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnflow.errors import InputError
from mnflow.runtime import files
from mnflow.runtime.files import check_room, plain_cell, plain_cells, read_arrays, whole_file
from mnflow.runtime.project import ROOT
from mnflow.serve.predictor import Predictor
from mnflow.spectra import SpectrumSet


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as part:
        part.write_text("first")
    with contextlib.suppress(KeyboardInterrupt), whole_file(path) as part:
        part.write_text("half of the sec")
        raise KeyboardInterrupt
    assert path.read_text() == "first"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_goes_with_the_next_write_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, mnflow.runtime.files as f\n"
        "with f.whole_file(pathlib.Path('a.b.npz')) as part, f.whole_file(pathlib.Path('other.npz')) as "
        "another:\n"
        "    part.touch(), another.touch(), os.kill(os.getpid(), 9)"
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert len(list(tmp_path.iterdir())) == 2
    # nobody here can tell whether that process lives
    elsewhere = tmp_path / ".a.b.another-machine~1~1~01234567.npz"
    elsewhere.touch()
    with whole_file(tmp_path / "a.b.npz") as first:
        first.touch()
        with whole_file(tmp_path / "a.b.npz") as second:
            second.touch()
        assert first.exists()  # its process lives: this one
    left = {p.name.split(".")[1] for p in tmp_path.iterdir() if p.name.startswith(".") and p != elsewhere}
    assert (left, elsewhere.exists(), (tmp_path / "a.b.npz").exists()) == ({"other"}, True, True)


def test_a_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.txt") as part:
        part.touch()
    (tmp_path / "b.txt").touch()
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def _archive(arrays: dict[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def test_arrays_come_back() -> None:
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.eye(2)),
        "text": np.array("x"),
        "none": np.ones(0),
    }
    back = read_arrays(_archive(arrays))
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.npz"
    path.write_bytes(_archive({"header": np.zeros(8_000_000)}))  # 64 MB in 64 kB
    monkeypatch.setattr(files, "_array", None)  # nothing is read
    for load in (SpectrumSet.load, Predictor.load):
        with pytest.raises(InputError, match=r"0\.1 MB that would unpack to 0\.1 GB"):
            load(path)


def test_a_header_that_promises_100_gb_gets_no_memory(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        content, {"descr": "<f8", "fortran_order": False, "shape": (12_500_000_000,)}
    )
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.npy", content.getvalue() + struct.pack("<d", 1.0))
    with pytest.raises(ValueError, match="promises 100000000000 bytes and holds 8"):
        read_arrays(path)


def test_objects_are_not_unpickled() -> None:
    with pytest.raises(ValueError, match="holds objects, which would have to be unpickled"):
        read_arrays(_archive({"a": np.array([{"k": 1}], dtype=object)}))


@given(st.data())
def test_a_damaged_archive_is_a_value_error(data: st.DataObject) -> None:
    whole = _archive({"a": np.arange(40.0), "b": np.array("text")})
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole[: data.draw(st.integers(at + 1, len(whole)))])
    damaged[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ValueError):  # nothing else comes out of it
        read_arrays(bytes(damaged))


def test_a_cell_that_begins_like_a_formula_is_text() -> None:
    for text in ("=HYPERLINK(1)", "+1", "-1", "@sum", "\t=1", "\r=1"):
        assert plain_cell(text) == f"'{text}"
    assert [plain_cell(x) for x in ("Mn2+", "", -1.5, None)] == ["Mn2+", "", -1.5, None]
    table = pd.DataFrame({"name": ["+1", "a"], "x": [-1.0, 2.0], "n": [1, None]})
    assert plain_cells(table).to_csv(index=False) == "name,x,n\n'+1,-1.0,1.0\na,2.0,\n"


def test_a_long_name_is_written_whole_and_what_was_left_of_it_goes(tmp_path: Path) -> None:
    path = tmp_path / f"{'m' * 240}.hspy"
    for text in ("one", "two"):
        with whole_file(path) as part:
            part.write_text(text)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["two"]


@pytest.mark.parametrize("n_bytes", [0, 7, 2_000_001])
def test_room_is_made_by_writing_zeros(tmp_path: Path, n_bytes: int) -> None:
    check_room(tmp_path / "a", n_bytes)
    assert (tmp_path / "a").read_bytes() == bytes(n_bytes)

import io
import json
import resource
import sys
from pathlib import Path
from signal import SIGSTOP

import h5py
import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.read import formats, hdf5, read_file
from tests.helpers.files import counts_image, signal, write


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return counts_image(np.random.default_rng(0))


def test_what_a_file_promises(tmp_path: Path) -> None:
    """In this process, and by the one that is asked."""
    path = str(tmp_path / "a.h5")
    with h5py.File(path, "w") as file:
        file.create_dataset("image", (10, 20), "f4", chunks=(5, 20))
        file.create_dataset("deep/counts", (7,), "u2")
        file["deep/one"] = np.float64(1)
        file["words"] = "a reference of 8 bytes"
        file["empty"] = h5py.Empty("f4")
    promised = {"bytes": 800 + 14 + 8 + 8 + 4, "chunk_bytes": 400, "outward": []}
    assert hdf5._walk(path) == promised
    assert hdf5.survey(path) == promised


def test_what_lies_in_other_files_is_named(tmp_path: Path) -> None:
    elsewhere = h5py.ExternalLink("/etc/passwd", "/")
    with h5py.File(tmp_path / "links.h5", "w") as file:
        for name in ("a", "b/c", "d", "e"):
            file[name] = elsewhere
        file["here"] = h5py.SoftLink("/b")
    assert hdf5._walk(str(tmp_path / "links.h5"))["outward"] == ["a", "b/c", "d"]
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file.create_dataset("stolen", (10,), "f4", external=[("/etc/passwd", 0, 40)])
        layout = h5py.VirtualLayout((3,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (3,))
        file.create_virtual_dataset("pieced", layout)
        file["own"] = np.ones(3)
    assert sorted(hdf5._walk(str(tmp_path / "data.h5"))["outward"]) == ["pieced", "stolen"]


@pytest.mark.parametrize(("words", "found"), [(124_999, False), (125_000, True)])
def test_text_that_a_reader_would_load_is_read(tmp_path: Path, words: int, found: bool) -> None:
    """Its heap is damaged, which is met only where it is read: a megabyte of text is no title."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("words", (words,), h5py.string_dtype())[0] = "a title"
    whole = path.read_bytes()
    assert whole.count(b"GCOL") == 1
    path.write_bytes(whole.replace(b"GCOL", b"LOST"))
    assert ("error" not in hdf5.survey(str(path))) == found
    if found:
        hdf5._walk(str(path))
    else:
        with pytest.raises(OSError, match="heap"):
            hdf5._walk(str(path))


def test_attributes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_group("deep").attrs["title"] = "a title"
    path.write_bytes(path.read_bytes().replace(b"GCOL", b"LOST"))
    with pytest.raises(OSError, match="heap"):
        hdf5._walk(str(path))


def test_a_line_is_answered_by_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.ones(3)
    (tmp_path / "b.h5").write_text("no HDF5")
    limits: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda what, limit: limits.append((what, limit)))
    asked = [json.dumps(str(tmp_path / name)) for name in ("b.h5", "a.h5")]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(asked)))
    hdf5._serve()
    bad, good = map(json.loads, capsys.readouterr().out.splitlines())
    assert bad["error"].startswith("OSError: Unable to")
    assert good == {"bytes": 24, "chunk_bytes": 0, "outward": []}
    assert limits == [(resource.RLIMIT_AS, (4_000_000_000, 4_000_000_000))]


def test_an_answer_is_sent_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.ones(3)
    pipe = io.BytesIO()
    monkeypatch.setattr(resource, "setrlimit", lambda what, limit: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(str(tmp_path / "a.h5"))))
    buffered = io.TextIOWrapper(pipe)
    monkeypatch.setattr(sys, "stdout", buffered)
    hdf5._serve()
    monkeypatch.undo()
    assert json.loads(pipe.getvalue())["bytes"] == 24


def test_what_hdf5_says_of_a_damaged_file_is_not_heard(
    tmp_path: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = str(write(tmp_path / "a.hspy", signal(counts)))
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\necho heard >&2\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    (tmp_path / "h5py.py").write_text("raise SystemExit")  # what lies in a user's folders is not imported
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    hdf5._stop()
    monkeypatch.setattr(sys, "executable", str(script))
    assert hdf5.survey(path)["bytes"] >= counts.nbytes
    process = hdf5._process
    assert hdf5.survey(path)["outward"] == []
    assert hdf5._process is process, "one process serves all files"
    hdf5._stop()
    assert process is not None
    assert process.poll() is not None
    assert hdf5._process is None
    assert capfd.readouterr() == ("", "")


def test_what_leads_hdf5_in_circles_is_left_alone(
    tmp_path: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fuzzed file on which the HDF5 library never returned: one that hangs, and one that kills its
    reader.
    """
    path = write(tmp_path / "a.hspy", signal(counts))
    hdf5.survey(str(path))
    assert hdf5._process is not None
    hdf5._process.send_signal(SIGSTOP)
    monkeypatch.setattr(formats, "survey", lambda p: hdf5.survey(p, seconds=0.3))
    with pytest.raises(InputError, match="leads nowhere"):
        read_file(path)
    monkeypatch.undo()
    hdf5.survey(str(path))
    assert hdf5._process is not None
    hdf5._process.kill()
    hdf5._process.wait()
    np.testing.assert_allclose(read_file(path).counts, counts.reshape(-1, 1200))


def test_an_interrupted_look_answers_for_no_other_file(
    tmp_path: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    path = write(tmp_path / "a.hspy", signal(counts))
    with monkeypatch.context() as patch:
        patch.setattr(hdf5, "_line", interrupt)
        with pytest.raises(KeyboardInterrupt):
            hdf5.survey(str(tmp_path / "none.hspy"))
    assert "error" not in hdf5.survey(str(path))


def test_a_relative_path_is_that_of_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        with h5py.File("here.hspy", "w"):
            pass
        assert "error" not in hdf5.survey("here.hspy")
        (tmp_path / folder / "here.hspy").unlink()

"""Which reader reads a file, and what is refused before one does."""

import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.read import formats, read_file
from tests.helpers.files import counts_image, signal, write


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return counts_image(np.random.default_rng(0))


def registered(monkeypatch: pytest.MonkeyPatch, suffix: str, *readers: Any) -> list[bool]:
    """Put readers into the registry for a suffix; gives whether they were asked to be lazy."""
    asked: list[bool] = []

    def module(reader: Any) -> SimpleNamespace:
        def file_reader(path: str, lazy: bool) -> Any:
            asked.append(lazy)
            if isinstance(reader, Exception):
                raise reader
            return reader

        return SimpleNamespace(file_reader=file_reader)

    for i, reader in enumerate(readers):
        monkeypatch.setitem(sys.modules, f"rsciio.of_vendor_{i}", module(reader))
    plugins = [{"api": f"rsciio.of_vendor_{i}"} for i in range(len(readers))]
    monkeypatch.setitem(formats._BY_SUFFIX, suffix, plugins)
    return asked


def test_of_a_suffix_formats_the_first_that_finds_something_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, other = signal(np.ones((2, 1200))), signal(np.ones((3, 1200)))
    path = tmp_path / "a.VND"
    path.write_bytes(b"x" * 100)
    bad, worse = ValueError("first"), OSError("second")
    for readers, found in (
        ((made, other), [made]), ((bad, made), [made]), (([], made), [made]), ((bad, [], made), [made]),
        ((bad, worse), "ValueError: first"), (([], worse), "OSError: second"),
        ((worse, []), "OSError: second"), (([], []), "expected spectra, got a file without any data"),
        (([{"data": 1}, {"axes": 2}, "x"],), "expected spectra, got a file without any data"),
    ):  # fmt: skip
        asked = registered(monkeypatch, ".vnd", *([r] if isinstance(r, dict) else r for r in readers))
        if isinstance(found, str):
            with pytest.raises(InputError, match=found):
                formats.signals(path)
        else:
            assert formats.signals(path) == found
        assert set(asked) == {False}
    assert formats.is_microscopes(path)
    registered(monkeypatch, ".vnd", [made, {"no": "data"}, "x"])
    assert formats.signals(path) == [made]


def test_what_is_big_or_two_files_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LAZY_BYTES", 100)
    for name, size, lazy in (("a.vnd", 100, False), ("a.vnd", 101, True), ("a.rpl", 1, True)):
        (tmp_path / name).write_bytes(b"x" * size)
        asked = registered(monkeypatch, Path(name).suffix, [signal(np.ones((2, 1200)))])
        formats.signals(tmp_path / name)
        assert asked == [lazy]


def test_what_a_reader_stumbles_over_is_told_in_few_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.VND"
    path.touch()
    registered(monkeypatch, ".vnd", ValueError("y" * 200))
    with pytest.raises(InputError) as told:
        formats.signals(path)
    assert str(told.value) == (
        f"{path} cannot be read as .vnd (ValueError: {'y' * 120}): it is damaged, cut short or of another "
        "kind; copy it again or save it as .hspy."
    )
    for error, missing in (
        (ModuleNotFoundError("No module named 'z'", name="z"), "z"),
        (ImportError("w" * 200), "w" * 120),
    ):
        registered(monkeypatch, ".vnd", error)
        with pytest.raises(InputError) as told:
            formats.signals(path)
        assert str(told.value) == (
            f"{path}: to read .vnd files the Python package {missing} is needed; install it, or save the "
            "file as .hspy."
        )
    registered(monkeypatch, ".vnd", InputError("said already"))
    with pytest.raises(InputError, match=r"^said already$"):
        formats.signals(path)


def survey(**found: Any) -> Any:
    return lambda path: {"bytes": 10, "chunk_bytes": 5, "outward": []} | found


def test_what_an_hdf5_file_promises_is_judged_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"x" * 2_000_000)
    small = tmp_path / "b.h5"
    small.write_bytes(b"x")

    def judged(file: Path, **found: Any) -> int:
        monkeypatch.setattr(formats, "survey", survey(**found))
        return formats._check_hdf5(file)

    assert judged(path) == 10
    assert judged(path, bytes=400_000_000) == 400_000_000
    assert judged(small, bytes=200_000_000) == 200_000_000
    assert judged(path, chunk_bytes=500_000_000) == 10
    with pytest.raises(OSError, match=r"^its structure leads nowhere$"):
        judged(path, error="its structure leads nowhere")
    for file, found, sentence in (
        (path, {"outward": ["b", "c"]}, "b lies in another file; copy all data into one file."),
        (
            path,
            {"chunk_bytes": 1_240_000_000},
            "it is stored in chunks of 1.2 GB; save it with smaller ones.",
        ),
        (path, {"chunk_bytes": 500_000_001}, "it is stored in chunks of 0.5 GB; save it with smaller ones."),
        (path, {"bytes": 400_000_001}, "2 MB that promise 0.4 GB of data hold no measurement; refused."),
        (small, {"bytes": 200_000_001}, "1 MB that promise 0.2 GB of data hold no measurement; refused."),
    ):
        with pytest.raises(InputError) as told:
            judged(file, **found)
        assert str(told.value) == f"{file}: {sentence}"


@pytest.mark.parametrize("at", ["root", "entry"])
def test_nexus_is_known_by_its_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    asked: list[tuple[str, bool]] = []

    def reader(path: str, lazy: bool) -> Any:
        asked.append((path, lazy))
        return [signal(np.ones((2, 1200)))]

    monkeypatch.setattr("rsciio.nexus.file_reader", reader)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        file["other"] = np.ones(3)
        (file if at == "root" else entry).attrs["NX_class"] = "NXentry"
    formats.signals(path)
    with h5py.File(path, "a") as file:
        file["big"] = np.ones(1000)
    monkeypatch.setattr(formats, "LAZY_BYTES", 5000)
    formats.signals(path)
    assert asked == [(str(path), False), (str(path), True)]


@pytest.mark.parametrize("name", ["a.hspy", "a.nxs", "a.unknown", "a.HSPY"])
def test_an_hdf5_file_of_no_known_kind(tmp_path: Path, name: str) -> None:
    with h5py.File(tmp_path / name, "w") as file:
        file["x"] = np.ones(3)
    said = r"OSError: it is an HDF5 file, but none of HyperSpy, EMD or NeXus\)"
    with pytest.raises(InputError, match=said):
        read_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a.emd", "a.de5", "a.EMD"])
def test_emd_is_known_by_its_suffix_too(tmp_path: Path, counts: np.ndarray, name: str) -> None:
    path = write(tmp_path / "x.emd", signal(counts)).rename(tmp_path / name)
    np.testing.assert_array_equal(read_file(path).counts, counts.reshape(-1, 1200))


def test_a_group_without_data_is_passed_over_on_disk(
    tmp_path: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.hspy", signal(counts))
    with h5py.File(path, "a") as file:
        file.create_group("Experiments/ before it").create_group("metadata")
    monkeypatch.setattr(formats, "LAZY_BYTES", 1000)
    np.testing.assert_array_equal(read_file(path).counts[:], counts.reshape(-1, 1200))


def test_a_store_must_be_a_folder_of_bounded_words_without_links(tmp_path: Path) -> None:
    path = tmp_path / "a.zspy"
    path.write_text("packed")
    with pytest.raises(InputError, match=r"a\.zspy: expected a folder, as \.zspy files are; unpack it\.$"):
        read_file(path)
    path.unlink()
    (path / "deep").mkdir(parents=True)
    (path / ".zgroup").mkdir()  # no file: it describes nothing
    words = path / "deep" / ".zattrs"
    with words.open("wb") as file:
        file.truncate(50_000_001)
    with pytest.raises(InputError, match=r"a\.zspy: \.zattrs is too large for a description of data\.$"):
        read_file(path)
    with words.open("wb") as file:
        file.truncate(50_000_000)
    formats_error = r"needed|cannot be read|expected spectra"
    with pytest.raises(InputError, match=formats_error):
        read_file(path)
    words.unlink()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / ".zattrs").write_text("{}")
    for said, target in (
        ('{"id": "Pickle"}', None),
        (r'{"id": "\u0070ickle"}', None),
        ("{}", tmp_path / "outside" / ".zattrs"),
        ("a folder", tmp_path / "outside"),
    ):
        words.symlink_to(target) if target else words.write_text(said)
        with pytest.raises(
            InputError, match=r"a\.zspy: refused: it asks for an unpickler, or points out of its folder\.$"
        ):
            read_file(path)
        words.unlink()


def test_a_bomb_in_an_archive_of_arrays_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_MAX_COMPRESSION", 2)
    path = tmp_path / "a.prz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", bytes(2_000_001))
    with pytest.raises(InputError, match=r"a\.prz: 1 MB that promise .* of data hold no measurement"):
        read_file(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", b"as much as is allowed")
    with pytest.raises(InputError, match=r"cannot be read as \.prz"):
        read_file(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"shape": [5000, 5000, 1200]}, r"1 MB that promise 120\.0 GB of data hold no measurement"),
        ({"shape": [2, 1], "chunks": [10_000, 12_501]}, r"chunks of 0\.5 GB; save it with smaller ones"),
        ({"shape": [40, 1000, 1200]}, "needed|cannot be read|expected spectra"),
        ({"dtype": "none"}, "needed|cannot be read"),
    ],
)
def test_a_store_that_promises_too_much(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    """A chunk that is not there is one of zeros."""
    path = tmp_path / "a.zspy"
    for name in ("a", "b"):
        (path / name).mkdir(parents=True)
        whole = {"shape": [10, 10], "chunks": [1, 1], "dtype": "<f4"} | (change if name == "a" else {})
        (path / name / ".zarray").write_text(json.dumps(whole))
    with pytest.raises(InputError, match=rf"a\.zspy.*({sentence})"):
        read_file(path)


def test_first_bytes_are_those_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    assert formats._first_bytes(tmp_path / "a", 8) == b"01234567"
    assert formats._first_bytes(tmp_path, 8) == formats._first_bytes(tmp_path / "none", 8) == b""

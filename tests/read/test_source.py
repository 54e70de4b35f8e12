import json
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.preprocess import normalise
from mnflow.read import SUFFIXES, list_source, read_all, read_file, read_source
from mnflow.read.source import _low_loss_of, files_in, is_folder, not_read, read_manifest
from mnflow.references import read_references
from mnflow.spectra import MN, UNLABELLED, Edge, RawSpectra
from tests.helpers.files import counts_image, signal, write


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return counts_image(np.random.default_rng(0), (2, 2))


def test_a_folder_per_valence(tmp_path: Path, image: np.ndarray) -> None:
    write(tmp_path / "Mn2+" / "a.hspy", signal(image))
    write(tmp_path / "Mn2+" / "session" / "b.hspy", signal(image))
    write(tmp_path / "Mn4+" / "a.hspy", signal(image))
    write(tmp_path / "Mn4+" / ".cache" / "c.hspy", signal(image))
    found = [(r.valence, r.group) for r in read_source(tmp_path, MN)]
    assert found == [("Mn2+", "Mn2+/a"), ("Mn2+", "Mn2+/session/b"), ("Mn4+", "Mn4+/a")]


def test_a_manifest_takes_precedence(tmp_path: Path, image: np.ndarray) -> None:
    write(tmp_path / "anywhere" / "a.hspy", signal(image))
    write(tmp_path / "left out.hspy", signal(image))
    (tmp_path / "manifest.csv").write_text("file,valence,group\nanywhere/a.hspy,Mn3+,SI 7\n")
    for source in (tmp_path, tmp_path / "manifest.csv"):
        assert [(r.valence, r.group) for r in read_source(source, MN)] == [("Mn3+", "SI 7")]


def test_low_losses_lie_in_a_folder_of_the_same_names(tmp_path: Path, image: np.ndarray) -> None:
    spectra, low_losses = tmp_path / "spectra", tmp_path / "low"
    for i, name in enumerate(("Mn2+/a.hspy", "Mn4+/a.hspy")):
        write(spectra / name, signal(image))
        write(low_losses / name, signal(image, offset=-20.0 - i))
    found = [r.low_loss.energy_ev[0] for r in read_source(spectra, MN, low_losses) if r.low_loss]
    assert found == [-20, -21]
    (low_losses / "Mn4+/a.hspy").unlink()
    with pytest.raises(InputError, match=r"No file at .*low/Mn4"):
        list(read_source(spectra, MN, low_losses))


def test_the_published_folder(real_data: Path) -> None:
    assert [(r.valence, len(r)) for r in read_source(real_data / "published", MN)] == [("Mn2+", 448)]


def test_another_edge(tmp_path: Path, image: np.ndarray) -> None:
    iron = Edge("Fe", ("Fe2+", "Fe3+"), (2, 3), (690, 760), (700, 730))
    write(tmp_path / "Fe3+" / "a.hspy", signal(image))
    assert [r.valence for r in read_source(tmp_path, iron)] == ["Fe3+"]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            None,
            r"No folder or file at .*: expected a folder per valence \(Mn2\+, Mn3\+, Mn4\+\) or a "
            r"manifest\.csv",
        ),
        ([], r"expected a manifest\.csv or a folder per valence"),
        (["notes.md"], r"expected a manifest\.csv or a folder per valence"),
        (["MnO/a.hspy"], r"expected a folder named Mn2\+ or Mn3\+ or Mn4\+, got 'MnO'"),
        (
            ["a.hspy"],
            r"its valence is unknown; put it in a folder named Mn2\+ or Mn3\+ or Mn4\+, or add a manifest",
        ),
    ],
)
def test_what_is_no_source_gives_a_clear_error(
    tmp_path: Path, image: np.ndarray, files: list[str] | None, sentence: str
) -> None:
    folder = tmp_path / "source"
    if files is not None:
        folder.mkdir()
    for name in files or []:
        if name.endswith(".hspy"):
            write(folder / name, signal(image))
        else:
            (folder / name).touch()
    with pytest.raises(InputError, match=sentence):
        list(read_source(folder, MN))


def test_a_manifest_with_an_unknown_valence(tmp_path: Path, image: np.ndarray) -> None:
    write(tmp_path / "a.hspy", signal(image))
    (tmp_path / "manifest.csv").write_text("file,valence,group\na.hspy,Mn9+,x\n")
    with pytest.raises(InputError, match=r"Unknown valence 'Mn9\+'"):
        list(read_source(tmp_path, MN))


def _reference(folder: Path, name: str, l3_ev: float, start_ev: float, stop_ev: float) -> None:
    rng = np.random.default_rng(len(name))
    energy_ev = np.cumsum(rng.uniform(0.1, 0.3, 400)) + start_ev
    energy_ev = energy_ev[energy_ev < stop_ev]
    intensity = np.exp(-0.5 * ((energy_ev - l3_ev) / 0.8) ** 2) + 0.4 * np.exp(
        -0.5 * ((energy_ev - l3_ev - 11) / 0.9) ** 2
    )
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(
        "energy_ev,intensity\n"
        + "".join(f"{e:.4f},{i:.5f}\n" for e, i in zip(energy_ev, intensity, strict=True))
    )


def test_references(tmp_path: Path) -> None:
    rows = [
        ("a.csv", "Mn2+", 644, 630, 670),
        ("b.csv", "Mn2+/Mn3+", 641, 631, 658),
        ("c.csv", "mixed", 652.5, 640, 672),
    ]
    for name, _, *where in rows:
        _reference(tmp_path, name, *where)
    (tmp_path / "manifest.csv").write_text(
        "file,valence,group\n" + "".join(f"{n},{v},lab\n" for n, v, *_ in rows)
    )
    found = read_references(tmp_path, MN)
    assert found.spectra.valence.tolist() == [0, UNLABELLED, UNLABELLED]
    assert found.valence_text.tolist() == ["Mn2+", "Mn2+/Mn3+", "mixed"]
    assert found.spectra.name.tolist() == ["a.csv", "b.csv", "c.csv"]
    assert found.spectra.intensity.shape == (3, 300)
    true_l3 = np.array([644, 641, 652.5])
    l3_ev = (
        found.spectra.energy_ev[normalise(found.spectra.intensity).argmax(axis=1)] + 0.1 * found.moved_bins
    )
    np.testing.assert_allclose(l3_ev, true_l3, atol=0.25)
    assert found.moved_bins[0] == 0
    assert all(0.1 <= (e - 0.1 * m - 635) / 30 <= 0.5 for e, m in zip(true_l3, found.moved_bins, strict=True))


def test_real_references(real_data: Path) -> None:
    found = read_references(real_data / "digitized", MN)
    assert len(found.spectra) == 14
    assert found.spectra.counts() == {"Mn2+": 0, "Mn3+": 2, "Mn4+": 2}
    assert "Mn3+/Mn4+" in found.valence_text


def test_references_from_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a manifest\.csv or a folder per valence"):
        read_references(tmp_path, MN)


def test_a_file_may_hold_many_references(tmp_path: Path, image: np.ndarray) -> None:
    write(tmp_path / "a.hspy", signal(image))
    (tmp_path / "manifest.csv").write_text("file,valence,group\na.hspy,Mn2+,x\n")
    found = read_references(tmp_path, MN)
    assert found.spectra.name.tolist() == [f"a.hspy [{i}]" for i in range(4)]
    assert found.spectra.valence.tolist() == [0] * 4
    assert found.valence_text.tolist() == ["Mn2+"] * 4


def test_the_published_file_as_references(real_data: Path) -> None:
    found = read_references(real_data / "published" / "Mn2_615-685eV_thinnest_448.pkl", MN)
    assert found.spectra.intensity.shape == (448, 300)
    assert set(found.spectra.valence.tolist()) == {0}


def test_references_without_a_valence(tmp_path: Path) -> None:
    _reference(tmp_path / "lab", "a.csv", 644, 630, 670)
    for source in (tmp_path / "lab" / "a.csv", tmp_path / "lab"):
        found = read_references(source, MN)
        assert found.valence_text.tolist() == ["unknown"]
        assert found.spectra.valence.tolist() == [UNLABELLED]
        assert found.spectra.source == f"references {source.name}"
        assert found.spectra.group.tolist() == ["a"]


def test_a_reference_that_holds_no_edge_is_named(tmp_path: Path, image: np.ndarray) -> None:
    image = image.copy()
    image[1, 0] = 7
    write(tmp_path / "Mn2+" / "a.hspy", signal(image))
    with pytest.raises(InputError, match=r"a\.hspy \[2\]: expected a spectrum, got one that is empty"):
        read_references(tmp_path, MN)


def test_the_edge_chooses_among_the_signals_of_a_file(tmp_path: Path, image: np.ndarray) -> None:
    iron = Edge("Fe", ("Fe2+", "Fe3+"), (2, 3), (690, 760), (700, 730))
    for folder, edge, start_ev in (("Fe3+", iron, 680.0), ("Mn2+", MN, 580.0)):
        path, other = write(tmp_path / "both" / folder / "a.hspy", signal(image)), tmp_path / "other.hspy"
        shifted = signal(image, offset=680.0)
        shifted["metadata"]["General"]["title"] = "iron"
        write(other, shifted)
        with h5py.File(other) as source, h5py.File(path, "a") as target:
            source.copy(source["Experiments/iron"], target["Experiments"])
        raw = next(read_source(path.parent.parent, edge))
        assert raw.energy_ev[0] == pytest.approx(start_ev)
        path.unlink()
        path.parent.rmdir()


def test_one_bad_file_costs_no_other(tmp_path: Path) -> None:
    for name, text in (
        ("a.csv", "640,1\n641,2\n"),
        ("sub/b.csv", "nonsense"),
        ("sub/c.txt", "640 1\n641 2\n"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "empty").mkdir()
    found = list(read_all([tmp_path, tmp_path / "none.csv", tmp_path / "empty"], MN))
    assert [p.name for p, _ in found] == ["a.csv", "b.csv", "c.txt", "none.csv", "empty"]
    assert [isinstance(r, InputError) for _, r in found] == [False, True, False, True, True]


def _columns(path: Path, energies: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, np.stack([energies, np.ones(len(energies))], axis=1), delimiter=",")
    return path


def test_files_are_read_for_the_edge_and_with_the_low_loss_that_is_asked_for(tmp_path: Path) -> None:
    higher = Edge("Mn", MN.classes, MN.charges, wide_ev=(715.0, 785.0), crop_ev=(735.0, 765.0))
    kev = 0.7 + 1e-4 * np.arange(1000)
    folder = _columns(tmp_path / "core" / "Mn3+" / "a.b.csv", kev).parents[1]
    low = _columns(tmp_path / "low.csv", -20 + 0.1 * np.arange(1000))
    ((path, of_all),) = read_all([str(folder)], higher, low)
    (of_source,) = read_source(str(folder), higher, low)
    assert path == folder / "Mn3+" / "a.b.csv"
    for raw in (of_all, of_source):
        assert isinstance(raw, RawSpectra)
        np.testing.assert_allclose(raw.energy_ev, 1e3 * kev)
        assert raw.low_loss is not None
        assert raw.low_loss.energy_ev[0] == -20
    assert (of_source.valence, of_source.group) == ("Mn3+", "Mn3+/a.b")
    assert of_all.valence is None


def test_a_source_is_a_manifest_a_folder_or_a_file(tmp_path: Path) -> None:
    energies = 600 + 0.1 * np.arange(900)
    one = _columns(tmp_path / "all" / "Mn2+" / "deep" / "a.csv", energies)
    two = _columns(tmp_path / "all" / "b.csv", energies)
    expected = [(one, "Mn2+", "Mn2+/deep/a"), (two, None, "b")]
    assert list_source(str(tmp_path / "all"), MN) == expected
    assert list_source(one, MN) == [(one, None, None)]
    (tmp_path / "all" / "manifest.csv").write_text("file,valence\nb.csv,Mn4+\n")
    for source in (tmp_path / "all", tmp_path / "all" / "manifest.csv"):
        assert list_source(source, MN) == [(two, "Mn4+", "b")]
    assert list_source(one, MN) == [(one, None, None)]
    with pytest.raises(InputError) as told:
        list_source(tmp_path / "none", MN)
    assert str(told.value) == (
        f"No folder or file at {tmp_path / 'none'}: expected a folder per valence (Mn2+, Mn3+, Mn4+) or a "
        "manifest.csv."
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as told:
        list_source(tmp_path / "empty", MN)
    assert str(told.value) == (
        f"{tmp_path / 'empty'}: expected a manifest.csv or a folder per valence with files of "
        f"{', '.join(SUFFIXES)}, found none."
    )
    _columns(tmp_path / "odd" / "MnO" / "deep" / "a.csv", energies)
    with pytest.raises(InputError) as told:
        list_source(tmp_path / "odd", MN)
    assert str(told.value) == (
        f"{tmp_path / 'odd' / 'MnO'}: expected a folder named Mn2+ or Mn3+ or Mn4+, got 'MnO'; or add a "
        "manifest."
    )
    with pytest.raises(InputError) as told:
        next(read_source(one, MN))
    assert str(told.value) == (
        f"{one}: its valence is unknown; put it in a folder named Mn2+ or Mn3+ or Mn4+, or add a "
        "manifest.csv."
    )


def test_low_losses_of_a_source(tmp_path: Path) -> None:
    source, low = tmp_path / "core", tmp_path / "low"
    file = _columns(source / "Mn2+" / "a.csv", np.arange(9.0))
    (source / "manifest.csv").touch()
    (tmp_path / "low.zspy").mkdir()
    low.mkdir()
    assert _low_loss_of(file, source, None) is None
    for one in (tmp_path / "low.dm3", str(tmp_path / "low.dm3"), tmp_path / "low.zspy"):
        assert _low_loss_of(file, source, one) == one
    for given in (source, source / "manifest.csv", source / "Mn2+" / ".."):
        assert _low_loss_of(file, given, str(low)) == low / "Mn2+" / "a.csv"
    assert _low_loss_of(file, file, low) == low / "a.csv"


def test_what_is_given_and_cannot_be_read_is_a_row_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.zspy").write_text("a file")
    (tmp_path / "b.ZSPY").mkdir()
    (tmp_path / "empty").mkdir()
    assert [is_folder(tmp_path / name) for name in ("a.zspy", "b.ZSPY", "empty", "none")] == [
        False, False, True, False,
    ]  # fmt: skip
    rows = list(read_all([tmp_path / "b.ZSPY", str(tmp_path / "empty")], MN))
    assert [path.name for path, _ in rows] == ["b.ZSPY", "empty"]
    assert all(isinstance(found, InputError) for _, found in rows)
    empty = tmp_path / "empty"
    assert str(rows[1][1]) == f"{empty}: expected files of {', '.join(SUFFIXES)}, found none."


def test_a_manifest_is_searched_for_doubles(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    (tmp_path / "manifest.csv").write_text("file,valence\n" + "b.csv,Mn2+\na.csv,Mn2+\n" * 20)
    with pytest.raises(InputError) as told:
        read_manifest(tmp_path)
    assert str(told.value) == (
        f"{tmp_path / 'manifest.csv'}: expected every file once, got {tmp_path / 'a.csv'} more than once."
    )


def test_what_a_manifests_rows_must_hold(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    manifest = folder / "manifest.csv"
    incomplete = "expected a file, a valence and a group in every row."
    for text, sentence in (
        (f"{'x' * 50},{'y' * 50}\n",
         f": expected the columns file, valence and group, got {'x' * 50}, {'y' * 28}."),
        ("file,group\na.csv,x\n", ": expected the columns file, valence and group, got file, group."),
        ("valence,group\na.csv,x\n", ": expected the columns file, valence and group, got valence, group."),
        ("file,valence\n", ": expected at least one row under the header, got none."),
        ("file,valence\na.csv,Mn2+\n ,Mn2+\n", f", line 3: {incomplete}"),
        ("file,valence\na.csv, \n", f", line 2: {incomplete}"),
        ("file,valence\na.csv,Mn2+,x\n", f", line 2: {incomplete}"),
        (f"file,valence\n../{'z' * 90},Mn2+\n",
         f", line 2: expected a file inside {folder}, got '../{'z' * 77}', which leads out of it."),
        ("file,valence\n../b.csv,Mn2+\n",
         f", line 2: expected a file inside {folder}, got '../b.csv', which leads out of it."),
        ("file,valence\nc.csv,Mn2+\n", f", line 2: no file at {folder / 'c.csv'}."),
    ):  # fmt: skip
        manifest.write_text(text)
        with pytest.raises(InputError) as told:
            read_manifest(folder)
        assert str(told.value) == f"{manifest}{sentence}"
    manifest.write_text(f"file,valence\n{'w' * 300},Mn2+\n")
    with pytest.raises(InputError, match=rf", line 2: ('{'w' * 80}' is no path |no file at)"):
        read_manifest(folder)
    manifest.write_text(" file , valence,group ,more\n a.csv , Mn2+ , x , y\n")
    assert read_manifest(folder) == [(folder / "a.csv", "Mn2+", "x")]
    manifest.write_text("file,valence,group\na.csv,Mn2+\n")
    assert read_manifest(folder) == [(folder / "a.csv", "Mn2+", "a")]


def test_hidden_files_and_what_lies_in_a_format_that_is_a_folder_are_left_out(tmp_path: Path) -> None:
    for name in (
        "a.csv", ".b.csv", ".c/d.csv", "e/.f/g.csv", "e/h.csv", "i.zspy/j.csv", "e/k.ZSPY/l/m.csv",
        "e/manifest.csv", "n.rpl", "n.raw", "o.raw", "e/p.md", "i.zspy/q.md",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "r.csv").mkdir()
    for folder in (tmp_path, tmp_path / "r.csv" / ".."):
        names = [p.relative_to(folder).as_posix() for p in files_in(folder)]
        assert names == ["a.csv", "e/h.csv", "e/k.ZSPY", "i.zspy", "n.rpl"]
        assert [p.relative_to(folder).as_posix() for p in not_read(folder)] == ["e/p.md", "o.raw"]


def test_a_folders_files_are_read_by_suffix_or_content_and_the_others_are_named(
    tmp_path: Path, image: np.ndarray
) -> None:
    write(tmp_path / "a.hspy", signal(image)).rename(tmp_path / "sub.data")
    for name in ("b.csv", "c.rpl", "c.raw", "d.png", "e.zip", "manifest.csv", ".hidden.zip", "f"):
        (tmp_path / name).write_text("640 1\n641 2\n")
    (tmp_path / "g.x").write_text("#FORMAT : EMSA/MAS Spectral Data File\n")
    (tmp_path / "h.zspy").mkdir()
    (tmp_path / "h.zspy" / "0.0").write_text("")
    assert [p.name for p in files_in(tmp_path)] == ["b.csv", "c.rpl", "g.x", "h.zspy", "sub.data"]
    assert [p.name for p in not_read(tmp_path)] == ["d.png", "e.zip", "f"]


def test_manifest(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("sub/a.csv", "b.csv"):
        (tmp_path / name).touch()
    (tmp_path / "manifest.csv").write_text("group, file ,valence\nlab 1,sub/a.csv,Mn2+\n,b.csv,Mn2+/Mn3+\n")
    assert read_manifest(tmp_path) == [
        (tmp_path / "sub/a.csv", "Mn2+", "lab 1"),
        (tmp_path / "b.csv", "Mn2+/Mn3+", "b"),
    ]
    (tmp_path / "manifest.csv").write_text("valence,file\nMn4+,sub/a.csv\n")
    assert read_manifest(tmp_path) == [(tmp_path / "sub/a.csv", "Mn4+", "a")]


@pytest.mark.parametrize("file", ["../outside.csv", "/etc/passwd", "link.csv", "sub/../../outside.csv"])
def test_a_path_that_leaves_the_folder(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "outside.csv").write_text("640,1\n641,2\n")
    (folder / "link.csv").symlink_to(tmp_path / "outside.csv")
    (folder / "manifest.csv").write_text(f"file,valence,group\n{file},Mn2+,a\n")
    with pytest.raises(InputError, match="leads out of it"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected the columns file, valence and group, got none"),
        ("name,label\na,b\n", "expected the columns file, valence and group, got name, label"),
        ("file,valence,group\n", "at least one row"),
        ("file,valence,group\nb.csv,,x\n", "line 2: expected a file, a valence and a group"),
        ("file,valence,group\nb.csv\n", "line 2: expected a file, a valence and a group"),
        ("file,valence,group\nb.csv,Mn2+,x,more\n", "line 2: expected a file, a valence and a group"),
        ("file,valence,group\nnone.csv,Mn2+,x\n", "line 2: no file at"),
        ("file,valence,group\nb.csv,Mn2+,x\n./b.csv,Mn3+,x\n", "expected every file once"),
        ("file,valence,group\n" + "b" * 5000 + ".csv,Mn2+,x\n", "is no path|no file at"),
        ('file,valence,group\n"b.csv,Mn2+,x\n', "expected comma-separated values"),
    ],
)
def test_what_is_no_manifest_gives_a_clear_error(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "b.csv").touch()
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_manifest(tmp_path)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^No file at .*manifest\.csv"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["a.zip", "a.csv", "a.msa", "a.hspy", "a.emd", "a.ndata", "a.dm3"])
def test_archives_are_not_unpacked(tmp_path: Path, name: str) -> None:
    """Not even one that would fill memory, and whose file would be written somewhere else."""
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../outside.dm3", bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        read_file(tmp_path / name, edge=MN)
    assert tracemalloc.get_traced_memory()[1] < 45_000_000
    tracemalloc.stop()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert not (tmp_path.parent / "outside.dm3").exists()


@pytest.mark.parametrize("name", ["a.ipynb", "a.csv"])
def test_a_notebook_is_no_table(tmp_path: Path, name: str) -> None:
    cells = [{"cell_type": "code", "source": [f"{e},{e % 7}\n" for e in range(600, 700)], "outputs": []}]
    (tmp_path / name).write_text(json.dumps({"cells": cells, "nbformat": 4}))
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        read_file(tmp_path / name, edge=MN)
    (tmp_path / name).write_text(json.dumps({"cells": cells, "nbformat": 4}, indent=1))
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        read_file(tmp_path / name, edge=MN)

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnflow.errors import InputError
from mnflow.read import read_file
from mnflow.read.tables import read_manifest


def _csv(folder: Path, text: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "energy_ev,intensity\n640.5,1\n641,2.5\n",
        "640.5,1\n641,2.5",
        "# made by hand\nEnergy loss (keV)\tcounts\n0.6405\t1\n0.641\t2.5\n",
        "\ufeffE / eV; I\n640.5; 1\n\n641; 2.5\n",
        "641 2.5\n640.5 1\n",
        "energy_meV,i\n640500,1\n641000,2.5",
        "6.41e2 2.5e0\r\n6.405e2 1\r\n",
    ],
)
def test_two_columns(tmp_path: Path, text: str) -> None:
    raw = read_file(_csv(tmp_path, text))
    np.testing.assert_allclose(raw.energy_ev, [640.5, 641])
    np.testing.assert_allclose(raw.counts, [[1, 2.5]])
    assert raw.nav_shape == ()


def test_equal_energies_are_averaged(tmp_path: Path) -> None:
    raw = read_file(_csv(tmp_path, "640,1\n641,2\n640,3\n639,0\n"))
    np.testing.assert_allclose(raw.energy_ev, [639, 640, 641])
    np.testing.assert_allclose(raw.counts, [[0, 2, 2]])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "got an empty file"),
        ("# nothing\n", "got an empty file"),
        ("energy_ev,intensity\n", "two channels or more"),
        ("640,1\n", "two channels or more"),
        ("640,1\n641\n", "line 2: expected two numbers"),
        ("640,1\n641,2,3\n", "line 2: expected two numbers"),
        ("640,1\n641,many\n", "line 2: expected two numbers, energy and intensity, got '641,many'"),
        ("640,1\nnan,2\n", "NaN or infinity on the energy axis"),
        ("nan,1\n640,2\n", "NaN or infinity on the energy axis"),
        ("Inf,1\n640,2\n", "NaN or infinity on the energy axis"),
        ("640,1\n640,2\n", "the same energy"),
        (
            "wavelength_nm,intensity\n1,2\n2,3\n",
            "expected an energy axis in eV, keV or meV, got 'wavelength_nm'",
        ),
        ("channel,counts\n1,2\n2,3\n", "expected an energy axis"),
        ("640,1\0\n", "binary data"),
    ],
)
def test_what_is_no_table_is_said(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_file(_csv(tmp_path, text))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00640,1")
    with pytest.raises(InputError, match="expected text in UTF-8"):
        read_file(tmp_path / "a.csv")


def test_a_giant_text_is_not_read(tmp_path: Path) -> None:
    for name in ("a.csv", "a.msa", "a.pkl"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(3_000_000_000)  # a hole: it takes no space
        with pytest.raises(InputError, match=r"expected a (text file below 256 MB|pickle below 2 GB)"):
            read_file(tmp_path / name)


@given(
    energies=st.lists(st.floats(1, 1e4).map(lambda x: round(x, 3)), min_size=2, max_size=40),
    seed=st.integers(0, 9),
)
def test_any_order_and_repetition_of_energies(
    tmp_path_factory: pytest.TempPathFactory, energies: list[float], seed: int
) -> None:
    values = np.random.default_rng(seed).normal(size=len(energies))
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("\n".join(f"{e!r},{v!r}" for e, v in zip(energies, values.tolist(), strict=True)))
    if len(set(energies)) == 1:
        with pytest.raises(InputError, match="the same energy"):
            read_file(path)
        return
    raw = read_file(path)
    assert (np.diff(raw.energy_ev) > 0).all()
    np.testing.assert_array_equal(raw.energy_ev, sorted(set(energies)))
    first = np.mean([v for e, v in zip(energies, values, strict=True) if e == min(energies)])
    assert raw.counts[0, 0] == pytest.approx(first)


def test_manifest(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("sub/a.csv", "b.csv"):
        (tmp_path / name).touch()
    _csv(tmp_path, "group, file ,valence\nlab 1,sub/a.csv,Mn2+\n,b.csv,Mn2+/Mn3+\n", "manifest.csv")
    assert read_manifest(tmp_path) == [
        (tmp_path / "sub/a.csv", "Mn2+", "lab 1"),
        (tmp_path / "b.csv", "Mn2+/Mn3+", "b"),
    ]


@pytest.mark.parametrize("file", ["../outside.csv", "/etc/passwd", "link.csv", "sub/../../outside.csv"])
def test_a_path_that_leaves_the_folder(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "outside.csv").write_text("640,1\n641,2\n")
    (folder / "link.csv").symlink_to(tmp_path / "outside.csv")
    _csv(folder, f"file,valence,group\n{file},Mn2+,a\n", "manifest.csv")
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
def test_what_is_no_manifest_is_said(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "b.csv").touch()
    _csv(tmp_path, text, "manifest.csv")
    with pytest.raises(InputError, match=sentence):
        read_manifest(tmp_path)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^No file at .*manifest\.csv"):
        read_manifest(tmp_path)

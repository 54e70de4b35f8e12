import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnflow.errors import InputError
from mnflow.read import read_file
from mnflow.read.tables import MAX_LINE, columns, dialect_of, numbers_in, read_bytes, read_text


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
        '"energy_ev","intensity"\n"640.5","1"\n"641","2.5"\n',
        '"Energy (eV)";"I"\n"640,5";"1"\n"641,0";"2,5"\n',
    ],
)
def test_two_columns(tmp_path: Path, text: str) -> None:
    raw = read_file(_csv(tmp_path, text))
    np.testing.assert_allclose(raw.energy_ev, [640.5, 641])
    np.testing.assert_allclose(raw.counts, [[1, 2.5]])
    assert (raw.nav_shape, raw.path.name, raw.group) == ((), "a.csv", "a")


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("640,5 1\n641 2,5\n", "read as eV"),
        ("640,5;1\n641;2,5\n", "read as eV"),
        ("Verlust / eV;Z\u00e4hlungen\n640,5;1,0\n641,0;2,5\n", None),
        ("# Energy loss (keV)\tI\n0.6405\t1\n0.641\t2.5\n", None),
        ("Instrument: a\nDate: 2020-01-05\n\nEnergy Loss (eV), Counts\n640.5, 1,\n641, 2.5,\n", None),
        ("counts,energy_ev\n1,640.5\n2.5,641\n", None),
        (",energy_ev,intensity\n0,640.5,1\n1,641,2.5\n", "of 3 columns, energy_ev is the energy"),
        ("energy_ev,counts,std\n640.5,1,0.1\n641,2.5,0.1\n", "of 3 columns"),
        ("# eV,I,std\n640.5,1,0.1\n641,2.5,0.1\n", "of 3 columns, eV is the energy and I the intensity"),
        ("x,keV,counts\n9,0.6405,1\n8,0.641,2.5\n", "of 3 columns, keV is the energy and counts the"),
        (
            '"keV","counts","std"\n0.6405,1,0.1\n0.641,2.5,0.1\n',
            "of 3 columns, keV is the energy and counts the",
        ),
        ("eV,raw_counts,fit\n640.5,1,9\n641,2.5,9\n", "of 3 columns, eV is the energy and raw_counts the"),
        ("Loss in keV then counts of all pixels\n0.6405,1\n0.641,2.5\n", None),
    ],
)
def test_decimal_commas_and_headers(tmp_path: Path, text: str, note: str | None) -> None:
    raw = read_file(_csv(tmp_path, text))
    np.testing.assert_allclose(raw.energy_ev, [640.5, 641])
    np.testing.assert_allclose(raw.counts, [[1, 2.5]])
    assert (note is None and not raw.notes) or (note is not None and note in raw.notes[0])


@pytest.mark.parametrize("header", ["", "Column2,Column3\n", "x,y\n", "spectrum of film 2\n", "a;b\n"])
@pytest.mark.parametrize(("factor", "unit"), [(1, "eV"), (1e-3, "keV"), (1e3, "meV")])
def test_numbers_say_the_unit_where_no_header_does(
    tmp_path: Path, header: str, factor: float, unit: str
) -> None:
    energy_ev = np.arange(630, 670, 0.1)
    text = header + "".join(f"{e * factor:.7g},{e}\n" for e in energy_ev)
    raw = read_file(_csv(tmp_path, text))
    np.testing.assert_allclose(raw.energy_ev, energy_ev, rtol=1e-6)
    assert raw.notes == (f"no unit is named: the energies are read as {unit}, by their numbers",)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8"])
def test_text_of_other_programs(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes(
        "Energy (eV)\tZ\u00e4hlungen\r\n640.5\t1\r\n641\t2.5\r\n".encode(encoding)
    )
    np.testing.assert_allclose(read_file(tmp_path / "a.txt").counts, [[1, 2.5]])


def test_columns_beside_one_another_are_several_spectra(tmp_path: Path) -> None:
    raw = read_file(_csv(tmp_path, "eV,centre,rim\n640,1,2\n641,3,4\n"))
    np.testing.assert_allclose(raw.counts, [[1, 3], [2, 4]])
    assert raw.nav_shape == (2,)
    assert "centre, rim the intensity" in raw.notes[0]
    said = "or a header that names one column of 3 as the energy, got no header"
    with pytest.raises(InputError, match=said):
        read_file(_csv(tmp_path, "640,1,2\n641,3,4\n"))


@pytest.mark.parametrize("second", [1, -1])
@pytest.mark.parametrize("offset", [0.0, 0.05, 10.0])
def test_spectra_below_one_another_are_never_averaged(tmp_path: Path, second: int, offset: float) -> None:
    energy = np.arange(620, 670, 0.5)
    both = np.concatenate([energy, energy[::second] + offset])
    with pytest.raises(InputError, match="expected one spectrum, got 2, one below the other"):
        read_file(_csv(tmp_path, "".join(f"{e},{i}\n" for i, e in enumerate(both))))


def test_a_digitized_curve_may_step_back(tmp_path: Path) -> None:
    energy = np.linspace(630, 665, 400) + 0.1 * np.random.default_rng(0).normal(size=400)
    assert len(read_file(_csv(tmp_path, "".join(f"{e:.4f},{e}\n" for e in energy))).energy_ev) == 400


def test_a_long_file_is_read_fast_and_in_little_memory(tmp_path: Path) -> None:
    n = 300_000
    path = _csv(tmp_path, "".join(f"{600 + i * 1e-4:.4f},{i}\n" for i in range(n)))
    tracemalloc.start()
    raw = read_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert raw.counts.shape == (1, n)
    assert peak < 15 * path.stat().st_size


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
        ("eV,a,b\n640,1,2\n641,2\n", "line 3: expected 3 numbers, got '641,2'"),
        ("nothing at all\n", "line 1: expected two numbers, energy and intensity, got 'nothing at all'"),
        (
            "Energy,Counts\nnone,of it\n",
            "line 2: expected two numbers, energy and intensity, got 'none,of it'",
        ),
        (
            "eV,keV,counts\n640,0.64,1\n641,0.641,2\n",
            "names one column of 3 as the energy, got eV, keV, counts",
        ),
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
def test_what_is_no_table_gives_a_clear_error(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as told:
        read_file(_csv(tmp_path, text))
    assert str(told.value).startswith(str(tmp_path / "a.csv"))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00640,1")
    with pytest.raises(InputError, match="expected text in UTF-8"):
        read_file(tmp_path / "a.csv")


@pytest.mark.parametrize("byte", [b"\0", b"\x01", b"\x02", b"\x03", b"\x04"])
def test_bytes_that_no_text_of_another_code_has(tmp_path: Path, byte: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xb5 640,1\n641,2" + byte)
    with pytest.raises(InputError, match="expected text in UTF-8"):
        read_file(tmp_path / "a.csv")


def test_a_giant_line_is_not_taken_apart(tmp_path: Path) -> None:
    said = "expected lines of 1,000,000 characters at most, got one of 1,000,001"
    with pytest.raises(InputError, match=said):
        read_file(_csv(tmp_path, "640,1\n641," + "1" * (MAX_LINE - 3) + "\n"))


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> bytes:
        raise OSError(5, "Input/output error")

    path = _csv(tmp_path, "640,1\n641,2\n")
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(InputError, match=r"a\.csv cannot be read: expected a text file .*Input/output error"):
        read_file(path)


def test_a_giant_text_is_not_read(tmp_path: Path) -> None:
    for name in ("a.csv", "a.msa", "a.pkl"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(3_000_000_000)  # a hole: it takes no space
        said = r"expected a (text file below 100 MB, got 3000 MB|pickle below 2000 MB)"
        with pytest.raises(InputError, match=said):
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


@pytest.mark.parametrize(
    ("line", "dialect", "cells"),
    [
        ("1;2", (";", False), ["1", "2"]), ("1,5; 2 ;", (";", True), ["1.5", "2"]),
        ("1\t2,5\t", ("\t", True), ["1", "2.5"]), ("1.5\t2", ("\t", False), ["1.5", "2"]),
        ("1,2", (",", False), ["1", "2"]), ("1, 2,", (",", False), ["1", "2"]), 
        ("1,5 2,5", (None, True), ["1.5", "2.5"]),
        ("1,5 2", (None, True), ["1.5", "2"]), ("1 2", (None, False), ["1", "2"]),
        ("1,5", (",", False), ["1", "5"]),
        ("  1   2.5e3 ", (None, False), ["1", "2.5e3"]), ("1, 2", (",", False), ["1", "2"]),
        ('"1,5";"2"', (";", True), ["1.5", "2"]), ("-1,5e-3 +2,0E5", (None, True), ["-1.5e-3", "+2.0E5"]),
        ("\t1 2", (None, False), ["1", "2"]), ("'1' 2", (None, False), ["1", "2"]), 
        (",5 1,", (",", False), ["", "5 1"]),
        ("1;2;;", (";", False), ["1", "2"]), ("1;;2", (";", False), ["1", "", "2"]),
    ],
)  # fmt: skip
def test_how_the_numbers_of_a_line_are_written(
    line: str, dialect: tuple[str | None, bool], cells: list[str]
) -> None:
    found = dialect_of(line)
    assert (found.delimiter, found.decimal_comma) == dialect
    assert found.cells(line) == cells


def test_a_line_of_data_holds_two_numbers_or_more() -> None:
    for line, numbers in (
        ("1,2", [1, 2]), ("1;;2", [1, 2]), ("1 2 3", [1, 2, 3]), ("1", None), ("", None), ("1,a", None),
        ("1,5;2", [1.5, 2]), ("nan 1e3", "nan"),
    ):  # fmt: skip
        found = numbers_in(line)
        assert found == numbers or (numbers == "nan" and found is not None and found[1] == 1000), line


def test_comments_among_the_numbers_are_passed_over(tmp_path: Path) -> None:
    raw = read_file(_csv(tmp_path, "# first\neV,I\n640.5,1\n# between\n  #,,\n\n641,2.5\n#end\n"))
    np.testing.assert_allclose(raw.counts, [[1, 2.5]])
    with pytest.raises(InputError, match=r"a\.csv, line 5: expected two numbers, .*, got '641,x'"):
        read_file(_csv(tmp_path, "eV,I\n640.5,1\n# between\n\n641,x\n"))
    with pytest.raises(InputError, match=rf"line 3: expected two numbers, .*, got '641,{'y' * 56}'"):
        read_file(_csv(tmp_path, f"eV,I\n640.5,1\n641,{'y' * 99}\n"))


def test_ragged_lines_follow_one_another() -> None:
    np.testing.assert_array_equal(
        columns(["1, 2, 3,", "", "# x", "4"], 1, "a", ragged=True), [[1], [2], [3], [4]]
    )
    np.testing.assert_array_equal(columns(["1 2", "3"], 1, "a", ragged=True), [[1], [2], [3]])
    with pytest.raises(InputError, match=r"^mine, line 8: expected 3 numbers, got '4, x'\.$"):
        columns(["1, 2, 3,", "4, x"], 7, "mine", ragged=True)
    with pytest.raises(InputError, match=r"^mine, line 8: expected 3 numbers, got '4, 5'\.$"):
        columns(["1, 2, 3,", "4, 5"], 7, "mine")


def test_numbers_must_begin_within_a_thousand_lines(tmp_path: Path) -> None:
    for n, found in ((999, True), (1000, False)):
        path = _csv(tmp_path, "some words\n" * n + "640.5,1\n660,2.5\n")
        if found:
            assert read_file(path).counts.tolist() == [[1, 2.5]]
        else:
            with pytest.raises(InputError, match=r"line 2: expected two numbers, .*got 'some words'"):
                read_file(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a.csv: expected two columns, energy and intensity, got an empty file."),
        ("# 640\n\n", "a.csv: expected two columns, energy and intensity, got an empty file."),
        ("energy;counts", "a.csv: expected two channels or more, got a header alone."),
        ("energy\tcounts", "a.csv: expected two channels or more, got a header alone."),
        ("\n\nenergy", "a.csv, line 3: expected two numbers, energy and intensity, got 'energy'."),
        ("640\n641\n", "a.csv, line 1: expected two numbers, energy and intensity, got '640'."),
        ("E\n640\n", "a.csv, line 2: expected two numbers, energy and intensity, got '640'."),
        ("_e\n640\n", "a.csv, line 2: expected two numbers, energy and intensity, got '640'."),
        ('"e"\n640\n', "a.csv, line 2: expected two numbers, energy and intensity, got '640'."),
        ("x" * 70, f"a.csv, line 1: expected two numbers, energy and intensity, got '{'x' * 60}'."),
    ],
)
def test_a_file_without_two_numbers_in_a_line(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError) as told:
        read_file(_csv(tmp_path, text))
    assert str(told.value) == f"{tmp_path}/{sentence}"


COLUMNS = "640.5,1,3,5\n660,2.5,4,6\n"


@pytest.mark.parametrize(
    ("header", "spectra", "names"),
    [
        ("eV,a,b,c", [1, 2, 3], "a, b, c"), ("E (eV),I,b,c", [1], "I"),
        ("energy,counts,signal,c", [1, 2, 3], "counts, signal, c"),
        ("energy,a,std,resid", [1], "a"), ("energy,a,err,b", [1, 3], "a, b"), ("x,a,,b", [1, 3], "a, b"),
        ("loss,sigma,dy,mu", [3], "mu"), ("e_loss,index,chan,background", None, ""), ("a,b,c,d", None, ""),
        ("keV,eV,a,b", None, ""), ("energy,loss,a,b", None, ""),
        ("energy eV,loss,a,b", [1, 2, 3], "loss, a, b"),
        ("#eV,a,b,c", [1, 2, 3], "a, b, c"), ("! eV,a,b,c", [1, 2, 3], "a, b, c"),
        ("eV;a;b;c", [1, 2, 3], "a, b, c"),
        ("eV a b c", [1, 2, 3], "a, b, c"), ("eV,a,b", None, ""), ("", None, ""),
    ],
)  # fmt: skip
def test_a_header_says_which_columns_are_what(
    tmp_path: Path, header: str, spectra: list[int] | None, names: str
) -> None:
    path = _csv(tmp_path, f"{header}\n{COLUMNS}")
    table = np.array([[640.5, 1, 3, 5], [660, 2.5, 4, 6]])
    if spectra is None:
        with pytest.raises(InputError) as told:
            read_file(path)
        shown = header.replace(",", ", ") if header.count(",") == 3 else "no header"
        assert str(told.value) == (
            f"{path}: expected two columns, energy and intensity, or a header that names one column of 4 as "
            f"the energy, got {shown}."
        )
        return
    raw = read_file(path)
    np.testing.assert_array_equal(raw.counts, table[:, spectra].T)
    assert raw.counts.flags.c_contiguous
    assert raw.nav_shape == ((len(spectra),) if len(spectra) > 1 else ())
    energy = header.replace(";", ",").replace(" a b c", ",").split(",")[0].strip("#! ")
    assert raw.notes[-1] == f"of 4 columns, {energy} is the energy and {names} the intensity"


@pytest.mark.parametrize(
    ("header", "swapped"),
    [
        ("counts,energy", True), ("I,eV", True), ("y,x", True), ("energy,counts", False), ("x,y", False),
        ("counts,a", False), ("a,energy", False), ("energy signal,energy", False), ("a,b", False),
    ],
)  # fmt: skip
def test_of_two_columns_the_second_is_the_energy_if_both_names_say_so(
    tmp_path: Path, header: str, swapped: bool
) -> None:
    energies = np.arange(630, 670, 0.5)
    rows = zip(energies[::-1] / 7, energies, strict=True)
    text = "".join(f"{i},{e}\n" if swapped else f"{e},{i}\n" for i, e in rows)
    raw = read_file(_csv(tmp_path, f"{header}\n{text}"))
    np.testing.assert_allclose(raw.energy_ev, energies)


def test_a_header_of_words_stands_for_the_energy_of_two_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected an energy axis .*, got 'channels of the camera'"):
        read_file(_csv(tmp_path, "channels of the camera\n640.5,1\n641,2.5\n"))
    # a comment is none
    raw = read_file(_csv(tmp_path, "# channels of the camera\n640.5,1\n641,2.5\n"))
    assert raw.notes == ("no unit is named: the energies are read as eV",)


def test_utf_16_is_known_by_its_mark_and_told_from_noise(tmp_path: Path) -> None:
    words = "Energie (eV)\t\u00dc\n640.5\t1\n641\t2.5\n"
    for encoding in ("utf-16", "utf-16-be", "utf-16-le"):
        mark = {"utf-16-be": b"\xfe\xff", "utf-16-le": b"\xff\xfe"}.get(encoding, b"")
        (tmp_path / "a.txt").write_bytes(mark + words.encode(encoding))
        np.testing.assert_allclose(read_file(tmp_path / "a.txt").counts, [[1, 2.5]])
    for ascii_, other, good in ((10, 10, True), (9, 11, False)):
        (tmp_path / "b.txt").write_bytes(("a" * ascii_ + "\u4e2d" * other).encode("utf-16"))
        if good:
            assert len(read_text(tmp_path / "b.txt")) == 20
        else:
            with pytest.raises(InputError, match=r"b\.txt cannot be read as text: expected text .*no text"):
                read_text(tmp_path / "b.txt")


def test_bytes_beyond_a_bound_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.x"
    path.write_bytes(b"x" * 1_500_000)
    assert len(read_bytes(path, 1_500_000, "some bytes")) == 1_500_000
    with pytest.raises(InputError) as told:
        read_bytes(path, 1_499_999, "some bytes")
    assert str(told.value) == f"{path}: expected some bytes below 1.5 MB, got 1.5 MB."
    for missing in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError) as told:
            read_bytes(missing, 1, "some bytes")
        assert str(told.value) == f"No file at {missing}."


def test_a_line_may_be_a_million_characters(tmp_path: Path) -> None:
    tail = " " * (MAX_LINE - 5)
    assert read_file(_csv(tmp_path, f"640,1{tail}\n641,2\n")).counts.tolist() == [[1, 2]]

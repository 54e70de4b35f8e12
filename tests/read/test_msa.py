"""EMSA files that contradict themselves, and units in words."""

from pathlib import Path

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.read import read_file

ENERGY_EV = 620 + 0.2 * np.arange(300)


def _msa(folder: Path, energy: np.ndarray = ENERGY_EV, **head: object) -> Path:
    words = {
        "FORMAT": "EMSA/MAS Spectral Data File", "TITLE": "mine", "NPOINTS": len(energy), "XUNITS": "eV",
        "DATATYPE": "XY", "XPERCHAN": 0.2, "OFFSET": 620.0,
    } | head  # fmt: skip
    lines = [f"#{k:<12}: {v}" for k, v in words.items() if v is not None] + ["#SPECTRUM    : "]
    if words["DATATYPE"] == "XY":
        lines += [f"{e:.4f}, {i}" for i, e in enumerate(energy)]
    else:
        lines += [
            ", ".join(str(j) for j in range(i, min(i + 4, len(energy)))) for i in range(0, len(energy), 4)
        ]
    (folder / "a.msa").write_text("\n".join([*lines, "#ENDOFDATA   : "]))
    return folder / "a.msa"


@pytest.mark.parametrize("datatype", ["XY", "Y", None])
def test_both_types(tmp_path: Path, datatype: str | None) -> None:
    raw = read_file(_msa(tmp_path, DATATYPE=datatype, NCOLUMNS=4))
    np.testing.assert_allclose(raw.energy_ev, ENERGY_EV, atol=1e-9)
    np.testing.assert_array_equal(raw.counts, np.arange(300)[None])
    assert (raw.notes, raw.nav_shape, raw.group) == ((), (), "a")


@pytest.mark.parametrize(
    "energy", [620 + 0.24 * np.arange(300), 620 + 0.2 * np.arange(300) + 1e-3 * np.arange(300) ** 1.5]
)
def test_the_x_column_is_believed(tmp_path: Path, energy: np.ndarray) -> None:
    raw = read_file(_msa(tmp_path, energy))
    np.testing.assert_allclose(raw.energy_ev, energy, atol=1e-4)
    assert raw.notes == ("the energies are those of the X column; OFFSET and XPERCHAN say otherwise",)


@pytest.mark.parametrize("datatype", ["XY", "Y"])
@pytest.mark.parametrize("points", [299, 301, 1000, None])
def test_another_number_of_points_is_refused(tmp_path: Path, datatype: str, points: int | None) -> None:
    with pytest.raises(InputError, match=r"a\.msa: (no NPOINTS|NPOINTS \d+) but 300 values: it is cut short"):
        read_file(_msa(tmp_path, DATATYPE=datatype, NPOINTS=points))


@pytest.mark.parametrize(
    ("units", "factor"),
    [
        ("Energy Loss (eV)", 1),
        ("keV", 1e-3),
        ("<undefined>", 1),
        ("", 1),
        ("", 1e-3),
        ("energy loss [keV]", 1e-3),
    ],
)
def test_units_in_words_or_in_numbers(tmp_path: Path, units: str, factor: float) -> None:
    path = _msa(
        tmp_path, ENERGY_EV * factor, XUNITS=units, DATATYPE="Y", OFFSET=620 * factor, XPERCHAN=0.2 * factor
    )
    raw = read_file(path)
    np.testing.assert_allclose(raw.energy_ev, ENERGY_EV, atol=1e-6)
    read_as = f"no unit is named: the energies are read as {'eV' if factor == 1 else 'keV'}, by their numbers"
    assert raw.notes == ((read_as,) if units in ("", "<undefined>") else ())


@pytest.mark.parametrize(
    ("written", "kev"), [(200, 200.0), (5000, 5000.0), (200_000, 200.0), ("many", None), (0, None)]
)
def test_the_beam_energy_in_kv_or_v(tmp_path: Path, written: object, kev: float | None) -> None:
    assert read_file(_msa(tmp_path, BEAMKV=written)).metadata.get("beam_energy_kev") == kev


def test_what_the_header_says_of_the_microscope_is_kept(tmp_path: Path) -> None:
    said = {"BEAMKV": 200, "CONVANGLE": "10,5", "COLLANGLE": "20 [mrad]", "INTEGTIME": 250}
    assert read_file(_msa(tmp_path, **said)).metadata == {
        "title": "mine", "beam_energy_kev": 200.0, "convergence_mrad": 10.5, "collection_mrad": 20.0,
        "dwell_time_s": 0.25,
    }  # fmt: skip
    unread = dict.fromkeys(said, "unknown")
    assert read_file(_msa(tmp_path, **unread)).metadata == {"title": "mine"}


def test_irregular_energies_may_be_another_number(tmp_path: Path) -> None:
    irregular = 620 + 0.2 * np.arange(300) + 1e-3 * np.arange(300) ** 1.5
    raw = read_file(_msa(tmp_path, irregular, NPOINTS=500))
    assert raw.counts.shape == (1, 300)
    assert "its header says NPOINTS 500, the irregular energies of 300 channels are believed" in raw.notes


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ({"SIGNALTYPE": "EDS"}, "expected an energy-loss spectrum, got X-rays"),
        ({"NPOINTS": "all"}, "expected a number for NPOINTS, got 'all'"),
        ({"OFFSET": "here"}, "expected a number for OFFSET, got 'here'"),
        ({"XPERCHAN": "much"}, "expected a number for XPERCHAN, got 'much'"),
        ({"XUNITS": "nm"}, "expected an energy axis in eV, keV or meV, got 'nm'"),
        ({"DATATYPE": "Y", "OFFSET": None}, "expected XPERCHAN and OFFSET"),
        ({"FORMAT": None}, r"expected a header from #FORMAT to #SPECTRUM; it is damaged, cut short"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, head: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=rf"a\.msa.*{sentence}"):
        read_file(_msa(tmp_path, **head))


@pytest.mark.parametrize("datatype", ["XY", "Y"])
def test_data_end_where_the_file_says(tmp_path: Path, datatype: str) -> None:
    path = _msa(tmp_path, DATATYPE=datatype)
    path.write_text(f"{path.read_text()}\n700.0, 5\nmade by hand")
    np.testing.assert_allclose(read_file(path).energy_ev, ENERGY_EV, atol=1e-9)


@pytest.mark.parametrize("datatype", ["XY", "Y"])
def test_a_line_that_is_no_number_is_named(tmp_path: Path, datatype: str) -> None:
    path = _msa(tmp_path, DATATYPE=datatype)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:10], "620, many", *lines[11:]]))
    with pytest.raises(InputError, match=r"a\.msa, line 11: expected .* numbers.*, got '620, many'"):
        read_file(path)


@pytest.mark.parametrize("datatype", ["XY", "Y"])
def test_a_file_without_data_is_cut_short(tmp_path: Path, datatype: str) -> None:
    path = _msa(tmp_path, DATATYPE=datatype)
    path.write_text("\n".join(line for line in path.read_text().splitlines() if line.startswith("#")))
    with pytest.raises(InputError, match=r"a\.msa: NPOINTS 300 but 0 values: it is cut short"):
        read_file(path)


def test_keywords_with_units_and_blanks_before_them(tmp_path: Path) -> None:
    path = _msa(tmp_path, DATATYPE="Y")
    path.write_text(
        path.read_text().replace("#XPERCHAN    :", "  #XPERCHAN-eV :").replace("#OFFSET", "\t#OFFSET")
    )
    np.testing.assert_allclose(read_file(path).energy_ev, ENERGY_EV, atol=1e-9)


def test_data_before_the_header_ends_are_none(tmp_path: Path) -> None:
    path = _msa(tmp_path)
    path.write_text(path.read_text().replace("#SPECTRUM    : ", "620, 1\n#SPECTRUM    : "))
    with pytest.raises(InputError, match="expected a header from #FORMAT to #SPECTRUM"):
        read_file(path)


def test_any_name_will_do(tmp_path: Path) -> None:
    path = _msa(tmp_path).rename(tmp_path / "mine.spectrum")
    np.testing.assert_allclose(read_file(path).energy_ev, ENERGY_EV, atol=1e-9)


@pytest.mark.parametrize(
    ("units", "label", "factor"),
    [
        ("", "Energy loss (keV)", 1e-3), ("<undefined>", "eV", 1.0), (None, "Energy [meV]", 1e3),
        ("eV", "keV", 1.0), ("keV", "", 1e-3),
    ],
)  # fmt: skip
def test_the_label_names_the_unit_where_the_units_do_not(
    tmp_path: Path, units: str | None, label: str, factor: float
) -> None:
    raw = read_file(
        _msa(tmp_path, ENERGY_EV * factor, XUNITS=units, XLABEL=label, XPERCHAN=None, OFFSET=None)
    )
    np.testing.assert_allclose(raw.energy_ev, ENERGY_EV, atol=0.1)
    assert raw.notes == ()
    with pytest.raises(InputError, match="expected an energy axis in eV, keV or meV, got 'nm'"):
        read_file(_msa(tmp_path, XUNITS="nm", XLABEL=label))


@pytest.mark.parametrize("kind", ["EDS", "edx", "WDS", "xeds"])
def test_x_rays_are_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match=rf"a\.msa: expected an energy-loss .*, got X-rays \({kind}\)\.$"):
        read_file(_msa(tmp_path, SIGNALTYPE=kind))
    assert len(read_file(_msa(tmp_path, SIGNALTYPE="ELS")).energy_ev) == 300


def test_the_x_column_may_differ_by_a_channel_from_what_the_header_says(tmp_path: Path) -> None:
    said = ("the energies are those of the X column; OFFSET and XPERCHAN say otherwise",)
    for offset, notes in ((620.19, ()), (619.81, ()), (620.21, said), (619.79, said), (0, said)):
        assert read_file(_msa(tmp_path, OFFSET=offset)).notes == notes
    for unsaid in ({"XPERCHAN": 0}, {"XPERCHAN": None}, {"OFFSET": None}):
        assert read_file(_msa(tmp_path, **unsaid)).notes == ()
    falling = read_file(_msa(tmp_path, ENERGY_EV[::-1], OFFSET=ENERGY_EV[-1], XPERCHAN=-0.2))
    assert falling.notes == ()
    np.testing.assert_array_equal(falling.counts[0], np.arange(300)[::-1])


def test_a_table_of_other_than_two_columns_is_no_xy(tmp_path: Path) -> None:
    path = _msa(tmp_path)
    head, data = path.read_text().split("#SPECTRUM    : \n")
    lines = [line for line in data.splitlines() if not line.startswith("#")]
    for n, shown in ((1, 1), (3, 3)):
        made = "\n".join(", ".join(line.split(", ")[:1] * n) for line in lines)
        path.write_text(f"{head}#SPECTRUM    : \n{made}\n")
        said = rf"a\.msa: expected two columns for DATATYPE XY, got {shown}\.$"
        with pytest.raises(InputError, match=said):
            read_file(path)
    path.write_text(_msa(tmp_path).read_text().replace(": XY", ": xy"))
    np.testing.assert_allclose(read_file(path).energy_ev, ENERGY_EV, atol=1e-4)


def test_only_irregular_energies_may_be_another_number(tmp_path: Path) -> None:
    steps = np.where(np.arange(299) % 2, 0.2, 0.2 * 1.009)
    nearly = 620 + np.r_[0, np.cumsum(steps)]
    with pytest.raises(InputError, match=r"a\.msa: NPOINTS 299 but 300 values: it is cut short or damaged"):
        read_file(_msa(tmp_path, np.round(nearly, 3), NPOINTS=299))
    irregular = 620 + np.r_[0, np.cumsum(np.where(np.arange(299) % 2, 0.2, 0.21))]
    read = read_file(_msa(tmp_path, irregular, NPOINTS=None, OFFSET=None))
    assert read.notes == ("its header says no NPOINTS, the irregular energies of 300 channels are believed",)
    with pytest.raises(InputError, match="NPOINTS 9 but 2 values"):
        read_file(_msa(tmp_path, irregular[:2], NPOINTS=9))


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("#SPECTRUM : \n1, 2", False), ("#TITLE : x\n#SPECTRUM : \n1, 2", False), 
        ("#FORMAT : x\n\n 1, 2", False),
        ("#FORMAT : x\n#NPOINTS : 2\n#TITLE : a: b\n#TITLE : c\n\n#DATATYPE : XY\n#SPECTRUM", True),
    ],
)  # fmt: skip
def test_a_header_ends_where_it_says(tmp_path: Path, text: str, good: bool) -> None:
    path = tmp_path / "a.msa"
    path.write_text(f"{text}\n600.0, 1\n700.0, 2\n" if good else text)
    if good:
        assert read_file(path).metadata == {"title": "a: b"}
        return
    with pytest.raises(InputError) as told:
        read_file(path)
    assert str(told.value) == (
        f"{path} cannot be read as .msa: expected a header from #FORMAT to #SPECTRUM; it is damaged, cut "
        "short or of another kind."
    )

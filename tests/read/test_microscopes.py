import logging
import pickle
import struct
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import h5py
import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.read import formats, ondisk, read_file, read_low_loss
from mnflow.read.microscopes import _axis_values, _choose, _in_array_order, _raw, _signal_axis, has_format
from mnflow.read.ondisk import OnDisk
from mnflow.spectra import MN, Edge, RawSpectra
from mnflow.spectra.raw import NavAxis
from tests.helpers.files import axis, counts_image, signal, write, write_dm3


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return counts_image(np.random.default_rng(0))


def _same(raw: RawSpectra, counts: np.ndarray) -> None:
    np.testing.assert_allclose(np.asarray(raw.counts), counts.reshape(-1, counts.shape[-1]), rtol=1e-6)
    np.testing.assert_allclose(raw.energy_ev, 580 + 0.1 * np.arange(counts.shape[-1]), atol=1e-3)
    assert raw.nav_shape == counts.shape[:-1]


@pytest.mark.parametrize("suffix", ["hspy", "emd"])
def test_images_line_scans_and_single_spectra(tmp_path: Path, counts: np.ndarray, suffix: str) -> None:
    for i, part in enumerate((counts, counts[0], counts[0, 0])):
        raw = read_file(write(tmp_path / f"{i}.{suffix}", signal(part)), "Mn2+", "an image")
        _same(raw, part)
        assert (raw.valence, raw.group) == ("Mn2+", "an image")


def test_digital_micrograph(tmp_path: Path, counts: np.ndarray) -> None:
    _same(
        read_file(write_dm3(tmp_path / "a.dm3", np.moveaxis(counts, -1, 0))), counts
    )  # it keeps the energy first
    raw = read_file(write_dm3(tmp_path / "b.dm3", counts[0, 0]))
    _same(raw, counts[0, 0])
    assert not raw.counts.flags.writeable  # the file itself lies behind it


@pytest.mark.parametrize(
    ("honest", "forged"),
    [
        (struct.pack(">7i", 7, 15, 0, 2, 0, 3, 0), struct.pack(">7i", 7, 15, 0, 10_001, 0, 3, 0)),
        (struct.pack(">7i", 7, 15, 0, 2, 0, 3, 0), struct.pack(">7i", 7, 15, 0, -1, 0, 3, 0)),
        (
            struct.pack(">iiii", 3, 20, 4, 14),
            struct.pack(">iiii", 3, 20, 4, 20_000_001),
        ),  # the text "Spectrum image"
        (struct.pack(">iiii", 3, 20, 4, 14), struct.pack(">iiii", 3, 20, 4, -5)),
    ],
)
def test_forged_tags_of_digital_micrograph(
    tmp_path: Path, counts: np.ndarray, honest: bytes, forged: bytes
) -> None:
    path = write_dm3(tmp_path / "a.dm3", counts[0, 0])
    whole = path.read_bytes()
    assert honest in whole
    path.write_bytes(whole.replace(honest, forged))
    said = r"cannot be read as \.dm3 \(OSError: a (structure of .* fields|tag of .* items)\)"
    with pytest.raises(InputError, match=said):
        read_file(path)


def test_tags_that_lead_back_are_not_followed(tmp_path: Path, counts: np.ndarray) -> None:
    """Data that call themselves a text of a negative length: its tags would be read again and again."""
    path = write_dm3(tmp_path / "a.dm3", counts[0, 0])
    honest = struct.pack(">iiii", 3, 20, 6, 1200)
    assert path.read_bytes().count(honest) == 1
    path.write_bytes(path.read_bytes().replace(honest, struct.pack(">iiii", 2, 18, -300, 0)))
    with pytest.raises(InputError, match=r"cannot be read as \.dm3 \(OSError: tags that point backwards\)"):
        read_file(path)


def test_a_text_may_be_empty(tmp_path: Path, counts: np.ndarray) -> None:
    raw = read_file(write_dm3(tmp_path / "a.dm3", counts[0, 0], title=""))
    _same(raw, counts[0, 0])
    assert not raw.metadata.get("title")


def test_a_header_may_promise_more_than_an_integer_holds(tmp_path: Path) -> None:
    """A product that overflows to nothing would pass for a file that holds it all."""
    path = write_dm3(tmp_path / "a.dm3", np.ones((37, 41, 43), np.float32))
    whole = path.read_bytes()
    for n in (37, 41, 43):
        honest = struct.pack(">ii", 1, 3) + struct.pack("<i", n)
        assert whole.count(honest) == 1
        whole = whole.replace(honest, struct.pack(">ii", 1, 3) + struct.pack("<i", 2**22))
    path.write_bytes(whole)
    said = r"its header promises 2\.95148e\+14 MB of data, and the file has 0\.2"
    with pytest.raises(InputError, match=said):
        read_file(path)


@pytest.mark.parametrize("kind", [8, 23])
def test_colour_pictures_are_no_spectra(tmp_path: Path, counts: np.ndarray, kind: int) -> None:
    path = write_dm3(tmp_path / "a.dm3", np.moveaxis(counts, -1, 0), kind=kind)
    with pytest.raises(InputError, match="expected spectra, got a file without any data"):
        read_file(path)


@pytest.mark.parametrize(("kind", "dtype"), [(7, np.int32), (11, np.uint32), (2, np.float32)])
def test_numbers_of_digital_micrograph_are_of_their_type(
    tmp_path: Path, counts: np.ndarray, kind: int, dtype: type
) -> None:
    raw = read_file(write_dm3(tmp_path / "a.dm3", np.moveaxis(counts, -1, 0), kind=kind))
    assert raw.counts.dtype == dtype
    np.testing.assert_array_equal(raw.counts[7], counts.reshape(12, -1)[7].view(dtype))


@pytest.mark.parametrize("shape", [(1, 4), (3, 1), (1, 1)])
def test_an_image_of_one_line_is_one_of_digital_micrograph_too(
    tmp_path: Path, counts: np.ndarray, shape: tuple[int, int]
) -> None:
    part = counts[: shape[0], : shape[1]]
    raw = read_file(write_dm3(tmp_path / "a.dm3", np.moveaxis(part, -1, 0)))
    np.testing.assert_array_equal(raw.counts, part.reshape(-1, 1200))
    assert raw.nav_shape == {(1, 4): (4,), (3, 1): (3, 1), (1, 1): ()}[shape]


def test_data_may_end_where_the_file_does(tmp_path: Path, counts: np.ndarray) -> None:
    path = write_dm3(tmp_path / "a.dm3", counts[0, 0])
    whole = path.read_bytes()
    start = whole.index(counts[0, 0].tobytes())
    for size, promise in (((len(whole) - start) // 4, None), ((len(whole) - start) // 4 + 1, "promises")):
        write_dm3(path, counts[0, 0], promised=size)
        if promise is None:
            assert read_file(path).counts.shape == (1, size)
        else:
            with pytest.raises(
                InputError,
                match=rf"a\.dm3: its header promises {4 * size / 1e6:.6g} MB of data, and the file has "
                rf"{len(whole) / 1e6:.6g} MB; copy it again\.$",
            ):
                read_file(path)
    write_dm3(path, counts[0, 0], promised=-1)
    with pytest.raises(InputError, match="its header promises"):
        read_file(path)


def test_what_begins_as_digital_micrographs_is_tried_as_such(tmp_path: Path) -> None:
    """Version 3 or 4, its own size or nearly so, and the order of its bytes."""

    def head(version: int, off: int = 0, order: int = 1, length: int = 200) -> bytes:
        wide = ">iqi" if version == 4 else ">iii"
        return struct.pack(wide, version, length + off, order).ljust(length, b"\0")

    path = tmp_path / "a.backup"
    for content, found in (
        (head(3), True), (head(4), True), (head(3, order=0), True), (head(4, order=0), True),
        (head(3, off=63), True), (head(3, off=-63), True), (head(3, off=64), False),
        (head(4, off=-64), False),
        (head(3, order=2), False), (head(4, order=2), False), (head(5), False), (head(2), False),
        (head(4, length=16), True), (head(3, length=16), True), (head(3)[:15], False), (b"", False),
    ):  # fmt: skip
        path.write_bytes(content)
        assert formats.is_microscopes(path) == found, content[:20]
    assert not formats.is_microscopes(tmp_path)


def test_what_digital_micrograph_says_of_the_acquisition(tmp_path: Path, counts: np.ndarray) -> None:
    metadata = read_file(write_dm3(tmp_path / "a.dm3", counts[0, 0])).metadata
    assert metadata == {"title": "made", "beam_energy_kev": 200.0}


def test_msa(tmp_path: Path, counts: np.ndarray) -> None:
    _same(read_file(write(tmp_path / "a.msa", signal(counts[0, 0]))), counts[0, 0])


def test_metadata_is_kept(tmp_path: Path, counts: np.ndarray) -> None:
    metadata = read_file(write(tmp_path / "a.hspy", signal(counts))).metadata
    assert metadata == {"title": "a title", "beam_energy_kev": 80.0}


def test_all_that_is_known_of_the_acquisition(tmp_path: Path, counts: np.ndarray) -> None:
    made = signal(counts)
    tem = made["metadata"]["Acquisition_instrument"]["TEM"]
    tem |= {
        "convergence_angle": 20.0,
        "Detector": {"EELS": {"collection_angle": 30, "dwell_time": True}},
    }  # no number
    assert read_file(write(tmp_path / "a.hspy", made)).metadata == {
        "beam_energy_kev": 80.0, "convergence_mrad": 20.0, "collection_mrad": 30, "title": "a title",
    }  # fmt: skip


def test_the_axis_to_blame_is_the_signals() -> None:
    scan, energy = {"navigate": True}, {"navigate": False}
    assert _signal_axis([scan, energy, scan]) == 1
    assert _signal_axis([energy, energy, scan]) == 2  # which of them cannot be told
    assert _signal_axis(["no axis", scan, {}]) == 2
    assert _signal_axis([{}, scan]) == 1


@pytest.mark.parametrize(
    ("units", "factor"), [("keV", 1e-3), ("meV", 1e3), ("eV", 1), ("ev", 1), ("[eV]", 1)]
)
def test_units_of_energy(tmp_path: Path, counts: np.ndarray, units: str, factor: float) -> None:
    made = signal(counts, units=units, scale=0.1 * factor, offset=580 * factor)
    _same(read_file(write(tmp_path / "a.hspy", made)), counts)


@pytest.mark.parametrize("units", ["nm", "MeV", "m", "channels"])
def test_no_energy_axis_gives_a_clear_error(tmp_path: Path, counts: np.ndarray, units: str) -> None:
    with pytest.raises(InputError, match=r"expected an energy axis in eV, keV or meV, got ('|no units)"):
        read_file(write(tmp_path / "a.hspy", signal(counts, units=units)))


@pytest.mark.parametrize("units", ["", None, "<undefined>"])
@pytest.mark.parametrize("factor", [1.0, 1e-3])
def test_numbers_without_a_unit_say_it_if_they_leave_no_doubt(
    tmp_path: Path, counts: np.ndarray, units: str, factor: float
) -> None:
    made = signal(counts, units=units, scale=0.1 * factor, offset=580 * factor)
    raw = read_file(write(tmp_path / "a.hspy", made))
    _same(raw, counts)
    unit = "eV" if factor == 1 else "keV"
    assert raw.notes == (f"the axis names no unit: the energies are read as {unit}, by their numbers",)
    for offset, scale in ((0.0, 1.0), (5000.0, 0.1)):  # channel numbers, and energies of nothing
        with pytest.raises(InputError, match="expected an energy axis in eV, keV or meV, got no units"):
            read_file(write(tmp_path / "b.hspy", signal(counts, units=units, scale=scale, offset=offset)))


def test_descending_axis_is_turned(tmp_path: Path, counts: np.ndarray) -> None:
    made = signal(counts[..., ::-1].copy(), scale=-0.1, offset=580 + 0.1 * (counts.shape[-1] - 1))
    _same(read_file(write(tmp_path / "a.hspy", made)), counts)


def test_irregular_axis(tmp_path: Path, counts: np.ndarray) -> None:
    energy_ev = 580 + 0.1 * np.arange(1200) + 1e-5 * np.arange(1200) ** 2
    made = signal(counts)
    made["axes"][-1] = {"_type": "DataAxis", "name": "E", "axis": energy_ev, "units": "eV"}
    made["axes"][-1] |= {"navigate": False, "size": 1200}
    np.testing.assert_allclose(read_file(write(tmp_path / "a.hspy", made)).energy_ev, energy_ev)


def test_energy_axis_may_be_any(tmp_path: Path, counts: np.ndarray) -> None:
    made = signal(counts)
    made["data"] = np.moveaxis(counts, -1, 0).copy()
    made["axes"] = [made["axes"][2], made["axes"][0], made["axes"][1]]
    _same(read_file(write(tmp_path / "a.hspy", made)), counts)


@pytest.mark.parametrize("name", ["none.hspy", "none.dm3", "none.csv", "none.pkl"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="No file at"):
        read_file(tmp_path / name)


def test_an_axis_that_nexus_holds_beside_its_spectrum_is_none(tmp_path: Path) -> None:
    import hyperspy.api as hs

    made = hs.signals.Signal1D(np.arange(1000, dtype=np.float32))
    axis = made.axes_manager.signal_axes[0]
    axis.offset, axis.scale, axis.units, axis.name = 600.0, 0.1, "eV", "Energy loss"
    made.save(tmp_path / "a.nxs")
    raw = read_file(tmp_path / "a.nxs")
    np.testing.assert_allclose(raw.counts, [np.arange(1000)])
    np.testing.assert_allclose(raw.energy_ev, 600 + 0.1 * np.arange(1000))


HIGHER = Edge("Mn", MN.classes, MN.charges, wide_ev=(715.0, 785.0), crop_ev=(735.0, 765.0))
"""The same edge 100 eV higher."""


@pytest.mark.parametrize("suffix", ["hspy", "csv", "msa"])
def test_the_edge_tells_the_unit_of_any_file(tmp_path: Path, counts: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    kev = 0.68 + 1e-4 * np.arange(1200)
    if suffix == "csv":
        np.savetxt(path, np.stack([kev, counts[0, 0]], axis=1), delimiter=",")
    else:
        write(path, signal(counts[0, 0], units="" if suffix == "hspy" else "keV", scale=1e-4, offset=0.68))
        if suffix == "msa":
            path.write_text(path.read_text().replace("keV", ""))
    raw = read_file(path, edge=HIGHER)
    np.testing.assert_allclose(raw.energy_ev, 1e3 * kev)
    assert "read as keV" in raw.notes[0]
    try:
        low_ev = read_file(path).energy_ev[0]
    except InputError:
        return
    assert low_ev == 0.68  # at best taken for eV


def test_of_a_published_file_the_edge_tells_window_and_valence(tmp_path: Path) -> None:
    path = tmp_path / "all.pkl"
    path.write_bytes(pickle.dumps(np.ones((2, 700)), protocol=4))
    assert read_file(str(path), edge=HIGHER).energy_ev[0] == 715
    assert read_file(path, valence="Mn3+", group="mine").valence == "Mn3+"
    assert (read_file(path).group, read_file(path, group="mine").group) == ("all", "mine")


def test_what_is_no_spectrum_is_told_how_to_go_on(tmp_path: Path) -> None:
    some = r"expected one of \.hspy, \.dm3, \.dm4, \.emd, .*\.msa, .*\.csv, .*\.pkl"
    for name, content, sentence in (
        ("a", b"\0nothing", rf"a: {some}, got 'no suffix'; save it as \.hspy\.$"),
        ("b.doc", b"\0nothing", rf"b\.doc: {some}, got '\.doc'; save it as \.hspy\.$"),
        ("c.zip", b"PK\x03\x04more", r"c\.zip: expected a file with spectra, got an archive; unpack it\.$"),
        ("d", b"", rf"d: {some}, got 'no suffix'"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=sentence):
            read_file(tmp_path / name)
    with pytest.raises(InputError, match=rf"^No file at .*none\.csv: {some}\.$"):
        read_file(tmp_path / "none.csv")


@pytest.mark.parametrize("byte", [b"\0", b"\x01", b"\x02", b"\x03", b"PK"])
def test_text_of_any_name_is_tried_unless_its_beginning_is_none(tmp_path: Path, byte: bytes) -> None:
    lines = b"".join(b"%d,%d\n" % (n, n % 7) for n in range(600, 2000))
    for content, text in ((lines, True), (lines[:4000] + byte + lines[4000:], False)):
        (tmp_path / "a.doc").write_bytes(content)
        if text:
            assert len(read_file(tmp_path / "a.doc").energy_ev) == 1400
        else:
            with pytest.raises(InputError, match="expected one of"):
                read_file(tmp_path / "a.doc")
    (tmp_path / "a.doc").write_bytes(lines[:4096] + byte)  # beyond what is looked at: as text, it is refused
    with pytest.raises(InputError) as told:
        read_file(tmp_path / "a.doc")
    assert "expected one of" not in str(told.value)


def test_a_format_is_known_by_its_first_words(tmp_path: Path) -> None:
    for content, known in (
        (b"#FORMAT : EMSA", True), (b"\xef\xbb\xbf \t\r\n#Format : EMSA", True), (b"# FORMAT", False),
        (b" " * 57 + b"#FORMAT", True), (b" " * 58 + b"#FORMAT", False), (b"640,1", False), (b"", False),
    ):  # fmt: skip
        (tmp_path / "a.x").write_bytes(content)
        assert has_format(tmp_path / "a.x") == known, content


@pytest.mark.parametrize(
    ("start", "stop", "low"), [(-1.0, 20.0, True), (-0.9, 20.0, False), (-1.0, 19.9, False), (-30, 90, True)]
)
def test_a_low_loss_holds_the_zero_loss_peak_and_what_follows(
    tmp_path: Path, start: float, stop: float, low: bool
) -> None:
    energy_ev = np.linspace(start, stop, 300)
    table = np.stack([energy_ev, np.ones(300)], axis=1)
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", header="energy_ev,i", comments="")
    if low:
        assert read_low_loss(str(tmp_path / "a.csv")).energy_ev[0] == start
        return
    with pytest.raises(InputError) as told:
        read_low_loss(tmp_path / "a.csv")
    assert str(told.value) == (
        f"{tmp_path / 'a.csv'}: expected a low loss from before the zero-loss peak to 20 eV or more, got "
        f"{start:.1f} ... {stop:.1f} eV."
    )


def test_axes_are_in_the_arrays_order_where_their_index_fits() -> None:
    def axes(*index: Any, sizes: tuple[Any, ...] = (2, 3, 4)) -> list[dict[str, Any]]:
        return [{"index_in_array": i, "size": n} for i, n in zip(index, sizes, strict=True)]

    def order(given: list[Any], shape: tuple[int, ...]) -> list[int]:
        return [next(i for i, a in enumerate(given) if a is x) for x in _in_array_order(given, shape)]

    assert order(axes(2, 0, 1), (3, 4, 2)) == [1, 2, 0]
    assert order(axes("2", 0, 1), (3, 4, 2)) == [1, 2, 0]
    for given, shape in (
        (axes(2, 0, 1), (2, 3, 4)),  # sizes as listed: the index is wrong
        (axes(1, 1, 0), (4, 2, 3)), (axes(3, 0, 1), (3, 4, 2)), (axes(None, 0, 1), (3, 4, 2)),
        (axes("x", 0, 1), (3, 4, 2)), (axes(2, 0, 1, sizes=(2, "x", 4)), (3, 4, 2)),
        ([{"index_in_array": 1}, {}], (3, 4)), (["no axis", {}], (3, 4)),
    ):  # fmt: skip
        assert order(given, shape) == list(range(len(given)))
    unsized = [{"index_in_array": 1}, {"index_in_array": 0}]
    assert order(unsized, (5, 6)) == [1, 0]


def test_axes_of_the_scan_have_names_and_lines_of_one_are_none(counts: np.ndarray) -> None:
    def raw(shape: tuple[int, ...]) -> RawSpectra:
        data = np.resize(counts, (*shape, 1200))
        scan = [axis("", n, 2.0 + i, float(i), "nm", True) for i, n in enumerate(shape)]
        axes = [*scan, axis("E", 1200, 0.1, 580.0, "eV", False)]
        return _raw({"data": data, "axes": axes}, Path("a"), MN)

    for shape, nav_shape, names in (
        ((), (), ()), ((5,), (5,), ("x",)), ((2, 3), (2, 3), ("y", "x")), ((3, 1), (3, 1), ("y", "x")),
        ((1, 3), (3,), ("x",)), ((1, 1), (), ()), ((2, 3, 4), (2, 3, 4), ("axis 0", "axis 1", "axis 2")),
        ((1, 1, 4), (4,), ("axis 2",)), ((1, 2, 1), (2, 1), ("axis 1", "axis 2")),
    ):  # fmt: skip
        found = raw(shape)
        assert (found.nav_shape, tuple(a.name for a in found.nav_axes)) == (nav_shape, names)
        assert found.counts.shape == (int(np.prod(shape)), 1200)
        first = len(shape) - len(nav_shape)
        assert [(a.scale, a.offset) for a in found.nav_axes] == [
            (2.0 + i, i) for i in range(first, len(shape))
        ]


def test_what_is_no_image_of_real_numbers_is_told(counts: np.ndarray) -> None:
    energy = axis("E", 1200, 0.1, 580.0, "eV", False)
    for data, axes, sentence in (
        (counts[0], [energy], "expected real numbers on 2 axes, got float32 on 1 axes."),
        (
            counts[0].astype(complex),
            [{}, energy],
            "expected real numbers on 2 axes, got complex128 on 2 axes.",
        ),
        (np.float64(3), [], "expected real numbers on 0 axes, got float64 on 0 axes."),
        (counts[0], ["no axis", {}], "expected energies, got an axis without any; save it as .hspy."),
    ):
        with pytest.raises(InputError) as told:
            _raw({"data": data, "axes": axes}, Path("a"), MN)
        assert str(told.value).startswith(f"a: {sentence}")
    for kind in ("u1", "i8", "f8", ">f4"):
        raw = _raw({"data": counts[0].astype(kind), "axes": [{}, energy]}, Path("a"), MN)
        assert raw.counts.dtype == kind


def test_of_several_axes_of_energy_the_signals_last_is_taken(counts: np.ndarray) -> None:
    def energies(*axes: Any) -> tuple[float, tuple[int, ...]]:
        data = np.ones([a["size"] if isinstance(a, dict) else 3 for a in axes])
        raw = _raw({"data": data, "axes": list(axes)}, Path("a"), MN)
        return float(raw.energy_ev[0]), raw.nav_shape

    def ev(size: int, offset: float, navigate: bool | None, units: str = "eV") -> dict[str, Any]:
        made = axis("E", size, 0.5, offset, units, bool(navigate))
        if navigate is None:
            del made["navigate"]
        return made

    assert energies(ev(4, 100, True), ev(5, 200, True)) == (200, (4,))
    assert energies(ev(4, 100, False), ev(5, 200, True)) == (100, (5,))
    assert energies(ev(4, 100, False), ev(5, 200, None)) == (100, (5,))
    assert energies(ev(4, 100, False), ev(5, 200, False)) == (200, (4,))
    # by their numbers: the signal axis first, then any
    assert energies(ev(200, 600, True, ""), ev(200, 620, False, "")) == (620, (200,))
    assert energies(ev(200, 600, True, ""), ev(150, 5000, False, "")) == (600, (150,))
    assert energies(ev(150, 0, True, "nm"), "no axis", ev(200, 600, True, "")) == (600, (150, 3))
    assert energies(ev(200, 600, False, ""), ev(150, 640, True, "nm")) == (600, (150,))
    with pytest.raises(InputError, match="expected an energy axis in eV, keV or meV, got 'nm'"):
        energies(ev(200, 600, True, "m"), ev(200, 620, False, "nm"))


def test_what_an_axis_of_the_scan_says_is_kept(counts: np.ndarray) -> None:
    energy = axis("E", 1200, 0.1, 580.0, "eV", False)
    for said, kept in (
        (
            {"name": "row", "scale": np.float32(0.5), "offset": 3, "units": "um"},
            NavAxis("row", 0.5, 3.0, "um"),
        ),
        ({"name": "<undefined>", "scale": "2", "offset": False, "units": None}, NavAxis("x", 1.0, 0.0, "")),
        ({"name": None, "scale": -np.inf, "offset": np.nan, "units": "nm"}, NavAxis("x", 1.0, 0.0, "nm")),
        ("no axis", NavAxis("x", 1.0, 0.0, "")),
    ):
        raw = _raw({"data": counts[0], "axes": [said, energy]}, Path("a"), MN)
        assert raw.nav_axes == (kept,)


def test_what_is_known_is_of_its_kind_and_in_its_unit(counts: np.ndarray) -> None:
    def metadata(**tem: Any) -> dict[str, Any]:
        made = signal(counts[0])
        made["metadata"] = {"General": {"title": "t"}, "Acquisition_instrument": {"TEM": tem}}
        return _raw(made, Path("a"), MN).metadata

    eels = {"collection_angle": np.int64(30), "dwell_time": np.float32(0.5)}
    found = metadata(beam_energy=200_000, convergence_angle="ten", Detector={"EELS": eels})
    assert found == {
        "title": "t", "beam_energy_kev": 200.0, "convergence_mrad": "ten", "collection_mrad": 30.0,
        "dwell_time_s": 0.5,
    }  # fmt: skip
    assert {k: type(v) for k, v in found.items()}["collection_mrad"] is float
    assert metadata(beam_energy=5000.0)["beam_energy_kev"] == 5000.0
    assert metadata(beam_energy=5001.0)["beam_energy_kev"] == 5.001
    assert metadata(beam_energy=True) == metadata(beam_energy=[80]) == metadata() == {"title": "t"}
    assert metadata(beam_energy="80 kV")["beam_energy_kev"] == "80 kV"
    bare = signal(counts[0]) | {"metadata": {"General": "no node"}}
    assert _raw(bare, Path("a"), MN).metadata == {}
    del bare["metadata"]
    assert _raw(bare, Path("a"), MN).metadata == {}


def chosen(*windows: tuple[float, float], rows: tuple[int, ...] = (3,) * 9) -> RawSpectra:
    """The one of several signals of 400 channels, each from one energy to another, that is taken for Mn."""
    signals = [
        signal(np.ones((n, 401), np.float32), scale=(b - a) / 400, offset=a)
        for (a, b), n in zip(windows, rows, strict=False)
    ]
    return _choose(signals, MN, Path("a"))


def test_the_signal_that_covers_the_window_or_half_of_it_is_taken() -> None:
    assert chosen((100, 200)).energy_ev[0] == 100  # alone, it is whatever was recorded
    for windows, taken in (
        (((100, 200), (600, 700)), 600), (((600, 650), (100, 200)), 600), (((650, 700), (100, 200)), 650),
        (((600, 700), (640, 800)), 600),  # the whole window, rather than most of it
        (((635, 664.9), (640, 700)), 635), (((640, 655), (100, 200)), 640),
    ):  # fmt: skip
        assert chosen(*windows).energy_ev[0] == taken
    for windows, n in (
        (((600, 649.9), (100, 200)), 0), (((650.1, 700), (100, 200)), 0), (((600, 700), (610, 690)), 2),
        (((600, 664.8), (640, 700)), 2), (((635.2, 700), (640, 700)), 2), (((100, 200), (1200, 1300)), 0),
    ):  # fmt: skip
        ranges = ", ".join(f"{a:.0f}-{b:.0f} eV" for a, b in windows)
        with pytest.raises(InputError) as told:
            chosen(*windows)
        assert str(told.value) == (
            f"a: expected one signal that covers 635-665 eV, got {n} among 2 ({ranges}); save the one to use "
            "in a file of its own."
        )
    with pytest.raises(InputError, match=r"got 0 among 7 \((\d+-\d+ eV(, )?){6}\); save"):
        chosen(*((100.0 * i, 100.0 * i + 50) for i in range(1, 8) if i != 6), (800, 900))


def test_the_low_loss_of_the_same_places_comes_with_the_core_loss() -> None:
    core, low = (600.0, 700.0), (-20.0, 80.0)
    found = chosen(low, core)
    assert found.low_loss is not None
    assert (found.energy_ev[0], found.low_loss.energy_ev[0]) == (600, -20)
    assert chosen(core, low, rows=(3, 4)).low_loss is None
    assert chosen(core, low, low).low_loss is None  # which of them?
    assert chosen(core, (-20.0, 10.0)).low_loss is None
    both = chosen((-20.0, 700.0), low)
    assert both.low_loss is not None
    assert both.low_loss.energy_ev[-1] == pytest.approx(80)


def test_signals_that_cannot_be_read_are_passed_over_unless_none_can() -> None:
    good = signal(np.ones((3, 401), np.float32), scale=0.25, offset=600.0)
    bad = signal(np.ones((3, 4), complex))
    for signals in ([good, bad], [bad, good]):
        assert _choose(signals, MN, Path("a")).energy_ev[0] == 600
    with pytest.raises(InputError, match="a: expected real numbers on 2 axes, got complex128"):
        _choose([bad, bad], MN, Path("a"))
    # an axis that looks like a spectrum is none, unless there is nothing else
    energy_ev = 600 + 0.25 * np.arange(401)
    itself = signal(energy_ev[None].astype(np.float64), scale=0.25, offset=600.0)
    assert _choose([itself, good], MN, Path("a")).counts.shape == (3, 401)
    with pytest.raises(InputError, match="got 2 among 2"):
        _choose([itself, itself], MN, Path("a"))
    twice = signal(np.stack([energy_ev, energy_ev]), scale=0.25, offset=600.0)
    with pytest.raises(InputError, match="got 2 among 2"):
        _choose([twice, good], MN, Path("a"))


@pytest.mark.parametrize("kind", ["EDS_SEM", "EDX", "WDS", "CL_SEM", "Luminescence"])
def test_light_and_x_rays_beside_energy_losses_are_passed_over(
    tmp_path: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    loss, other = signal(counts), signal(counts)
    other["metadata"]["Signal"]["signal_type"] = kind
    (tmp_path / "a.dm3").touch()
    monkeypatch.setattr(formats, "signals", lambda path: [other, loss])
    _same(read_file(tmp_path / "a.dm3"), counts)
    untold = signal(counts) | {"metadata": {}}
    picture = signal(counts, units="nm")
    monkeypatch.setattr(formats, "signals", lambda path: [picture, untold])
    _same(read_file(tmp_path / "a.dm3"), counts)
    monkeypatch.setattr(formats, "signals", lambda path: [other])
    with pytest.raises(InputError, match=rf"a\.dm3: expected energy-loss spectra, got {kind} only\.$"):
        read_file(tmp_path / "a.dm3")


def test_energies_that_fall_are_turned_in_memory_and_on_disk(counts: np.ndarray, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = counts
        rising, falling = signal(counts), signal(counts, scale=-0.1, offset=699.9)
        assert isinstance(_raw(rising | {"dataset": file["x"]}, Path("a"), MN).counts, OnDisk)
        turned = _raw(falling | {"dataset": file["x"]}, Path("a"), MN)
        np.testing.assert_array_equal(turned.counts, counts.reshape(12, -1)[:, ::-1])
        # up and down again, as a digitized curve may be: it has to be put in order
        bent = np.r_[580 + 0.1 * np.arange(1199), 590.0]
        back = signal(counts) | {"dataset": file["x"]}
        back["axes"][-1] = {"axis": bent, "units": "eV", "navigate": False}
        assert (np.diff(_raw(back, Path("a"), MN).energy_ev) > 0).all()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a file, got a folder; the command `mnflow predict` takes"):
        read_file(tmp_path)


def test_unknown_suffix(tmp_path: Path) -> None:
    (tmp_path / "a.doc").touch()
    with pytest.raises(InputError, match=r"expected one of .hspy, .dm3, .*, got '.doc'"):
        read_file(tmp_path / "a.doc")
    (tmp_path / "a.doc").write_text("640,1\n641,2\n")
    np.testing.assert_array_equal(read_file(tmp_path / "a.doc").counts, [[1, 2]])
    (tmp_path / "a.doc").write_bytes(b"640,1\n641,2\n\x01")
    with pytest.raises(InputError, match=r"expected one of .hspy, .dm3, .*, got '.doc'"):
        read_file(tmp_path / "a.doc")


@pytest.mark.parametrize("suffix", ["hspy", "emd", "msa", "dm3", "dm4"])
@pytest.mark.parametrize("content", [b"", b"nonsense\n" * 40, bytes(range(256)) * 8])
def test_a_file_of_another_kind(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read as|expected spectra|energy axis"):
        read_file(path)


@pytest.mark.parametrize("suffix", ["hspy", "emd", "dm3"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_file_cut_short(tmp_path: Path, counts: np.ndarray, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "dm3":
        write_dm3(path, np.moveaxis(counts, -1, 0))
    else:
        write(path, signal(counts))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"cannot be read as|promises"):
        read_file(path)


def test_a_header_that_promises_100_gb_in_dm3(tmp_path: Path, counts: np.ndarray) -> None:
    path = write_dm3(tmp_path / "a.dm3", np.moveaxis(counts, -1, 0), promised=2_000_000_000)
    with pytest.raises(InputError, match=r"its header promises 96000 MB of data, and the file has 0\.0"):
        read_file(path)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("bomb", {"shape": (5000, 5000, 1200), "chunks": (8, 8, 1200), "compression": "gzip"},
         r"that promise 120\.0 GB of data hold no measurement"),
        ("other", {"shape": (1000, 1000, 200), "chunks": (1000, 1000, 200)}, r"chunks of 0\.8 GB"),
        ("out", {"shape": (10,), "external": [("/etc/passwd", 0, 40)]}, "out lies in another file"),
        ("stolen", None, "stolen lies in another file"),
    ],
)  # fmt: skip
def test_hdf5_files_that_could_do_harm(
    tmp_path: Path, counts: np.ndarray, name: str, settings: dict[str, Any] | None, sentence: str
) -> None:
    path = write(tmp_path / "a.hspy", signal(counts))
    with h5py.File(path, "a") as file:
        if settings is None:
            file[name] = h5py.ExternalLink("/etc/passwd", "/")
        else:
            file.create_dataset(name, dtype="f4", **settings)
    with pytest.raises(InputError, match=sentence):
        read_file(path)


def test_big_files_stay_on_disk(tmp_path: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LAZY_BYTES", 1000)
    raw = read_file(write(tmp_path / "a.hspy", signal(counts)))
    assert isinstance(raw.counts, OnDisk)
    _same(raw, counts)
    flat = counts.reshape(-1, 1200)
    np.testing.assert_array_equal(raw.counts[3:11:2, 5:9], flat[3:11:2, 5:9])
    np.testing.assert_array_equal(raw.counts[7], flat[7])
    np.testing.assert_array_equal(raw.counts[5:6], flat[5:6])
    assert sum(raw.counts.chunks[0]) == len(raw) == 12
    turned = signal(counts[..., ::-1].copy(), scale=-0.1, offset=580 + 0.1 * 1199)
    lazy = read_file(write(tmp_path / "b.hspy", turned))
    assert isinstance(lazy.counts, da.Array)
    _same(lazy, counts)
    for name in ("c.emd", "d.nxs"):
        other = read_file(write(tmp_path / name, signal(counts)))
        assert isinstance(other.counts, da.Array)
        _same(other, counts)
    np.testing.assert_array_equal(
        np.concatenate([block for _, block in raw.blocks(1)]), counts.reshape(-1, 1200)
    )


def test_which_datasets_may_stay_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ondisk, "_MAX_LINE_BYTES", 4 * 60)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        sets = {
            shape: file.create_dataset(str(shape), shape, "f4")
            for shape in [(9,), (5, 60), (5, 61), (2, 3, 20), (0, 60)]
        }
        assert [shape for shape, d in sets.items() if OnDisk.suits(d, d.ndim - 1)] == [(5, 60), (2, 3, 20)]
        assert not OnDisk.suits(sets[(2, 3, 20)], 0)
        assert not OnDisk.suits(None, 1)
        assert OnDisk(sets[(2, 3, 20)]).nbytes == 2 * 3 * 20 * 4
        chunked = OnDisk(file.create_dataset("chunked", (7, 2, 20), "f4", chunks=(3, 1, 20)))
        assert chunked.chunks == ((6, 6, 2), (20,))
        assert OnDisk(sets[(2, 3, 20)]).chunks == ((3, 3), (20,))
        assert np.asarray(chunked, dtype=np.float64).dtype == np.float64


def test_empty_image(tmp_path: Path, counts: np.ndarray) -> None:
    path = write(tmp_path / "a.hspy", signal(counts))
    with h5py.File(path, "a") as file:
        del file["Experiments/a title/data"]
        file.create_dataset("Experiments/a title/data", (0, 4, 1200), "f4")
    with pytest.raises(InputError, match=r"expected spectra, got an empty image of shape \(0, 4\)"):
        read_file(path)


@pytest.mark.parametrize("data", [np.ones((3, 900), complex), np.ones((3, 900), bool)])
def test_numbers_must_be_real(tmp_path: Path, data: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected real numbers"):
        read_file(write(tmp_path / "a.hspy", signal(data)))


def test_one_channel_is_no_spectrum(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two channels or more"):
        read_file(write(tmp_path / "a.hspy", signal(np.ones((3, 1), np.float32))))


@pytest.mark.parametrize("changes", [{"scale": 0.0}, {"scale": np.nan}, {"offset": np.inf}])
def test_a_broken_energy_axis(tmp_path: Path, counts: np.ndarray, changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"a\.hspy: .*(energy axis|finite energies)"):
        read_file(write(tmp_path / "a.hspy", signal(counts, **changes)))


def test_axes_that_cannot_be() -> None:
    cases: list[tuple[object, str]] = [
        ("text", "mine: expected a described energy axis, got none"),
        ({"units": "eV", "expression": "x**2"}, "mine: its energy axis is a function; convert it"),
        ({"units": "eV"}, "mine: expected energies, got an axis without any"),
        ({"units": "eV", "axis": [1.0, 2.0]}, r"mine: expected 3 energies, got an axis of shape \(2,\)"),
    ]
    for axis_, sentence in cases:
        with pytest.raises(InputError, match=sentence):
            _axis_values(axis_, 3, "mine")
    np.testing.assert_allclose(_axis_values({"units": "keV", "scale": "0.5"}, 3, "mine"), [0, 500, 1000])
    with pytest.raises(
        InputError,
        match=r"^a\.hspy: its energy axis is damaged \(could not convert string to float: 'much'\)",
    ):
        _raw({"data": np.ones((2, 3)), "axes": [{}, {"units": "eV", "scale": "much"}]}, Path("a.hspy"), MN)


def test_what_a_library_logs_is_not_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noisy(path: Path) -> list[dict[str, object]]:
        logging.getLogger("rsciio").critical("heard")
        return [{"no": "data"}, "no signal"]  # type: ignore[list-item]

    monkeypatch.setattr(formats, "_reader", lambda path: noisy)
    (tmp_path / "a.dm3").touch()
    with pytest.raises(InputError, match="expected spectra, got a file without any data"):
        read_file(tmp_path / "a.dm3")
    assert not caplog.records
    logging.getLogger("rsciio").critical("heard")
    assert len(caplog.records) == 1


def test_among_several_signals_the_core_loss_is_taken(tmp_path: Path, counts: np.ndarray) -> None:
    path, other = tmp_path / "a.hspy", tmp_path / "b.hspy"
    write(path, signal(counts))
    low_loss = signal(counts, offset=-20.0)
    low_loss["metadata"]["General"]["title"] = "low loss"
    write(other, low_loss)
    with h5py.File(other) as source, h5py.File(path, "a") as target:
        source.copy(source["Experiments/low loss"], target["Experiments"])
        survey = target["Experiments"].create_group("survey")
        for key in ("metadata", "original_metadata"):
            survey.create_group(key)
        survey["data"] = np.ones((4, 4))
        for i in range(2):
            survey.create_group(f"axis-{i}").attrs.update(axis("x", 4, 1.0, 0.0, "nm", True))
    found = read_file(path)
    _same(found, counts)
    assert found.low_loss is not None, "dual EELS: the low loss of the same places comes with it"
    assert found.low_loss.energy_ev[0] == -20
    np.testing.assert_array_equal(read_low_loss(path).energy_ev, found.low_loss.energy_ev)


def test_a_low_loss_beside_the_spectra(tmp_path: Path, counts: np.ndarray) -> None:
    path = write(tmp_path / "core.hspy", signal(counts))
    low = write(tmp_path / "low.hspy", signal(counts, offset=-20.0))
    assert read_file(path).low_loss is None
    found = read_file(path, low_loss=low).low_loss
    assert found is not None
    assert (found.path, found.energy_ev[0]) == (low, -20)
    with pytest.raises(InputError, match=r"core.hspy: expected a low loss .* got 580.0 ..."):
        read_file(path, low_loss=path)


def test_several_that_fit_are_refused(tmp_path: Path, counts: np.ndarray) -> None:
    path = write(tmp_path / "a.hspy", signal(counts))
    with h5py.File(path, "a") as file:
        file.copy(file["Experiments/a title"], file["Experiments"], "copy")
    with pytest.raises(InputError, match="expected one signal that covers 635-665 eV, got 2 among 2"):
        read_file(path)


def test_vendor_files(real_data: Path) -> None:
    spectrum = read_file(real_data / "vendor" / "EELS_spectrum.dm3")
    assert (spectrum.nav_shape, spectrum.energy_ev[0], spectrum.energy_ev[1]) == ((), -100, -99.5)
    image = read_file(real_data / "vendor" / "EELS_SI.dm4")
    assert (image.nav_shape, image.counts.shape, image.energy_ev[0]) == ((2, 2), (4, 2048), 300)
    core_loss = read_file(real_data / "vendor" / "coreloss_spectrum.msa")
    np.testing.assert_allclose([core_loss.energy_ev[0], core_loss.energy_ev[-1]], [360, 769.4])


def test_index_in_array_is_obeyed(tmp_path: Path, counts: np.ndarray) -> None:
    made = signal(counts)
    made["axes"][0] |= {"units": "nm", "scale": 3.0}
    made["axes"][1] |= {"units": "um", "offset": 7.0}
    expected = (NavAxis("y", 3.0, 0.0, "nm"), NavAxis("x", 2.0, 7.0, "um"))
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        axes = [made["axes"][i] | {"index_in_array": i} for i in order]
        raw = _raw(made | {"axes": axes}, tmp_path / "a", MN)
        _same(raw, counts)
        assert raw.nav_axes == expected
    first = made | {"data": np.moveaxis(counts, -1, 0), "axes": [made["axes"][i] for i in (2, 0, 1)]}
    raw = _raw(first, tmp_path / "a", MN)
    _same(raw, counts)
    assert raw.nav_axes == expected


@pytest.mark.parametrize("scale", [None, True, np.nan, np.inf, "wide"])
def test_an_axis_of_the_scan_that_says_nothing(tmp_path: Path, counts: np.ndarray, scale: object) -> None:
    made = signal(counts)
    made["axes"][0] |= {"scale": scale, "offset": scale, "units": "<undefined>", "name": ""}
    assert _raw(made, tmp_path / "a", MN).nav_axes[0] == NavAxis("y", 1.0, 0.0, "")


def test_x_rays_are_no_energy_loss(tmp_path: Path, counts: np.ndarray) -> None:
    made = signal(counts, units="keV", offset=0.0, scale=0.01)
    made["metadata"]["Signal"]["signal_type"] = "EDS_TEM"
    with pytest.raises(InputError, match="expected energy-loss spectra, got EDS_TEM only"):
        read_file(write(tmp_path / "a.hspy", made))


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reader(path: Path) -> None:
        raise ModuleNotFoundError("No module named 'zarr'", name="zarr")

    monkeypatch.setattr(formats, "_reader", lambda path: reader)
    (tmp_path / "a.tif").touch()
    with pytest.raises(InputError, match=r"to read \.tif files the Python package zarr is needed"):
        read_file(tmp_path / "a.tif")


def test_a_folder_is_lazy_by_all_that_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def file_reader(path: str, lazy: bool) -> list[Any]:
        asked.append(lazy)
        return [signal(np.ones((2, 1200)))]

    monkeypatch.setitem(sys.modules, "rsciio.zspy", SimpleNamespace(file_reader=file_reader))
    monkeypatch.setattr(formats, "LAZY_BYTES", 10_000)
    (tmp_path / "a.zspy" / "deep").mkdir(parents=True)
    for size in (100, 20_000):
        (tmp_path / "a.zspy" / "deep" / "0.0").write_bytes(b" " * size)
        read_file(tmp_path / "a.zspy")
    assert asked == [False, True]


def test_a_folder_as_hyperspy_writes_it(
    tmp_path: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zarr", reason="pip install 'mnflow[zspy]'")
    made = signal(counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's, of its next version
        write(tmp_path / "a.zspy", made)
    for lazy_bytes in (formats.LAZY_BYTES, 100):
        monkeypatch.setattr(formats, "LAZY_BYTES", lazy_bytes)
        found = read_file(tmp_path / "a.zspy")
        np.testing.assert_array_equal(np.asarray(found.counts[:]), counts.reshape(len(found), -1))
        np.testing.assert_allclose(found.energy_ev, read_file(write(tmp_path / "a.hspy", made)).energy_ev)
        assert found.nav_shape == counts.shape[:-1]


@pytest.mark.parametrize("installed", ["3.1.6", None])
def test_the_version_of_zarr_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str | None
) -> None:
    if installed:
        monkeypatch.setattr(formats, "version", lambda name: installed)
    else:
        monkeypatch.setitem(sys.modules, "rsciio.zspy", None)
    (tmp_path / "a.zspy").mkdir()
    with pytest.raises(InputError, match=r"zarr of version 2 \(pip install 'mnflow\[zspy\]'\) is needed"):
        read_file(tmp_path / "a.zspy")


@pytest.mark.parametrize("name", [".zarray", ".zmetadata", ".zattrs", ".zgroup", "zarr.json"])
def test_a_store_that_asks_for_an_unpickler(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a.zspy" / "Experiments"
    folder.mkdir(parents=True)
    (folder / name).write_text('{"filters": [{"id": "pickle"}]}')
    with pytest.raises(InputError, match="it asks for an unpickler"):
        read_file(tmp_path / "a.zspy")


def test_the_content_says_what_a_file_is(tmp_path: Path, counts: np.ndarray) -> None:
    for i, path in enumerate(
        (write(tmp_path / "a.hspy", signal(counts[0, 0])), write_dm3(tmp_path / "a.dm3", counts[0, 0]))
    ):
        _same(read_file(path.rename(tmp_path / f"{i}.backup")), counts[0, 0])


def test_a_format_of_the_registry_may_be_an_hdf5_file(
    tmp_path: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = SimpleNamespace(file_reader=lambda path, lazy: [signal(counts)])
    monkeypatch.setitem(sys.modules, "rsciio.of_a_vendor", reader)
    monkeypatch.setitem(formats._BY_SUFFIX, ".h5", [{"api": "rsciio.of_a_vendor"}])
    for name in ("a.h5", "a.H5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["spectra"] = counts
        _same(read_file(tmp_path / name), counts)
    (tmp_path / name).rename(tmp_path / "a.unknown")
    with pytest.raises(InputError, match="none of HyperSpy, EMD or NeXus"):
        read_file(tmp_path / "a.unknown")

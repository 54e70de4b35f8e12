import json
import zipfile
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import numpy as np
import pytest
from numpy.typing import ArrayLike

from mnflow.errors import InputError
from mnflow.read import formats, read_file
from mnflow.read.emd import read_emd
from mnflow.spectra.raw import NavAxis
from tests.helpers.files import counts_image, signal, write


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return counts_image(np.random.default_rng(0))


def exchange_energies(path: Path, energy_ev: ArrayLike) -> None:
    """Give the signal of an .emd file other energies; its axis keeps its name and units."""
    with h5py.File(path, "a") as file:
        group = file["signals/a title"]
        described = dict(group["dim1"].attrs)
        del group["dim1"]
        group["dim1"] = energy_ev
        group["dim1"].attrs.update(described)


@pytest.mark.parametrize("bend", [1e-6, 1e-5])
def test_any_steps_of_an_emd_file(tmp_path: Path, counts: np.ndarray, bend: float) -> None:
    path = write(tmp_path / "a.emd", signal(counts))
    energy_ev = 580 + 0.1 * np.arange(1200) + bend * np.arange(1200) ** 2
    exchange_energies(path, energy_ev)
    raw = read_file(path)
    np.testing.assert_allclose(raw.energy_ev, energy_ev, rtol=1e-9)
    np.testing.assert_allclose(raw.counts, counts.reshape(-1, 1200))


def test_three_energies_may_have_any_steps_and_few_are_uniform(tmp_path: Path) -> None:
    for energies, bent in (
        ([600.0, 610.0, 640.0], True),
        ([600.0, 610.0], False),
        ([600.0, 610, 620], False),
    ):
        path = write(tmp_path / "a.emd", signal(np.ones((4, len(energies)), np.float32)))
        exchange_energies(path, energies)
        (found,) = read_emd(path, lazy=False)
        assert ("axis" in found["axes"][-1]) == bent
        np.testing.assert_allclose(read_file(path).energy_ev, energies)
        path.unlink()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_places_on_an_axis_must_be_numbers(tmp_path: Path, counts: np.ndarray, bad: float) -> None:
    for dimension, values in (("dim2", np.arange(4.0)), ("dim1", 580 + 0.1 * np.arange(1200))):
        path = write(tmp_path / "a.emd", signal(counts))
        values[2] = bad
        with h5py.File(path, "a") as file:
            group = file["signals/a title"]
            described = dict(group[dimension].attrs)
            del group[dimension]
            group[dimension] = values
            group[dimension].attrs.update(described)
        if dimension == "dim1":
            with pytest.raises(InputError, match=r"a\.emd: expected finite energies, got NaN or infinity"):
                read_file(path)
        else:  # of the scan: spectra are spectra wherever they were taken
            assert read_file(path).nav_axes[1] == NavAxis("x", 1.0, 0.0, "nm")
        path.unlink()


def velox(path: Path, counts: np.ndarray) -> Path:
    """A file of Velox with energy losses (Y, X, C), pixels of 2 x 3 nm, and X-rays that nobody may unfold."""

    def words(group: h5py.Group, name: str, said: dict[str, Any]) -> None:
        group[name] = np.frombuffer(json.dumps(said).encode().ljust(2000, b"\0"), np.uint8)[:, None]

    with h5py.File(path, "w") as file:
        file["Version"] = [json.dumps({"format": "Velox", "version": "11"}).encode()]
        size = {"PixelSize": {"width": "2e-9", "height": "3e-9"}, "PixelUnitX": "m", "PixelUnitY": "m"}
        words(
            file.create_group("Data/SpectrumImage/1"),
            "Metadata",
            {"BinaryResult": size | {"Offset": {"x": "0", "y": "0"}}},
        )
        group = file.create_group("Data/EelsSpectrumImage/2")
        group["Data"] = counts.transpose(1, 2, 0)
        words(group, "Metadata", {})
        words(group, "AcquisitionMetadata", {"Data": {"offset": 580.0, "dispersion": 0.1}})
        file.create_group("Data/SpectrumStream/3")["Data"] = np.zeros(9, np.uint16)
    return path


def test_velox_has_its_places_in_order(tmp_path: Path, counts: np.ndarray) -> None:
    """Also of a square image, where its sizes do not tell x from y."""
    square = counts[:3, :3]
    raw = read_file(velox(tmp_path / "a.emd", square))
    np.testing.assert_allclose(raw.energy_ev, 580 + 0.1 * np.arange(1200))
    assert raw.nav_shape == (3, 3)
    assert [(a.name, round(a.scale, 6), a.units) for a in raw.nav_axes] == [("y", 3, "nm"), ("x", 2, "nm")]
    np.testing.assert_array_equal(np.asarray(raw.counts).reshape(square.shape), square)
    (found,) = read_emd(tmp_path / "a.emd", lazy=True)
    assert found["metadata"]["Signal"]["signal_type"] == "EELS"


def test_velox_without_energy_loss_holds_no_spectra(tmp_path: Path, counts: np.ndarray) -> None:
    path = velox(tmp_path / "a.emd", counts)
    with h5py.File(path, "a") as file:
        del file["Data/EelsSpectrumImage"]
    with pytest.raises(InputError, match="expected spectra, got a file without any data"):
        read_file(path)
    assert read_emd(path, lazy=False) == []


def test_a_file_is_closed_once_it_is_read(tmp_path: Path, counts: np.ndarray) -> None:
    path = write(tmp_path / "a.emd", signal(counts))
    read_emd(path, lazy=False)
    with h5py.File(path, "a") as file:  # which an open one would not allow
        file["more"] = 1
    (found,) = read_emd(path, lazy=True)
    np.testing.assert_array_equal(found["data"].compute(), counts)


def test_velox_with_energy_loss_and_x_rays(tmp_path: Path, real_data: Path) -> None:
    with zipfile.ZipFile(real_data / "foreign" / "velox_eels_eds.zip") as archive:
        name = archive.extract(archive.namelist()[0], tmp_path)
    raw = read_file(name)
    assert (raw.nav_shape, raw.counts.shape[1]) == ((16, 20), 2048)
    assert [a.name for a in raw.nav_axes] == ["y", "x"]
    with pytest.raises(InputError, match="got an archive; unpack it"):
        read_file(real_data / "foreign" / "velox_eels_eds.zip")


def test_a_big_emd_file_stays_on_disk(
    tmp_path: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.emd", signal(counts))
    assert isinstance(read_file(path).counts, np.ndarray)
    monkeypatch.setattr(formats, "LAZY_BYTES", 1000)
    raw = read_file(path)
    assert isinstance(raw.counts, da.Array)
    np.testing.assert_array_equal(np.asarray(raw.counts), counts.reshape(-1, 1200))


def test_an_axis_of_names_is_none_of_energies(tmp_path: Path, counts: np.ndarray) -> None:
    """A file of another program may name the places of the scan."""
    path = write(tmp_path / "a.emd", signal(counts[0]))
    with h5py.File(path, "a") as file:
        group = file["signals/a title"]
        del group["dim2"]
        group["dim2"] = np.array([b"p1", b"p2", b"p3", b"p4"])
    raw = read_file(path)
    np.testing.assert_array_equal(raw.counts, counts[0])
    assert raw.nav_axes[0].scale == 1.0


@pytest.mark.parametrize("name", ["a.emd", "a.h5"])
def test_an_emd_file_of_neither_kind(tmp_path: Path, name: str) -> None:
    with h5py.File(tmp_path / name, "w") as file:
        file["Version"] = [b'{"format": "of somebody else"}']
    with pytest.raises(InputError, match=r"\(OSError: it is no EMD file of NCEM or Velox\)"):
        read_file(tmp_path / name)

import zipfile
from pathlib import Path

import dask.array as da
import h5py
import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.read import formats, read_file
from tests.helpers.files import counts_image, signal, write


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return counts_image(np.random.default_rng(0))


@pytest.mark.parametrize("bend", [1e-6, 1e-5])
def test_any_steps_of_an_emd_file(tmp_path: Path, counts: np.ndarray, bend: float) -> None:
    path = write(tmp_path / "a.emd", signal(counts))
    energy_ev = 580 + 0.1 * np.arange(1200) + bend * np.arange(1200) ** 2
    with h5py.File(path, "a") as file:
        group = file["signals/a title"]
        described = dict(group["dim1"].attrs)
        del group["dim1"]
        group["dim1"] = energy_ev
        group["dim1"].attrs.update(described)
    raw = read_file(path)
    np.testing.assert_allclose(raw.energy_ev, energy_ev, rtol=1e-9)
    np.testing.assert_allclose(raw.counts, counts.reshape(-1, 1200))


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

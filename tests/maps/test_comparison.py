"""References from files, and an edge as a sum of them."""

from pathlib import Path

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.maps.comparison import Reference, composition_of, read_reference
from mnflow.preprocess.crops import normalise
from mnflow.preprocess.window import placement
from mnflow.spectra import MN
from tests.maps.conftest import ENERGY_EV, image


def test_a_sum_of_references_is_found_again() -> None:
    rng = np.random.default_rng(0)
    pure = [Reference(name, rng.random(300).astype(np.float32)) for name in "ab"]
    found = composition_of(0.3 * pure[0].intensity + 0.1 * pure[1].intensity + 0.5, pure)
    np.testing.assert_allclose(found.shares, (0.75, 0.25), atol=1e-4)
    assert found.residual < 1e-4


def test_what_the_references_do_not_explain_is_the_residual() -> None:
    x = np.linspace(0, 6, 300)
    found = composition_of(np.sin(x).astype(np.float32), [Reference("a", np.sin(20 * x).astype(np.float32))])
    assert found.residual > 0.5


def written(folder: Path, shift_ev: float) -> Path:
    """One spectrum as a file, on an axis that is off by `shift_ev`."""
    path = folder / f"off by {shift_ev:g}.csv"
    table = np.stack([ENERGY_EV + shift_ev, image()[0, 0]], axis=1)
    np.savetxt(path, table, delimiter=",", header="energy_ev,intensity", comments="")
    return path


@pytest.mark.parametrize("shift_ev", [0.0, 3.0, 12.0])
def test_a_reference_on_the_images_axis_is_the_images_spectrum(tmp_path: Path, shift_ev: float) -> None:
    where = placement(ENERGY_EV + shift_ev, image()[0, 0], MN, "image")
    found = read_reference(written(tmp_path, shift_ev), where)
    assert (found.name, found.intensity.dtype) == (f"off by {shift_ev:g}", np.float32)
    np.testing.assert_allclose(found.intensity, normalise(where(image()[0, :1]))[0], atol=1e-4)


def test_a_reference_is_not_shifted_to_the_image(tmp_path: Path) -> None:
    where = placement(ENERGY_EV, image()[0, 0], MN, "image")
    here, off = (read_reference(written(tmp_path, shift), where).intensity for shift in (0.0, 2.0))
    bins = round(2.0 / MN.dispersion_ev)
    assert np.corrcoef(here[:-bins], off[bins:])[0, 1] > 0.999


def test_a_file_without_the_edge_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("energy_ev,intensity\n" + "\n".join(f"{e},1" for e in range(100)))
    with pytest.raises(InputError, match=r"none\.csv: expected energies that cover"):
        read_reference(tmp_path / "none.csv", placement(ENERGY_EV, image()[0, 0], MN, "image"))

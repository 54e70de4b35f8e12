"""References from files, and an edge as a sum of them."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.maps.comparison import Reference, composition_of, read_reference
from mnflow.preprocess.crops import normalise
from mnflow.preprocess.window import placement
from mnflow.spectra import MN
from tests.maps.conftest import ENERGY_EV, HIGHER, image, in_kev


@pytest.mark.parametrize("offset", [0.5, -0.2, 0.0])
def test_a_sum_of_references_is_found_again(offset: float) -> None:
    rng = np.random.default_rng(0)
    pure = [Reference(name, rng.random(300).astype(np.float32)) for name in "ab"]
    found = composition_of(0.3 * pure[0].intensity + 0.1 * pure[1].intensity + offset, pure)
    np.testing.assert_allclose(found.shares, (0.75, 0.25), atol=1e-4)
    assert found.residual < 1e-4


def test_what_the_references_do_not_explain_is_the_residual() -> None:
    x = np.linspace(0, 6, 300)
    found = composition_of(np.sin(x).astype(np.float32), [Reference("a", np.sin(20 * x).astype(np.float32))])
    assert found.residual > 0.5
    nothing = composition_of(np.full(300, 2.0, np.float32), [Reference("a", np.float32(x))])
    assert nothing.shares.tolist() == [0.0]
    # twice the edge is twice the misfit, and the same share of it
    both = [Reference("a", x.astype(np.float32)), Reference("b", np.sqrt(x).astype(np.float32))]
    once, twice = (composition_of(np.float32(n * (np.sin(x) + x)), both) for n in (1, 2))
    assert 0.01 < once.residual == pytest.approx(twice.residual, rel=1e-4)
    assert twice.shares.sum() == pytest.approx(1)


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


def test_the_unit_of_a_reference_is_told_by_the_images_edge(tmp_path: Path) -> None:
    where = placement(ENERGY_EV + 100, image()[0, 0], HIGHER, "image")
    found = read_reference(in_kev(tmp_path / "a.csv"), where)
    np.testing.assert_allclose(found.intensity, normalise(where(image()[0, :1]))[0], atol=1e-4)


def test_of_a_reference_without_background_none_is_taken_off(tmp_path: Path) -> None:
    """Published spectra are declared free of it, whatever they look like."""
    where = placement(ENERGY_EV, image()[0, 0], MN, "image")
    path = tmp_path / "Mn2_600-700eV_a.pkl"
    path.write_bytes(pickle.dumps(image()[0, :2].astype(np.float64), protocol=4))
    declared = placement(ENERGY_EV, image()[0, 0], MN, "image", True)
    assert (where.position.background, declared.position.background) == ("power law", "removed")
    expected = normalise(declared(image()[0, :2].mean(axis=0)[None]))[0]
    np.testing.assert_allclose(read_reference(path, where).intensity, expected, atol=1e-4)


def test_what_a_reference_does_not_reach_is_continued(tmp_path: Path) -> None:
    """Its own window lies elsewhere; beyond its ends its end values stand."""
    where = placement(ENERGY_EV, image()[0, 0], MN, "image")
    found = read_reference(written(tmp_path, -12.0), where)
    off = round(12.0 / MN.dispersion_ev)
    own = placement(ENERGY_EV - 12.0, image()[0, 0], MN, "image")
    missing = where.moved_bins - own.moved_bins
    assert 0 < missing <= off
    assert len(np.unique(found.intensity[-missing:])) == 1
    expected = normalise(own(image()[0, :1])[:, missing:])[0]
    np.testing.assert_allclose(np.ptp(found.intensity), np.ptp(expected), atol=1e-4)


def test_a_file_without_the_edge_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("energy_ev,intensity\n" + "\n".join(f"{e},1" for e in range(100)))
    with pytest.raises(InputError, match=r"none\.csv: expected energies that cover"):
        read_reference(tmp_path / "none.csv", placement(ENERGY_EV, image()[0, 0], MN, "image"))

"""Mixtures hold what they say, in compositions, noise and windows as they are drawn."""

import numpy as np
import pytest

from mnflow.fit import mixtures
from mnflow.fit.mixtures import NEIGHBOURS, PURE, Conditions, Materials, draw_fractions, mix, parted
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import load

SETTINGS = load()
QUIET = {0.0: 1e-6, 1.0: 1e-6}


@pytest.fixture(scope="module")
def materials() -> Materials:
    return Materials.draw(SETTINGS, parted(library_of(SETTINGS))[2], 20, np.random.default_rng(0))


def test_compositions_are_pure_pairs_and_mixtures_of_all() -> None:
    fractions = draw_fractions(3000, 3, np.random.default_rng(0))
    np.testing.assert_allclose(fractions.sum(axis=1), 1)
    valences = (fractions > 0).sum(axis=1)
    assert (valences == 1).mean() == pytest.approx(PURE, abs=0.03)
    assert set(valences.tolist()) == {1, 2, 3}
    pairs = fractions[valences == 2]
    assert (pairs[:, 1] > 0).mean() > NEIGHBOURS, "neighbours are mixed more often"
    assert (pairs[:, 1] == 0).any()


@pytest.mark.parametrize("n_classes", [2, 4])
def test_compositions_of_other_elements(n_classes: int) -> None:
    fractions = draw_fractions(300, n_classes, np.random.default_rng(0))
    np.testing.assert_allclose(fractions.sum(axis=1), 1)


def test_a_mixture_is_the_sum_of_its_parts(materials: Materials) -> None:
    rng = np.random.default_rng(1)
    sets = materials.sets(60, rng)
    mixed = mix(sets.pure, rng, QUIET)
    assert mixed.crops.shape == (60, 300)
    np.testing.assert_allclose(mixed.crops.mean(axis=1), 0, atol=1e-5)
    expected = np.einsum("nk,nkc->nc", mixed.fractions, sets.pure.astype(np.float64))
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(mixed.crops, expected, strict=True)]
    assert np.median(alike) > 0.995


def test_atoms_of_a_higher_valence_weigh_more(materials: Materials) -> None:
    area = materials.edges.sum(axis=2).mean(axis=1)
    assert area[0] < area[1] < area[2], "white lines go with the 3d holes"


def test_the_electron_yield_of_x_ray_spectra_saturates(
    materials: Materials, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(mixtures, "SATURATED", 1.0)
    for strength in (0.0, 0.4):
        monkeypatch.setattr(mixtures, "SATURATION", (strength, strength))
        sets = materials.sets(20, np.random.default_rng(4), Conditions(x_ray=1.0))
        seen.append(sets.pure.astype(np.float64))
    np.testing.assert_allclose(seen[1], 1.4 * seen[0] / (1 + 0.4 * seen[0]), atol=0.02)
    thick = materials.sets(20, np.random.default_rng(4), Conditions(x_ray=0.0)).pure
    monkeypatch.setattr(mixtures, "SATURATION", (0.0, 0.0))
    np.testing.assert_array_equal(
        thick, materials.sets(20, np.random.default_rng(4), Conditions(x_ray=0.0)).pure
    )


def test_noise_is_what_it_is_called(materials: Materials) -> None:
    rng = np.random.default_rng(2)
    pure = materials.sets(200, rng).pure
    fractions = draw_fractions(200, 3, rng)
    noisy = mix(pure, np.random.default_rng(3), {0.0: 0.05, 1.0: 0.05}, fractions)
    np.testing.assert_allclose(noisy.noise, 0.05, rtol=1e-5)
    before = noisy.crops[:, :20].std(axis=1) / np.ptp(noisy.crops, axis=1)
    assert 0.02 < np.median(before) < 0.06


def test_the_same_seed_gives_the_same_mixtures(materials: Materials) -> None:
    first, second = (
        mix(materials.sets(20, np.random.default_rng(4)).pure, np.random.default_rng(5)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.crops, second.crops)


def test_materials_to_fit_to_calibrate_and_to_test_have_none_in_common() -> None:
    parts = [{s.tobytes() for s in part.strength} for part in parted(library_of(SETTINGS))]
    assert len(parts[0] | parts[1] | parts[2]) == sum(map(len, parts))
    assert all(set(part.valence.tolist()) == {0, 1, 2} for part in parted(library_of(SETTINGS)))

"""Mixtures hold what they say, and what is found in them is near it, also for materials that were never
seen.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnflow.fit import unmix
from mnflow.fit.mixtures import Materials, draw_fractions, parted
from mnflow.serve.novelty import locate
from mnflow.simulate.library import SHIPPED, file_name, read
from mnflow.simulate.settings import load
from mnflow.spectra import MN
from tests.helpers.nets import made_up_net

SETTINGS = load()


@pytest.fixture(scope="module")
def materials() -> Materials:
    library = read(SHIPPED / file_name(SETTINGS))
    return Materials.draw(SETTINGS, parted(library)[1], 20, np.random.default_rng(0))


def test_fractions_add_up_and_some_are_pure_or_pairs() -> None:
    fractions = draw_fractions(300, 3, np.random.default_rng(0))
    np.testing.assert_allclose(fractions.sum(axis=1), 1)
    assert set((fractions > 0).sum(axis=1).tolist()) == {1, 2, 3}


def test_a_mixture_is_the_sum_of_its_parts_and_noise(materials: Materials) -> None:
    mixed = materials.mix(50, np.random.default_rng(1))
    assert mixed.crops.shape == (50, 300)
    np.testing.assert_allclose(mixed.crops.mean(axis=1), 0, atol=1e-5)
    expected = np.einsum("nk,nkc->nc", mixed.fractions, mixed.pure)
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(mixed.crops, expected, strict=True)]
    assert min(alike) > 0.95


def test_materials_to_fit_on_and_to_test_on_have_none_in_common() -> None:
    known, held_out = parted(read(SHIPPED / file_name(SETTINGS)))
    assert not {s.tobytes() for s in known.strength} & {s.tobytes() for s in held_out.strength}
    assert set(held_out.valence.tolist()) == {0, 1, 2}


def test_least_squares_finds_the_fractions_when_it_knows_the_spectra(materials: Materials) -> None:
    mixed = materials.mix(50, np.random.default_rng(2))
    assert np.abs(unmix.least_squares(mixed.crops, mixed.pure) - mixed.fractions).mean() < 0.05


def test_a_small_fit_is_better_than_the_mean() -> None:
    unmixer = unmix.fit(SETTINGS, 0, n=2000, materials=40, epochs=30)
    held_out = Materials.draw(
        SETTINGS, parted(read(SHIPPED / file_name(SETTINGS)))[1], 40, np.random.default_rng(3)
    )
    mixed = held_out.mix(300, np.random.default_rng(4))
    found, truth = (f @ np.array(MN.charges) for f in (unmixer(locate(mixed.crops)), mixed.fractions))
    assert np.sqrt(((found - truth) ** 2).mean()) < 0.6 * truth.std()


def test_the_shipped_regression_holds_on_materials_it_has_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmix, "MEASURED", 400)
    unmixer = unmix.shipped(MN)
    assert unmixer is not None
    found = unmix.measure(unmixer, made_up_net(2), 1.0, MN, seed=0)
    assert found["mixture/rmse"] < 0.19
    assert found["mixture/rmse_median_noise"] < 0.17
    assert found["mixture/rmse_foreign"] < 0.3
    assert found["mixture/rmse"] < found["mixture/rmse_least_squares"]
    assert found["mixture/rmse_known_references"] < found["mixture/rmse"], (
        "nobody beats those who know the answer's parts"
    )


def test_none_is_shipped_for_other_windows_or_elements() -> None:
    assert unmix.shipped(replace(MN, element="Xx")) is None
    assert unmix.shipped(replace(MN, crop_ev=(636.0, 666.0))) is None


def test_a_regression_comes_back_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unmixer = unmix.shipped(MN)
    assert unmixer is not None
    monkeypatch.setattr(unmix, "SHIPPED", tmp_path)
    unmix.save(unmixer, tmp_path / "mn.npz")
    again = unmix.shipped(MN)
    assert again is not None
    crops = np.random.default_rng(0).normal(size=(5, 300)).astype(np.float32)
    np.testing.assert_array_equal(again(locate(crops)), unmixer(locate(crops)))
    np.testing.assert_allclose(again(locate(crops)).sum(axis=1), 1)

"""A small fit finds the valence of materials it has not seen, and calibrated intervals cover what they
should.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnflow.fit import posterior as fitting
from mnflow.fit.mixtures import Materials, Mixtures, draw_fractions, mix, parted
from mnflow.fit.posterior import calibrate, cells_of, thickness_masses
from mnflow.serve.novelty import locate
from mnflow.serve.posterior import T_OVER_LAMBDA, compositions
from mnflow.serve.pretrained import digest
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import load
from mnflow.spectra import MN
from tests.helpers.posterior import made_up_posterior

SETTINGS = load()


@given(seed=st.integers(0, 10_000), n_classes=st.integers(2, 4))
def test_cells_have_the_composition_for_a_mean(seed: int, n_classes: int) -> None:
    fractions = draw_fractions(20, n_classes, np.random.default_rng(seed))
    cells = cells_of(fractions)
    assert (cells >= 0).all()
    assert ((cells > 0).sum(axis=1) <= n_classes).all()
    np.testing.assert_allclose(cells.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(cells @ compositions(n_classes), fractions, atol=1e-5)


def test_a_thickness_lies_between_its_two_nearest_and_an_unknown_one_nowhere() -> None:
    masses = thickness_masses(np.array([0.0, 0.6, 1.5, np.nan]))
    np.testing.assert_allclose(masses @ T_OVER_LAMBDA, [0, 0.6, 1.5, 0], atol=1e-6)
    np.testing.assert_allclose(masses.sum(axis=1), [1, 1, 1, 0], atol=1e-6)
    assert ((masses > 0).sum(axis=1) <= 2).all()


@pytest.fixture(scope="module")
def unseen() -> Mixtures:
    materials = Materials.draw(SETTINGS, parted(library_of(SETTINGS))[1], 60, np.random.default_rng(3))
    rng = np.random.default_rng(4)
    return mix(materials.sets(4000, rng).pure, rng)


@pytest.mark.slow
def test_a_small_fit_is_better_than_the_mean(unseen: Mixtures) -> None:
    lines: list[str] = []
    found = fitting.fit(SETTINGS, 0, 2000, 40, 20, lines.append)
    reading = found(locate(unseen.crops))
    truth = unseen.fractions @ np.array(MN.charges)
    assert np.sqrt(((reading.mean_valence - truth) ** 2).mean()) < 0.65 * truth.std()
    assert any("cross-entropy" in line for line in lines)


def test_calibrated_intervals_hold_every_valence_as_often_whatever_the_posterior(unseen: Mixtures) -> None:
    half = [Mixtures(*(a[i::2] for a in vars(unseen).values())) for i in range(2)]
    nonsense = made_up_posterior()
    truth = half[1].fractions @ np.array(MN.charges)
    for posterior, calibrated in ((nonsense, False), (calibrate(nonsense, half[0]), True)):
        low, high = posterior(locate(half[1].crops)).interval.T
        covered = (low <= truth + 1e-6) & (truth <= high + 1e-6)
        if not calibrated:
            assert covered.mean() < 0.85, "these weights mean nothing"
            continue
        assert covered.mean() > fitting.AIM - 0.03
        for valence in (2.0, 4.0):
            assert covered[truth == valence].mean() > fitting.AIM_PURE - 0.05
        for least, most in ((2.01, 2.7), (2.7, 3.3), (3.3, 3.99)):
            there = (truth >= least) & (truth < most)
            assert covered[there].mean() > fitting.AIM - 0.05


def test_calibrating_again_starts_anew(unseen: Mixtures) -> None:
    once = calibrate(made_up_posterior(), unseen)
    twice = calibrate(once, unseen)
    assert once.calibration is not None
    assert twice.calibration is not None
    np.testing.assert_allclose(once.calibration.limits, twice.calibration.limits)


@pytest.mark.slow
def test_a_predictor_is_built_and_comes_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (("SETS", 1000), ("MATERIALS", 20), ("EPOCHS", 2), ("CALIBRATED", 1000)):
        monkeypatch.setattr(fitting, name, value)
    monkeypatch.setattr(fitting, "CALIBRATION_MATERIALS", 20)
    monkeypatch.setattr(fitting, "NOVELTY_CROPS", 400)
    monkeypatch.setattr(fitting, "PRETRAINED", tmp_path)
    path = fitting.main("mn")
    predictor = fitting.Predictor.load(path)
    made = json.loads((tmp_path / "mn-made.json").read_text())
    assert (made["sha256"], made["recipe"]["epochs"]) == (digest(path), 2)
    assert predictor.net is None
    assert predictor.edge == MN
    assert predictor.posterior is not None
    assert predictor.posterior.calibration is not None
    assert predictor.novelty is not None
    assert replace(predictor, facts={}).facts == {}

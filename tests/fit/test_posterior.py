"""A small fit finds the valence of materials it has not seen, and a predictor is built with its record."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnflow.fit import posterior as fitting
from mnflow.fit.mixtures import Mixtures, draw_fractions
from mnflow.fit.posterior import cells_of, thickness_masses
from mnflow.serve.novelty import locate
from mnflow.serve.posterior import T_OVER_LAMBDA, compositions
from mnflow.serve.pretrained import digest
from mnflow.simulate.settings import load
from mnflow.spectra import MN

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


@pytest.mark.slow
def test_a_small_fit_is_better_than_the_mean(unseen: Mixtures) -> None:
    lines: list[str] = []
    found = fitting.fit(SETTINGS, 0, 2000, 40, 20, lines.append)
    reading = found(locate(unseen.crops))
    truth = unseen.fractions @ np.array(MN.charges)
    assert np.sqrt(((reading.mean_valence - truth) ** 2).mean()) < 0.65 * truth.std()
    assert any("cross-entropy" in line for line in lines)


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

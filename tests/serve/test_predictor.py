"""What a predictor says, and that it comes back from its file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.serve.novelty import Novelty
from mnflow.serve.predictor import Predictor
from mnflow.serve.unmix import Unmixer


def test_probabilities_votes_and_mean_valence_fit_together(predictor: Predictor) -> None:
    outcome = predictor(np.random.default_rng(0).normal(size=(20, 300)))
    np.testing.assert_allclose(outcome.probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(outcome.votes.sum(axis=1), 1)
    assert ((outcome.mean_valence >= 2) & (outcome.mean_valence <= 4)).all()


def test_a_higher_temperature_is_less_sure(predictor: Predictor) -> None:
    crops = np.random.default_rng(0).normal(size=(20, 300))
    mild, hot = (
        Predictor(predictor.net.only(0), predictor.edge, temperature=t)(crops).probabilities
        for t in (1.5, 50.0)
    )
    assert (hot.max(axis=1) < mild.max(axis=1)).all()


def test_comes_back_from_its_file(predictor: Predictor, tmp_path: Path) -> None:
    loaded = Predictor.load(predictor.save(tmp_path / "p.npz"))
    crops = np.random.default_rng(0).normal(size=(3, 300))
    np.testing.assert_array_equal(loaded(crops).probabilities, predictor(crops).probabilities)
    assert (loaded.edge, loaded.facts) == (predictor.edge, predictor.facts)
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


def test_refuses_a_file_that_is_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", header=np.array({"a": 1}, dtype=object))  # would have to be unpickled
    for path in (tmp_path / "x.npz", tmp_path / "missing.npz"):
        with pytest.raises(InputError, match="is not a predictor of mnflow"):
            Predictor.load(path)


def test_novelty_comes_back_from_the_file(predictor: Predictor, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = ((85,), (8, 85), (85, 16), (16,), (16,))
    novelty = Novelty(*(rng.normal(size=s).astype("f") for s in shapes), 0.5, (1.0, 0.2, 0.3), 0.02)
    loaded = Predictor.load(replace(predictor, novelty=novelty).save(tmp_path / "p.npz"))
    assert loaded.novelty is not None
    assert tuple(loaded.novelty.limits) == novelty.limits
    for name in ("mean", "components", "planes", "offsets", "coefficients"):
        np.testing.assert_array_equal(getattr(loaded.novelty, name), getattr(novelty, name))


def test_fractions_make_the_mean_valence_and_come_back_from_the_file(
    predictor: Predictor, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    shapes = ((121, 4), (4, 3))
    unmixer = Unmixer(
        tuple(rng.normal(size=s).astype("f") for s in shapes), tuple(np.ones(s[1], "f") for s in shapes)
    )
    mixing = replace(predictor, unmixer=unmixer)
    crops = rng.normal(size=(5, 300)).astype("f")
    outcome = mixing(crops)
    np.testing.assert_allclose(outcome.fractions.sum(axis=1), 1)
    np.testing.assert_allclose(outcome.mean_valence, outcome.fractions @ [2.0, 3.0, 4.0])
    np.testing.assert_array_equal(
        Predictor.load(mixing.save(tmp_path / "p.npz"))(crops).fractions, outcome.fractions
    )
    plain = predictor(crops)
    assert np.isnan(plain.fractions).all()
    np.testing.assert_allclose(plain.mean_valence, plain.probabilities @ [2.0, 3.0, 4.0])

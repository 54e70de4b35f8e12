"""What a predictor says, and that it comes back from its file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.serve.novelty import Novelty
from mnflow.serve.numpy_nets import NumpyNet
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from tests.helpers.posterior import made_up_posterior

CROPS = np.random.default_rng(0).normal(size=(20, 300)).astype(np.float32)


@pytest.fixture
def both(predictor: Predictor) -> Predictor:
    return replace(predictor, posterior=made_up_posterior())


def test_nets_alone_answer_with_their_probabilities(predictor: Predictor) -> None:
    outcome = predictor(CROPS)
    opinion = predictor.second_opinion(CROPS).mean(axis=0)
    np.testing.assert_allclose(outcome.reading.probabilities, opinion)
    np.testing.assert_allclose(outcome.reading.fractions, opinion)
    np.testing.assert_allclose(outcome.reading.mean_valence, opinion @ [2, 3, 4])
    assert ((outcome.disagreement >= 0) & (outcome.disagreement < 1)).all()
    assert not outcome.calibrated
    assert not outcome.contradicted.any()


def test_a_posterior_alone_answers_without_a_second_opinion() -> None:
    bare = Predictor(MN, made_up_posterior())
    outcome = bare(CROPS)
    assert np.isnan(outcome.disagreement).all()
    assert outcome.calibrated
    with pytest.raises(InputError, match="Expected a predictor with nets"):
        bare.second_opinion(CROPS)


def test_where_there_are_both_the_posterior_answers(both: Predictor) -> None:
    bare, outcome = Predictor(MN, both.posterior)(CROPS), both(CROPS)
    for name, values in vars(bare.reading).items():
        np.testing.assert_array_equal(getattr(outcome.reading, name), values)
    assert np.isfinite(outcome.disagreement).all()


def test_nets_that_contradict_are_noticed(both: Predictor, net: NumpyNet) -> None:
    assert both.posterior is not None
    first, last = both.posterior.weights
    both = replace(both, posterior=replace(both.posterior, weights=(first, 20 * last)))  # sure of itself
    likeliest = both(CROPS).reading.probabilities.argmax(axis=1)
    bias = np.zeros_like(net.steps[-1].bias)
    bias[:, likeliest[0]] = 1e3  # these nets always say what the posterior says of the first crop
    stubborn = NumpyNet((*net.steps[:-1], replace(net.steps[-1], bias=bias)), net.n_channels)
    outcome = replace(both, net=stubborn)(CROPS)
    impossible = outcome.reading.probabilities[:, likeliest[0]] <= 0.05
    by_white_lines = replace(both, net=None)(CROPS).contradicted
    np.testing.assert_array_equal(outcome.contradicted, impossible | by_white_lines)
    assert (impossible & ~by_white_lines).any()


def test_refuses_neither_nor_and_other_charges() -> None:
    with pytest.raises(InputError, match="a posterior or nets"):
        Predictor(MN)
    with pytest.raises(InputError, match="posterior for the charges"):
        Predictor(MN, made_up_posterior(2))


def test_a_higher_temperature_is_less_sure(predictor: Predictor) -> None:
    single = replace(predictor, net=predictor.net.only(0) if predictor.net else None)
    mild, hot = (replace(single, temperature=t).probabilities(CROPS) for t in (1.5, 50.0))
    assert (hot.max(axis=1) < mild.max(axis=1)).all()


@pytest.mark.parametrize("kind", ["nets", "posterior", "both"])
def test_comes_back_from_its_file(predictor: Predictor, tmp_path: Path, kind: str) -> None:
    posterior = None if kind == "nets" else made_up_posterior()
    saved = replace(predictor, posterior=posterior, net=None if kind == "posterior" else predictor.net)
    loaded = Predictor.load(saved.save(tmp_path / "p.npz"))
    np.testing.assert_array_equal(loaded.probabilities(CROPS), saved.probabilities(CROPS))
    assert (loaded.edge, loaded.facts) == (predictor.edge, predictor.facts)
    assert (loaded.net is None, loaded.posterior is None) == (saved.net is None, saved.posterior is None)
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

"""What a predictor says, and that it comes back from its file."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.serve.novelty import Novelty, locate
from mnflow.serve.numpy_nets import NumpyNet, Step
from mnflow.serve.posterior import ReferenceMixtures
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from tests.helpers.nets import made_up_net
from tests.helpers.posterior import made_up_posterior

CROPS = np.random.default_rng(0).normal(size=(20, 300)).astype(np.float32)


@pytest.fixture
def both(predictor: Predictor) -> Predictor:
    return replace(predictor, posterior=made_up_posterior())


def sure(predictor: Predictor) -> Predictor:
    """The same with a posterior that is sure of itself."""
    assert predictor.posterior is not None
    first, last = predictor.posterior.weights
    return replace(predictor, posterior=replace(predictor.posterior, weights=(first, 20 * last)))


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
    said = "^Expected a predictor with nets, got one with a posterior only: promote a run to make one.$"
    with pytest.raises(InputError, match=said):
        bare.second_opinion(CROPS)


def test_where_there_are_both_the_posterior_answers(both: Predictor) -> None:
    bare, outcome = Predictor(MN, both.posterior)(CROPS), both(CROPS)
    for name, values in vars(bare.reading).items():
        np.testing.assert_array_equal(getattr(outcome.reading, name), values)
    assert (outcome.disagreement <= 0.5).all()


@pytest.mark.parametrize(
    ("votes", "disagreement"), [((1, 1, 1, 1), 0.0), ((0, 2, 0, 0), 0.25), ((2, 2, 1, 0), 0.5)]
)
def test_disagreement_is_the_share_of_votes_against_most(
    both: Predictor, net: NumpyNet, votes: tuple[int, ...], disagreement: float
) -> None:
    bias = 1e3 * np.eye(3, dtype=np.float32)[list(votes)]
    stubborn = NumpyNet((*net.steps[:-1], replace(net.steps[-1], bias=bias)), net.n_channels)
    for one in (replace(both, net=stubborn), replace(both, net=stubborn, posterior=None)):
        np.testing.assert_allclose(one(CROPS).disagreement, disagreement)


def test_a_single_net_has_nobody_to_disagree_with(predictor: Predictor) -> None:
    assert predictor.net is not None
    assert np.isnan(replace(predictor, net=predictor.net.only(0))(CROPS).disagreement).all()
    assert np.isfinite(replace(predictor, net=made_up_net(2))(CROPS).disagreement).all()


def test_without_known_spectra_nothing_is_strange(both: Predictor) -> None:
    strange = both(CROPS).strange
    assert (strange.shape, strange.dtype) == ((20, 4), bool)
    assert not strange.any()


def test_own_references_contradict_what_lies_far_from_their_mixtures(both: Predictor) -> None:
    pure = {k: np.exp(-(((np.arange(300) - 90 - 9 * k) / 8) ** 2)).astype("f") for k in range(3)}
    mixtures = ReferenceMixtures.of_pure(pure, MN.charges)
    assert mixtures is not None
    without, found = (replace(sure(both), own_references=own)(CROPS) for own in (None, mixtures))
    far = mixtures.contradicts(locate(CROPS), found.reading)
    np.testing.assert_array_equal(found.contradicted, without.contradicted | far)
    assert (far & ~without.contradicted).any()
    assert (without.contradicted & ~far).any()


def test_nets_that_contradict_are_noticed(both: Predictor, net: NumpyNet) -> None:
    both = sure(both)
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
    with pytest.raises(InputError, match=r"^Expected a posterior or nets to predict with, got neither\.$"):
        Predictor(MN)
    said = r"^Expected a posterior for the charges \(2\.0, 3\.0, 4\.0\), got \(2\.0, 3\.0\)\.$"
    with pytest.raises(InputError, match=said):
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
    assert (loaded.edge, loaded.facts, loaded.temperature) == (MN, {"cv_run": "abc"}, 1.5)
    assert (loaded.net is None, loaded.posterior is None) == (saved.net is None, saved.posterior is None)
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


def test_a_net_that_sees_bins_around_l3_comes_back(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(2, 1, 45, 3)).astype("f")
    step = Step(weight, np.zeros((2, 3), "f"), before="flatten")
    saved = Predictor(MN, net=NumpyNet((step,), 300, l3_bin=4))
    loaded = Predictor.load(saved.save(tmp_path / "p.npz"))
    assert loaded.net is not None
    assert (loaded.net.l3_bin, loaded.net.n_channels) == (4, 300)
    np.testing.assert_array_equal(loaded.probabilities(CROPS), saved.probabilities(CROPS))


def header_changed(path: Path, **changes: Any) -> Path:
    """The file with another header; what is changed to None is left out."""
    with np.load(path) as z:
        arrays = dict(z)
    header = json.loads(str(arrays.pop("header"))) | changes
    kept = {k: v for k, v in header.items() if k not in changes or v is not None}
    np.savez(path, header=np.array(json.dumps(kept)), **arrays)
    return path


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": "mnflow-predictor-4"}, "format 'mnflow-predictor-4'"),
        ({"centred": True}, "its net is of an older mnflow"),
        ({"facts": None}, "'facts'"),
        ({"steps": [{"taps": [1.0], "no": 1}]}, ".*'no'.*"),
        ({"edge": "Mn"}, ".*items.*"),
    ],
)
def test_refuses_a_file_of_another_mnflow(
    predictor: Predictor, tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    path = predictor.save(tmp_path / "p.npz")
    assert Predictor.load(header_changed(path, centred=False)).edge == MN
    words = rf"^{re.escape(str(path))} is not a predictor of mnflow \({why}\): promote a run to make one\.$"
    with pytest.raises(InputError, match=words):
        Predictor.load(header_changed(path, **changes))


def test_refuses_a_file_that_is_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", header=np.array({"a": 1}, dtype=object))  # would have to be unpickled
    for path in (tmp_path / "x.npz", tmp_path / "missing.npz"):
        with pytest.raises(InputError, match="is not a predictor of mnflow"):
            Predictor.load(path)


def test_novelty_comes_back_from_the_file(predictor: Predictor, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = ((86,), (8, 86), (86, 16), (16,), (16, 2))
    novelty = Novelty(*(rng.normal(size=s).astype("f") for s in shapes), 0.5, (1.0, 0.2, 0.3, 0.4), 0.02)
    loaded = Predictor.load(replace(predictor, novelty=novelty).save(tmp_path / "p.npz"))
    assert loaded.novelty is not None
    assert tuple(loaded.novelty.limits) == novelty.limits
    assert (loaded.novelty.noise_slope, loaded.novelty.false_alarm_rate) == (0.5, 0.02)
    outcome = loaded(CROPS)
    np.testing.assert_array_equal(outcome.strange, novelty.reasons(locate(CROPS)))
    assert outcome.strange.any()
    for name in ("mean", "components", "planes", "offsets", "coefficients"):
        np.testing.assert_array_equal(getattr(loaded.novelty, name), getattr(novelty, name))

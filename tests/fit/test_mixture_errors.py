"""The shipped posterior is accurate on unseen materials; least squares with the true parts is more so."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mnflow.fit import mixture_errors
from mnflow.fit.mixtures import Materials, mix, parted
from mnflow.serve.pretrained import pretrained
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import load
from tests.helpers.nets import made_up_net

SETTINGS = load()


def test_least_squares_finds_the_fractions_when_it_knows_the_spectra() -> None:
    rng = np.random.default_rng(2)
    materials = Materials.draw(SETTINGS, parted(library_of(SETTINGS))[2], 20, rng)
    pure = materials.sets(50, rng).pure
    mixed = mix(pure, rng, mixture_errors.MEDIAN_NOISE)
    found = mixture_errors.least_squares(mixed.crops, pure.astype(np.float32))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.median(np.abs(found - mixed.fractions)) < 0.05


def test_least_squares_leaves_a_constant_out_and_has_no_negative_parts() -> None:
    x = np.arange(30)
    pure = np.stack([np.exp(-(((x - at) / 3) ** 2)) for at in (8, 15, 22)])
    mixed = np.array([[0.2, 0.3, 0.5], [2.0, 0.0, 2.0], [1.0, -0.5, 0.0]]) @ pure
    found = mixture_errors.least_squares(mixed + np.array([[7.0], [-7.0], [0.0]]), pure[None])
    np.testing.assert_allclose(found[:2], [[0.2, 0.3, 0.5], [0.5, 0, 0.5]], atol=1e-6)
    assert found[2, 0] > 0.8
    assert found[2, 1] == pytest.approx(0, abs=1e-6)
    own = np.stack([pure, pure[::-1], pure])
    np.testing.assert_allclose(mixture_errors.least_squares(mixed, own)[0], found[0], atol=1e-6)
    reversed_ = mixture_errors.least_squares(mixed[[0, 0, 0]], own)[1]
    np.testing.assert_allclose(reversed_, [0.5, 0.3, 0.2], atol=1e-6)
    nothing = mixture_errors.least_squares(np.zeros((1, 30)), pure[None])
    np.testing.assert_allclose(nothing, [[1 / 3] * 3])


def test_errors_coverage_and_width_of_what_was_read() -> None:
    truth = np.array([2.0, 3.0, 4.0, 2.5])
    interval = np.array([[2.0, 2.2], [2.5, 3.0], [3.0, 3.9], [2.6, 3.0]])
    reading: Any = SimpleNamespace(mean_valence=np.array([2.1, 2.8, 3.5, 2.7]), interval=interval)
    nothing: Any = None
    found = mixture_errors.Read(nothing, nothing, reading, truth)
    np.testing.assert_allclose(found.error, [0.1, -0.2, -0.5, 0.2])
    assert found.covered.tolist() == [True, True, False, False]
    np.testing.assert_allclose(found.width, [0.2, 0.5, 0.9, 0.4])


def test_as_many_mixtures_are_read_as_are_asked_for() -> None:
    predictor, rng = pretrained("Mn"), np.random.default_rng(0)
    found = mixture_errors.draw_and_read(predictor, SETTINGS, rng, 40, noise=mixture_errors.QUIET)
    assert len(found.truth) == len(found.reading.mean_valence) == len(found.sets.pure) == 40
    np.testing.assert_allclose(found.truth, found.mixtures.fractions @ (2, 3, 4))
    assert found.mixtures.noise.max() < 1e-3
    assert np.abs(found.error).mean() < 0.2
    usual = mixture_errors.draw_and_read(predictor, SETTINGS, np.random.default_rng(0), 40)
    assert np.median(usual.mixtures.noise) > 1e-3
    np.testing.assert_array_equal(usual.sets.pure, found.sets.pure)
    foreign = mixture_errors.draw_and_read(predictor, SETTINGS, np.random.default_rng(0), 40, foreign=True)
    assert not np.array_equal(foreign.sets.pure, found.sets.pure)


@pytest.mark.slow
def test_the_shipped_posterior_holds_on_materials_it_has_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture_errors, "MEASURED", 800)
    predictor = pretrained("Mn")
    found = mixture_errors.measure(replace(predictor, net=made_up_net(2)), seed=0)
    assert found["mixture/rmse"] < 0.15
    assert found["mixture/rmse_median_noise"] < found["mixture/rmse"]
    assert found["mixture/rmse_foreign"] < 0.19
    assert found["mixture/rmse_nets"] > found["mixture/rmse"], "these nets mean nothing"
    assert 0.86 < found["mixture/coverage"] < 0.97
    assert found["mixture/coverage_foreign"] > 0.8
    assert 0.2 < found["mixture/interval_width"] < 0.42
    assert 0.005 < found["mixture/rmse_known_references"] < found["mixture/rmse"]
    assert found.pop("mixture/rmse_nets") > 0.5
    assert mixture_errors.measure(predictor, seed=0) == found  # by the same draws, and without nets
    monkeypatch.setattr(mixture_errors, "MEASURED", 40)
    few, others = (mixture_errors.measure(predictor, seed=seed) for seed in (0, 1))
    assert all(few[name] != others[name] for name in few if "rmse" in name)

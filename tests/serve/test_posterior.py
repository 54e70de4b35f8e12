"""The posterior forgets offsets and gains, and comes back from its arrays."""

from dataclasses import replace

import numpy as np
import pytest

from mnflow.preprocess.crops import normalise
from mnflow.serve.decision import mean_valence_distribution
from mnflow.serve.novelty import locate
from mnflow.serve.posterior import (
    T_OVER_LAMBDA,
    Calibration,
    Posterior,
    ReferenceMixtures,
    compositions,
    inputs,
    probability_below,
)
from tests.helpers.posterior import made_up_posterior
from tests.helpers.spectra import edge_shape

ENERGY_EV = 635 + 0.1 * np.arange(300)


def crops(l3_ev: float = 642.0) -> np.ndarray:
    return normalise(np.stack([edge_shape(ENERGY_EV, k, l3_ev) for k in range(3)])).astype(np.float32)


@pytest.fixture
def posterior() -> Posterior:
    return made_up_posterior()


def test_a_shift_changes_next_to_nothing(posterior: Posterior) -> None:
    here, there = (posterior.cells(locate(crops(e))) for e in (642.0, 644.0))
    np.testing.assert_allclose(here.sum(axis=1), 1)
    np.testing.assert_allclose(here, there, atol=0.02)


def test_chunks_change_nothing(posterior: Posterior) -> None:
    many = np.tile(crops(), (500, 1))
    np.testing.assert_allclose(
        posterior.cells(locate(many))[-3:], posterior.cells(locate(crops())), rtol=1e-4
    )
    assert posterior.cells(locate(many[:0])).shape == (0, 66)


def test_layers_that_see_nothing_say_their_bias(posterior: Posterior) -> None:
    deaf = replace(posterior, weights=tuple(np.zeros_like(w) for w in posterior.weights))
    expected = np.random.default_rng(0).dirichlet(np.ones(66))
    bias = np.append(np.log(expected), np.zeros(len(T_OVER_LAMBDA))).astype(np.float32)
    said = replace(deaf, biases=(deaf.biases[0], bias))
    np.testing.assert_allclose(said.cells(locate(crops())), np.tile(expected, (3, 1)), rtol=1e-4)


def test_inputs_are_what_lies_from_7_ev_before_l3_to_17_after() -> None:
    plain, energy_ev = crops()[:1], ENERGY_EV - 642.0
    seen = []
    for low, high in ((-6.5, -5), (15, 16.5), (-8.8, -7.5), (18, 20)):
        changed = plain + 0.1 * ((energy_ev > low) & (energy_ev < high))
        seen.append(float(np.abs(inputs(locate(changed)) - inputs(locate(plain)))[:, :-1].max()))
    assert inputs(locate(plain)).shape == (1, 122), "121 every 0.2 eV, and the noise"
    assert min(seen[:2]) > 0.01 > 1e-4 > max(seen[2:])


def test_the_last_input_is_the_noise() -> None:
    noisy = crops() + 0.1 * np.random.default_rng(0).standard_normal((3, 300)).astype(np.float32)
    assert (inputs(locate(noisy))[:, -1] > inputs(locate(crops()))[:, -1] + 0.3).all()


def test_an_interval_holds_the_valences_that_are_not_odd(posterior: Posterior) -> None:
    limits = np.tile(np.array([0.05, 0.95], np.float32), (2, 3, 1))
    limits[1] = (0.0, 1.0)  # noisy: nothing is odd
    limits[0, 2] = (2.0, 2.0)  # quiet: a pure 4+ is
    noisy = crops() + 0.2 * np.random.default_rng(0).standard_normal((3, 300)).astype(np.float32)
    both = locate(np.concatenate([crops(), noisy]))
    plain = replace(posterior, calibration=None)(both)
    found = replace(posterior, calibration=Calibration((0.25,), (2.0, 3.9, 4.0), limits))(both)
    np.testing.assert_allclose(found.interval[3:], [[2, 4]] * 3)
    cells = posterior.cells(locate(crops()))
    values, mass = mean_valence_distribution(cells, compositions(3), posterior.charges)
    grid = np.linspace(2, 3.9, 96)
    for row, (low, high) in zip(probability_below(values, mass, grid), found.interval[:3], strict=True):
        held = grid[(row >= 0.05) & (row <= 0.95)]
        assert low == pytest.approx(held[0], abs=0.001)
        assert held[-1] - 0.001 <= high < 3.95
    np.testing.assert_allclose(found.mean_valence, plain.mean_valence)


def test_an_interval_ends_where_the_limits_are_reached_on_both_sides() -> None:
    """All of the probability at 3.0: it is linear between the neighbouring values, 2.9 and 3.1."""
    values = np.linspace(2, 4, 21)
    limits = np.tile(np.array([0.05, 0.95], np.float32), (1, 2, 1))
    mass = np.isclose(values, 3.0).astype(float)[None]
    found = Calibration((), (2.0, 4.0), limits).intervals(np.array([0.1]), values, mass)
    np.testing.assert_allclose(found, [[2.91, 3.09]], atol=0.011)


def test_hidden_layers_let_nothing_negative_pass(posterior: Posterior) -> None:
    shut = replace(posterior, biases=(posterior.biases[0] - 1000, posterior.biases[1]))
    silent = replace(posterior, weights=(posterior.weights[0], np.zeros_like(posterior.weights[1])))
    np.testing.assert_allclose(shut.cells(locate(crops())), silent.cells(locate(crops())))


def test_where_every_valence_is_odd_the_interval_is_the_mean(posterior: Posterior) -> None:
    nowhere = Calibration((), (2.0, 4.0), np.full((1, 2, 2), 2.0, np.float32))
    found = replace(posterior, calibration=nowhere)(locate(crops()))
    np.testing.assert_allclose(found.interval, np.repeat(found.mean_valence[:, None], 2, axis=1))


def test_the_probability_below_counts_half_of_a_value() -> None:
    mass = np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0]])
    below = probability_below(np.array([2.0, 2.5, 3.0]), mass, np.array([2.0, 2.25, 2.5, 3.0]))
    np.testing.assert_allclose(below, [[0.25, 0.45, 0.65, 0.9], [0.0, 0.25, 0.5, 1.0]], atol=1e-6)
    each = probability_below(np.array([2.0, 2.5, 3.0]), mass, np.array([[2.25], [2.5]]))
    np.testing.assert_allclose(each, [[0.45], [0.5]], atol=1e-6)


def test_comes_back_from_its_arrays(posterior: Posterior) -> None:
    calibration = Calibration((0.1,), (2.0, 3.0, 4.0), np.full((2, 3, 2), 0.01, np.float32))
    for one in (posterior, replace(posterior, calibration=calibration)):
        again = Posterior.of_arrays(one.arrays())
        assert again is not None
        np.testing.assert_array_equal(again(locate(crops())).interval, one(locate(crops())).interval)
        assert again.charges == (2.0, 3.0, 4.0)
    assert Posterior.of_arrays({"other": np.zeros(3)}) is None


def test_the_nearest_mixture_of_references_contradicts_a_far_interval() -> None:
    channel = np.arange(300)
    pure = {k: np.exp(-(((channel - 100 - 8 * k) / (8 + 4 * k)) ** 2)).astype(np.float32) for k in (0, 2)}
    mixtures = ReferenceMixtures.of_pure(pure, (2.0, 3.0, 4.0))
    assert mixtures is not None
    mixed = np.stack([0.7 * pure[0] + 0.3 * pure[2], pure[2]])
    located = locate(mixed)
    np.testing.assert_allclose(mixtures.nearest(located), [2.6, 4.0])
    assert len(mixtures.templates) == len(mixtures.mean_valence) == 11 * 5, (
        "11 mixtures, two channels either way"
    )
    on_a_level = ReferenceMixtures.of_pure({k: v + 3 for k, v in pure.items()}, (2.0, 3.0, 4.0))
    assert on_a_level is not None
    np.testing.assert_allclose(on_a_level.templates, mixtures.templates, atol=1e-4)
    reading = made_up_posterior()(located)
    for low, high, expected in ((2.5, 2.7, False), (2.75, 3.0, False), (3.2, 3.4, True), (2.0, 2.2, True)):
        interval = np.array([[low, high], [3.9, 4.0]])
        contradicted = mixtures.contradicts(located, replace(reading, interval=interval))
        np.testing.assert_array_equal(contradicted, [expected, False])
    assert ReferenceMixtures.of_pure({1: pure[0]}, (2.0, 3.0, 4.0)) is None


def test_thickness_is_the_mean_and_the_interval_of_its_own_outputs(posterior: Posterior) -> None:
    biases = (posterior.biases[0], posterior.biases[1].copy())
    biases[1][-len(T_OVER_LAMBDA) :] = (-50, -50, 50, 50, -50, -50, -50)  # 0.5 and 0.75
    reading = replace(posterior, biases=biases)(locate(crops()))
    assert reading.t_over_lambda.shape == (3, 3)
    mean, low, high = reading.t_over_lambda.T
    assert ((low >= 0.375) & (low <= mean) & (mean <= high) & (high <= 0.875)).all()
    np.testing.assert_allclose(reading.mean_valence, posterior(locate(crops())).mean_valence)

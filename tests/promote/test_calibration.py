"""Temperature and calibration error find what was put in."""

import numpy as np
import pytest

from mnflow.folds import split
from mnflow.promote import calibration
from mnflow.serve.numpy_nets import softmax
from tests.helpers.nets import made_up_net
from tests.helpers.spectra import spectra


def honest(n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 3) and truths drawn from their probabilities: calibrated as they are."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, 3))
    return logits, (softmax(logits).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)


@pytest.mark.parametrize("boast", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_boasting(boast: float) -> None:
    logits, truth = honest()
    assert calibration.fit_temperature(boast * logits, truth) == pytest.approx(boast, rel=0.08)


def test_honest_probabilities_have_a_small_error_and_boasts_a_large_one() -> None:
    logits, truth = honest()
    assert calibration.reliability(softmax(logits), truth).error < 0.02
    assert calibration.reliability(softmax(5 * logits), truth).error > 0.1


def test_bins_hold_every_prediction() -> None:
    logits, truth = honest(500)
    result = calibration.reliability(softmax(logits), truth)
    assert result.count.sum() == 500
    assert np.abs(result.accuracy - result.confidence).max() < 0.5


def test_each_fold_is_calibrated_by_the_others() -> None:
    logits, truth = honest(300)
    fold = np.arange(300) % 3
    held = calibration.HeldOut(logits, truth, fold, np.arange(300), np.empty((300, 0)))
    other = calibration.HeldOut(
        np.where(fold[:, None] == 0, 9 * logits, logits), truth, fold, np.arange(300), np.empty((300, 0))
    )
    same = fold != 0
    changed = ~np.isclose(calibration.cross_calibrated(held), calibration.cross_calibrated(other)).all(axis=1)
    assert changed[same].any(), "fold 0 is among those that the others' temperature comes from"
    np.testing.assert_allclose(
        calibration.cross_calibrated(other)[fold == 0],
        softmax(9 * logits[fold == 0] / calibration.fit_temperature(logits[same], truth[same])),
    )


def test_held_out_spectra_are_the_same_for_every_net() -> None:
    net = made_up_net()
    data = spectra(36)
    folds = split(data, "stratified", 4)
    first = calibration.held_out(net, data, folds, seed=3)
    again = calibration.held_out(net, data, folds, seed=3)
    other = calibration.held_out(net, data, folds, seed=4)
    np.testing.assert_array_equal(first.crops, again.crops)
    assert not np.array_equal(first.crops, other.crops)
    assert len(first.truth) == calibration.DRAWS * 36
    assert first.fold_accuracy().shape == (4,)
    np.testing.assert_array_equal(data.valence[first.index], first.truth)


def test_accuracy_is_of_each_fold_alone() -> None:
    logits = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    truth, fold = np.array([0, 1, 1, 1, 0, 0]), np.array([4, 4, 1, 1, 2, 2])
    held = calibration.HeldOut(logits, truth, fold, np.arange(6), np.empty((6, 0)))
    assert held.fold_accuracy().tolist() == [1.0, 0.0, 0.5]


def test_doubtful_predictions_fill_their_own_bins_only() -> None:
    result = calibration.reliability(
        np.array([[0.4, 0.35, 0.25], [0.3, 0.5, 0.2]]), np.array([0, 2]), bins=10
    )
    assert result.confidence.tolist() == [0.4, 0.5]
    assert result.accuracy.tolist() == [1.0, 0.0]
    assert result.count.tolist() == [1, 1]
    assert result.error == pytest.approx((0.6 + 0.5) / 2)

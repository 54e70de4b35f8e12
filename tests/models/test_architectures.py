"""Our own nets: a filter before pooling, a stretch around L3; the same in Keras and in the engine."""

import keras
import numpy as np
import pytest

from mnflow.folds import split
from mnflow.models import jax_nets as engine
from mnflow.models import keras_nets
from mnflow.models.architectures import ARCHITECTURES, block_lengths, count_weights, design
from mnflow.preprocess import crop
from mnflow.serve.numpy_nets import from_keras
from mnflow.train.cross_validate import train_fold
from mnflow.train.settings import TrainSettings
from tests.helpers.spectra import spectra

pytestmark = pytest.mark.slow

NET = "fcn_antialiased"


def _random_net(arch: str) -> keras.Model:
    keras_net = keras_nets.build(design(arch))
    rng = np.random.default_rng(0)
    for layer in keras_net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return keras_net


def test_the_antialiased_fcn_has_the_weights_of_the_fcn_and_shorter_blocks() -> None:
    assert count_weights(design(NET)) == count_weights(design("fcn")) == 673
    assert block_lengths(ARCHITECTURES[NET], 300) == [300, 145, 68, 30, 12, 4]


def test_the_filter_takes_away_what_pooling_would_alias() -> None:
    wave = np.cos(2 * np.pi * 0.35 * np.arange(200))[:, None, None]  # pooling by 2 folds it back

    def left(smoothing: int) -> float:
        return float(np.abs(engine.average_pool(wave, smoothing)).max())

    assert left(0) > 0.4
    assert left(2) < 0.1


def test_the_wide_net_trains() -> None:
    some = spectra(n=60)
    settings = TrainSettings(
        "fcn_wide", augmentation=1, epochs=2, noise_augmentation=False, degraded_copies=0
    )
    trained, _ = train_fold(some, (split(some, n_folds=3)[0], settings))
    assert np.isfinite(trained.curves["train/loss"]).all()
    assert set(trained.weights) >= {"conv1", f"norm{len(ARCHITECTURES['fcn_wide'].filters)}", "logits"}


def test_a_shift_changes_nothing_of_what_the_wide_net_sees() -> None:
    some = spectra(n=30)
    net = from_keras([_random_net("fcn_wide")])
    unshifted = net.logits(crop(some))
    for shift in (-40, -17, 33, 50):  # L3, at 642 eV, stays where the stretch around it is in the crop
        np.testing.assert_allclose(net.logits(crop(some, shift)), unshifted, atol=1e-4)
    assert np.abs(net.logits(crop(some)[:, ::-1]) - unshifted).max() > 1e-3  # ten times the tolerance

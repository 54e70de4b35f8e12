"""Our own nets: a filter before pooling, a stretch around L3; the same in Keras and in the engine."""

from typing import Any

import keras
import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.folds import split
from mnflow.models import jax_nets as engine
from mnflow.models import keras_nets
from mnflow.models.architectures import ARCHITECTURES, block_lengths, count_weights, design, initial_params
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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arch": "resnet"}, "Unknown net 'resnet': expected one of dense, conv_dense, fcn"),
        ({"dropout": 1.0}, r"in \[0, 1\), got 1\.0"),
        ({"dropout": -0.1}, r"in \[0, 1\)"),
        ({"filters": (2, 2)}, "one positive kernel length for each filter count, got \\(2, 2\\) and"),
        ({"filters": (2, 0), "kernels": (9, 7)}, "one positive kernel length"),
        ({"arch": "dense", "filters": (2,), "kernels": (9,)}, "'dense' has no convolutions"),
        ({"depth": 0}, "depth of at least 1 and at most the net's blocks, got 0"),
        ({"depth": 6}, "at most the net's blocks, got 6"),
        ({"l3_bin": 5}, "Expected bins of 1 channel or more.* got 5 for fcn"),
        ({"arch": "fcn_wide", "l3_bin": 0}, "got 0 for fcn_wide"),
        ({"arch": "fcn_wide", "l3_bin": -1}, "got -1 for fcn_wide"),
        ({"n_channels": 100}, "Spectra of 100 channels are too short for kernels"),
    ],
)
def test_shapes_that_cannot_be(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        design(**{"arch": "fcn", **changes})


def test_what_is_given_takes_the_place_of_the_nets_own() -> None:
    shape = design("fcn", dropout=0, filters=(3, 4), kernels=(5, 7), depth=1).shape
    assert (shape.dropout, shape.filters, shape.kernels) == (0.0, (3,), (5,))
    assert design("fcn_wide", l3_bin=2).shape.l3_bin == 2
    assert design("fcn").shape == ARCHITECTURES["fcn"]


def test_weights_are_drawn_within_glorots_limits() -> None:
    params = initial_params(design("conv_dense", 4), np.random.default_rng(0))
    kernels = {name: arrays[0].shape for name, arrays in params.items() if "norm" not in name}
    assert kernels == {
        "conv1": (9, 1, 2), "conv2": (7, 2, 2), "conv3": (7, 2, 4), "conv4": (5, 4, 8), "conv5": (3, 8, 12),
        "dense1": (72, 8), "dense2": (8, 4), "logits": (4, 4),
    }  # fmt: skip
    assert set(params) - set(kernels) == {f"norm{i}" for i in range(1, 6)} | {"dense_norm1", "dense_norm2"}
    for name in ("conv2", "dense1", "logits"):
        kernel, bias = params[name]
        limit = np.sqrt(6 / (np.prod(kernel.shape[:-2]) * sum(kernel.shape[-2:])))
        assert 0.9 * limit < np.abs(kernel).max() <= limit
        assert (bias.shape, bias.any()) == (kernel.shape[-1:], False)
    assert [a.tolist() for a in params["norm3"]] == [[1, 1, 1, 1], [0, 0, 0, 0]]
    fully = initial_params(design("fcn", 4), np.random.default_rng(0))
    assert fully["logits"][0].shape == (1, 12, 4)

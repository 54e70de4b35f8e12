"""The numpy nets give Keras's answers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.serve.numpy_nets import NumpyNet, from_keras, softmax


def randomised(arch: str, seed: int, **shape: Any) -> Any:
    """A net whose every weight, batch norm's included, is drawn: fresh ones would hide mistakes."""
    rng = np.random.default_rng(seed)
    model = keras_nets.build(design(arch, **shape))
    for layer in model.layers:
        if layer.weights and "dropout" not in layer.name:
            shapes = [w.shape for w in layer.get_weights()]
            signs = ([-1, 1] if len(shape) > 1 else [1] for shape in shapes)
            drawn = zip(shapes, signs, strict=True)
            layer.set_weights([rng.uniform(0.2, 1.0, shape) * rng.choice(sign) for shape, sign in drawn])
    return model


@pytest.mark.slow
@pytest.mark.parametrize("arch", keras_nets.ARCHITECTURES)
def test_equal_to_keras(arch: str) -> None:
    nets = [randomised(arch, seed) for seed in range(2)]
    crops = np.random.default_rng(9).normal(size=(5, 300)).astype(np.float32)
    expected = np.stack([np.asarray(net(crops, training=False)) for net in nets])
    np.testing.assert_allclose(softmax(from_keras(nets).logits(crops)), expected, atol=2e-5)


@pytest.mark.slow
def test_equal_to_keras_for_another_shape() -> None:
    net = randomised("fcn", 0, filters=(3, 5), kernels=(6, 4), n_channels=61, n_classes=4)
    crops = np.random.default_rng(1).normal(size=(3, 61)).astype(np.float32)
    np.testing.assert_allclose(
        softmax(from_keras([net]).logits(crops))[0], np.asarray(net(crops, training=False)), atol=2e-5
    )


def test_one_fold_and_many_chunks(net: NumpyNet) -> None:
    crops = np.random.default_rng(2).normal(size=(600, 300))
    together = net.logits(crops)
    assert together.shape == (4, 600, 3)
    np.testing.assert_allclose(net.only(2).logits(crops)[0], together[2], atol=1e-5)
    np.testing.assert_allclose(net.logits(crops[570:571])[:, 0], together[:, 570], atol=1e-5)


def test_no_spectra_are_no_logits(net: NumpyNet) -> None:
    assert net.logits(np.empty((0, 300))).shape == (4, 0, 3)


def test_refuses_other_crops_and_other_nets(net: NumpyNet) -> None:
    with pytest.raises(InputError, match=r"takes crops \(N, 300\), got \(2, 299\)"):
        net.logits(np.zeros((2, 299)))
    with pytest.raises(InputError, match="all of one architecture"):
        from_keras([])
    with pytest.raises(InputError, match="cannot follow 6 positions of 12 channels"):
        NumpyNet(
            (*net.steps[:-1], replace(net.steps[-1], before="", weight=net.steps[-1].weight[:, :, :5])), 300
        )

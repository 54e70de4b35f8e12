"""Compiled prediction equals Keras."""

import keras
import numpy as np
import pytest

from mnflow.evaluate.accuracy import (
    predict,
)
from mnflow.models import jax_predict, keras_nets
from mnflow.preprocess import crop
from mnflow.spectra import SpectrumSet
from tests.helpers.spectra import COARSE
from tests.helpers.spectra import spectra as made_up

pytestmark = pytest.mark.slow

SMALL_NET = {"filters": (3, 4), "kernels": (9, 7)}


def _net(seed: int, arch: str = "fcn") -> keras.Model:
    """A net with drawn weights: its answers are nonsense, but differ between spectra, shifts and nets."""
    net = keras_nets.build(arch, n_channels=COARSE.n_crop, **({} if arch == "dense" else SMALL_NET))
    rng = np.random.default_rng(seed)
    arrays = {
        name: [rng.normal(0, 0.6, a.shape) ** (2 if "norm" in name else 1) for a in v]
        for name, v in keras_nets.get_weights(net).items()
    }
    return keras_nets.with_weights(net, arrays)


@pytest.fixture(scope="module")
def some() -> SpectrumSet:
    return made_up(90, noise=0.1, edge=COARSE)


@pytest.fixture(scope="module")
def nets() -> list[keras.Model]:
    return [_net(0), _net(1)]


@pytest.mark.parametrize("arch", ["dense", "conv_dense", "fcn", "fcn_antialiased"])
def test_compiled_nets_answer_as_keras_does(some: SpectrumSet, arch: str) -> None:
    net = _net(3, arch)
    expected = net.predict(crop(some), verbose=0)
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(predict([net], crop(some))[0], expected, atol=1e-5)


def test_a_compiled_net_knows_its_shape(nets: list[keras.Model]) -> None:
    plan = jax_predict.from_keras(nets[0]).plan
    assert (plan.shape.filters, plan.shape.kernels, plan.n_channels) == ((3, 4), (9, 7), 110)

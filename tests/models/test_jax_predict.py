"""Compiled prediction equals Keras."""

import keras
import numpy as np
import pytest

from mnflow.evaluate.accuracy import predict
from mnflow.models import jax_predict
from mnflow.preprocess import crop
from mnflow.spectra import SpectrumSet
from tests.helpers.drawn_nets import drawn_net

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("arch", ["dense", "conv_dense", "fcn", "fcn_antialiased"])
def test_compiled_nets_answer_as_keras_does(some: SpectrumSet, arch: str) -> None:
    net = drawn_net(3, arch)
    expected = net.predict(crop(some), verbose=0)
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(predict([net], crop(some))[0], expected, atol=1e-5)


def test_a_compiled_net_knows_its_shape(nets: list[keras.Model]) -> None:
    plan = jax_predict.from_keras(nets[0]).plan
    assert (plan.shape.filters, plan.shape.kernels, plan.n_channels) == ((3, 4), (9, 7), 110)

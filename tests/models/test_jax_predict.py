"""Compiled prediction equals Keras."""

import keras
import numpy as np
import pytest

from mnflow.evaluate.accuracy import predict
from mnflow.models import jax_predict, keras_nets
from mnflow.models.architectures import design
from mnflow.preprocess import crop, normalise
from mnflow.spectra import SpectrumSet
from tests.helpers.drawn_nets import drawn_net
from tests.helpers.spectra import COARSE, spectra

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("arch", ["dense", "conv_dense", "fcn", "fcn_antialiased"])
def test_compiled_nets_answer_as_keras_does(some: SpectrumSet, arch: str) -> None:
    net = drawn_net(3, arch)
    expected = net.predict(crop(some), verbose=0)
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(predict([net], crop(some))[0], expected, atol=1e-5)


def test_a_compiled_net_knows_its_shape(nets: list[keras.Model]) -> None:
    expected = design("fcn", 3, 110, filters=(3, 4), kernels=(9, 7), dropout=0.0)
    assert jax_predict.from_keras(nets[0]).plan == expected
    binned = design("fcn_wide", 3, 300, filters=(3, 4), kernels=(5, 3), l3_bin=2, dropout=0.0)
    assert jax_predict.from_keras(keras_nets.build(binned)).plan == binned


@pytest.mark.parametrize("n", [0, 1, 256, 257])
def test_as_many_answers_as_spectra_whatever_passes_together(nets: list[keras.Model], n: int) -> None:
    crops = np.resize(crop(spectra(90, noise=0.1, edge=COARSE)), (n, 110))
    found = jax_predict.probabilities(jax_predict.from_keras(nets[1]), crops)
    assert found.shape == (n, 3)
    if n:
        last = nets[1].predict(crops[-1:], verbose=0)
        np.testing.assert_allclose(found[-1], last[0], atol=1e-5)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_the_likeliest_class_of_every_crop(some: SpectrumSet) -> None:
    net, starts = drawn_net(0, "dense"), np.array([40, 15, 65])
    found = jax_predict.shifted_classes(jax_predict.from_keras(net), some.intensity, starts)
    assert found.shape == (3, 90)
    for classes, start in zip(found, starts, strict=True):
        crops = normalise(some.intensity[:, start : start + 110])
        np.testing.assert_array_equal(classes, net.predict(crops, verbose=0).argmax(axis=1))
    assert len(np.unique(found)) == 3
    assert not np.array_equal(found[0], found[1])

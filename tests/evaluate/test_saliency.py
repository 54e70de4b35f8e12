"""Saliency is large where the answer depends on the spectrum."""

import numpy as np

from mnflow.evaluate.saliency import WIDTH, occlusion
from mnflow.preprocess import crop
from mnflow.serve.numpy_nets import NumpyNet, Step, softmax
from tests.helpers.nets import made_up_net
from tests.helpers.spectra import spectra


def test_every_channel_gets_a_share() -> None:
    found = occlusion(lambda x: softmax(made_up_net().logits(x)), crop(spectra(6)))
    assert found.shape == (6, 300)
    assert ((found >= 0) & (found <= 1)).all()
    assert found.max() > 0


def test_a_net_that_looks_at_one_place_is_found_out() -> None:
    weight = np.zeros((1, 1, 300, 2), np.float32)
    weight[0, 0, 100:110, 1] = 5.0
    net = NumpyNet((Step(weight, np.zeros((1, 2), np.float32), before="flatten"),), 300)
    crops = np.random.default_rng(0).normal(size=(4, 300)).astype(np.float32) / 10
    found = occlusion(lambda x: softmax(net.logits(x)), crops).mean(axis=0)
    assert 100 - WIDTH < found.argmax() < 110 + WIDTH
    assert found[100:110].mean() > 5 * np.delete(found, np.arange(80, 130)).mean()

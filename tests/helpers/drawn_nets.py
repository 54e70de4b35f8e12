"""Keras nets with drawn weights and spectra for them to classify."""

import keras
import numpy as np
import pytest

from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.spectra import SpectrumSet
from tests.helpers.spectra import COARSE, spectra

SMALL_NET = {"filters": (3, 4), "kernels": (9, 7)}


def drawn_net(seed: int, arch: str = "fcn") -> keras.Model:
    """A net on `COARSE`: its answers are nonsense, but differ between nets.

    Those of `dense` are of several classes; a drawn convolutional net gives all spectra the same class, with
    probabilities that differ a little: not enough where accuracies are tested.
    """
    net = keras_nets.build(design(arch, n_channels=COARSE.n_crop, **({} if arch == "dense" else SMALL_NET)))
    rng = np.random.default_rng(seed)
    arrays = {
        name: [rng.normal(0, 0.6, a.shape) ** (2 if "norm" in name else 1) for a in v]
        for name, v in keras_nets.get_weights(net).items()
    }
    return keras_nets.with_weights(net, arrays)


@pytest.fixture(scope="session")
def some() -> SpectrumSet:
    """90 noisy spectra on `COARSE`."""
    return spectra(90, noise=0.1, edge=COARSE)


@pytest.fixture(scope="session")
def nets() -> list[keras.Model]:
    """Two drawn nets, one for each of two folds."""
    return [drawn_net(0), drawn_net(1)]

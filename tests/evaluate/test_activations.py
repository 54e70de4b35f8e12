"""Mean activations: the input comes first, every block follows, and a class is most like itself."""

import numpy as np
import pytest

from mnflow.evaluate.activations import last_block_agreement, mean_activations
from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.preprocess import crop
from tests.helpers.spectra import spectra

CLASSES = ("Mn2+", "Mn3+", "Mn4+")


@pytest.mark.slow
def test_means_of_input_and_blocks_by_class() -> None:
    some = spectra(n=30)
    crops = crop(some)
    found = mean_activations(keras_nets.build(design("fcn")), crops, some.valence, CLASSES)
    assert list(found) == list(CLASSES)
    assert [block.shape for block in found["Mn3+"]] == [
        (300, 1),
        (146, 2),
        (70, 2),
        (32, 4),
        (14, 8),
        (6, 12),
    ]
    np.testing.assert_allclose(found["Mn3+"][0][:, 0], crops[some.valence == 1].mean(axis=0), atol=1e-6)
    assert list(mean_activations(keras_nets.build(design("fcn")), crops[:1], some.valence[:1], CLASSES)) == [
        "Mn2+"
    ]


def test_a_dense_net_has_none() -> None:
    some = spectra(n=6)
    assert mean_activations(keras_nets.build(design("dense")), crop(some), some.valence, CLASSES) == {}


def test_a_class_is_most_like_itself() -> None:
    rng = np.random.default_rng(0)
    known = {name: [rng.normal(size=(6, 12)).astype(np.float32)] for name in CLASSES}
    noisy = {
        name: [blocks[0] + np.float32(0.1) * rng.normal(size=(6, 12)).astype(np.float32)]
        for name, blocks in known.items()
    }
    found = last_block_agreement(known, noisy)
    assert found["same"] > 0.95
    assert found["other"] < 0.5

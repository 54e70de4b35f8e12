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
def test_means_of_input_and_blocks_by_class(capsys: pytest.CaptureFixture[str]) -> None:
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
    assert capsys.readouterr().out == "", "no progress of Keras's own"


@pytest.mark.slow
def test_a_mean_is_that_of_single_spectra() -> None:
    some, net = spectra(n=6), keras_nets.build(design("fcn", filters=(2, 3), kernels=(9, 7)))
    crops = crop(some)
    found = mean_activations(net, crops.astype(np.float64), some.valence, CLASSES)
    alone = [mean_activations(net, crops[[i]], np.array([0]), ("one",))["one"] for i in (1, 4)]
    assert some.valence[[1, 4]].tolist() == [1, 1]
    assert len(found["Mn3+"]) == 3
    for mean, first, second in zip(found["Mn3+"], *alone, strict=True):
        np.testing.assert_allclose(mean, (first + second) / 2, atol=1e-5)
    assert np.ptp(found["Mn3+"][2]) > 0


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


def test_agreement_is_the_mean_correlation_of_last_blocks() -> None:
    """With the same class, and with the one of the others that is most alike."""
    rising, falling, peaked = ([np.zeros(2), np.array([x])] for x in ([1, 2, 3], [3, 2, 1], [1, 3, 2]))
    acquired = {"A": rising, "B": falling, "C": peaked}
    assert last_block_agreement(acquired, {"A": rising}) == pytest.approx({"same": 1, "other": 0.5})
    found = last_block_agreement(acquired, {"A": rising, "B": peaked})
    assert found == pytest.approx({"same": (1 - 0.5) / 2, "other": (0.5 + 1) / 2})

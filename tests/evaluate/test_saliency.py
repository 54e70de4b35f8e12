"""Saliency is large where the answer depends on the spectrum."""

import numpy as np

from mnflow.evaluate.saliency import STEP, WIDTH, occlusion
from mnflow.preprocess import crop, normalise
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


def test_a_channel_has_the_mean_change_of_the_stretches_that_it_lies_in() -> None:
    """Two models of two spectra with a bump; the favourite is the mean's, and each keeps to its own."""
    crops = np.zeros((2, 30), np.float32)
    crops[0, 12], crops[1, 7] = 1.0, 1.0

    def probabilities(x: np.ndarray) -> np.ndarray:
        bump = np.stack([x[:, 7] - x[:, 0], x[:, 12] - x[:, 0]], axis=1)
        return np.stack([bump, 0.5 * bump])

    found = occlusion(probabilities, crops)
    stretches = {start: (start, start + WIDTH) for start in range(0, 30 - WIDTH + 1, STEP)}
    expected = np.zeros((2, 30))
    for row, peak in enumerate((12, 7)):
        for channel in range(30):
            mine = [s for s, (a, b) in stretches.items() if a <= channel < b]
            # taken away, the bump is gone: each model loses all it had, unless it is at the stretch's end
            gone = [s <= peak < s + WIDTH and peak not in (s, s + WIDTH - 1) for s in mine]
            expected[row, channel] = 0.75 * np.mean(gone)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert stretches[15] == (15, 30), "the last stretch ends with the crop"


def test_what_no_stretch_holds_is_not_salient() -> None:
    def steep(x: np.ndarray) -> np.ndarray:
        return np.stack([x[:, 1:].std(axis=1), np.zeros(len(x))], axis=1)[None]

    rng = np.random.default_rng(0)
    for channels, last in ((14, 0), (15, 15), (19, 15), (20, 20), (33, 30)):
        crops = rng.normal(size=(2, channels)).astype(np.float32)
        kept = crops.copy()
        found = occlusion(steep, crops)
        assert (found[:, :last] > 0).all()
        assert (found[:, last:] == 0).all()
        np.testing.assert_array_equal(crops, kept)


def test_what_is_left_is_normalised_again() -> None:
    """The greatest channel gone, all others rise: the model sees a spectrum as it always does."""
    noise = np.random.default_rng(0).uniform(0, 1, (1, 30))
    crops = normalise((noise + 9 * (np.arange(30) == 7)).astype(np.float32))
    seen: list[np.ndarray] = []

    def looked(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return np.ones((1, len(x), 2))

    assert (occlusion(looked, crops) == 0).all()
    assert len(seen) == 5
    for x in seen[1:]:
        np.testing.assert_allclose(x, normalise(x), atol=1e-6)
    line = seen[1][0, :15]
    np.testing.assert_allclose(np.diff(line), np.diff(line).mean(), atol=1e-5)

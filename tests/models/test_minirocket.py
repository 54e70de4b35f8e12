"""MiniRocket's features are what its paper says: shares of a convolution's values above a threshold."""

import numpy as np
import pytest

from mnflow.models import minirocket


@pytest.mark.parametrize("dilation", [1, 4])
def test_convolutions_are_those_of_numpy(dilation: int) -> None:
    spectra = np.random.default_rng(0).normal(size=(3, 80)).astype(np.float32)
    kernel = np.full(9, -1.0)
    kernel[[0, 4, 5]] = 2
    spread = np.zeros(8 * dilation + 1)
    spread[::dilation] = kernel
    found = minirocket._convolved((0, 4, 5), *minirocket._shifts(spectra, dilation))
    expected = [np.convolve(s, spread[::-1], mode="same") for s in spectra]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_features_are_shares_that_no_level_changes() -> None:
    rng = np.random.default_rng(1)
    spectra = rng.normal(size=(300, 300)).astype(np.float32)
    model = minirocket.MiniRocket(thresholds=2).fit(spectra)
    features = model.transform(spectra)
    assert features.shape == (300, 84 * 6 * 2)
    assert 0 <= features.min() < features.max() <= 1
    assert features.mean() == pytest.approx(0.5, abs=0.02)  # thresholds at a third and two thirds
    kernel, dilation, threshold = 5, 2, model.thresholds_[2 * 84 + 5, 1]
    values = minirocket._convolved(
        minirocket._KERNELS[kernel], *minirocket._shifts(spectra[:1], minirocket._DILATIONS[dilation])
    )
    assert features[0, (2 * 84 + 5) * 2 + 1] == pytest.approx((values > threshold).mean())
    np.testing.assert_array_equal(model.transform(spectra[:5]), features[:5])

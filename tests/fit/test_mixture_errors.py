"""The shipped posterior is accurate on unseen materials; least squares with the true parts is more so."""

from dataclasses import replace

import numpy as np
import pytest

from mnflow.fit import mixture_errors
from mnflow.fit.mixtures import Materials, mix, parted
from mnflow.serve.pretrained import pretrained
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import load
from tests.helpers.nets import made_up_net

SETTINGS = load()


def test_least_squares_finds_the_fractions_when_it_knows_the_spectra() -> None:
    rng = np.random.default_rng(2)
    materials = Materials.draw(SETTINGS, parted(library_of(SETTINGS))[2], 20, rng)
    pure = materials.sets(50, rng).pure
    mixed = mix(pure, rng, mixture_errors.MEDIAN_NOISE)
    found = mixture_errors.least_squares(mixed.crops, pure.astype(np.float32))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.median(np.abs(found - mixed.fractions)) < 0.05


@pytest.mark.slow
def test_the_shipped_posterior_holds_on_materials_it_has_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture_errors, "MEASURED", 800)
    predictor = pretrained("Mn")
    found = mixture_errors.measure(replace(predictor, net=made_up_net(2)), seed=0)
    assert found["mixture/rmse"] < 0.15
    assert found["mixture/rmse_median_noise"] < found["mixture/rmse"]
    assert found["mixture/rmse_foreign"] < 0.19
    assert found["mixture/rmse_nets"] > found["mixture/rmse"], "these nets mean nothing"
    assert 0.86 < found["mixture/coverage"] < 0.97
    assert found["mixture/coverage_foreign"] > 0.8
    assert found["mixture/interval_width"] < 0.42
    assert "mixture/rmse_nets" not in mixture_errors.measure(predictor, seed=0)

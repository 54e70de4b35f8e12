"""HyperSpy knows the signal type, and its signals have `estimate_valence`."""

import hyperspy.api as hs
import numpy as np
import pytest

from mnflow.pretrained.shipped import EXAMPLE


@pytest.mark.parametrize("lazy", [False, True])
def test_an_eels_signal_estimates_its_valence(lazy: bool) -> None:
    signal = hs.load(EXAMPLE, lazy=lazy).inav[:4, :3]
    signal.set_signal_type("EELS_valence")
    assert signal._lazy == lazy
    maps = signal.estimate_valence(model="shipped", thickness=np.full((3, 4), 0.4))
    assert maps.mean_valence.data.shape == (3, 4)
    assert np.isfinite(maps.mean_valence.data).any()
    assert maps.predictor.facts["model"].startswith("shipped")
    assert maps.thickness is not None
    assert (maps.thickness.data == 0.4).all()

"""Out-of-distribution spectra are drawn as described, and detected."""

from dataclasses import replace

import numpy as np
import pytest

from mnflow.fit import out_of_distribution
from mnflow.fit.out_of_distribution import fit_novelty
from mnflow.preprocess import crop, normalise
from mnflow.preprocess.detector.faults import REASONS
from mnflow.preprocess.window import place_windows
from mnflow.serve.novelty import Novelty
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import pretrained
from mnflow.simulate.library import SHIPPED
from mnflow.spectra import MN
from mnflow.spectra.axis import axis_ev
from tests.helpers.nets import made_up_net
from tests.helpers.spectra import edge_shape, spectra


def test_ood_spectra_are_of_every_kind() -> None:
    drawn = out_of_distribution.draw(MN, np.random.default_rng(0))
    assert set(drawn) == {"noise", "flat", "background", "carbon", "iron", "saturated"}
    for intensity in drawn.values():
        assert intensity.shape == (out_of_distribution.DRAWN, 700)
        assert np.isfinite(intensity).all()
    others = out_of_distribution.draw(replace(MN, element="Xx"), np.random.default_rng(0))
    assert set(others) == {"noise", "flat", "background", "carbon", "manganese"}, (
        "nobody can simulate an unknown element"
    )


@pytest.mark.slow
def test_those_that_know_our_edges_flag_them() -> None:
    rng = np.random.default_rng(0)
    data = spectra(120, noise=0.02)
    novelty = fit_novelty(crop(data, rng.integers(-50, 51, len(data))), data.group, rng)
    found = out_of_distribution.flagged(Predictor(MN, net=made_up_net(1), novelty=novelty), seed=0)
    assert found["novelty/flagged_flat"] == 1
    assert found["novelty/flagged_saturated"] == 1
    assert found["novelty/flagged_noise"] > 0.9
    assert found["novelty/flagged_background"] > 0.9
    blind = out_of_distribution.flagged(Predictor(MN, net=made_up_net(1)), seed=0)
    seen = {kind: blind[f"novelty/flagged_{kind}"] for kind in ("iron", "noise")}
    assert seen == {"iron": 0, "noise": 1}, "without novelty only `no_edge` and `saturated` are left"


def test_the_shipped_model_sees_a_plateau_that_ripples_on_a_high_background() -> None:
    """By its shape, where the rule for counts sees two thirds of them."""
    x, predictor = MN.wide_axis_ev, pretrained()
    drawn = out_of_distribution.draw(MN, np.random.default_rng(1))["saturated"]
    placed = place_windows(x, drawn, MN)
    column = Novelty.REASONS.index("saturated")
    by_shape = predictor(normalise(placed.intensity)).strange[:, column]
    assert by_shape.mean() > 0.85
    assert (by_shape | (placed.faults == REASONS.index("saturated"))).mean() > 0.95


def test_saturated_crops_end_at_a_share_of_their_height() -> None:
    whole = normalise(np.repeat(edge_shape(axis_ev(MN.crop_ev[0], 300, 0.1), [0]), 200, axis=0))
    cut_off = out_of_distribution.saturated(whole.astype(np.float32), np.random.default_rng(0))
    assert cut_off.dtype == np.float32
    np.testing.assert_allclose(np.ptp(cut_off, axis=1), 1, rtol=1e-5, err_msg="normalised again")
    at_top = (cut_off > cut_off.max(axis=1, keepdims=True) - 0.2).sum(axis=1)
    once = (whole[0] > whole[0].max() - 0.2).sum()
    assert (at_top > once).all()
    assert at_top.max() > 2 * at_top.min(), "some are cut off low, some high"


def test_other_elements_are_those_that_ship_and_are_looked_at_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out_of_distribution, "LEARNT", 300)
    shipped = {path.stem.split("-")[0] for path in SHIPPED.glob("*.npz")}
    assert {name.lower() for name in out_of_distribution.ELEMENTS} == shipped
    rng = np.random.default_rng(0)
    assert [crops.shape for crops in out_of_distribution.other_elements(MN, rng)] == [(300, MN.n_crop)] * 2
    assert out_of_distribution.other_elements(replace(MN, dispersion_ev=0.2), rng) == []

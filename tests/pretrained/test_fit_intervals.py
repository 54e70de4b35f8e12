"""The widening of a fit's intervals holds what it should, and is what the command makes of the simulator."""

import json

import numpy as np
import pytest

from mnflow.fit.simulator import WIDENED, widenings, widenings_path
from mnflow.pretrained import fit_intervals


def test_a_widening_holds_nine_in_ten_where_standard_deviations_are_too_small() -> None:
    rng = np.random.default_rng(0)
    sd = rng.uniform(0.01, 0.1, 4000)
    error = rng.normal(size=4000) * np.hypot(sd, 0.2)
    model_sd, factor = fit_intervals.widening([error[::2]], [sd[::2]])
    held = np.abs(error[1::2]) <= factor * np.hypot(sd[1::2], model_sd)
    assert held.mean() == pytest.approx(0.9, abs=0.02)
    assert model_sd > 0.05


def test_the_kind_of_spectra_that_needs_most_is_held_too() -> None:
    rng = np.random.default_rng(3)
    sds = [np.full(n, 0.1) for n in (4000, 1000)]
    errors = [rng.normal(size=len(sd)) * sd * times for sd, times in zip(sds, (1, 2), strict=True)]
    model_sd, factor = fit_intervals.widening(errors, sds)
    held = [np.mean(np.abs(e) <= factor * np.hypot(sd, model_sd)) for e, sd in zip(errors, sds, strict=True)]
    assert held[1] == pytest.approx(0.9, abs=0.005)
    assert held[0] > 0.99


def test_standard_deviations_that_are_right_stay() -> None:
    rng = np.random.default_rng(1)
    sd = rng.uniform(0.02, 0.3, 6000)
    model_sd, factor = fit_intervals.widening([rng.normal(size=6000) * sd], [sd])
    assert model_sd < 0.05
    assert factor == pytest.approx(1.645, abs=0.1)


@pytest.mark.slow
def test_fits_do_not_know_the_materials_they_are_compared_with() -> None:
    fits, truth = fit_intervals.draw_and_fit("Mn", 1, True, 2, np.random.default_rng(2))
    assert set(truth) == set(WIDENED)
    for name in WIDENED:
        assert len(fit_intervals.intervals_of(name, fits)) == len(truth[name])
    np.testing.assert_allclose(truth["share"].reshape(2, 3) @ (2, 3, 4), truth["mean_valence"])


@pytest.mark.slow
def test_the_command_writes_what_a_fit_reads(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(fit_intervals, "SPECTRA", 3)
    monkeypatch.setattr(fit_intervals, "widenings_path", lambda element: tmp_path / "mn.json")
    made = json.loads(fit_intervals.make("Mn").read_text())
    assert set(made) == set(WIDENED) == set(widenings("Mn"))
    assert widenings_path("Mn").exists()

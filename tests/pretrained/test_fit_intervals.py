"""The widening of a fit's intervals holds what it should, and is what the command makes of the simulator."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mnflow.fit.simulator import WIDENED, Interval, Widening, widenings, widenings_path
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


def test_few_errors_are_held_all() -> None:
    """Nine in ten of nine and one more that may come are all of the nine."""
    rng = np.random.default_rng(5)
    sds = [rng.uniform(0.01, 0.5, 9), rng.uniform(0.01, 0.5, 40)]
    errors = [rng.normal(size=len(sd)) * np.hypot(sd, 0.1) for sd in sds]
    model_sd, factor = fit_intervals.widening(errors[:1], sds[:1])
    assert 100 * model_sd == pytest.approx(round(100 * model_sd))
    most = np.max(np.abs(errors[0]) / np.maximum(np.hypot(sds[0], model_sd), 0.01))
    assert factor == round(float(most), 3)
    model_sd, factor = fit_intervals.widening(errors, sds)
    few, more = (np.abs(e) / np.hypot(sd, max(model_sd, 1e-9)) for e, sd in zip(errors, sds, strict=True))
    needed = max(few.max(), np.quantile(more, 0.9 * 41 / 40))
    assert factor == round(float(needed), 3)


def test_an_error_has_a_least_spread() -> None:
    model_sd, factor = fit_intervals.widening([np.full(200, 0.03)], [np.zeros(200)])
    assert factor == pytest.approx(0.03 / max(model_sd, 0.01), abs=1e-3)


def test_widenings_are_of_both_laboratories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, asked, widened = np.random.default_rng(0), [], []

    def interval() -> Interval:
        value, sd = rng.uniform(0, 1, 2).tolist()
        return Interval(value, sd, 0.0, 0.0)

    def drawn(element: str, part: int, foreign: bool, n: int, rng: np.random.Generator) -> Any:
        asked.append((element, part, foreign, n))
        fits = [
            SimpleNamespace(
                mean_valence=interval(), thickness=interval(), parts=[SimpleNamespace(share=interval())] * 2
            )
            for _ in range(5)
        ]
        return fits, {"mean_valence": np.full(5, 0.5), "share": np.full(10, 0.25), "thickness": np.zeros(5)}

    def widening(errors: list[np.ndarray], sds: list[np.ndarray]) -> Widening:
        widened.append([(len(e), len(sd)) for e, sd in zip(errors, sds, strict=True)])
        return Widening(float(errors[0][0]), float(sds[1][-1]))

    monkeypatch.setattr(fit_intervals, "draw_and_fit", drawn)
    monkeypatch.setattr(fit_intervals, "widening", widening)
    monkeypatch.setattr(fit_intervals, "widenings_path", lambda element: tmp_path / f"{element}.json")
    path = fit_intervals.make("Fe")
    assert path == tmp_path / "Fe.json"
    assert asked == [("Fe", 1, False, 80), ("Fe", 1, True, 80)]
    assert widened == [[(5, 5)] * 2, [(10, 10)] * 2, [(5, 5)] * 2]
    made = json.loads(path.read_text())
    assert list(made) == list(WIDENED)
    first = np.random.default_rng(0).uniform(0, 1, (30, 2))
    assert made["mean_valence"][0] == first[0, 0] - 0.5
    assert made["thickness"] == [first[1, 0], first[28, 1]]
    assert made["share"] == [first[2, 0] - 0.25, first[29, 1]]
    assert path.read_text().endswith("}\n")


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

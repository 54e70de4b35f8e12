"""A small fit finds the valence of materials it has not seen, and a predictor is built with its record."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnflow.fit import posterior as fitting
from mnflow.fit.mixtures import Mixtures, Sets, draw_fractions, mix
from mnflow.fit.posterior import cells_of, thickness_masses
from mnflow.serve.novelty import locate
from mnflow.serve.posterior import T_OVER_LAMBDA, compositions, inputs
from mnflow.serve.pretrained import digest
from mnflow.simulate.settings import load
from mnflow.spectra import MN
from tests.helpers.posterior import made_up_posterior
from tests.helpers.spectra import edge_shape

SETTINGS = load()


@given(seed=st.integers(0, 10_000), n_classes=st.integers(2, 4))
def test_cells_have_the_composition_for_a_mean(seed: int, n_classes: int) -> None:
    fractions = draw_fractions(20, n_classes, np.random.default_rng(seed))
    cells = cells_of(fractions)
    assert (cells >= 0).all()
    assert ((cells > 0).sum(axis=1) <= n_classes).all()
    np.testing.assert_allclose(cells.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(cells @ compositions(n_classes), fractions, atol=1e-5)


def test_a_thickness_lies_between_its_two_nearest_and_an_unknown_one_nowhere() -> None:
    masses = thickness_masses(np.array([0.0, 0.6, 1.5, np.nan]))
    np.testing.assert_allclose(masses @ T_OVER_LAMBDA, [0, 0.6, 1.5, 0], atol=1e-6)
    np.testing.assert_allclose(masses.sum(axis=1), [1, 1, 1, 0], atol=1e-6)
    assert ((masses > 0).sum(axis=1) <= 2).all()


@pytest.fixture(scope="module")
def sets() -> Sets:
    """1200 sets of three slightly different edges, of thicknesses that tell them apart."""
    rng = np.random.default_rng(0)
    pure = edge_shape(MN.crop_axis_ev, [0, 1, 2]) * rng.uniform(0.9, 1.1, (1200, 3, 1))
    thickness = np.linspace(0, 1.5, 1200)
    thickness[:2] = np.nan
    return Sets(pure.astype(np.float16), thickness, np.ones(1200))


def test_every_set_is_mixed_once_an_epoch_in_another_order(sets: Sets) -> None:
    batches = list(fitting._batches(sets, 2, np.random.default_rng(0)))
    assert [len(x) for x, _ in batches] == [500, 500, 200] * 2
    n_cells, orders = len(compositions(3)), []
    for epoch in (batches[:3], batches[3:]):
        x, y = (np.concatenate([batch[i] for batch in epoch]) for i in (0, 1))
        assert np.isfinite(x).all()
        np.testing.assert_allclose(y[:, :n_cells].sum(axis=1), 1, atol=1e-5)
        known = y[:, n_cells:].sum(axis=1) > 0
        assert known.sum() == 1198
        np.testing.assert_allclose(y[known, n_cells:].sum(axis=1), 0.2, atol=1e-6)
        orders.append(y[known, n_cells:] @ T_OVER_LAMBDA / 0.2)
        np.testing.assert_allclose(np.sort(orders[-1]), sets.thickness[2:], atol=1e-5)
    assert not np.allclose(orders[0][:500], orders[1][:500])
    assert not np.allclose(batches[0][0], batches[3][0])


def test_a_fit_goes_on_from_where_the_layers_are(sets: Sets) -> None:
    """Inputs are scaled for the fit, and the layers for inputs that are not: both cancel."""
    start, lines, kept = made_up_posterior(seed=3), [], made_up_posterior(seed=3)
    rng = np.random.default_rng(1)
    found = fitting.fit_to_sets(sets, 2, start.charges, rng, lines.append, start, peak_learning_rate=0.0)
    for a, b, c in zip(found.weights, start.weights, kept.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(b, c)
    for a, b, c in zip(found.biases, start.biases, kept.biases, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
        np.testing.assert_array_equal(b, c)
    assert [line.split(": cross-entropy ")[0] for line in lines] == [f"batch {n} of 6" for n in range(1, 7)]
    moved = fitting.fit_to_sets(sets, 1, start.charges, rng, start=start)
    assert np.abs(moved.weights[1] - start.weights[1]).max() > 1e-4


def test_new_layers_take_inputs_without_scaling(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "HIDDEN", (8, 4))
    found = fitting.fit_to_sets(sets, 1, (2.0, 3.0, 4.0), np.random.default_rng(1), peak_learning_rate=0.0)
    x = inputs(locate(mix(sets.pure, np.random.default_rng(2)).crops))
    assert [w.shape for w in found.weights] == [(x.shape[1], 8), (8, 4), (4, 66 + len(T_OVER_LAMBDA))]
    hidden = x @ found.weights[0] + found.biases[0]
    assert np.abs(hidden.mean(axis=0) / hidden.std(axis=0)).max() < 0.2  # of mean 0 and no bias
    assert 0.3 < hidden.std() < 5


def test_a_predictors_record_says_how_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "recipe", lambda element: {"element": element})
    (tmp_path / "fe.npz").write_bytes(b"x")
    made = fitting.record_making(tmp_path / "fe.npz", "Fe")
    assert made == tmp_path / "fe-made.json"
    record = {
        "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        "command": "python -m mnflow.fit.posterior fe",
        "recipe": {"element": "Fe"},
    }
    assert made.read_text() == json.dumps(record, indent=1) + "\n"


@pytest.mark.slow
def test_a_small_fit_is_better_than_the_mean(unseen: Mixtures) -> None:
    lines: list[str] = []
    found = fitting.fit(SETTINGS, 0, 2000, 40, 20, lines.append)
    reading = found(locate(unseen.crops))
    truth = unseen.fractions @ np.array(MN.charges)
    assert np.sqrt(((reading.mean_valence - truth) ** 2).mean()) < 0.65 * truth.std()
    assert lines[:2] == ["40 materials per class drawn", "2000 sets of materials drawn"]
    assert [line.split(":")[0] for line in lines[2:]] == [f"batch {n} of 80" for n in range(8, 81, 8)]
    losses = [float(line.split("cross-entropy ")[1]) for line in lines[2:]]
    assert losses[-1] < losses[0]
    assert found.charges == (2.0, 3.0, 4.0)


@pytest.mark.slow
def test_a_predictor_is_built_and_comes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("SETS", 1000), ("MATERIALS", 20), ("EPOCHS", 2), ("CALIBRATED", 1000)):
        monkeypatch.setattr(fitting, name, value)
    monkeypatch.setattr(fitting, "CALIBRATION_MATERIALS", 20)
    monkeypatch.setattr(fitting, "NOVELTY_CROPS", 400)
    monkeypatch.setattr(fitting, "PRETRAINED", tmp_path)
    path = fitting.main("mn")
    printed = capsys.readouterr().out.splitlines()
    assert all(re.fullmatch(r" *\d+ s  [a-z0-9].*", line) for line in printed)
    assert printed[0].endswith(" s  20 materials per class drawn")
    assert printed[-1].endswith(" s  intervals calibrated")
    predictor = fitting.Predictor.load(path)
    made = json.loads((tmp_path / "mn-made.json").read_text())
    assert (made["sha256"], made["recipe"]["epochs"]) == (digest(path), 2)
    assert predictor.net is None
    assert predictor.edge == MN
    assert predictor.posterior is not None
    assert predictor.posterior.calibration is not None
    assert predictor.novelty is not None
    assert path == tmp_path / "mn.npz"
    assert predictor.facts == {"fitted_by": "mnflow.fit.posterior", "seed": "0", "element": "Mn"}

"""What an evaluation logs: all of it to its own run, and to the others what they are compared by."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mnflow.evaluate.reference_accuracy import ReferenceAccuracy
from mnflow.folds import Fold, split
from mnflow.references import References
from mnflow.spectra import SpectrumSet
from mnflow.track import evaluations, tracking
from mnflow.track.cross_validation import Evaluated
from tests.helpers.memory_store import MemoryStore
from tests.helpers.spectra import COARSE, spectra

DATA = spectra(30, edge=COARSE)
FOLDS = split(DATA, n_folds=2)
MODELS = ["first", "second"]
TRAINED = Evaluated("fcn 10x", DATA, FOLDS, MODELS)


@pytest.fixture
def runs(memory: MemoryStore) -> list[tracking.Run]:
    """An evaluation's run, and that of its cross-validation."""
    return [tracking.Run(memory.create_run("7").info.run_id) for _ in range(2)]


def test_a_shift_test_logs_curve_summary_and_every_fold(
    memory: MemoryStore, runs: list[tracking.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def accuracy(models: list[str], data: SpectrumSet, folds: list[Fold]) -> Any:
        assert (models, data, folds) == (MODELS, DATA, FOLDS)
        return np.array([-1, 0, 1]), np.array([[0.5, 1.0, 0.2], [0.7, 0.8, 0.4]])

    monkeypatch.setattr(evaluations, "shift_accuracy", accuracy)
    metrics = evaluations.log_shift(runs, TRAINED)
    # mean over the folds 0.6, 0.9, 0.3; the area under it by trapezes
    assert metrics == pytest.approx({"shift/integrated_accuracy": 0.675, "shift/worst_accuracy": 0.3})
    for run in runs:
        assert memory.get_run(run.id).data.metrics.items() >= metrics.items()
        assert memory.curve(run, "shift/accuracy") == pytest.approx({-200: 0.6, 0: 0.9, 200: 0.3})
    table = memory.table(runs[0], "tables/shift.csv")
    assert table.to_dict("list") == {
        "fold": [0, 0, 0, 1, 1, 1], "shift_ev": [-0.2, 0.0, 0.2] * 2,
        "accuracy": [0.5, 1, 0.2, 0.7, 0.8, 0.4],
    }  # fmt: skip
    figures = ["figures/shift.csv", "figures/shift.png"]
    assert [memory.files(run) for run in runs] == [[*figures, "tables/shift.csv"], figures]
    drawn = memory.table(runs[1], figures[0]).query("series == 'fcn 10x'")
    assert drawn["y"].tolist() == pytest.approx([0.6, 0.9, 0.3])


def test_a_noise_test_logs_accuracy_at_once_and_five_times_the_noise(
    memory: MemoryStore, runs: list[tracking.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []

    def accuracy(models: Any, data: Any, folds: Any, scales: Any, components: int) -> Any:
        assert (models, data, folds) == (MODELS, DATA, FOLDS)
        kept.append(components)
        return np.stack([1 - 0.1 * scales, 1 - 0.2 * scales / 2])

    def examples(data: Any, components: int) -> Any:
        kept.append(components)
        return np.arange(3.0), {0: np.zeros(3), 5: np.ones(3)}

    monkeypatch.setattr(evaluations, "noise_accuracy", accuracy)
    monkeypatch.setattr(evaluations, "noise_examples", examples)
    metrics = evaluations.log_noise(runs, TRAINED, 4)
    assert kept == [4, 4]
    assert metrics == pytest.approx({"noise/accuracy_at_1x": 0.9, "noise/accuracy_at_5x": 0.5})
    for run in runs:
        assert memory.get_run(run.id).data.metrics.items() >= metrics.items()
        curve = memory.curve(run, "noise/accuracy")
        assert list(curve) == list(range(0, 501, 25))
        assert (curve[0], curve[250]) == pytest.approx((1.0, 0.75))
    table = memory.table(runs[0], "tables/noise.csv")
    assert list(table.columns) == ["fold", "scale", "accuracy"]
    assert table["scale"].tolist() == np.linspace(0, 5, 21).tolist() * 2
    figures = ["figures/noise.csv", "figures/noise.png"]
    assert [memory.files(run) for run in runs] == [[*figures, "tables/noise.csv"], figures]
    assert "fcn 10x" in memory.table(runs[1], figures[0])["series"].tolist()


def references(n: int, labels: list[int]) -> References:
    crop = spectra(n, edge=COARSE)
    start = COARSE.crop_start
    window = slice(start, start + COARSE.n_crop)
    data = SpectrumSet(
        crop.energy_ev[window], crop.intensity[:, window], np.resize(labels, n), crop.group, COARSE, "labs"
    )
    return References(data, np.array(["as written"] * n), np.zeros(n, np.int64), [])


def predict(models: Any, inputs: Any) -> Any:
    """The first model says the last class of all, the second the first."""
    assert np.ptp(inputs, axis=1) == pytest.approx(1.0)  # normalised
    return np.stack([np.tile(p, (len(inputs), 1)) for p in ([0.1, 0.2, 0.7], [0.6, 0.3, 0.1])])


def test_a_reference_test_logs_each_fold_the_mean_and_the_vote(
    memory: MemoryStore, runs: list[tracking.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluations, "predict", predict)
    labs = references(4, [2, 2, 0, -1])
    metrics = evaluations.log_references(runs, MODELS, labs)
    assert metrics == pytest.approx({"reference/accuracy_mean": 0.5, "reference/accuracy_vote": 2 / 3})
    for run in runs:
        assert memory.get_run(run.id).data.metrics.items() >= metrics.items()
    assert memory.curve(runs[0], "reference/accuracy_fold") == pytest.approx({0: 2 / 3, 1: 1 / 3})
    assert memory.files(runs[1]) == []
    (dataset,) = memory.inputs[runs[0].id]
    assert dataset.dataset.digest == labs.spectra.digest()
    assert [t.value for t in dataset.tags] == ["reference"]
    table = memory.table(runs[0], "tables/references.csv")
    assert table["name"].tolist() == labs.spectra.name.tolist()
    assert table["p(Mn4+)"].tolist() == pytest.approx([0.4] * 4)
    figures = [f for f in memory.files(runs[0]) if f.endswith(".csv") and f.startswith("figures")]
    assert figures == ["figures/reference_spectra.csv", "figures/references.csv"]
    shown = memory.table(runs[0], "figures/references.csv")
    assert pd.to_numeric(shown["value"]).tolist() == pytest.approx([0.35, 0.25, 0.4] * 4)


@pytest.mark.parametrize(("n", "drawn"), [(60, True), (61, False)])
def test_mixed_references_have_no_accuracy_and_many_no_figure(
    memory: MemoryStore, runs: list[tracking.Run], monkeypatch: pytest.MonkeyPatch, n: int, drawn: bool
) -> None:
    monkeypatch.setattr(evaluations, "predict", predict)
    figure = evaluations.plots.confusion(np.eye(3), COARSE.classes)
    for name in ("reference_matrix", "reference_spectra"):
        monkeypatch.setattr(evaluations.plots, name, lambda *_: figure)
    nothing = ReferenceAccuracy(np.full(2, np.nan), np.nan, np.nan)
    monkeypatch.setattr(evaluations, "reference_accuracy", lambda *_: nothing)
    assert evaluations.log_references(runs, MODELS, references(n, [-1])) == {}
    assert memory.get_run(runs[0].id).data.metrics == {}
    assert len(memory.table(runs[0], "tables/references.csv")) == n
    assert ("figures/references.png" in memory.files(runs[0])) == drawn


def test_activations_are_logged_for_both_kinds_of_spectra_with_their_correlation(
    memory: MemoryStore, runs: list[tracking.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    convolutional = True

    def activations(model: Any, crops: Any, valence: Any, classes: Any) -> Any:
        assert (model, classes) == ("net", COARSE.classes)
        seen.append((len(crops), crops.shape[1], np.ptp(crops, axis=1), valence.tolist()))
        blocks = [np.eye(5)[:, :1], np.arange(6.0).reshape(3, 2)]
        return {name: blocks for name in classes} if convolutional else {}

    monkeypatch.setattr(evaluations, "mean_activations", activations)
    labs = references(3, [0, 1, 2]).spectra
    monkeypatch.setattr(evaluations, "last_block_agreement", lambda a, f: {"same": 0.9, "other": 0.4})
    evaluations.log_activations(runs[0], "net", DATA, labs)
    assert [s[:2] for s in seen] == [(30, COARSE.n_crop), (3, COARSE.n_crop)]
    assert np.concatenate([s[2] for s in seen]) == pytest.approx(1.0)  # both are normalised
    assert [s[3] for s in seen] == [DATA.valence.tolist(), [0, 1, 2]]
    names = [f"figures/activations{kind}.{end}" for kind in ("", "_references") for end in ("csv", "png")]
    assert memory.files(runs[0]) == sorted(names)
    found = memory.get_run(runs[0].id).data.metrics
    assert found == {"activations/correlation_same": 0.9, "activations/correlation_other": 0.4}
    convolutional = False
    evaluations.log_activations(runs[1], "net", DATA, labs)
    assert memory.files(runs[1]) == []

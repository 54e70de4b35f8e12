"""A method without a network goes through the folds and evaluations of networks."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mnflow.errors import InputError
from mnflow.folds import split
from mnflow.models import baselines as methods
from mnflow.pipeline import baselines
from mnflow.track import names, tracking
from mnflow.track.query import children
from tests.helpers.memory_store import MemoryStore
from tests.helpers.spectra import COARSE, spectra

DATA = spectra(24, edge=COARSE)
FOLDS = split(DATA, n_folds=2)
LABS: Any = object()


def test_cases_are_methods_with_and_without_alignment() -> None:
    assert baselines.cases("least_squares,white_lines", "both") == [
        ("least_squares", False), ("least_squares", True), ("white_lines", False), ("white_lines", True),
    ]  # fmt: skip
    assert baselines.cases("white_lines", "yes") == [("white_lines", True)]
    assert baselines.cases("all", "no") == [(method, False) for method in methods.METHODS]
    with pytest.raises(InputError, match="Unknown baseline 'magic'"):
        baselines.cases("white_lines,magic", "no")


class Fits:
    """In place of `baselines.fit_fold` and the evaluations: what they were given."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.fitted: list[tuple[Any, ...]] = []
        self.evaluated: list[tuple[str, Any]] = []
        patch.setattr(methods, "fit_fold", self.fit)
        for name in ("log_shift", "log_noise"):
            patch.setattr(baselines, name, lambda runs, trained, name=name: self.note(name, runs, trained))
        patch.setattr(baselines, "log_references", self.references)

    def fit(self, *words: Any) -> "Fits":
        self.fitted.append(words)
        return self

    def predict(self, crops: Any) -> Any:
        """Right for Mn2+ alone."""
        assert np.ptp(crops, axis=1) == pytest.approx(1.0)  # normalised
        return np.tile(np.array([0.7, 0.2, 0.1], np.float32), (len(crops), 1))

    def note(self, name: str, runs: Any, given: Any) -> dict[str, float]:
        self.evaluated.append((name, given))
        return {f"{name} of {runs[0].id}": 0.25}

    def references(self, runs: Any, models: Any, references: Any) -> dict[str, float]:
        assert models == [self, self]
        return self.note("references", runs, references)


def test_a_method_is_fitted_on_every_fold_and_evaluated(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = Fits(monkeypatch)
    run = tracking.Run(memory.create_run("7").info.run_id)
    metrics = baselines.evaluate_method(run, "white_lines", True, 3, DATA, FOLDS, LABS, 5)
    assert fits.fitted == [(DATA, fold, "white_lines", True, 3, 5) for fold in FOLDS]
    right = [(DATA.valence[fold.test] == 0).mean() for fold in FOLDS]
    own = {names.CV_ACCURACY: np.mean(right), names.CV_ACCURACY_STD: abs(right[0] - right[1]) / 2**0.5}
    assert memory.get_run(run.id).data.metrics == pytest.approx(own)
    evaluations = [f"{name} of {run.id}" for name in ("log_shift", "log_noise", "references")]
    assert metrics == pytest.approx({**own, **dict.fromkeys(evaluations, 0.25)})
    (shift, trained), (noise, again), labs = fits.evaluated
    assert (shift, noise, labs) == ("log_shift", "log_noise", ("references", LABS))
    assert trained is again
    assert (trained.label, trained.spectra, trained.folds) == ("white_lines aligned", DATA, FOLDS)
    table = memory.table(run, "tables/predictions.csv")
    assert table["spectrum"].tolist() == list(range(24))
    assert set(table["predicted"]) == {"Mn2+"}
    assert table["p(Mn3+)"].tolist() == pytest.approx([0.2] * 24)


def test_every_method_has_a_nested_run_and_a_row_of_the_summary(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = []

    def evaluate(run: tracking.Run, *words: Any) -> dict[str, float]:
        given.append(words)
        return {"a": 0.25, "b": float(len(given))}

    monkeypatch.setattr(baselines, "evaluate_method", evaluate)
    run = tracking.Run(memory.create_run("7").info.run_id)
    cases = [("white_lines", False), ("least_squares", True)]
    params = {"methods": "all", "augmentation": "2x", "folds": "grouped", "seed": 4}
    baselines.evaluate_all(run, cases, params, 2, DATA, "runs:/0", FOLDS, LABS)
    assert given == [(*case, 2, DATA, FOLDS, LABS, 4) for case in cases]
    plain, aligned = children(run.id)
    assert (plain.info.run_name, aligned.info.run_name) == ("white_lines 2x", "least_squares_aligned 2x")
    known = {"mnflow.step": "baseline", "arch": "least_squares_aligned", "augmentation": "2x"}
    known |= {"folds": "grouped", "noise_augmentation": "false", "dataset_uri": "runs:/0"}
    assert aligned.data.tags.items() >= {**known, "dataset_digest": DATA.digest()}.items()
    own = {"methods": "least_squares", "align": "True", "augmentation": "2x", "folds": "grouped", "seed": "4"}
    assert aligned.data.params == own
    assert memory.table(run, "tables/summary.csv").equals(
        pd.DataFrame({"method": ["white_lines", "least_squares_aligned"], "a": [0.25, 0.25], "b": [1.0, 2.0]})
    )
    note = memory.get_run(run.id).data.tags[names.NOTE]
    assert note == "2 baselines on 24 spectra: see tables/summary.csv and the nested runs."
    said = ["white_lines: a 0.2500, b 1.0000", "least_squares_aligned: a 0.2500, b 2.0000"]
    assert capsys.readouterr().err.splitlines() == said

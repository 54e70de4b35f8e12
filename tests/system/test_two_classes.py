"""A user's data has two of manganese's three valences: the whole path knows these two, and says so."""

import shutil
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

from entrypoints import (
    cv_train,
    noise_eval,
    predict,
    preprocess,
    promote,
    reference_test,
    shift_eval,
    simulate,
)
from mnflow.promote.gate import Gate
from mnflow.track import cross_validation, tracking
from tests.helpers import promotions

TWO = ("Mn2+", "Mn4+")


def test_two_of_three_valences_from_files_to_answers(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    promotions.shorten(monkeypatch)
    simulate.run(simulate.Options(out=str(store / "all"), size="quick"))
    for name in TWO:
        shutil.copytree(store / "all" / name, store / "mine" / name)
    prepared = tracking.connect().get_run(preprocess.run(preprocess.Options(source=str(store / "mine"))))
    said = capsys.readouterr().err
    assert "There are no spectra of Mn3+" in said
    run = cv_train.run(
        cv_train.Options(augmentation="2x", degraded_copies=0, n_folds=2, epochs=10, workers=1)
    )
    finished = cross_validation.load_cv(tracking.connect().get_run(run))
    assert finished.spectra.edge.classes == TWO
    assert finished.record.data.tags["dataset_digest"] == prepared.data.tags["dataset_digest"]
    assert finished.record.data.metrics["cv/accuracy_mean"] > 0.8  # chance is a half
    for step in (shift_eval, noise_eval, reference_test):
        step.run(step.Options(run=run))
    promote.run(promote.Options(run=run, **{f.name: float(f.name.startswith("max")) for f in fields(Gate)}))
    for name in TWO:
        file = next((store / "mine" / name).glob("*.hspy"))
        predict.run(predict.Options(file=str(file), out=str(store / "maps")))
        table = pd.read_csv(store / "maps" / f"{file.stem}_valence.csv")
        assert {c for c in table if c.startswith("probability_")} == {f"probability_{k}" for k in TWO}
        assert table["class"].dropna().mode().tolist() == [name]

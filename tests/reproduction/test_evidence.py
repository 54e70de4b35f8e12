"""Evidence: intervals, and numbers read from finished runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from entrypoints import reproduce
from mnflow.reproduction.evidence import collect, interval
from mnflow.track import tracking
from mnflow.track.query import artifact

pytestmark = pytest.mark.slow


def test_the_interval_is_students() -> None:
    found = interval(pd.Series([0.9, 1.0, 0.95]))
    assert found.mean == pytest.approx(0.95)
    assert found.high - found.mean == pytest.approx(4.3027 * 0.05 / np.sqrt(3), rel=1e-4)
    assert str(interval(pd.Series([0.9]))) == "90.0% (n = 1)"


def test_evidence_is_read_from_runs(store: Path) -> None:
    with tracking.step(tracking.tags_of("preprocess"), "preprocess", {"source": "simulated"}) as data:
        pass
    tags = {**tracking.tags_of("cv_train", "fcn", "10x", "stratified"), "dataset_uri": f"runs:/{data.id}"}
    with tracking.step({**tags, "noise_augmentation": "false"}, "fcn 10x", {"seed": 3, "epochs": 2}) as run:
        truth = ["Mn2+", "Mn3+"] * 4
        predicted = ["Mn2+", "Mn3+"] * 3 + ["Mn3+", "Mn3+"]
        run.table(
            pd.DataFrame({"fold": [0] * 4 + [1] * 4, "truth": truth, "predicted": predicted}), "predictions"
        )
        for fold in range(2):
            with tracking.child(run, {"fold": str(fold)}, f"fold {fold}") as child:
                child.curve("test/accuracy", [1, 2], [1.0, 0.75])
                child.metrics({"cv/seconds": 0.8})
    with tracking.step({**tags, "mnflow.step": "shift_eval", "cv_run": run.id}, "shift", {}) as own:
        shift_ev = np.arange(-50, 51) / 10
        rows = {
            "fold": np.repeat([0, 1], 101),
            "shift_ev": np.tile(shift_ev, 2),
            "accuracy": np.tile(1 - np.abs(shift_ev) / 10, 2),
        }
        own.table(pd.DataFrame(rows), "shift")
    for _ in range(2):
        with tracking.step({**tags, "mnflow.step": "tsne", "cv_run": run.id}, "tsne", {}) as own:
            for place in (own, run):
                place.metrics({"tsne/reference_agreement_features": 0.9})
    evidence = collect()
    assert evidence.pick("tsne/reference_agreement_features", "fcn", "10x").to_list() == [0.9]
    assert evidence.simulated
    assert evidence.counts == {"Mn2+": 4, "Mn3+": 4}
    assert evidence.pick("accuracy", "fcn", "10x").to_dict() == {(3, 0): 1.0, (3, 1): 0.75}
    assert evidence.pick("best_epoch_gain", "fcn", "10x").to_list() == [0.25, 0.25]
    assert evidence.pick("seconds_per_100k", "fcn", "10x").to_list() == pytest.approx(
        [1e5 * 0.8 / (2 * 10 * 4)] * 2
    )
    assert evidence.pick("shift/worst", "fcn", "10x").to_list() == pytest.approx([0.5, 0.5])
    assert evidence.pick("shift/far", "fcn", "10x").to_list() == pytest.approx([0.6, 0.6])

    run_id = reproduce.run(reproduce.Options(out=str(store / "docs" / "reproduction.md")))
    assert "](figures/swing.png)" in (store / "docs" / "reproduction.md").read_text()
    assert (store / "docs" / "figures" / "swing.png").stat().st_size > 10_000
    assert "| fcn | 10x | stratified |" in (store / "docs" / "reproduction.md").read_text()
    with artifact(run_id, "tables/evidence.csv") as path:
        assert len(pd.read_csv(path)) == len(evidence.values)


def test_runs_of_one_dataset_are_told_from_those_of_another(store: Path) -> None:
    ids = []
    for settings, accuracy in (("mn", 1.0), ("mn-oxides", 0.5)):
        with tracking.step(
            tracking.tags_of("preprocess"), settings, {"source": "simulated", "settings": settings}
        ) as data:
            data.tags({"dataset_digest": f"digest of {settings}"})
        ids.append(data.id)
        tags = {
            **tracking.tags_of("cv_train", "fcn", "none", "stratified"),
            "dataset_digest": f"digest of {settings}",
        }
        tags |= {"dataset_uri": f"runs:/{data.id}", "noise_augmentation": "false"}
        with tracking.step(tags, "fcn none", {"seed": 0}) as run:
            predicted = ["Mn2+"] * int(4 * accuracy) + ["Mn3+"] * int(4 - 4 * accuracy)
            run.table(pd.DataFrame({"fold": 0, "truth": ["Mn2+"] * 4, "predicted": predicted}), "predictions")
    assert collect().settings == "mn-oxides"
    assert collect(ids[0]).pick("accuracy", "fcn").to_list() == [1.0]
    assert collect(ids[1]).pick("accuracy", "fcn").to_list() == [0.5]
    out = store / "docs" / "reproduction.md"
    reproduce.run(reproduce.Options(out=str(out), data=ids[0], compare_with=ids[1]))
    assert "beside: mn-oxides" in out.read_text()

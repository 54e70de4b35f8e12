"""Evidence: intervals, and numbers read from finished runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from entrypoints import reproduce
from mnflow.reproduction.evidence import Evidence, collect, interval
from mnflow.track import tracking
from mnflow.track.query import artifact
from tests.helpers.memory_store import MemoryStore


def test_the_interval_is_students() -> None:
    found = interval(pd.Series([0.9, 1.0, 0.95]))
    assert found.mean == pytest.approx(0.95)
    assert found.high - found.mean == pytest.approx(4.3027 * 0.05 / np.sqrt(3), rel=1e-4)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    assert found.n == 3
    assert str(found) == "95.0% (82.6% to 107.4%, n = 3)"
    assert found.signed() == "+95.0% (+82.6% to +107.4%, n = 3)"
    assert found.signed(2) == "+95.00% (+82.58% to +107.42%, n = 3)"
    assert interval(pd.Series([0.2, 0.2])).high == pytest.approx(0.2)
    one = interval(pd.Series([0.9]))
    assert (one.mean, one.low, one.high, str(one)) == (0.9, 0.9, 0.9, "90.0% (n = 1)")


COLUMNS = ["quantity", "arch", "augmentation", "noise_augmentation", "folds", "seed", "fold", "value"]


def test_numbers_are_picked_by_their_whole_setting() -> None:
    def row(seed: int, fold: int, value: float, quantity: str = "q", arch: str = "fcn", **own: Any) -> Any:
        setting = {"augmentation": "none", "noise_augmentation": False, "folds": "stratified", **own}
        return {"quantity": quantity, "arch": arch, **setting, "seed": seed, "fold": fold, "value": value}

    rows = [
        row(1, 0, 0.1), row(0, 1, 0.2), row(0, 0, 0.3, "r"), row(0, 1, 0.4, arch="dense"),
        row(0, 0, 0.5, augmentation="1x"), row(0, 0, 0.6, noise_augmentation=True),
        row(0, 0, 0.7, folds="grouped"), row(0, 1, 0.8, arch="fcn_wide", augmentation="10x"),
    ]  # fmt: skip
    all_of = Evidence(pd.DataFrame(rows, columns=COLUMNS), {"Mn2+": 3}, True, "0123", "mn")
    assert all_of.pick("q", "fcn").to_dict() == {(0, 1): 0.2, (1, 0): 0.1}
    assert list(all_of.pick("q", "fcn").index) == [(0, 1), (1, 0)]
    assert all_of.pick("r", "fcn").to_list() == [0.3]
    assert all_of.pick("q", "dense").to_list() == [0.4]
    assert all_of.pick("q", "fcn", "1x").to_list() == [0.5]
    assert all_of.pick("q", "fcn", noise=True).to_list() == [0.6]
    assert all_of.pick("q", "fcn", folds="grouped").to_list() == [0.7]
    assert all_of.pick("q", "fcn", "2x").empty
    # only one fold was run of both
    less = all_of.difference("q", ("dense", "none"), ("fcn", "none"))
    assert less.to_dict() == {(0, 1): pytest.approx(0.2)}
    wide = all_of.in_place_of_fcn("fcn_wide")
    assert sorted(wide.values["arch"].unique()) == ["dense", "fcn"]
    assert wide.pick("q", "fcn", "10x").to_list() == [0.8]
    assert wide.pick("q", "fcn").empty
    assert (wide.counts, wide.digest, wide.settings) == ({"Mn2+": 3}, "0123", "mn")


def cross_validation(
    digest: str, uri: str, accuracy: float, seed: str = "0", step: str = "cv_train", arch: str = "fcn"
) -> tracking.Run:
    tags = {**tracking.tags_of(step, arch, "2x", "stratified"), "noise_augmentation": "true"}
    tags |= {"dataset_digest": digest, "dataset_uri": uri}
    with tracking.step(tags, "fcn 2x", {"epochs": "5"} | ({"seed": seed} if seed else {})) as run:
        n = round(accuracy * 10)
        predicted = ["Mn2+"] * n + ["Mn4+"] * (10 - n) + ["Mn3+"] * 20
        truth = ["Mn2+"] * 10 + ["Mn3+"] * 20
        run.table(
            pd.DataFrame({"fold": [0] * 10 + [1] * 20, "truth": truth, "predicted": predicted}), "predictions"
        )
    return run


def preprocessed(digest: str, **params: str) -> str:
    with tracking.step(
        {**tracking.tags_of("preprocess"), "dataset_digest": digest}, "preprocess", params
    ) as run:
        return run.id


def test_the_newest_runs_on_the_newest_dataset_count(memory: MemoryStore) -> None:
    nothing = collect()
    assert (len(nothing.values), nothing.counts, nothing.digest, nothing.runs) == (0, {}, "unknown", [])
    assert list(nothing.values.columns) == COLUMNS
    assert nothing.settings == "unknown"
    old, new = preprocessed("old", source="simulated", settings="mn"), preprocessed("new", source="a/folder")
    cross_validation("old", f"runs:/{old}", 0.1)
    ids = [
        cross_validation("new", f"runs:/{new}", a, seed).id
        for a, seed in ((0.2, "0"), (0.3, "3"), (0.4, "0"))
    ]
    found = collect()
    assert [r.info.run_id for r in found.runs] == [ids[2], ids[1]]
    assert found.pick("accuracy", "fcn", "2x", noise=True).to_dict() == {
        (0, 0): 0.4, (0, 1): 1.0, (3, 0): 0.3, (3, 1): 1.0,
    }  # fmt: skip
    assert (found.digest, found.settings, found.simulated) == ("new", "unknown", False)
    assert found.counts == {"Mn3+": 20, "Mn2+": 10}
    first = collect(old)
    assert (first.digest, first.settings, first.simulated) == ("old", "mn", True)
    assert first.pick("accuracy", "fcn", "2x", noise=True).to_list() == [0.1, 1.0]
    baselines = [
        cross_validation("file", f"runs:/{new}", 0.5, "", "baseline", arch) for arch in ("l3", "fcn")
    ]
    cv = cross_validation("file", "/data/a.npz", 0.6)
    found = collect()
    # of one setting the newest run counts, a cross-validation before a baseline
    assert [r.info.run_id for r in found.runs] == [cv.id, baselines[0].id]
    assert found.pick("accuracy", "l3", "2x", noise=True).to_dict() == {(0, 0): 0.5, (0, 1): 1.0}
    assert not found.simulated


def test_what_training_cost_and_what_the_best_epoch_would_have_gained(memory: MemoryStore) -> None:
    run = cross_validation("0", "/data/a.npz", 1.0)
    for fold, status in ((0, "FINISHED"), (1, "FINISHED"), (1, "KILLED")):
        with tracking.child(run, {"fold": str(fold)}, "fold") as child:
            child.curve("test/accuracy", [2, 10, 1], [0.9 + 0.05 * fold, 0.8, 0.7])
            child.metrics({"cv/seconds": 3.0})
        memory.set_terminated(child.id, status)
    found = collect()
    gain = found.pick("best_epoch_gain", "fcn", "2x", noise=True)
    assert gain.to_list() == pytest.approx([0.1, 0.15])
    seconds = found.pick("seconds_per_100k", "fcn", "2x", noise=True)
    # 5 epochs of two crops of the other fold's 20 or 10 spectra
    assert seconds.to_list() == pytest.approx([3e5 / (5 * 2 * 20), 3e5 / (5 * 2 * 10)])


def test_numbers_of_the_evaluations(memory: MemoryStore) -> None:
    run = cross_validation("0", "/data/a.npz", 1.0)
    shift_ev = np.arange(-50, 51) / 10
    falls = 1 - np.abs(shift_ev) / 10 + 0.02 * np.cos(2 * np.pi * np.arange(101) / 8)
    with tracking.step({**tracking.tags_of("shift_eval"), "cv_run": run.id}, "shift", {}) as own:
        rows = {
            "fold": np.repeat([2, 3], 101), "shift_ev": np.tile(shift_ev, 2),
            "accuracy": np.concatenate([falls, falls - 0.1]),
        }  # fmt: skip
        own.table(pd.DataFrame(rows), "shift")
    with tracking.step({**tracking.tags_of("noise_eval"), "cv_run": run.id}, "noise", {}) as own:
        noise = {
            "fold": [0, 0, 0, 1, 1, 1],
            "scale": [0.0, 1.0, 5.0] * 2,
            "accuracy": [1, 0.9, 0.5, 1, 0.8, 0.4],
        }
        own.table(pd.DataFrame(noise), "noise")
    for references, value in (("simulated", 0.7), ("folder", 0.1)):
        tags = {**tracking.tags_of("reference_test"), "cv_run": run.id}
        with tracking.step(tags, "references", {"references": references}) as own:
            own.curve("reference/accuracy_fold", [0, 1], [value, value + 0.1])
            own.metrics({"reference/accuracy_vote": value, "activations/correlation_same": value})
    found = collect()

    def pick(quantity: str) -> list[float]:
        return found.pick(quantity, "fcn", "2x", noise=True).to_list()

    assert pick("shift/integrated") == pytest.approx([falls.mean(), falls.mean() - 0.1])
    far = falls[np.abs(shift_ev) >= 3].mean()
    assert pick("shift/far") == pytest.approx([far, far - 0.1])
    assert pick("shift/worst") == pytest.approx([falls.min(), falls.min() - 0.1])
    assert pick("shift/swing_8") == pytest.approx([0.02, 0.02], abs=2e-3)
    for quantity in ("integrated", "far", "worst", "swing_8", "swing_16"):
        folds = found.pick(f"shift/{quantity}", "fcn", "2x", noise=True).index.get_level_values("fold")
        assert folds.tolist() == [2, 3]
    assert pick("shift/swing_16") == pytest.approx([0, 0], abs=5e-3)
    assert (pick("noise/1x"), pick("noise/5x")) == ([0.9, 0.8], [0.5, 0.4])
    assert pick("reference/accuracy_fold") == pytest.approx([0.7, 0.8])  # of the simulated ones
    assert pick("reference/accuracy_vote") == pick("activations/correlation_same") == [0.7]
    assert pick("activations/correlation_other") == []


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

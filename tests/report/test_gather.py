"""What the report reads from the tracking store: runs by id or the newest of each setting."""

import re
from pathlib import Path

import pandas as pd
import pytest

from entrypoints import report
from mnflow.errors import InputError
from mnflow.plots.style import UNKNOWN_COLOUR, series_styles, valence_colours
from mnflow.report.gather import best_by_column, evaluations, find_runs, gather
from mnflow.track import names, tracking
from mnflow.track.query import artifact
from tests.helpers.memory_store import MemoryStore

P = ["p(Mn2+)", "p(Mn3+)", "p(Mn4+)"]


def _cv(arch: str = "fcn", accuracy: float = 0.99, classes: str = "Mn2+ Mn3+ Mn4+") -> str:
    """A finished cross-validation with what the report looks at of its shift and reference tests."""
    with tracking.step(
        tracking.tags_of("cv_train", arch, "10x", "stratified"),
        f"{arch} 10x stratified",
        {"arch": arch},
        note="in words",
    ) as run:
        run.metrics({"cv/accuracy_mean": accuracy})
        run.curve("shift/accuracy", [-100, 0, 100], [0.5, 1.0, 0.6])  # as its evaluation logs it, too
        run.table(pd.DataFrame(columns=[f"p({name})" for name in classes.split()]), "predictions")
    with tracking.step({**tracking.tags_of("shift_eval", arch), "cv_run": run.id}, "shift_eval", {}) as own:
        own.curve("shift/accuracy", [-100, 0, 100], [0.5, 1.0, 0.6])
        rows = [(fold, ev, 0.5 + 0.1 * fold) for fold in range(3) for ev in (-0.1, 0.0, 0.1)]
        own.table(pd.DataFrame(rows, columns=["fold", "shift_ev", "accuracy"]), "shift")
    with tracking.step(
        {**tracking.tags_of("reference_test", arch), "cv_run": run.id}, "reference_test", {}
    ) as own:
        rows = [["lab 1", "Mn3+", 0.1, 0.8, 0.1], ["lab 2", "mixed", 0.5, 0.5, 0.0]]
        own.table(pd.DataFrame(rows, columns=["name", "valence", *P]), "references")
    with tracking.step({**tracking.tags_of("tsne", arch), "cv_run": run.id}, "tsne", {}) as own:
        points = [
            ["pixel 1", "acquired", "Mn2+", 0.5, 1.5, 3, 4],
            ["lab 2", "reference", "mixed", 1, 2, 3, 4],
        ]
        names = ["name", "set", "valence", "input_x", "input_y", "features_x", "features_y"]
        own.table(pd.DataFrame(points, columns=names), "tsne")
    return run.id


def test_a_run_comes_with_its_evaluations(memory: MemoryStore) -> None:
    data = gather(find_runs(run_id := _cv()))
    (run,) = data.pop("runs")
    assert data.pop("written").endswith(" UTC")
    assert data == {
        "verdict": [],
        "columns": list(names.COLUMNS.items()),
        "classes": ["Mn2+", "Mn3+", "Mn4+"],
        "class_colours": valence_colours(["Mn2+", "Mn3+", "Mn4+"]),
        "unknown_colour": UNKNOWN_COLOUR,
        "store": "experiment test",
    }
    assert run["embedding"].pop("features") == {
        "x": [3.0, 3.0], "y": [4.0, 4.0], "label": [0, -1], "reference": [0, 1], "name": ["pixel 1", "lab 2"],
    }  # fmt: skip
    assert run == {
        "id": run_id, "label": "fcn 10x stratified", "note": "in words", "params": {"arch": "fcn"},
        "colour": series_styles(["fcn 10x stratified"])[0][0], "dash": "",
        "metrics": {"cv/accuracy_mean": 0.99},
        "curves": {
            "shift/accuracy": {
                "x": [-0.1, 0.0, 0.1], "y": [0.5, 1.0, 0.6], "low": [0.5] * 3, "high": [0.7] * 3,
                "x_label": "energy shift / eV",
            },
        },
        "references": [
            {"name": "lab 1", "truth": 1, "p": [0.1, 0.8, 0.1]},
            {"name": "lab 2", "truth": -1, "p": [0.5, 0.5, 0.0]},
        ],
        "embedding": {
            "input": {
                "x": [0.5, 1.0], "y": [1.5, 2.0], "label": [0, -1], "reference": [0, 1],
                "name": ["pixel 1", "lab 2"],
            },
        },
    }  # fmt: skip


def test_numbers_that_are_curves_or_not_finite(memory: MemoryStore) -> None:
    run = tracking.Run(_cv())
    run.curves({
        "train/loss": ([3, 1, 2], [0.1, 1.23456789, float("nan")]),
        "noise/accuracy": ([0, 333], [1.0, 0.123456789]),
        "lost": ([0], [float("nan")]),
    })  # fmt: skip
    (described,) = gather(find_runs(run.id))["runs"]
    assert described["metrics"] == {"cv/accuracy_mean": 0.99}
    assert described["curves"]["train/loss"] == {"x": [1.0, 3.0], "y": [1.234568, 0.1], "x_label": "step"}
    noise = {"x": [0.0, 3.33], "y": [1.0, 0.123457], "x_label": "noise, times the measured"}
    assert described["curves"]["noise/accuracy"] == noise  # no band: no table of folds


def test_the_newest_evaluation_of_each_kind_counts_and_a_run_goes_before_it(memory: MemoryStore) -> None:
    run = tracking.Run(_cv())
    for value, references in ((0.5, "simulated"), (0.6, "simulated"), (0.7, "folder")):
        tags = {**tracking.tags_of("reference_test"), "cv_run": run.id}
        with tracking.step(tags, f"{references} {value}", {"references": references}) as own:
            own.metrics({"reference/accuracy_vote": value, "cv/accuracy_mean": 0.0})
    record = find_runs(run.id)[0]
    kinds = ["shift_eval", "folder 0.7", "tsne"]
    assert [e.info.run_name for e in evaluations(record)] == kinds
    simulated = evaluations(record, references="simulated")
    assert [e.info.run_name for e in simulated] == ["shift_eval", "simulated 0.6", "tsne"]
    old = [e.info.run_name for e in evaluations(record, references="other")]
    assert old == ["shift_eval", "reference_test", "tsne"]  # a run that does not say which
    (described,) = gather([record])["runs"]
    assert described["metrics"] == {"cv/accuracy_mean": 0.99, "reference/accuracy_vote": 0.7}
    assert described["references"] == []  # the newest has no such table


def test_bands_need_a_table_of_folds_with_the_same_points(memory: MemoryStore) -> None:
    run = tracking.Run(_cv())
    run.curve("noise/accuracy", [0, 100], [0.9, 0.8])
    for scales, band in (([0.0], False), ([1.0, 0.0], True)):
        with tracking.step({**tracking.tags_of("noise_eval"), "cv_run": run.id}, "noise_eval", {}) as own:
            own.curve("noise/accuracy", [0, 100], [0.9, 0.8])
            rows = [(fold, scale, 0.12345678 + scale + fold) for fold in (0, 1) for scale in scales]
            own.table(pd.DataFrame(rows, columns=["fold", "scale", "accuracy"]), "noise")
        curve = gather(find_runs(run.id))["runs"][0]["curves"]["noise/accuracy"]
        found = (curve.get("low"), curve.get("high"))
        assert found == (([0.123457, 1.123457], [1.123457, 2.123457]) if band else (None, None))
    with tracking.step({**tracking.tags_of("noise_eval"), "cv_run": run.id}, "noise_eval", {}) as own:
        own.curve("noise/accuracy", [0, 100], [0.9, 0.8])
        own.table(pd.DataFrame({"scale": [0, 1], "accuracy": [1, 1]}), "noise")
    assert "low" not in gather(find_runs(run.id))["runs"][0]["curves"]["noise/accuracy"]


def test_newest_takes_the_last_run_of_every_setting(memory: MemoryStore) -> None:
    def quick(step: str, arch: str, augmentation: str) -> str:
        with tracking.step(tracking.tags_of(step, arch, augmentation), arch, {}) as run:
            return run.id

    quick("cv_train", "fcn", "1x")
    kinds = [("baseline", "l3"), ("cv_train", "fcn"), ("cv_train", "dense")]
    tenfold, *others = (quick(step, arch, "10x") for step, arch in kinds[1:2] + kinds[:1] + kinds[2:])
    last, twofold = quick("cv_train", "fcn", "1x"), quick("cv_train", "fcn", "2x")
    found = [run.info.run_id for run in find_runs("newest")]
    assert found == [others[1], last, twofold, tenfold, others[0]]


def test_runs_of_one_name_are_told_apart(memory: MemoryStore) -> None:
    first, second, third = _cv(), _cv(), _cv("dense")
    runs = gather(find_runs(f"{first}, {second},,{third}"))["runs"]
    labels = [f"fcn 10x stratified ({run_id[:6]})" for run_id in (first, second)]
    assert [run["label"] for run in runs] == [*labels, "dense 10x stratified"]
    looks = {(run["colour"], run["dash"]) for run in runs}
    assert len(looks) == 3
    assert [run["dash"] for run in runs] == ["", "7 4", "8 3 2 3"]


def test_unknown_no_and_unlike_runs_give_a_clear_error(memory: MemoryStore) -> None:
    with pytest.raises(InputError, match=r"^No run 'abc' in this tracking store: copy run ids from the UI, "):
        find_runs("abc")
    with pytest.raises(InputError, match=r"^A report needs one run or more: give ids of finished runs, or "):
        gather(find_runs("newest"))
    unlike = [("Fe2+", "Fe3+"), ("Mn2+", "Mn3+", "Mn4+")]
    said = re.escape(f"These runs tell different classes apart ({unlike}): report on runs of one element")
    with pytest.raises(InputError, match=f"^{said} at a time"):
        gather(find_runs(f"{_cv()},{_cv(classes='Fe2+ Fe3+')}"))


def test_the_entry_point_writes_and_logs_the_page(store: Path) -> None:
    _cv()
    run_id = report.run(report.Options(out=str(store / "out" / "page.html")))
    page = (store / "out" / "page.html").read_text()
    with artifact(run_id, "page.html") as logged:
        assert logged.read_text() == page
    assert "fcn 10x stratified" in page
    assert tracking.connect().get_run(run_id).info.status == "FINISHED"


def test_a_verdict_counts_columns_and_ties() -> None:
    runs = [
        {"label": "a", "metrics": {"cv/accuracy_mean": 0.9, "shift/worst_accuracy": 0.8}},
        {"label": "b", "metrics": {"cv/accuracy_mean": 0.9, "shift/worst_accuracy": 0.7, "cv/seconds": 3}},
    ]
    assert best_by_column(runs) == (
        "a is best in 2 of 2: unshifted, worst shift; b is best in 1 of 2: unshifted."
    )
    assert best_by_column(runs[:1]) == ""
    c = {"label": "c", "metrics": {"reference/accuracy_mean": 0.5, "cv/accuracy_mean": 0.1}}
    d = {"label": "d", "metrics": {"reference/accuracy_mean": 0.4, "cv/accuracy_mean": 0.2}}
    e = {"label": "e", "metrics": {"cv/accuracy_mean": 0.2, "noise/accuracy_at_5x": 1.0}}
    assert best_by_column([c, d, e]) == (
        "d is best in 1 of 2: unshifted; e is best in 1 of 2: unshifted; "
        "c is best in 1 of 2: other labs mean."
    )


def test_the_champion_is_named_on_top(memory: MemoryStore) -> None:
    data = gather(find_runs(f"{_cv()},{_cv('dense', 0.5)}"), "Champion: version 3.")
    assert data["verdict"] == ["fcn 10x stratified is best in 1 of 1: unshifted.", "Champion: version 3."]
    assert data["columns"][0] == ("cv/accuracy_mean", "unshifted")

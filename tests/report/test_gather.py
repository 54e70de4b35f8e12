"""What the report reads from the tracking store: runs by id or the newest of each setting."""

from pathlib import Path

import pandas as pd
import pytest

from entrypoints import report
from mnflow.errors import InputError
from mnflow.report.gather import best_by_column, find_runs, gather
from mnflow.track import tracking
from mnflow.track.query import artifact

P = ["p(Mn2+)", "p(Mn3+)", "p(Mn4+)"]


def _cv(arch: str = "fcn", accuracy: float = 0.99, classes: str = "Mn2+ Mn3+ Mn4+") -> str:
    """A finished cross-validation with what the report looks at of its shift and reference tests."""
    with tracking.step(
        tracking.tags_of("cv_train", arch, "10x", "stratified"), f"{arch} 10x stratified", {"arch": arch}
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


def test_a_run_comes_with_its_evaluations(store: Path) -> None:
    data = gather(find_runs(_cv()))
    assert data["classes"] == ["Mn2+", "Mn3+", "Mn4+"]
    (run,) = data["runs"]
    assert run["metrics"]["cv/accuracy_mean"] == 0.99
    assert run["params"] == {"arch": "fcn"}
    curve = run["curves"]["shift/accuracy"]
    assert curve["x"] == [-0.1, 0.0, 0.1]
    assert curve["y"] == [0.5, 1.0, 0.6]
    assert (curve["low"], curve["high"]) == ([0.5] * 3, [0.7] * 3)
    assert curve["x_label"] == "energy shift / eV"
    assert run["references"][0] == {"name": "lab 1", "truth": 1, "p": [0.1, 0.8, 0.1]}
    assert run["references"][1]["truth"] == -1
    points = {
        "x": [0.5, 1.0],
        "y": [1.5, 2.0],
        "label": [0, -1],
        "reference": [0, 1],
        "name": ["pixel 1", "lab 2"],
    }
    assert run["embedding"]["input"] == points
    assert list(run["embedding"]) == ["input", "features"]


def test_newest_takes_the_last_run_of_every_setting(store: Path) -> None:
    _cv("fcn", 0.9)
    last = [_cv("dense", 0.8), _cv("fcn", 0.95)]
    assert [run.info.run_id for run in find_runs("newest")] == last


def test_runs_of_one_name_are_told_apart(store: Path) -> None:
    first, second = _cv(), _cv()
    labels = [run["label"] for run in gather(find_runs(f"{first}, {second}"))["runs"]]
    assert labels == [f"fcn 10x stratified ({run_id[:6]})" for run_id in (first, second)]


def test_unknown_no_and_unlike_runs_give_a_clear_error(store: Path) -> None:
    with pytest.raises(InputError, match="No run 'abc'"):
        find_runs("abc")
    with pytest.raises(InputError, match="one run or more"):
        gather(find_runs("newest"))
    with pytest.raises(InputError, match="different classes"):
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


def test_the_champion_is_named_on_top(store: Path) -> None:
    data = gather(find_runs(f"{_cv()},{_cv('dense', 0.5)}"), "Champion: version 3.")
    assert data["verdict"] == ["fcn 10x stratified is best in 1 of 1: unshifted.", "Champion: version 3."]
    assert data["columns"][0] == ("cv/accuracy_mean", "unshifted")

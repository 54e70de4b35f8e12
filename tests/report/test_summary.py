"""Figures of many cross-validations: which are drawn together, and from which curves."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mnflow.plots import figure_data
from mnflow.report import summary
from mnflow.track import names, tracking


def run(number: int, **tags: str) -> Any:
    known = {"mnflow.step": "cv_train", "arch": "fcn", "augmentation": "10x", "folds": "stratified"}
    known |= {"noise_augmentation": "false", **tags}
    return SimpleNamespace(
        info=SimpleNamespace(run_id=str(number), run_name=f"run {number}"),
        data=SimpleNamespace(tags=known, metrics=dict.fromkeys(names.CURVES, 0.9)),
    )


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run k has the accuracy 0.5 + k / 100 at the first point of its curves, and 0.9 at the last."""

    def history(run_id: str, metric: str) -> list[Any]:
        steps = {"shift/accuracy": (-1000, 1000), "noise/accuracy": (0, 500)}[metric]
        values = 0.5 + int(run_id) / 100, 0.9
        points = zip(steps, values, strict=True)
        return [SimpleNamespace(step=step, value=value) for step, value in reversed(list(points))]

    monkeypatch.setattr(tracking, "connect", lambda: SimpleNamespace(get_metric_history=history))


def drawn(figure: Any) -> dict[str, list[float]]:
    """Accuracy at the first point of every line, by panel and series."""
    table = figure_data(figure).query("kind == 'line' and series != ''")
    return {f"{p}: {s}": lines["y"].iloc[0] for (p, s), lines in table.groupby(["panel", "series"])}


def test_a_curve_is_in_its_unit_and_in_order() -> None:
    x, accuracy = summary.curve(run(1), names.SHIFT_CURVE)
    assert x.tolist() == [-1.0, 1.0]
    np.testing.assert_array_equal(accuracy, [[0.51, 0.9]])
    assert summary.curve(run(1), names.NOISE_CURVE)[0].tolist() == [0.0, 5.0]


def test_runs_of_one_augmentation_are_drawn_together() -> None:
    baseline, unevaluated = run(8, **{"mnflow.step": "baseline"}), run(9)
    del unevaluated.data.metrics["noise/accuracy"]
    figures = summary.figures([run(1), run(2, noise_augmentation="true"), baseline, unevaluated])
    assert list(figures) == ["shift", "noise"]
    for figure in figures.values():
        assert drawn(figure) == {"panel 1: run 1": 0.51, "panel 1: run 2": 0.52}
    assert figure_data(figures["shift"])["x"].max() == 1.0
    assert figure_data(figures["noise"])["x"].max() == 5.0


def test_runs_of_several_augmentations_have_a_figure_per_kind_of_training() -> None:
    runs = [
        run(1), run(2, augmentation="none"), run(3, arch="dense"),
        run(4, noise_augmentation="true"), run(5, folds="grouped", augmentation="1x"),
    ]  # fmt: skip
    figures = summary.figures(runs)
    kinds = ["stratified", "stratified_noise", "grouped"]
    assert list(figures) == [f"{name}_{kind}" for name in ("shift", "noise") for kind in kinds]
    for name in ("shift", "noise"):
        assert sorted(drawn(figures[f"{name}_stratified"]).values()) == [0.51, 0.52, 0.53]
        assert list(drawn(figures[f"{name}_stratified_noise"]).values()) == [0.54]
        assert list(drawn(figures[f"{name}_grouped"]).values()) == [0.55]
    panels = figure_data(figures["shift_stratified"])["panel"].unique()
    assert len(panels) == 2  # a panel per network

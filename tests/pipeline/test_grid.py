"""The grid of cross-validations stops where it is told to."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from mnflow.errors import InputError
from mnflow.pipeline import grid
from mnflow.pipeline.presets import Cell
from mnflow.report import shared_view
from mnflow.track import names, tracking
from tests.helpers.memory_store import MemoryStore


def test_a_stop_waits_for_the_evaluation_that_has_begun_but_not_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[str] = []
    evaluating, leaving = Event(), Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            leaving.set()
            super().shutdown(wait, cancel_futures=cancel_futures)

    def train(cell: Any) -> str:
        if cell.arch == "fcn":
            evaluating.wait()
            raise KeyboardInterrupt
        return "run"

    def evaluate(step: str, run_id: str) -> None:
        begun.append(step)
        evaluating.set()
        leaving.wait()

    monkeypatch.setattr(grid, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(grid, "missing_evaluations", lambda run_id: ["shift_eval", "noise_eval"])
    cells: Any = [SimpleNamespace(arch=a, augmentation="1x", folds="grouped") for a in ("dense", "fcn")]
    with pytest.raises(KeyboardInterrupt):
        grid.train_and_evaluate(cells, train, evaluate, lambda cell: None)
    assert begun == ["shift_eval"]


def cell(**changed: Any) -> Cell:
    return replace(Cell("fcn", "10x", True, 1, "grouped", 10, 20, 3), **changed)


def run(
    step: str = "cv_train", status: str = "FINISHED", params: Any = None, metrics: Any = None, **tags: str
) -> Any:
    client = tracking.connect()
    record = client.create_run("7", tags={"mnflow.step": step, **tags}, run_name=f"{step} {len(client.runs)}")
    own = tracking.Run(record.info.run_id)
    own.params(params or {})
    own.metrics(metrics or {})
    client.set_terminated(own.id, status)
    return record


SETTING = {"arch": "fcn", "augmentation": "10x", "folds": "grouped", "noise_augmentation": "true"}
PARAMS = {
    "epochs": "20",
    "seed": "3",
    "n_folds": "10",
    "degraded_copies": "1",
    "study": "none",
    "workers": "2",
}


def test_a_finished_cross_validation_of_the_same_data_code_and_parameters_is_found(
    memory: MemoryStore,
) -> None:
    tags = {**SETTING, "dataset_digest": "01", "mnflow.code": "0"}
    made = run(params=PARAMS, **tags)
    for key in tags:
        run(params=PARAMS, **{**tags, key: "other"})
    for key in [k for k in PARAMS if k != "workers"]:
        run(params={**PARAMS, key: "9"}, **tags)
    run(status="KILLED", params=PARAMS, **tags)
    run("tsne", params=PARAMS, **tags)
    assert grid.finished_cell(cell(), "01", {"mnflow.code": "0"}) is made
    newest = run(params={**PARAMS, "workers": "1"}, **tags)
    assert grid.finished_cell(cell(), "01", {"mnflow.code": "0"}) is newest
    for other in (cell(arch="dense"), cell(seed=4), cell(noise_augmentation=False), cell(n_folds=5)):
        assert grid.finished_cell(other, "01", {"mnflow.code": "0"}) is None
    assert grid.finished_cell(cell(), "02", {}) is None


def test_interrupted_mains_of_the_same_code_and_parameters_are_taken_up(memory: MemoryStore) -> None:
    assert grid.same_code() == {"mnflow.code": "0", "mnflow.environment": "0"}
    own = tracking.Run(memory.create_run("7").info.run_id)
    params = {"preset": "paper", "seeds": "1"}
    assert not grid.take_up_interrupted(own, params)
    stopped = [run("main", "KILLED", {**params, "workers": str(k)}, **grid.same_code()) for k in range(2)]
    others = [
        run("main", "KILLED", {"preset": "quick", "seeds": "1"}, **grid.same_code()),
        run("main", "FINISHED", params, **grid.same_code()),
        run("cv_train", "KILLED", params, **grid.same_code()),
        run("main", "KILLED", params, **{**grid.same_code(), "mnflow.code": "1"}),
    ]  # fmt: skip
    assert grid.take_up_interrupted(own, params)
    assert [r.data.tags.get(names.RESUMED_BY) for r in stopped] == [own.id, own.id]
    assert not any(names.RESUMED_BY in r.data.tags for r in others)
    assert not grid.take_up_interrupted(own, params)


def test_evaluations_that_promote_needs_are_missing_once_each(memory: MemoryStore) -> None:
    bare = run(metrics={"noise/accuracy_at_5x": 0.9})
    assert grid.missing_evaluations(bare.info.run_id) == ["shift_eval", "reference_test"]
    assert grid.missing_evaluations(run().info.run_id) == ["shift_eval", "noise_eval", "reference_test"]
    whole = {name: 0.9 for name in names.COLUMNS}
    assert grid.missing_evaluations(run(metrics=whole).info.run_id) == []


def test_what_is_finished_is_not_trained_and_everything_is_evaluated(
    memory: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    known = run(metrics={name: 0.9 for name in names.COLUMNS})
    evaluated, trained, meanwhile = [], [], []

    def train(cell: Cell) -> str:
        trained.append(cell.arch)
        return str(run(metrics={"shift/integrated_accuracy": 1.0}).info.run_id)

    cells = [cell(arch="dense"), cell(arch="fcn", augmentation="none"), cell(arch="conv_dense")]
    ids = grid.train_and_evaluate(
        cells, train, lambda *words: evaluated.append(words),
        lambda cell: known if cell.arch == "fcn" else None, lambda: meanwhile.append("once"),
    )  # fmt: skip
    assert (trained, meanwhile, len(ids), ids[1]) == (["dense", "conv_dense"], ["once"], 3, known.info.run_id)
    steps = ["shift_eval", "noise_eval", "reference_test"]  # the worst shift is missing
    assert evaluated == [(step, run_id) for run_id in (ids[0], ids[2]) for step in steps]
    assert capsys.readouterr().err.splitlines() == [
        "Cross-validation 1 of 3: dense 10x grouped",
        "Cross-validation 2 of 3: fcn none grouped",
        "cv_train 0: taken from a finished run",
        "Cross-validation 3 of 3: conv_dense 10x grouped",
    ]


@pytest.mark.parametrize("last", ["meanwhile", "evaluation"])
def test_an_error_beside_the_training_ends_it(memory: MemoryStore, last: str) -> None:
    def fails(*_: Any) -> None:
        raise InputError("beside")

    with pytest.raises(InputError, match="beside"):
        grid.train_and_evaluate(
            [cell()], lambda cell: str(run().info.run_id), fails, lambda cell: None,
            fails if last == "meanwhile" else lambda: None,
        )  # fmt: skip


def test_the_summary_has_a_row_per_model_and_the_first_of_each_net_as_numbers(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_view, "connect", lambda: memory)
    models = []
    for k, arch in enumerate(("fcn", "dense", "fcn")):
        metrics = {name: 0.1 * k + 0.01 * i for i, name in enumerate(names.COLUMNS)}
        models.append(run(metrics=metrics, **{**SETTING, "arch": arch}))
        own = tracking.Run(models[-1].info.run_id)
        own.curves({"shift/accuracy": ([-1, 1], [0.5, 0.6]), "noise/accuracy": ([0, 1], [0.5, 0.6])})
    main = tracking.Run(memory.create_run("7").info.run_id)
    table = grid.log_summary(main, [m.info.run_id for m in models])
    columns = [
        "run",
        "unshifted",
        "mean over shifts",
        "worst shift",
        "noise x 5",
        "other labs, mean",
        "other labs, vote",
    ]
    assert list(table.columns) == columns
    assert table["run"].tolist() == [m.info.run_name for m in models]
    assert table["other labs, vote"].tolist() == pytest.approx([0.05, 0.15, 0.25])
    assert memory.table(main, "tables/summary.csv").round(6).equals(table.round(6))
    found = memory.get_run(main.id).data.metrics
    assert len(found) == 12
    assert (found["fcn/unshifted"], found["dense/noise_x_5"]) == pytest.approx((0.0, 0.13))
    assert found["fcn/other_labs_vote"] == pytest.approx(0.05)
    assert "figures/shift.png" in memory.files(main)
    assert "figures/noise.png" in memory.files(main)
    assert list(memory.experiment.tags) == ["mlflow.sharedViewState.which-net-is-best"]


def test_names_of_runs_stand_on_the_left_in_one_line_and_numbers_on_the_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grid.registry, "aliased", lambda alias: None)
    names = ["fcn 10x + noise stratified", "l3"]
    numbers = {f"{k} words that make a wide head": [0.5, 0.25] for k in "abcde"}
    grid.print_summary(pd.DataFrame({"run": names, "worst shift": [0.98765, 12.0], **numbers}))
    lines = [line.split("│")[1:3] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    (long, _), (short, number) = lines
    assert long.strip() == names[0]  # not broken, though the table is narrow
    assert (short[:4], short[-1]) == (" l3 ", " ")
    assert len(number) > len(" 12.0000 ")
    assert number.endswith("  12.0000 ")


@pytest.mark.parametrize("version", [None, "3"])
def test_the_summary_is_printed_with_the_champion(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], version: str | None
) -> None:
    champion = SimpleNamespace(version=version) if version else None
    monkeypatch.setattr(grid.registry, "aliased", {"champion": champion}.__getitem__)
    grid.print_summary(pd.DataFrame({"run": ["fcn 10x", "l3"], "worst shift": [0.98765, 1.0]}))
    lines = [line.strip(" │┃") for line in capsys.readouterr().out.splitlines()]
    title = "Accuracy (shifts: -5 to +5 eV; other labs: reference spectra, vote: majority of folds)"
    assert " ".join(" ".join(lines).split()).startswith(title)
    rows = [[w.strip() for w in line.replace("┃", "│").split("│")] for line in lines]
    assert ["run", "worst shift"] in rows
    assert ["fcn 10x", "0.9877"] in rows
    assert ["l3", "1.0000"] in rows
    assert f"Alias champion of mn-valence: {'version 3' if version else 'not set'}" in lines
    assert any(
        line.startswith("Next:  make ui") and line.endswith("the runs, curves and figures") for line in lines
    )
    served = ".venv/bin/mlflow models serve -m models:/mn-valence@champion     the served model"
    assert served in lines

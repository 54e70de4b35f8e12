"""The grid of cross-validations stops where it is told to."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from mnflow.pipeline import grid


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

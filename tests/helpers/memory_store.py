"""A tracking store in memory, with those of MLflow's calls that the package makes: for quick tests.

Pictures are empty; the numbers that they draw are kept.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from mlflow.entities import Metric, Param, Run, RunData, RunInfo, RunInputs, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from mnflow.track import connection, provenance, query, tracking

_CONDITION = re.compile(r"(attributes\.status|tags\.`(.+?)`) (!?=) '(.*?)'")


class MemoryStore:
    """In place of `MlflowClient`; its one experiment has the id 7."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.experiment = SimpleNamespace(
            experiment_id="7", name="test", lifecycle_stage="active", tags=dict[str, str]()
        )
        self.runs: dict[str, Run] = {}
        self.histories: dict[tuple[str, str], list[Metric]] = {}
        self.inputs: dict[str, list[Any]] = {}

    def create_run(
        self, experiment_id: str, tags: Mapping[str, str] | None = None, run_name: str = ""
    ) -> Run:
        run_id = f"{len(self.runs):06x}".ljust(32, "0")
        info = RunInfo(run_id, experiment_id, "me", "RUNNING", len(self.runs), None, "active", "", run_name)
        data = RunData([], [], [RunTag(k, str(v)) for k, v in (tags or {}).items()])
        self.runs[run_id] = Run(info, data)
        return self.runs[run_id]

    def get_run(self, run_id: str) -> Run:
        if run_id not in self.runs:
            raise MlflowException(f"Run '{run_id}' not found", error_code=RESOURCE_DOES_NOT_EXIST)
        return self.runs[run_id]

    def log_batch(
        self, run_id: str, metrics: Sequence[Metric], params: Sequence[Param], tags: Sequence[RunTag]
    ) -> None:
        run = self.get_run(run_id)
        if run.info.lifecycle_stage != "active":
            raise MlflowException(f"The run {run_id} must be in the 'active' state.\nNo more.")
        data = run.data
        for metric in metrics:
            data._add_metric(metric)
            self.histories.setdefault((run_id, metric.key), []).append(metric)
        for param in params:
            data._add_param(param)
        for tag in tags:
            data._add_tag(tag)

    def get_metric_history(self, run_id: str, key: str) -> list[Metric]:
        return self.histories[run_id, key][::-1]  # its order is not promised

    def log_artifact(self, run_id: str, path: str, folder: str | None = None) -> None:
        place = self.folder / run_id / (folder or "")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)

    def list_artifacts(self, run_id: str, path: str = "") -> list[Any]:
        place = self.folder / run_id
        return [SimpleNamespace(path=str(p.relative_to(place))) for p in sorted((place / path).glob("*"))]

    def download_artifacts(self, run_id: str, path: str, folder: str) -> str:
        return shutil.copy(self.folder / run_id / path, folder)

    def log_inputs(self, run_id: str, datasets: Sequence[Any]) -> None:
        self.inputs.setdefault(run_id, []).extend(datasets)
        self.get_run(run_id)._inputs = RunInputs(self.inputs[run_id])

    def update_run(self, run_id: str, name: str) -> None:
        self.get_run(run_id).info._run_name = name

    def set_terminated(self, run_id: str, status: str, end_time: int | None = None) -> None:
        info = self.get_run(run_id).info
        info._status, info._end_time = status, end_time

    def delete_run(self, run_id: str) -> None:
        self.get_run(run_id).info._lifecycle_stage = "deleted"

    def get_experiment(self, experiment_id: str) -> Any:
        assert experiment_id == "7"
        return self.experiment

    def get_experiment_by_name(self, name: str) -> Any:
        return self.experiment

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        self.get_experiment(experiment_id).tags[key] = value

    def search_runs(
        self,
        experiments: Sequence[str],
        query: str = "",
        max_results: int = 1000,
        order_by: Sequence[str] = (),
    ) -> list[Run]:
        """Newest first, but where `order_by` begins with an ascending order."""
        assert list(experiments) == ["7"]
        found = [r for r in self.runs.values() if r.info.lifecycle_stage == "active"]
        for condition in query.split(" and ") if query else []:
            match = _CONDITION.fullmatch(condition)
            assert match, condition
            _, tag, sign, value = match.groups()
            found = [
                r
                for r in found
                if ((r.data.tags.get(tag) if tag else r.info.status) == value) == (sign == "=")
            ]
        ascending = bool(order_by) and order_by[0].endswith("ASC")
        return (found if ascending else found[::-1])[:max_results]

    def text(self, run: tracking.Run, path: str) -> str:
        """The content of an artifact."""
        return (self.folder / run.id / path).read_text()

    def files(self, run: tracking.Run) -> list[str]:
        """All artifacts."""
        place = self.folder / run.id
        return sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file())

    def table(self, run: tracking.Run, path: str) -> pd.DataFrame:
        """A .csv artifact."""
        return pd.read_csv(self.folder / run.id / path, keep_default_na=False)

    def curve(self, run: tracking.Run, key: str) -> dict[int, float]:
        """A metric's value by step."""
        return {m.step: m.value for m in self.histories[run.id, key]}


def memory_store(folder: Path, patch: pytest.MonkeyPatch) -> MemoryStore:
    """Let all of the package write to a store in memory; what belongs to files is in `folder`."""
    store = MemoryStore(folder / "artifacts")
    patch.chdir(folder)
    patch.setenv("MLFLOW_TRACKING_URI", "sqlite:///none.db")
    patch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
    for module in (connection, query, tracking):
        patch.setattr(module, "connect", lambda: store)
    patch.setattr(tracking, "resolve_tags", dict)
    patch.setattr(tracking, "_notes", {})
    patch.setattr(Figure, "savefig", lambda figure, path: Path(path).touch())
    for digest in ("code_digest", "environment_digest"):
        patch.setattr(provenance, digest, lambda: "0")
    return store

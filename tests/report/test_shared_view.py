"""The view that compares networks is stored where MLflow's UI looks for it, and `make ui` opens it."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import mlflow
import pytest

from mnflow.report import shared_view
from mnflow.runtime.project import ROOT
from mnflow.track import names

_UI = Path(str(mlflow.__file__)).parent / "server" / "js" / "build" / "static" / "js"


class _Experiments:
    """Keeps the tags of experiments."""

    def __init__(self) -> None:
        self.tags: dict[tuple[str, str], str] = {}

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        self.tags[experiment_id, key] = value


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    experiments = _Experiments()
    monkeypatch.setattr(shared_view, "connect", lambda: experiments)
    shared_view.save("7")
    ((place, value),) = experiments.tags.items()
    assert place == ("7", "mlflow.sharedViewState.which-net-is-best")
    return dict(json.loads(value))


@pytest.fixture
def state(stored: dict[str, Any]) -> dict[str, Any]:
    """The view as the UI unpacks it."""
    method, _, packed = stored["state"].partition(";")
    assert method == "deflate"
    return dict(json.loads(zlib.decompress(base64.b64decode(packed))))


def test_make_ui_names_the_view(stored: dict[str, Any]) -> None:
    assert stored | {"state": ""} == {
        "name": "Which network is best?", "createdAt": 0, "updatedAt": 0, "state": "",
    }  # fmt: skip
    assert f"viewStateShareKey={shared_view.KEY} " in (ROOT / "Makefile").read_text()


def test_the_view_lists_finished_networks_with_the_best_first(state: dict[str, Any]) -> None:
    assert state["searchFilter"] == (
        "metrics.`cv/accuracy_mean` >= 0 and tags.`mnflow.step` != 'promote' and "
        "tags.`mnflow.step` != 'verify' and attributes.status = 'FINISHED'"
    )
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`cv/accuracy_mean`", False)
    assert state["selectedColumns"] == [f"metrics.`{metric}`" for metric in names.COLUMNS]
    assert (state["startTime"], state["lifecycleFilter"]) == ("ALL", "Active")
    assert (state["modelVersionFilter"], state["datasetsFilter"]) == ("All Runs", [])
    assert state["runsHiddenMode"] == "FIRST_20_RUNS"
    hidden = ("runsExpanded", "runsPinned", "runsHidden", "runsVisibilityMap", "groupBy", "groupsExpanded")
    assert not any(state[key] for key in hidden)
    both = state["viewMaximized"], state["runListHidden"]
    assert both == (False, False)  # the table and the charts
    assert state["isAccordionReordered"] is True  # our section stays on top
    assert (state["hideEmptyCharts"], state["autoRefreshEnabled"]) == (True, True)
    assert state["useGroupedValuesInCharts"] is True
    axis = {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""}
    assert state["globalLineChartConfig"] == axis


def test_its_charts_are_two_curves_and_four_bars_in_one_section(state: dict[str, Any]) -> None:
    charts = state["compareRunCharts"]
    assert [(c["type"], c["metricKey"], c["displayName"]) for c in charts] == [
        ("LINE", "shift/accuracy", "Accuracy: energy shift / eV x 1000"),
        ("LINE", "noise/accuracy", "Accuracy: noise, times the measured x 100"),
        ("BAR", "cv/accuracy_mean", "unshifted"),
        ("BAR", "shift/worst_accuracy", "worst shift"),
        ("BAR", "noise/accuracy_at_5x", "noise x 5"),
        ("BAR", "reference/accuracy_vote", "other labs, vote"),
    ]
    shown, *hidden = state["compareRunSections"]
    assert shown == {
        "uuid": "answer", "name": "Which network is best?", "display": True, "isReordered": True,
        "deleted": False,
    }  # fmt: skip
    for chart in charts:
        assert chart["metricSectionId"] == shown["uuid"]
        assert chart["dataAccessKey"] == chart["metricKey"]
        assert chart["runsCountToCompare"] == 20
        assert (chart["isGenerated"], chart["deleted"]) == (False, False)
    assert len({chart["uuid"] for chart in charts}) == len(charts)
    assert {section["uuid"] for section in hidden} >= {"hidden-cv", "hidden-Model metrics"}
    for section in hidden:  # those that the UI would put before ours
        assert section == {
            "uuid": f"hidden-{section['name']}", "name": section["name"], "display": False,
            "isReordered": False, "deleted": True, "isGenerated": True,
        }  # fmt: skip


def test_curves_are_drawn_against_their_steps(state: dict[str, Any]) -> None:
    for chart in (c for c in state["compareRunCharts"] if c["type"] == "LINE"):
        assert chart["selectedMetricKeys"] == [chart["metricKey"]]
        assert [chart[key] for key in ("xAxisKey", "yAxisKey")] == ["step", "metric"]
        assert [chart[key] for key in ("scaleType", "xAxisScaleType")] == ["linear", "linear"]
        assert (chart["lineSmoothness"], chart["range"], chart["yAxisExpressions"]) == (0, {}, [])
        assert chart["selectedXAxisMetricKey"] == ""
        assert (chart["useGlobalLineSmoothing"], chart["useGlobalXaxisKey"]) == (True, True)


def test_the_installed_ui_knows_every_key(state: dict[str, Any]) -> None:
    (line, *_), (section, *_) = state["compareRunCharts"], state["compareRunSections"]
    keys = {*state, *line, *section, *state["globalLineChartConfig"]}
    code = "".join(path.read_text(encoding="utf-8", errors="ignore") for path in _UI.glob("*.js"))
    assert [key for key in sorted(keys) if key not in code] == []

"""The shared view "which network is best?" of MLflow's UI: an experiment tag, opened by its key."""

import base64
import json
import zlib
from typing import Any

from mnflow.track import names
from mnflow.track.connection import connect

KEY = "which-net-is-best"
"""Of the view; in the address that `make ui` prints as `viewStateShareKey`."""

_TAG = f"mlflow.sharedViewState.{KEY}"
_NAME = "Which network is best?"
_SECTION = "answer"
_BARS = (
    names.CV_ACCURACY,
    names.WORST_SHIFT_ACCURACY,
    names.NOISE_5X_ACCURACY,
    names.REFERENCE_VOTE_ACCURACY,
)
_GENERATED = ("cv", "shift", "noise", "reference", "activations", "tsne", "Model metrics", "System metrics")
_NOT_SHOWN = ("promote", "verify")  # they repeat the metrics of the cross-validation that they judge
_FILTER = " and ".join(
    [
        f"metrics.`{names.CV_ACCURACY}` >= 0",
        *(f"tags.`{names.STEP}` != '{step}'" for step in _NOT_SHOWN),
        "attributes.status = 'FINISHED'",
    ]
)


def save(experiment_id: str) -> None:
    """Set the view of an experiment, in place of an older one of the project's."""
    value = {"name": _NAME, "createdAt": 0, "updatedAt": 0, "state": _packed(_state())}
    connect().set_experiment_tag(experiment_id, _TAG, json.dumps(value))


def _packed(state: dict[str, Any]) -> str:
    """As the UI writes a state: JSON, deflated, in base64."""
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()


def _state() -> dict[str, Any]:
    """What is filtered, sorted, shown as columns and as charts; the keys are those of MLflow 3.17's UI."""
    lines = [_line(curve) for curve in names.CURVES.values()]
    charts = lines + [_chart("BAR", metric, names.COLUMNS[metric]) for metric in _BARS]
    return {
        "searchFilter": _FILTER,
        "orderByKey": f"metrics.`{names.CV_ACCURACY}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [f"metrics.`{metric}`" for metric in names.COLUMNS],
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunCharts": charts,
        "compareRunSections": [
            {"uuid": _SECTION, "name": _NAME, "display": True, "isReordered": True, "deleted": False},
            *(_hidden(name) for name in _GENERATED),  # or the UI puts its own before ours
        ],
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _chart(kind: str, metric: str, title: str) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": f"{_SECTION}-{metric}",
        "metricSectionId": _SECTION,
        "metricKey": metric,
        "dataAccessKey": metric,
        "displayName": title,
        "isGenerated": False,
        "deleted": False,
        "runsCountToCompare": 20,
    }


def _line(curve: names.Curve) -> dict[str, Any]:
    """Accuracy along a curve; the axis counts the curve's steps."""
    title = f"Accuracy: {curve.axis} x {curve.steps_per_unit}"
    return _chart("LINE", curve.metric, title) | {
        "selectedMetricKeys": [curve.metric],
        "scaleType": "linear",
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "lineSmoothness": 0,
        "selectedXAxisMetricKey": "",
        "range": {},
        "useGlobalLineSmoothing": True,
        "useGlobalXaxisKey": True,
    }


def _hidden(name: str) -> dict[str, Any]:
    return {
        "uuid": f"hidden-{name}",
        "name": name,
        "display": False,
        "isReordered": False,
        "deleted": True,
        "isGenerated": True,
    }

"""Figures that lay many cross-validations side by side, from the curves that their runs carry."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mlflow.entities import Run as MlflowRun
from numpy.typing import NDArray

from mnflow import plots
from mnflow.track import tracking

_CURVES = {
    "shift": ("shift/accuracy", 1000.0, plots.shift_curves, plots.shift_grid),
    "noise": ("noise/accuracy", 100.0, plots.noise_curves, plots.noise_grid),
}
"""By the figure's name: metric, its steps in one unit of the abscissa, and how few or many runs are drawn."""


def figures(runs: Sequence[MlflowRun]) -> dict[str, Figure]:
    """Accuracy against shift and noise by the figure's name.

    Runs of one augmentation are drawn together; with several, each kind of training (noise augmentation,
    folds) has a figure with a panel a net, and its name says which. Runs that were not evaluated, and
    baselines, are left out.
    """
    drawn = {}
    metrics = {metric for metric, *_ in _CURVES.values()}
    runs = [
        run for run in runs if run.data.tags["mnflow.step"] == "cv_train" and metrics <= set(run.data.metrics)
    ]
    kinds = list(dict.fromkeys(_kind(run) for run in runs))
    for name, (metric, per_unit, together, grid) in _CURVES.items():
        if len({run.data.tags["augmentation"] for run in runs}) == 1:
            drawn[name] = together({str(run.info.run_name): curve(run, metric, per_unit) for run in runs})
            continue
        for kind in kinds:
            nets: dict[str, dict[str, Any]] = {}
            for run in (r for r in runs if _kind(r) == kind):
                rows = nets.setdefault(run.data.tags["arch"], {})
                rows[run.data.tags["augmentation"]] = curve(run, metric, per_unit)
            drawn[f"{name}_{kind}"] = grid(nets)
    return drawn


def _kind(run: MlflowRun) -> str:
    """What a figure's runs have in common, e.g. `stratified_noise`."""
    return run.data.tags["folds"] + ("_noise" if run.data.tags["noise_augmentation"] == "true" else "")


def curve(run: MlflowRun, metric: str, per_unit: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Abscissa (S,) and mean accuracy (1, S) of a run's curve, whose steps are `per_unit` of the abscissa's
    unit.
    """
    by_step = {m.step: m.value for m in tracking.connect().get_metric_history(run.info.run_id, metric)}
    steps = np.array(sorted(by_step))
    return steps / per_unit, np.array([[by_step[step] for step in steps.tolist()]])

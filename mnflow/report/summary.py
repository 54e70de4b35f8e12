"""Figures that lay many cross-validations side by side, from the curves that their runs carry."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mlflow.entities import Run as MlflowRun

from mnflow import plots
from mnflow.spectra.arrays import Floats
from mnflow.track import names, tracking

_CURVES = {
    "shift": (names.SHIFT_CURVE, plots.shift_curves, plots.shift_grid),
    "noise": (names.NOISE_CURVE, plots.noise_curves, plots.noise_grid),
}
"""By the figure's name: the curve, and how runs of one or of several augmentations are drawn."""


def figures(runs: Sequence[MlflowRun]) -> dict[str, Figure]:
    """Accuracy against shift and noise by the figure's name.

    Runs of one augmentation are drawn together; with several, each kind of training (noise augmentation,
    folds) has a figure of its own, a panel per network, without baselines and runs that were not evaluated.
    """
    drawn = {}
    runs = [
        run
        for run in runs
        if run.data.tags[names.STEP] == "cv_train" and set(names.CURVES) <= set(run.data.metrics)
    ]
    kinds = list(dict.fromkeys(_kind(run) for run in runs))
    for name, (drawn_curve, together, grid) in _CURVES.items():
        if len({run.data.tags[names.AUGMENTATION] for run in runs}) == 1:
            drawn[name] = together({str(run.info.run_name): curve(run, drawn_curve) for run in runs})
            continue
        for kind in kinds:
            nets: dict[str, dict[str, Any]] = {}
            for run in (r for r in runs if _kind(r) == kind):
                rows = nets.setdefault(run.data.tags[names.ARCH], {})
                rows[run.data.tags[names.AUGMENTATION]] = curve(run, drawn_curve)
            drawn[f"{name}_{kind}"] = grid(nets)
    return drawn


def _kind(run: MlflowRun) -> str:
    """What a figure's runs have in common, e.g. `stratified_noise`."""
    return run.data.tags[names.FOLDS] + (
        "_noise" if run.data.tags[names.NOISE_AUGMENTATION] == "true" else ""
    )


def curve(run: MlflowRun, of: names.Curve) -> tuple[Floats, Floats]:
    """Abscissa (S,) and mean accuracy (1, S) of a curve that a run carries."""
    by_step = {m.step: m.value for m in tracking.connect().get_metric_history(run.info.run_id, of.metric)}
    steps = sorted(by_step)
    return of.values(steps), np.array([[by_step[step] for step in steps]])

"""Runs entry points as processes that start at once: this one has imported everything, and forks.

Each line of its input is a JSON list, the command line. It answers with process id and exit code.
"""

import importlib
import json
import os
import sys
from dataclasses import replace

STEPS = (
    "simulate", "preprocess", "cv_train", "shift_eval", "noise_eval", "reference_test", "tsne", "promote",
    "predict", "tune",
    "main",
)  # fmt: skip


IMPORTED = (
    "hyperspy.api", "mlflow.keras", "optuna", "sklearn.manifold", "mnflow.track.cross_validation",
    "mnflow.track.evaluations", "mnflow.maps", "mnflow.promote.promotion", "mnflow.read", "mnflow.simulate",
    "mnflow.tune.search",
)  # fmt: skip
"""What the entry points import when they run; none of it starts a thread or touches JAX."""


def serve() -> None:
    from entrypoints import main
    from mnflow.pipeline.execution import execute

    for name in IMPORTED:
        importlib.import_module(name)
    quick = main.PRESETS["quick"]
    grid = replace(quick.grids[0], nets=("dense", "fcn"))
    main.PRESETS["quick"] = replace(
        quick,
        grids=(grid,),
        shown=20,
        tsne_iterations=250,
        size="quick",
        n_folds=2,
        baselines=("white_lines",),
    )
    modules = {step: importlib.import_module(f"entrypoints.{step}") for step in STEPS}
    print("ready", flush=True)
    for line in sys.stdin:
        step, *argv = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setsid()  # a group of its own, as a shell would make it
            with open(f"{step}.log", "ab") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            execute(modules[step].Options, modules[step].run, argv)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()

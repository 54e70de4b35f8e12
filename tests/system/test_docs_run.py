"""Every `mlflow run . -e` of the documents, in order in one small project, on few spectra and one epoch."""

import importlib
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entrypoints import main, simulate
from mnflow.fit import own_references
from mnflow.pipeline import grid
from mnflow.runtime import parallel
from mnflow.runtime.cli import parse
from mnflow.runtime.project import ROOT
from mnflow.serve.http.app import Watch
from mnflow.simulate import simulate_references
from mnflow.simulate.write import write_hspy
from mnflow.track import tracking
from mnflow.track.query import finished_run, finished_runs
from tests.helpers import promotions
from tests.system.test_docs import commands

SMALL = {
    "size": "quick",
    "n_folds": 2,
    "epochs": 1,
    "iterations": 250,
    "methods": "least_squares",
    "trials": 1,
    "scored_folds": 1,
    "workers": 1,
}
"""What makes a step short; nothing else of a command is changed."""

FEW = {"SETS": 500, "MATERIALS": 5, "EPOCHS": 1, "CALIBRATED": 500, "COPIES": 20}
"""What a model is conditioned on own references with."""

_DONE: set[tuple[str, Any]] = set()

OPEN_GATE = {"max_calibration_error": 1.0}  # and every `min_...` is 0: nets of one epoch are not good


def _inline(
    function: Callable[[Any, Any], Any],
    shared: Any,
    items: Sequence[Any],
    workers: int | None = None,
    scheduler: str | None = None,
    on_result: Callable[[int, Any], Any] | None = None,
) -> list[Any]:
    """`run_parallel` without processes; tests/runtime/test_parallel.py shows that it gives the same."""
    results = []
    for place, item in enumerate(items):
        results.append(function(shared, item))
        if on_result is not None:
            on_result(place, results[-1])
    return results


@pytest.fixture(scope="module")
def project(module_store: Path) -> Iterator[Path]:
    """A folder with what the documents take for given: spectra, references, settings, an image."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "run_parallel", _inline)
        promotions.shorten(patch)
        for name, n in FEW.items():
            patch.setattr(own_references, name, n)
        simulate.run(simulate.Options(out="spectra", size="quick"))
        simulate_references(module_store / "others", 0, Path("mn"))
        shutil.copy(ROOT / "mnflow" / "simulate" / "settings" / "mn.toml", "my-element.toml")
        shutil.copy(sorted(Path("spectra").rglob("*.hspy"))[0], "image.hspy")
        _add_low_losses(Path("spectra"), Path("low_losses"))
        Path("served").mkdir()
        served = Watch(Path("served"))
        served.add([{"class": "Mn2+", "flags": [], "error": None, "moved_ev": 0.5}])
        served.write()
        yield module_store


def _add_low_losses(source: Path, out: Path) -> None:
    """A low loss beside each image of `source`, in a file of the same name."""
    energy_ev = np.arange(-20, 80, 0.5)
    counts = 1e5 * np.exp(-((energy_ev / 0.8) ** 2)) + 1e3 * np.exp(-(((energy_ev - 22) / 6) ** 2))
    for path in source.rglob("*.hspy"):
        low_loss = out / path.relative_to(source)
        low_loss.parent.mkdir(parents=True, exist_ok=True)
        write_hspy(low_loss, counts[None, None].astype(np.float32), energy_ev, "low loss", 200.0, 0.1)


def _runs() -> list[str]:
    """The commands once each, in order, but those for another machine, container or operating system."""
    found = [command.partition(" #")[0].rstrip(" &") for _, command in commands()]
    return list(dict.fromkeys(c for c in found if c.startswith("mlflow run . -e ")))


def _fill_in(value: str) -> str:
    """A user's own values in place of the documents' placeholders."""
    if "RUN_ID" in value:
        newest = [run.info.run_id for run in finished_runs("cv_train", arch="fcn")]
        return ",".join(newest[:2]) if "," in value else newest[0]
    if "DATA_RUN" in value:
        return str(finished_run("preprocess").info.run_id)
    return {"FOLDER": "spectra"}.get(value, value)


def _small(options: Any) -> Any:
    names = {f.name for f in fields(options)}
    changed = {
        k: v
        for k, v in (SMALL | OPEN_GATE | {n: 0.0 for n in names if n.startswith("min_")}).items()
        if k in names
    }
    return replace(options, **changed)


@pytest.mark.filterwarnings("ignore:Importing `Lazy.*:hyperspy.exceptions.VisibleDeprecationWarning")
@pytest.mark.parametrize("command", _runs())
def test_a_command_of_the_documents_runs(project: Path, command: str) -> None:
    words = shlex.split(command)
    entry = importlib.import_module(f"entrypoints.{words[words.index('-e') + 1]}")
    given = dict(words[i + 1].split("=", 1) for i, word in enumerate(words) if word == "-P")
    for name in ("references", "own_references"):
        if given.get(name) in ("FOLDER", "references"):
            given[name] = "others"
    argv = [part for key, value in given.items() for part in (f"--{key}", _fill_in(value))]
    options = _small(parse(entry.Options, argv))
    if entry.__name__.endswith("promote") and options.run == "best" and not options.rollback:
        _evaluate_newest()
    if (entry.__name__, options) in _DONE:
        return  # what is left of the command when it is made small has been run for another document
    _DONE.add((entry.__name__, options))
    run_id = entry.run(options)
    assert tracking.connect().get_run(run_id).info.status == "FINISHED"


def _evaluate_newest() -> None:
    """`promote` takes a net that has been through every evaluation, as after `main`."""
    run_id = finished_run("cv_train", arch="fcn").info.run_id
    for step in grid.missing_evaluations(run_id):
        main.evaluate(step, run_id, 0)

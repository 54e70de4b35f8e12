"""Every `mlflow run .` of the documents that is the whole path, with one small cross-validation per seed."""

import shlex
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoints import main
from mnflow.pipeline.presets import PRESETS, Grid
from mnflow.runtime import parallel
from mnflow.runtime.cli import parse
from mnflow.track import tracking
from mnflow.track.query import finished_runs
from tests.system.test_docs import commands
from tests.system.test_docs_run import _inline

WHOLE_PATH = list(dict.fromkeys(c for _, c in commands() if c.startswith("mlflow run .") and " -e " not in c))


@pytest.fixture(scope="module", autouse=True)
def _small(module_store: Path) -> Iterator[None]:
    small = {"shown": 10, "tsne_iterations": 250, "size": "quick", "n_folds": 2, "promote": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "run_parallel", _inline)
        patch.setattr(main, "_workers", nullcontext)
        for name, preset in PRESETS.items():
            patch.setitem(PRESETS, name, replace(preset, grids=(Grid(("10x",), nets=("fcn",)),), **small))
        yield


@pytest.mark.filterwarnings("ignore:Importing `Lazy.*:hyperspy.exceptions.VisibleDeprecationWarning")
@pytest.mark.parametrize("command", WHOLE_PATH)
def test_the_whole_path_runs_as_the_documents_say(command: str) -> None:
    words = shlex.split(command.partition(" #")[0])
    given = [word.split("=", 1) for word in words if "=" in word]
    options = parse(main.Options, [part for key, value in given for part in (f"--{key}", value)])
    run = tracking.connect().get_run(main.run(options))
    assert run.info.status == "FINISHED"
    cells = finished_runs("cv_train", dataset_digest=run.data.tags["dataset_digest"])
    assert sorted(int(cell.data.params["seed"]) for cell in cells)[-1] == options.seeds - 1

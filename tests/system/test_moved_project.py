"""A copied project runs its own code on its own store, and code of another project refuses to run in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mnflow.runtime.project import ROOT

COPIED = (
    "mnflow",
    "entrypoints",
    "MLproject",
    "python_env.yaml",
    "requirements.in",
    "requirements.txt",
    "pyproject.toml",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which one step was run."""
    root = tmp_path_factory.mktemp("places") / "old"
    root.mkdir()
    for name in COPIED:
        put = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        put(ROOT / name, root / name)
    assert step(root).returncode == 0
    assert note_in(root)
    return root


STEP = """
from pathlib import Path
from mnflow.track import tracking
with tracking.step(tracking.tags_of("simulate"), "a step", {}) as run:
    Path("manifest.csv").write_text("file")
    run.file(Path("manifest.csv"))
"""


def step(root: Path) -> "subprocess.CompletedProcess[str]":
    """Run a step that logs one artifact, as the entry points do."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PYTHONPATH"))}
    return subprocess.run(
        [sys.executable, "-c", STEP], cwd=root, env=environment | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def note_in(root: Path) -> list[Path]:
    return sorted((root / "mlruns").rglob("manifest.csv"))


@pytest.mark.parametrize("put", [shutil.copytree, shutil.move])
def test_a_step_in_the_copy_writes_into_the_copy(old: Path, put: object) -> None:
    new = old.with_name(f"new {put.__name__}")  # type: ignore[attr-defined]
    before = note_in(old)
    if put is shutil.move:
        old = Path(shutil.copytree(old, old.with_name("to be moved")))
    put(old, new)  # type: ignore[operator]
    done = step(new)
    assert done.returncode == 0, done.stderr
    assert len(note_in(new)) == len(before) + 1
    assert not old.exists() or len(note_in(old)) == len(before)
    if put is shutil.copytree:
        assert f"was made in {old}" in done.stderr


def test_code_of_another_project_refuses_to_run_here(old: Path, tmp_path: Path) -> None:
    script = tmp_path / "old_command.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(old)!r})\nfrom mnflow.command.main import "
        "main\nmain(['simulate'])"
    )
    new = Path(shutil.copytree(old, tmp_path / "new"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PYTHONPATH"))}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=new, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"The code that runs is that of {old}" in done.stderr
    assert len(note_in(new)) == len(note_in(old))

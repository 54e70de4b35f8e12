"""A store that was moved with its project finds its artifacts again."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mnflow.runtime.relocate import relocate
from mnflow.track.connection import prepare_store


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with a store that holds one artifact and the tag of a folder."""
    root = tmp_path / "old place"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    prepare_store(f"sqlite:///{root}/mlflow.db")
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    run = client.create_run("0", tags={"mnflow.folder": f"{root}/data", "other": f"{root}/data"})
    client.log_text(run.info.run_id, "found", "note.txt")
    return root


def text_in(root: Path) -> str:
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    (run,) = client.search_runs(["0"])
    assert run.data.tags["mnflow.folder"] == f"{root}/data"
    return Path(client.download_artifacts(run.info.run_id, "note.txt")).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("put", [shutil.move, shutil.copytree])
def test_a_moved_and_a_copied_store_use_their_own_artifacts(made: Path, put: object) -> None:
    new = made.with_name("new place")
    put(made, new)  # type: ignore[operator]
    assert relocate(f"sqlite:///{new}/mlflow.db", new) == made
    (note,) = (new / "mlruns").rglob("note.txt")
    note.write_text("of the new place")
    assert text_in(new) == "of the new place"


@pytest.mark.slow
def test_a_store_in_its_own_place_is_left_alone(made: Path) -> None:
    assert relocate(f"sqlite:///{made}/mlflow.db", made) is None
    assert text_in(made) == "found"


@pytest.mark.slow
def test_stores_elsewhere_are_left_alone(made: Path, tmp_path: Path) -> None:
    assert relocate(f"sqlite:///{made}/mlflow.db", tmp_path) is None
    assert relocate("http://127.0.0.1:1", tmp_path) is None

"""Which model answers: named, champion, shipped."""

import sqlite3
from pathlib import Path

import pytest

from mnflow.errors import InputError
from mnflow.pretrained import choose
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from tests.helpers.nets import made_up_net

_TABLES = """
create table experiments (experiment_id, artifact_location);
create table registered_model_aliases (alias, version, name);
create table model_versions (name, version, source);
create table logged_models (model_id, artifact_location);
create table model_version_tags (name, version, key, value);
"""


def store_with_champion(folder: Path, location: str, arch: str = "fcn") -> Path:
    """The parts of MLflow's database that name a champion."""
    tags = {"cv_run": "abc", "arch": arch, "sha256": "made up"}
    with sqlite3.connect(folder / "mlflow.db") as connection:
        connection.executescript(_TABLES)
        connection.execute("insert into registered_model_aliases values ('champion', 3, 'mn-valence')")
        connection.execute("insert into model_versions values ('mn-valence', 3, 'models:/m-1')")
        connection.execute("insert into logged_models values ('m-1', ?)", (location,))
        for tag in tags.items():
            connection.execute("insert into model_version_tags values ('mn-valence', 3, ?, ?)", tag)
    connection.close()
    return folder / "mlflow.db"


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("mnflow.runtime.project.ROOT", tmp_path)
    return tmp_path


def test_without_a_project_the_shipped_model_answers_and_is_named() -> None:
    _, source = choose.choose_predictor()
    assert source.startswith("shipped mn.npz")


def test_the_champion_comes_before_the_shipped_model(project: Path) -> None:
    folder = project / "mlruns" / "a model"
    Predictor(MN, net=made_up_net(), temperature=7.0).save(folder / "artifacts" / "predictor.npz")
    store_with_champion(project, folder.as_uri())
    predictor, source = choose.choose_predictor()
    assert predictor.temperature == 7.0
    assert source.startswith("champion, version 3")
    assert choose.choose_predictor("shipped")[0].temperature != 7.0


def test_an_alias_that_was_moved_to_what_may_not_be_champion_is_refused(project: Path) -> None:
    folder = project / "mlruns" / "a model"
    Predictor(MN, net=made_up_net()).save(folder / "artifacts" / "predictor.npz")
    store_with_champion(project, folder.as_uri(), arch="dense")
    with pytest.raises(InputError, match=r"champion in .* is on version 3, and dense is not fully conv"):
        choose.choose_predictor()


def test_a_champion_whose_files_are_elsewhere_is_no_silent_fallback(project: Path) -> None:
    store_with_champion(project, str(project / "gone"))
    with pytest.raises(InputError, match="does not exist: if the project was moved"):
        choose.choose_predictor()


def test_the_champion_of_a_copied_project_is_its_own(project: Path) -> None:
    old, new = project / "old", project / "new"
    for root, temperature in ((old, 7.0), (new, 8.0)):
        folder = root / "mlruns" / "0" / "model"
        Predictor(MN, net=made_up_net(), temperature=temperature).save(folder / "artifacts" / "predictor.npz")
    database = store_with_champion(new, str(old / "mlruns" / "0" / "model"))
    with sqlite3.connect(database) as connection:
        connection.execute("insert into experiments values (0, ?)", (str(old / "mlruns" / "0"),))
    connection.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnflow.runtime.project.ROOT", new)
        assert choose.choose_predictor()[0].temperature == 8.0


def test_a_store_without_a_registry_has_no_champion(project: Path) -> None:
    sqlite3.connect(project / "mlflow.db").close()
    assert choose.local_champion(project / "mlflow.db") is None


def test_a_named_store_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/none.db")
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI names"):
        choose.choose_predictor()


@pytest.mark.parametrize("model", ["nowhere.npz", "a/folder"])
def test_a_model_that_is_not_there_is_an_error(model: str) -> None:
    with pytest.raises(InputError, match="No model at"):
        choose.choose_predictor(model)

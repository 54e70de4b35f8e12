"""Which model answers: named, champion, shipped."""

import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from mnflow.errors import InputError
from mnflow.pretrained import choose
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import PRETRAINED, digest
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


SHIPPED = f"shipped mn.npz (sha256 {digest(PRETRAINED / 'mn.npz')[:12]})"


def test_without_a_project_the_shipped_model_answers_and_is_named() -> None:
    for model in ("default", "shipped"):
        predictor, source = choose.choose_predictor(model)
        assert source == SHIPPED
        assert predictor.edge == MN
        assert predictor.posterior is not None


def test_the_champion_comes_before_the_shipped_model(project: Path) -> None:
    folder = project / "mlruns" / "a model"
    Predictor(MN, net=made_up_net(), temperature=7.0).save(folder / "artifacts" / "predictor.npz")
    store_with_champion(project, folder.as_uri())
    predictor, source = choose.choose_predictor()
    assert predictor.temperature == 7.0
    assert source == f"champion, version 3 of mn-valence in {project / 'mlflow.db'}"
    assert choose.local_champion(project / "mlflow.db") == ("3", folder / "artifacts" / "predictor.npz")
    assert choose.choose_predictor("shipped")[0].temperature != 7.0


def test_an_alias_that_was_moved_to_what_may_not_be_champion_is_refused(project: Path) -> None:
    folder = project / "mlruns" / "a model"
    Predictor(MN, net=made_up_net()).save(folder / "artifacts" / "predictor.npz")
    store_with_champion(project, folder.as_uri(), arch="dense")
    with pytest.raises(InputError) as error:
        choose.choose_predictor()
    assert str(error.value) == (
        f"The alias champion in {project / 'mlflow.db'} is on version 3, and dense is not fully "
        "convolutional and does not survive a shift of the energy axis: `mlflow run . -e promote` moves it "
        "to one that passes the gate; `--model shipped` uses the shipped model."
    )


def test_a_champion_whose_files_are_elsewhere_is_no_silent_fallback(project: Path) -> None:
    database = store_with_champion(project, str(project / "gone"))
    with pytest.raises(InputError) as error:
        choose.choose_predictor()
    assert str(error.value) == (
        f"The champion (version 3) in {database} lies at {project / 'gone'}, which does not exist: if the "
        "project was moved, run `mnflow doctor`; `--model shipped` uses the shipped model."
    )


def test_a_champion_that_cannot_be_read_is_no_silent_fallback(project: Path) -> None:
    file = project / "model" / "artifacts" / "predictor.npz"
    file.parent.mkdir(parents=True)
    file.write_text("no predictor")
    database = store_with_champion(project, str(project / "model"))
    with pytest.raises(InputError) as error:
        choose.choose_predictor()
    said = str(error.value)
    assert said.startswith(
        f"The champion (version 3) in {database} cannot be used: {error.value.__cause__} If"
    )
    assert said.endswith("mnflow, promote it again; `--model shipped` uses the shipped model.")
    assert str(file) in said


def test_a_database_that_is_none_is_no_silent_fallback(project: Path) -> None:
    (project / "mlflow.db").write_text("no database " * 100)
    with pytest.raises(InputError) as error:
        choose.choose_predictor()
    assert str(error.value) == (
        f"The tracking database {project / 'mlflow.db'} cannot be read (file is not a database)."
    )


def test_a_database_is_not_written_and_may_hold_no_champion(project: Path) -> None:
    database = store_with_champion(project, str(project))
    with sqlite3.connect(database) as connection:
        connection.execute("delete from registered_model_aliases")
    connection.close()
    before = database.read_bytes()
    assert choose.choose_predictor()[1] == SHIPPED
    assert database.read_bytes() == before
    assert choose.local_champion(project / "none.db") is None
    assert not (project / "none.db").exists()


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
    with sqlite3.connect(project / "mlflow.db") as connection:
        connection.execute("create table experiments (experiment_id, artifact_location)")
    connection.close()
    assert choose.local_champion(project / "mlflow.db") is None


def test_a_named_store_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/none.db")
    with pytest.raises(InputError) as error:
        choose.choose_predictor()
    assert str(error.value) == (
        f"MLFLOW_TRACKING_URI names {project}/none.db, and there is no such file: correct it, or unset it to "
        "use the shipped model."
    )
    monkeypatch.setattr(choose, "IMAGE", True)  # its first step makes the database
    assert choose.choose_predictor()[1] == SHIPPED


@pytest.mark.parametrize("model", ["nowhere.npz", "a/folder"])
def test_a_model_that_is_not_there_is_an_error(model: str) -> None:
    with pytest.raises(InputError) as error:
        choose.choose_predictor(model)
    assert str(error.value) == (
        f"No model at {model}: expected a predictor.npz, a model's folder, `models:/NAME@ALIAS` or `shipped`."
    )


def test_a_model_is_named_by_its_file_or_its_folder(project: Path) -> None:
    Predictor(MN, net=made_up_net(), temperature=7.0).save(project / "model" / "artifacts" / "predictor.npz")
    for path in (project / "model", project / "model" / "artifacts" / "predictor.npz"):
        predictor, source = choose.choose_predictor(str(path))
        assert (predictor.temperature, source) == (7.0, str(path))


@pytest.mark.slow
def test_a_registry_or_a_server_is_asked_through_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    from mnflow.promote import registry

    asked: list[str] = []
    net = Predictor(MN, net=made_up_net(), temperature=7.0)
    monkeypatch.setattr(registry, "load_predictor", lambda uri: asked.append(uri) or net)
    for address in ("models:/mn-valence@champion", "s3://bucket/model"):
        assert choose.choose_predictor(address) == (net, address)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    monkeypatch.setattr(registry, "aliased", lambda alias: SimpleNamespace(version="4"))
    source = "champion, version 4 of mn-valence at http://host:5000"
    assert choose.choose_predictor() == (net, source)
    assert asked == ["models:/mn-valence@champion", "s3://bucket/model", "models:/mn-valence@champion"]
    monkeypatch.setattr(registry, "aliased", lambda alias: None if alias == "champion" else 1)
    assert choose.choose_predictor()[1] == f"{SHIPPED}, since http://host:5000 has no champion"

"""What a version keeps of how it was registered, and that the same model is registered once."""

import hashlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR

from mnflow.errors import InputError
from mnflow.folds import Fold
from mnflow.promote import eligible, registration, registry, version_contents
from mnflow.promote.registration import Registration
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from mnflow.track import tracking
from tests.helpers.nets import made_up_net

pytestmark = pytest.mark.usefixtures("store")

RECORD = Registration({"cv/accuracy_mean": 0.9}, [0.5, 1.0], "f", "m", {}, {"seed": "7"})


def test_code_version_names_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert registration.code_version() == "unknown"
    (tmp_path / "code").write_text("1")
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@y", "-C", str(tmp_path))
    for words in (("init", "-q"), ("add", "code"), ("commit", "-q", "-m", "first")):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    (tmp_path / "notes").touch()  # no part of the code
    assert registration.code_version() == commit
    (tmp_path / "code").write_text("2")
    assert registration.code_version() == commit + "+"
    monkeypatch.setenv("PATH", "")
    assert registration.code_version() == "unknown"


def test_folds_are_told_apart_by_what_they_test() -> None:
    def fold(*test: int) -> Fold:
        return Fold(0, np.array([9]), np.array(test))

    digest = registration.folds_digest([fold(0, 1), fold(2, 3)])
    assert digest == hashlib.sha256(np.arange(4, dtype="<i8").tobytes()).hexdigest()[:16]
    assert digest == registration.folds_digest([SimpleNamespace(test=np.array([0, 1], np.int32)), fold(2, 3)])
    assert digest != registration.folds_digest([fold(0, 1), fold(3, 2)])


def test_a_version_holds_the_model_that_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "environments"))
    predictor = Predictor(MN, net=made_up_net())
    example = {"energy_ev": [620.0, 621.0], "intensity": [1.0, 2.0]}
    tags = {"arch": "fcn", "dataset_digest": "d"}
    record = replace(RECORD, model_digest=version_contents.model_digest(predictor))
    assert registration.registered_before(predictor) is None
    with tracking.step(tracking.tags_of("promote"), "promote", {}) as run:
        uri = version_contents.log_model(run, predictor, {"fold_0.keras": b"a net"}, [example])
        first = registration.register(uri, run, tags, record, "a card")
    (model,) = tracking.connect().search_registered_models()
    assert (model.name, int(first.version)) == ("mn-valence", 1)
    assert model.description == "Valence of an element from its L2,3 edge; see the versions' cards."
    assert (first.description, first.run_id, first.source) == ("a card", run.id, uri)
    assert first.tags.keys() == {*tags, eligible.DIGEST}
    assert registry.load_predictor(uri).edge == MN
    page = tracking.connect().get_logged_model(uri.removeprefix("models:/"))
    assert json.loads(page.tags["mlflow.modelVersions"]) == [{"name": "mn-valence", "version": 1}]

    known = registration.registration(first)
    assert replace(known, files={}) == record
    own = {version_contents.PREDICTOR, version_contents.ANSWERS, "artifacts/keras/fold_0.keras", "MLmodel"}
    assert own <= known.files.keys()
    assert version_contents.code_digests().items() <= known.files.items(), (
        "the same before it is logged and after"
    )
    elsewhere = replace(predictor, facts={"cv_run": "another run with the same data and seed"})
    found = registration.registered_before(elsewhere)
    assert found is not None
    assert found.version == first.version
    assert registration.registered_before(replace(predictor, temperature=2.0)) is None
    monkeypatch.setattr(version_contents, "code_digests", lambda: {"code/mnflow/errors.py": "edited"})
    assert registration.registered_before(predictor) is None

    assert registration.held_out_of(first, "d", "f") == [0.5, 1.0]
    assert registration.held_out_of(first, "d", "other") is None
    assert registration.held_out_of(first, "other", "f") is None

    run.json({"files": {}}, registration.RECORD)
    with pytest.raises(
        InputError,
        match=f"^registration.json of run {run.id} was changed after version 1 was registered: promote the "
        r"version's cross-validation again\.$",
    ):
        registration.registration(first)
    assert registration.held_out_of(first, "d", "f") is None
    logged = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "model")))
    assert (logged / "artifacts" / "keras" / "fold_0.keras").read_bytes() == b"a net"
    assert (logged / "artifacts" / "predictor.npz").is_file()
    assert (logged / "code" / "mnflow" / "serve" / "numpy_nets.py").is_file()
    assert (logged / "requirements.txt").read_text().splitlines() == version_contents.requirements()
    assert json.loads((logged / "serving_input_example.json").read_text()) == {"inputs": [example]}
    assert tracking.connect().get_logged_model(uri.removeprefix("models:/")).name == "valence_model"
    assert tracking.connect().get_logged_model(uri.removeprefix("models:/")).source_run_id == run.id
    (activate,) = (tmp_path / "environments").glob("mlflow-*/bin/activate")
    assert "/.venv" in activate.read_text()


@pytest.mark.parametrize(("tags", "run_id"), [({}, "a run"), ({eligible.DIGEST: "abc"}, None)])
def test_a_version_that_was_not_promoted_has_no_registration(
    tags: dict[str, str], run_id: str | None
) -> None:
    version = ModelVersion("m", "3", 0, run_id=run_id, tags=[ModelVersionTag(k, v) for k, v in tags.items()])
    with pytest.raises(InputError) as refused:
        registration.registration(version)
    assert str(refused.value) == (
        "Version 3 has no digest of what it serves (tag sha256), and cannot be verified: promote its run "
        "again."
    )
    assert registration.known_registration(version) is None


def test_a_version_is_registered_though_no_environment_can_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Path] = []

    def no_room(environment: Path) -> None:
        asked.append(environment)
        raise OSError("the disk is full")

    monkeypatch.setattr(registration, "register_environment", no_room)
    predictor = Predictor(MN, net=made_up_net())
    example = {"energy_ev": [620.0, 621.0], "intensity": [1.0, 2.0]}
    with tracking.step(tracking.tags_of("promote"), "promote", {}) as run:
        uri = version_contents.log_model(run, predictor, {}, [example])
        version = registration.register(uri, run, {}, RECORD, "")
    assert str(version.version) == "1"
    assert len(asked) == 1
    said = "the disk is full: `mlflow models serve` will need --env-manager local for this version."
    out, error = capsys.readouterr()
    assert said in out + error
    assert registration.registered_before(predictor) is None, "another model's digest"


def test_the_environment_of_a_version_is_the_one_of_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what the store gives back."""
    asked: list[str] = []
    monkeypatch.setattr(registration, "register_environment", asked.append)
    monkeypatch.setattr(registration, "mlflow_environment", lambda folder: (folder / "MLmodel").read_text())
    with tracking.step(tracking.tags_of("promote"), "promote", {}) as run:
        uri = version_contents.log_model(run, Predictor(MN, net=made_up_net()), {}, [{"energy_ev": [1.0]}])
        registration.register(uri, run, {}, RECORD, "")
    assert [run.id in text for text in asked] == [True]


def test_a_store_that_fails_is_not_taken_for_a_model_that_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MlflowException("the disk is full", INTERNAL_ERROR)

    monkeypatch.setattr(type(tracking.connect()), "create_registered_model", fail)
    monkeypatch.setattr(registration, "register_environment", lambda environment: None)
    monkeypatch.setattr(registration, "mlflow_environment", lambda folder: folder)
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda uri, dst_path: dst_path)
    with (
        tracking.step(tracking.tags_of("promote"), "promote", {}) as run,
        pytest.raises(MlflowException, match="the disk is full"),
    ):
        registration.register("models:/m-0", run, {}, RECORD, "")

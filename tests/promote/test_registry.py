"""Aliases move as they should, and go back; the best candidate is found."""

import contextlib
import hashlib
import json
import re
import subprocess
import threading
import time
from importlib import metadata
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
from mnflow.promote import registry
from mnflow.promote import served as served_model
from mnflow.promote.gate import MEASURED_BEFORE
from mnflow.runtime import project
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from mnflow.track import tracking
from mnflow.track.query import finished_runs
from tests.helpers.nets import made_up_net

pytestmark = pytest.mark.usefixtures("store")


OURS = {"cv_run": "abc", "arch": "fcn", "labels": "Mn2+,Mn3+,Mn4+"}


def new_version(tags: dict[str, str] = OURS) -> str:
    client = tracking.connect()
    with contextlib.suppress(MlflowException):  # it exists
        client.create_registered_model(registry.MODEL)
    return str(client.create_model_version(registry.MODEL, "file:///nowhere", tags=tags).version)


def versions() -> tuple[str | None, str | None]:
    found = [registry.aliased(alias) for alias in (registry.CHAMPION, registry.PREVIOUS)]
    return tuple(str(v.version) if v else None for v in found)  # type: ignore[return-value]


def test_no_champion_before_there_is_a_model() -> None:
    assert versions() == (None, None)
    with pytest.raises(InputError, match="no version `previous` to go back to"):
        registry.roll_back()


def test_promotion_keeps_the_previous_one_and_its_history() -> None:
    first, second = new_version(), new_version()
    assert registry.set_champion(first) is None
    assert registry.set_champion(second) == first
    assert versions() == (second, first)
    assert registry.set_champion(first) == second
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    for version, expected in (
        (
            first,
            f"promoted {when}; replaced {when} by version {second}; promoted {when}, after version {second}",
        ),
        (second, f"promoted {when}, after version {first}; replaced {when} by version {first}"),
    ):
        assert re.fullmatch(
            expected, tracking.connect().get_model_version(registry.MODEL, version).tags["history"]
        )


def test_promoting_the_champion_again_changes_nothing() -> None:
    first, second = new_version(), new_version()
    registry.set_champion(first)
    registry.set_champion(second)
    registry.set_champion(second)
    assert versions() == (second, first)


def test_roll_back_and_forth() -> None:
    first, second = new_version(), new_version()
    registry.set_champion(first)
    registry.set_champion(second)
    assert registry.roll_back() == (first, second)
    assert versions() == (first, second)
    assert registry.roll_back() == (second, first)
    assert "; rolled back to " in tracking.connect().get_model_version(registry.MODEL, first).tags["history"]


@pytest.mark.parametrize(
    ("tags", "why"),
    [({**OURS, "arch": "dense"}, "dense is not fully convolutional"), ({}, "not registered by promote")],
)
def test_aliases_are_for_versions_that_may_be_champion(tags: dict[str, str], why: str) -> None:
    """Somebody has moved an alias in the UI to a dense net, or to a model of another project."""
    good, bad = new_version(), new_version(tags)
    client = tracking.connect()
    with pytest.raises(InputError, match=why):
        registry.set_champion(bad)
    registry.set_champion(good)
    client.set_registered_model_alias(registry.MODEL, registry.PREVIOUS, bad)
    with pytest.raises(InputError, match=why):
        registry.roll_back()
    assert versions() == (good, bad), "nothing has moved"
    client.set_registered_model_alias(registry.MODEL, registry.CHAMPION, bad)
    with pytest.raises(
        InputError, match=f"The alias champion of mn-valence is on version {bad}, and .*{why}"
    ):
        registry.load_predictor("models:/mn-valence@champion")
    assert registry.set_champion(good) is None, (
        "the alias is mended, and what was wrong is not kept as `previous`"
    )


def test_previous_is_never_the_champion() -> None:
    first, second = new_version(), new_version()
    registry.set_champion(first)
    tracking.connect().set_registered_model_alias(registry.MODEL, registry.PREVIOUS, first)
    with pytest.raises(InputError, match="no version `previous` to go back to"):
        registry.roll_back()
    tracking.connect().delete_registered_model_alias(registry.MODEL, registry.CHAMPION)
    registry.set_champion(first)
    assert versions() == (first, None)
    registry.set_champion(second)
    assert versions() == (second, first)


def test_a_deleted_run_is_not_promoted() -> None:
    run = cv_run(COMPLETE)
    other = cv_run({**COMPLETE, "cv/accuracy_mean": 0.8})
    tracking.connect().delete_run(run)
    with pytest.raises(InputError, match=f"Run {run} was deleted: restore it"):
        registry.candidate(run)
    assert registry.candidate("best").info.run_id == other


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 97.0])
def test_what_is_no_share_is_never_the_best(value: float) -> None:
    odd = cv_run({**COMPLETE, "shift/integrated_accuracy": value})
    good = cv_run(COMPLETE)
    last = cv_run({**COMPLETE, "noise/accuracy_at_5x": value})
    assert registry.candidate("best").info.run_id == good
    for run, step in ((odd, "shift_eval"), (last, "noise_eval")):
        with pytest.raises(InputError, match=f"not evaluated in full.*-e {step} "):
            registry.candidate(run)


def test_a_run_of_another_project_is_never_the_best() -> None:
    ours = cv_run(COMPLETE)
    client = tracking.connect()
    experiment = client.get_run(ours).info.experiment_id
    for tags in ({"arch": "fcn", "dataset_digest": "d"}, {}):
        foreign = client.create_run(experiment, tags={"mnflow.step": "cv_train", **tags}).info.run_id
        for key in COMPLETE:
            client.log_metric(foreign, key, 1.0)
        client.set_terminated(foreign)
        assert registry.candidate("best").info.run_id == ours
        with pytest.raises(InputError, match="lacks the tags of a cross-validation of mnflow"):
            registry.candidate(foreign)


def test_the_newest_is_the_one_that_began_last_though_the_clock_went_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = cv_run(COMPLETE, dataset_digest="older data")
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() - 86_400_000_000_000)
    monkeypatch.setattr(time, "time", lambda now=time.time: now() - 86_400)
    last = cv_run(COMPLETE)
    monkeypatch.undo()
    records = {r.info.run_id: r for r in finished_runs("cv_train")}
    assert records[last].info.start_time < records[first].info.start_time
    assert list(records) == [last, first]
    assert registry.candidate("best").info.run_id == last


def test_the_same_model_is_found_again() -> None:
    tags = {"cv_run": "abc", "strategy": "ensemble of 3 fold models"}
    known = {served_model.PREDICTOR: "1", "code/mnflow/errors.py": "2", "MLmodel": "3"}
    version = new_version({**OURS, **tags, registry.DIGESTS: json.dumps(known)})
    before = {served_model.PREDICTOR: "1", "code/mnflow/errors.py": "2"}
    found = registry.registered_before(*tags.values(), before)
    assert found is not None
    assert str(found.version) == version
    assert registry.registered_before("abc", "refit on all spectra", before) is None
    assert registry.registered_before("abd", tags["strategy"], before) is None
    assert registry.registered_before(*tags.values(), {**before, served_model.PREDICTOR: "7"}) is None
    assert registry.registered_before(*tags.values(), {served_model.PREDICTOR: "1"}) is None


def cv_run(metrics: dict[str, float], **tags: str) -> str:
    known = {"dataset_digest": "d", "dataset_uri": "made up", "noise_augmentation": "false"} | tags
    with tracking.step(
        {**tracking.tags_of("cv_train", "fcn", "10x", "stratified"), **known}, "cv", {}
    ) as run:
        run.metrics(metrics)
    return run.id


COMPLETE = dict.fromkeys(MEASURED_BEFORE, 0.9)


def test_the_best_candidate_is_an_evaluated_fcn_on_the_newest_data() -> None:
    cv_run({**COMPLETE, "shift/integrated_accuracy": 1.0}, dataset_digest="older data")
    best = cv_run({**COMPLETE, "shift/integrated_accuracy": 0.95})
    cv_run(COMPLETE)
    cv_run({**COMPLETE, "cv/accuracy_mean": 1.0}, arch="dense")
    cv_run({"cv/accuracy_mean": 1.0})
    failed = cv_run({**COMPLETE, "shift/integrated_accuracy": 1.0})
    tracking.connect().set_terminated(failed, "FAILED")
    assert registry.candidate("best").info.run_id == best
    other = cv_run({**COMPLETE, "noise/accuracy_at_5x": 0.96, "shift/worst_accuracy": 0.1})
    assert registry.candidate("best").info.run_id == other  # by the mean of three, and by nothing else
    assert registry.candidate(best).info.run_id == best


def test_a_run_without_evaluations_says_what_to_run() -> None:
    run = cv_run({"cv/accuracy_mean": 1.0, "shift/integrated_accuracy": 1.0, "shift/worst_accuracy": 1.0})
    for asked in (run, "best"):
        with pytest.raises(
            InputError,
            match=f"first `mlflow run . -e noise_eval -P run={run}` and `mlflow run . -e reference_test",
        ):
            registry.candidate(asked)


def test_nothing_to_promote() -> None:
    with pytest.raises(
        InputError, match="No finished cv_train run was found in the experiment test of sqlite:"
    ):
        registry.candidate("best")
    cv_run(COMPLETE, arch="dense")
    with pytest.raises(
        InputError, match="No finished cv_train run of a fully convolutional net on the newest data"
    ):
        registry.candidate("best")
    with pytest.raises(InputError, match="No run 'abc'"):
        registry.candidate("abc")


def test_code_version_names_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert registry.code_version() == "unknown"
    (tmp_path / "code").write_text("1")
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@y", "-C", str(tmp_path))
    for words in (("init", "-q"), ("add", "code"), ("commit", "-q", "-m", "first")):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    (tmp_path / "notes").touch()  # no part of the code
    assert registry.code_version() == commit
    (tmp_path / "code").write_text("2")
    assert registry.code_version() == commit + "+"
    monkeypatch.setenv("PATH", "")
    assert registry.code_version() == "unknown"


def test_folds_are_told_apart_by_what_they_test() -> None:
    def fold(*test: int) -> Fold:
        return Fold(0, np.array([9]), np.array(test))

    digest = registry.folds_digest([fold(0, 1), fold(2, 3)])
    assert digest == hashlib.sha256(np.arange(4, dtype="<i8").tobytes()).hexdigest()[:16]
    assert digest == registry.folds_digest([SimpleNamespace(test=np.array([0, 1], np.int32)), fold(2, 3)])
    assert digest != registry.folds_digest([fold(0, 1), fold(3, 2)])


def test_accuracies_are_compared_on_the_same_data_and_folds_only() -> None:
    tags = {"dataset_digest": "d", "folds_digest": "f", "held_out_accuracy": "[0.5, 1]"}
    version = ModelVersion("m", "1", 0, tags=[ModelVersionTag(k, v) for k, v in tags.items()])
    assert registry.held_out_of(version, "d", "f") == [0.5, 1.0]
    assert registry.held_out_of(version, "d", "other") is None
    assert registry.held_out_of(version, "other", "f") is None
    assert registry.held_out_of(ModelVersion("m", "1", 0), "d", "f") is None


def test_no_model_to_load_and_a_store_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InputError,
        match=r"^No model at models:/mn-valence@champion in the experiment test "
        r"of sqlite:.* \(.*\): `mlflow run",
    ):
        registry.load_predictor("models:/mn-valence@champion")

    def fails(*_: str) -> None:
        raise MlflowException("the disk is full", error_code=INTERNAL_ERROR)

    monkeypatch.setattr(tracking, "connect", lambda: SimpleNamespace(get_model_version_by_alias=fails))
    with pytest.raises(MlflowException, match="the disk is full"):
        registry.aliased("champion")


def test_a_server_gets_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    served = served_model.copy_code(tmp_path)
    assert served == tmp_path / "code" / "mnflow"
    package = Path(registry.__file__).parents[1]
    found = sorted(p.relative_to(served).as_posix() for p in served.rglob("*") if p.is_file())
    assert {"spectra/edge.py", "preprocess/window.py", "serve/model.py"} <= set(found)
    assert not [
        name
        for name in found
        if name.endswith(("clusters.py", ".pyc")) or name.startswith(("read/", "train", "promote"))
    ]
    assert all((served / name).read_bytes() == (package / name).read_bytes() for name in found)
    lines = served_model.requirements()
    assert all(" --hash=sha256:" in line for line in lines), (
        "all of them are in the project's requirements.txt"
    )
    pinned = [line.split()[0] for line in lines]
    for name in ("mlflow", "numpy", "pydantic", "uvicorn", "h11", "starlette", "sqlalchemy"):
        assert f"{name}=={metadata.version(name)}" in pinned, "what is needed, and what that needs"
    assert all("==" in line for line in pinned)
    assert not [line for line in pinned if line.startswith(("keras", "jax", "hyperspy", "tensorflow"))]


def test_a_version_holds_the_model_that_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "environments"))
    predictor = Predictor(MN, net=made_up_net())
    example = {"energy_ev": [620.0, 621.0], "intensity": [1.0, 2.0]}
    with tracking.step(tracking.tags_of("promote"), "promote", {}) as run:
        uri = served_model.log_model(run, predictor, {"fold_0.keras": b"a net"}, [example])
    first = registry.register(uri, run.id, {"seed": 7}, "a card")
    second = registry.register(uri, run.id, {}, "")
    (model,) = tracking.connect().search_registered_models()
    assert (model.name, [int(v.version) for v in (first, second)]) == ("mn-valence", [1, 2])
    assert model.description == "Valence of an element from its L2,3 edge; see the versions' cards."
    assert (first.description, first.run_id) == ("a card", run.id)
    assert first.tags.keys() == {"seed", registry.DIGESTS}
    assert first.source == uri
    assert registry.load_predictor(uri).edge == MN

    kept = json.loads(first.tags[registry.DIGESTS])
    assert {
        served_model.PREDICTOR,
        served_model.ANSWERS,
        "artifacts/keras/fold_0.keras",
        "MLmodel",
    } <= kept.keys()
    assert "code/mnflow/serve/answer.py" in kept
    before = served_model.digests_before(predictor)
    assert before.items() <= kept.items(), "the same before it is logged and after"
    logged = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "model")))
    assert (logged / "artifacts" / "keras" / "fold_0.keras").read_bytes() == b"a net"
    assert (logged / "artifacts" / "predictor.npz").is_file()
    assert (logged / "code" / "mnflow" / "serve" / "numpy_nets.py").is_file()
    assert (logged / "requirements.txt").read_text().splitlines() == served_model.requirements()
    assert json.loads((logged / "serving_input_example.json").read_text()) == {"inputs": [example]}
    assert tracking.connect().get_logged_model(uri.removeprefix("models:/")).name == "valence_model"
    assert tracking.connect().get_logged_model(uri.removeprefix("models:/")).source_run_id == run.id
    (activate,) = (tmp_path / "environments").glob("mlflow-*/bin/activate")
    assert "/.venv" in activate.read_text()


def test_a_store_that_fails_is_not_taken_for_a_model_that_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MlflowException("the disk is full", INTERNAL_ERROR)

    monkeypatch.setattr(type(tracking.connect()), "create_registered_model", fail)
    with pytest.raises(MlflowException, match="the disk is full"):
        registry.register("models:/m-0", "0", {}, "")


def test_one_process_at_a_time_changes_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(project, "LOCK_SECONDS", 0.05)
    said = []

    def try_it() -> None:
        try:
            with registry.locked():
                said.append("held")
        except InputError as error:
            said.append(str(error))

    with registry.locked():
        other = threading.Thread(target=try_it)
        other.start()
        other.join()
    try_it()
    assert "Another process has held the lock" in said[0]
    assert str(tmp_path) in said[0], "in the store's own folder"
    assert said[1:] == ["held"]

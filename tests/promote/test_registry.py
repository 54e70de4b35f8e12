"""Aliases move as they should, and go back; the best candidate is found."""

import contextlib
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR

from mnflow.errors import InputError
from mnflow.promote import eligible, registration, registry
from mnflow.runtime import project
from mnflow.track import names, tracking
from tests.helpers.stopping import stoppable, stopped_after

pytestmark = pytest.mark.usefixtures("store")


OURS = {"cv_run": "abc", "arch": "fcn", eligible.DIGEST: "made up"}


def new_version(tags: dict[str, str] = OURS) -> str:
    client = tracking.connect()
    with contextlib.suppress(MlflowException):  # it exists
        client.create_registered_model(registration.MODEL)
    return str(client.create_model_version(registration.MODEL, "file:///nowhere", tags=tags).version)


def versions() -> tuple[str | None, str | None]:
    found = [registry.aliased(alias) for alias in (registry.CHAMPION, registry.PREVIOUS)]
    return tuple(str(v.version) if v else None for v in found)  # type: ignore[return-value]


def history() -> str:
    return str(tracking.connect().get_registered_model(registration.MODEL).tags[registry.HISTORY])


def test_no_champion_before_there_is_a_model() -> None:
    assert versions() == (None, None)
    assert registry.champion_in_words() == ""
    with pytest.raises(
        InputError,
        match=r"^The model mn-valence has no version `previous` to go back to: only one was ever promoted\.$",
    ):
        registry.roll_back()


def test_promotion_keeps_the_previous_one_and_its_history() -> None:
    first, second = new_version(), new_version()
    assert registry.set_champion(first) is None
    assert registry.set_champion(second) == first
    assert versions() == (second, first)
    assert registry.set_champion(first) == second
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    events = (
        f"version {first} promoted {when}",
        f"version {second} promoted {when} in place of version {first}",
        f"version {first} promoted {when} in place of version {second}",
    )
    assert re.fullmatch("; ".join(events), history())


def test_the_last_forty_moves_are_remembered() -> None:
    new_version()
    registry._remember("event 0")
    registry._remember("event 1")
    assert history() == "event 0; event 1"
    events = [f"event {number}" for number in range(41)]
    client = tracking.connect()
    client.set_registered_model_tag(registration.MODEL, registry.HISTORY, "; ".join(events[:40]))
    registry._remember(events[40])
    assert history() == "; ".join(events[1:])


def test_the_champion_is_told_with_its_rivals_while_its_run_is_there() -> None:
    known = {"dataset_digest": "d", "dataset_uri": "made up", "noise_augmentation": "false"}
    for arch, accuracy in (("dense", 0.5), ("fcn", 0.75)):
        with tracking.step(
            {**tracking.tags_of("cv_train", arch, "10x", "stratified"), **known}, f"{arch} 10x", {}
        ) as run:
            run.metrics(dict.fromkeys(names.COLUMNS, accuracy))
    registry.set_champion(version := new_version({**OURS, "cv_run": run.id}))
    assert registry.champion_in_words() == (
        f"Champion: version {version} of mn-valence, fcn 10x. Mean of unshifted, shifted and noise x 5: "
        "0.7500; best of the others: dense 10x 0.5000, +0.2500 (ahead in no column)."
    )
    tracking.connect().delete_run(run.id)
    assert registry.champion_in_words() == f"Champion: version {version} of mn-valence."
    client = tracking.connect()
    client.set_registered_model_alias(registration.MODEL, registry.CHAMPION, new_version({}))
    assert registry.champion_in_words() == ""


def test_promoting_the_champion_again_changes_nothing() -> None:
    first, second = new_version(), new_version()
    registry.set_champion(first)
    registry.set_champion(second)
    before = history()
    assert registry.set_champion(second) is None
    assert versions() == (second, first)
    assert history() == before


def test_roll_back_and_forth() -> None:
    first, second = new_version(), new_version()
    registry.set_champion(first)
    registry.set_champion(second)
    assert registry.roll_back() == (first, second)
    assert versions() == (first, second)
    assert registry.roll_back() == (second, first)
    assert f"version {first} rolled back to " in history()


@pytest.mark.parametrize(
    ("tags", "why"),
    [({**OURS, "arch": "dense"}, "dense is not fully convolutional"), ({}, "not registered by promote")],
)
def test_aliases_are_for_versions_that_may_be_champion(tags: dict[str, str], why: str) -> None:
    """Somebody has moved an alias in the UI to a dense net, or to a model of another project."""
    good, bad = new_version(), new_version(tags)
    client = tracking.connect()
    with pytest.raises(InputError, match=f"^Version {bad} of mn-valence cannot become `champion`: .*{why}"):
        registry.set_champion(bad)
    registry.set_champion(good)
    client.set_registered_model_alias(registration.MODEL, registry.PREVIOUS, bad)
    with pytest.raises(InputError, match=why):
        registry.roll_back()
    assert versions() == (good, bad), "nothing has moved"
    client.set_registered_model_alias(registration.MODEL, registry.CHAMPION, bad)
    with pytest.raises(
        InputError,
        match=f"^The alias champion of mn-valence is on version {bad}, and .*{why}.*: `mlflow run . -e "
        r"promote` moves it to one that passes the gate\.$",
    ):
        registry.load_predictor("models:/mn-valence@champion")
    assert registry.set_champion(good) is None, (
        "the alias is mended, and what was wrong is not kept as `previous`"
    )


def test_previous_is_never_the_champion() -> None:
    first, second = new_version(), new_version()
    registry.set_champion(first)
    tracking.connect().set_registered_model_alias(registration.MODEL, registry.PREVIOUS, first)
    with pytest.raises(InputError, match="no version `previous` to go back to"):
        registry.roll_back()
    tracking.connect().delete_registered_model_alias(registration.MODEL, registry.CHAMPION)
    registry.set_champion(first)
    assert versions() == (first, None)
    registry.set_champion(second)
    assert versions() == (second, first)


def test_the_same_model_by_other_code_is_never_both_champion_and_previous(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other, first, again = new_version(), new_version(), new_version()
    digests = {other: "a", first: "b", again: "b"}
    monkeypatch.setattr(
        registry, "known_registration", lambda v: SimpleNamespace(model_digest=digests[str(v.version)])
    )
    registry.set_champion(other)
    registry.set_champion(first)
    assert registry.set_champion(again) == first
    assert versions() == (again, other)
    registry.set_champion(other)
    assert versions() == (other, again)


def test_no_model_to_load_and_a_store_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InputError,
        match=r"^No model at models:/mn-valence@champion in the experiment test "
        r"of sqlite:.* \(.*\): `mlflow run . -e promote` makes a champion\.$",
    ):
        registry.load_predictor("models:/mn-valence@champion")

    def fails(*_: str) -> None:
        raise MlflowException("the disk is full", error_code=INTERNAL_ERROR)

    monkeypatch.setattr(tracking, "connect", lambda: SimpleNamespace(get_model_version_by_alias=fails))
    with pytest.raises(MlflowException, match="the disk is full"):
        registry.aliased("champion")


def test_a_model_of_another_project_is_no_predictor(tmp_path: Path) -> None:
    (tmp_path / "model" / "artifacts").mkdir(parents=True)
    (tmp_path / "model" / "MLmodel").write_text("flavors: {}\n")
    with tracking.step(tracking.tags_of("x"), "x", {}) as run:
        tracking.connect().log_artifacts(run.id, str(tmp_path / "model"), "model")
    (here := tmp_path / "here").mkdir()
    assert registry.download(f"runs:/{run.id}/model", str(here)).is_relative_to(here)
    with pytest.raises(InputError, match=r"predictor\.npz"):
        registry.load_predictor(f"runs:/{run.id}/model")


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


def test_a_signal_waits_until_all_aliases_have_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = new_version(), new_version()
    registry.set_champion(first)
    client = tracking.connect()
    move = stopped_after(client.set_registered_model_alias)
    monkeypatch.setattr(client, "set_registered_model_alias", move)

    def promote() -> None:
        with registry.locked():
            registry.set_champion(second)

    with stoppable(), pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        promote()
    assert versions() == (second, first)
    with stoppable(), pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        registry.roll_back()
    assert versions() == (first, second)
    assert history().count("; ") == 2, "and their history is written"

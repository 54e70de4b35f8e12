"""What a version serves is held against what was registered, byte by byte and by its answers."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

from mnflow.errors import InputError
from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.promote import registration, verification, version_contents
from mnflow.promote.registration import Registration
from mnflow.serve.novelty import Novelty, aligned, locate
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import pretrained_for
from mnflow.spectra import MN
from mnflow.track import names, tracking
from mnflow.train.settings import TrainSettings
from tests.helpers.nets import made_up_net
from tests.helpers.spectra import spectra

pytestmark = pytest.mark.slow

N = aligned(locate(np.zeros((1, 300), np.float32)))[0].shape[1]

NOVELTY = Novelty(
    mean=np.zeros(N, np.float32), components=np.eye(3, N, dtype=np.float32),
    planes=np.ones((N, 4), np.float32), offsets=np.zeros(4, np.float32),
    coefficients=np.ones((4, 2), np.float32), noise_slope=0.1, limits=(0.1,) * 4, false_alarm_rate=0.02,
)  # fmt: skip


@pytest.fixture(scope="module")
def registered(module_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelVersion, Path]:
    """A version, and a copy of its files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ENV_ROOT", str(module_store / "environments"))
        shipped = pretrained_for(MN)
        assert shipped is not None
        predictor = replace(shipped, net=made_up_net(), temperature=1.5, novelty=NOVELTY)
        with tracking.step(tracking.tags_of("promote"), "promote", {}) as run:
            asked = version_contents.examples(spectra(12), seed=0)
            uri = version_contents.log_model(run, predictor, {"fold_0.keras": b"a net"}, asked)
            record = Registration({}, [], "", "", {}, {})
            version = registration.register(uri, run, {}, record, "")
    place = f"models:/{registration.MODEL}/{version.version}"
    return version, Path(
        mlflow.artifacts.download_artifacts(place, dst_path=str(tmp_path_factory.mktemp("model")))
    )


@pytest.fixture
def folder(registered: tuple[ModelVersion, Path], tmp_path: Path) -> Path:
    shutil.copytree(registered[1], tmp_path / "copy")
    return tmp_path / "copy"


def resave(change: Callable[[Predictor], Predictor]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        change(Predictor.load(folder / version_contents.PREDICTOR)).save(folder / version_contents.PREDICTOR)

    return tamper


def reverse_names(predictor: Predictor) -> Predictor:
    return replace(predictor, edge=replace(predictor.edge, classes=predictor.edge.classes[::-1]))


def open_limits(predictor: Predictor) -> Predictor:
    assert predictor.novelty is not None
    return replace(predictor, novelty=replace(predictor.novelty, limits=(1e9,) * 4))


def scramble(folder: Path) -> None:
    """The arrays of the composition model that begin with the same letters, in another order."""
    path = folder / version_contents.PREDICTOR
    with np.load(path) as z:
        arrays = dict(z)
    known = [k for k in arrays if k.startswith("posterior") and arrays[k].ndim == 2]
    assert known
    for k in known:
        arrays[k] = arrays[k][::-1]
    with path.open("wb") as f:
        np.savez(f, **arrays)


def edit_code(folder: Path) -> None:
    path = folder / "code/mnflow/serve/answer.py"
    path.write_text(path.read_text() + "\n# edited\n")


TAMPERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "class names reversed": (resave(reverse_names), version_contents.PREDICTOR),
    "temperature 0.01": (resave(lambda p: replace(p, temperature=0.01)), version_contents.PREDICTOR),
    "novelty limits open": (resave(open_limits), version_contents.PREDICTOR),
    "composition model scrambled": (scramble, version_contents.PREDICTOR),
    "code edited": (edit_code, "code/mnflow/serve/answer.py"),
    "a net exchanged": (lambda f: (f / "artifacts/keras/fold_0.keras").write_bytes(b"b net") and None,
                        "artifacts/keras/fold_0.keras"),
    "a requirement added": (lambda f: (f / "requirements.txt").write_text("evil==1") and None,
    "requirements.txt"),
}  # fmt: skip


def test_an_untouched_version_holds(registered: tuple[ModelVersion, Path]) -> None:
    version, folder = registered
    assert verification.check_files(version, folder) == len(registration.registration(version).files)
    answered = verification.check_answers(version, folder)
    assert len(answered.answers) == 3 * version_contents.EACH + 3
    assert answered.answers[-1]["error"], "the flat line"
    assert {a["moved_ev"] for a in answered.answers[:-1]} != {None}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_changed_file_is_named(name: str, registered: tuple[ModelVersion, Path], folder: Path) -> None:
    tamper, file = TAMPERED[name]
    tamper(folder)
    with pytest.raises(InputError, match=f"does not serve what was registered: {file} was changed"):
        verification.check_files(registered[0], folder)


def test_what_is_added_or_missing_is_named(registered: tuple[ModelVersion, Path], folder: Path) -> None:
    (folder / "code/mnflow/evil.py").write_text("")
    (folder / "artifacts/keras/fold_0.keras").unlink()
    with pytest.raises(InputError, match=r"fold_0.keras is missing; code/mnflow/evil.py was added\."):
        verification.check_files(registered[0], folder)


def test_a_version_without_digests_cannot_be_verified(
    registered: tuple[ModelVersion, Path], folder: Path
) -> None:
    with pytest.raises(InputError, match="has no digest of what it serves"):
        verification.check_files(ModelVersion("m", "3", 0), folder)


@pytest.mark.parametrize(
    "name", ["class names reversed", "novelty limits open", "composition model scrambled"]
)
def test_answers_differ_where_the_digest_was_forged_too(
    name: str, registered: tuple[ModelVersion, Path], folder: Path
) -> None:
    TAMPERED[name][0](folder)
    with pytest.raises(InputError, match="does not answer as the version did when it was registered"):
        verification.check_answers(registered[0], folder)


def test_code_that_does_not_load_is_reported(registered: tuple[ModelVersion, Path], folder: Path) -> None:
    (folder / "code/mnflow/serve/answer.py").write_text("raise RuntimeError('broken')")
    with pytest.raises(InputError, match=r"version 1 cannot be loaded: .*broken"):
        verification.check_answers(registered[0], folder)


FACTS = {names.CV_RUN: "a run", names.DATASET_DIGEST: "some data"}
TAGS = {**FACTS, names.ARCH: "fcn"}


@pytest.mark.parametrize(
    ("held", "tags", "sentence"),
    [
        ("fcn", {names.ARCH: "dense"}, "tagged arch=dense, and fold_0.keras holds another network"),
        ("dense", {}, "tagged arch=fcn, and fold_0.keras holds another network"),
        ("fcn_antialiased", {}, "tagged arch=fcn, and fold_0.keras holds another network"),
        ("fcn", {names.CV_RUN: "another"}, "tagged cv_run=another, and its model says a run"),
        ("fcn", {names.DATASET_DIGEST: "other"}, "tagged dataset_digest=other, and its model says some data"),
    ],
)
def test_tags_that_are_not_the_files_are_refused(held: str, tags: dict[str, str], sentence: str) -> None:
    """Of a version made by hand: whatever the nets in its files are called."""
    net = keras_nets.from_bytes(keras_nets.to_bytes(keras_nets.build(replace(design(held), arch="fcn"))))
    predictor, settings = Predictor(MN, None, made_up_net(), facts=FACTS), TrainSettings()

    def version(tags: dict[str, str]) -> ModelVersion:
        return ModelVersion("m", "3", 0, tags=[ModelVersionTag(k, v) for k, v in tags.items()])

    with pytest.raises(InputError, match=f"^Version 3 is {sentence}: do not serve it"):
        verification.check_tags(version({**TAGS, **tags}), predictor, {"fold_0": net}, settings)
    verification.check_tags(version({**TAGS, names.ARCH: held}), predictor, {"fold_0": net}, settings)


def test_a_net_with_settings_of_its_own_is_what_its_tag_says() -> None:
    settings = TrainSettings(filters=(2, 3, 4, 5, 6))
    net = keras_nets.build(design("fcn", **settings.changes))
    predictor = Predictor(MN, None, made_up_net(), facts=FACTS)
    version = ModelVersion("m", "3", 0, tags=[ModelVersionTag(k, v) for k, v in TAGS.items()])
    verification.check_tags(version, predictor, {"fold_0": net}, settings)
    with pytest.raises(InputError, match="holds another network"):
        verification.check_tags(version, predictor, {"fold_0": net}, TrainSettings())

"""What a version serves is held against what was registered, byte by byte and by its answers."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

from mnflow.errors import InputError
from mnflow.folds import split
from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.preprocess import crop
from mnflow.promote import promotion, registration, registry, verification, version_contents
from mnflow.promote.registration import Registration
from mnflow.serve.answer import answer
from mnflow.serve.novelty import Novelty, aligned, locate
from mnflow.serve.numpy_nets import from_keras
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import pretrained_for
from mnflow.spectra import MN
from mnflow.track import cross_validation, evaluations, names, tracking
from mnflow.track.cross_validation import FinishedCv
from mnflow.train.settings import TrainSettings
from tests.helpers.nets import made_up_net
from tests.helpers.posterior import made_up_posterior
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
    copy = str(tmp_path_factory.mktemp("model"))
    return version, Path(mlflow.artifacts.download_artifacts(place, dst_path=copy))


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


def test_of_many_changed_files_the_first_five_are_named(
    registered: tuple[ModelVersion, Path], folder: Path
) -> None:
    for i in range(5):
        (folder / f"new{i}").touch()
    said = "Version 1 does not serve what was registered: " + "; ".join(f"new{i} was added" for i in range(5))
    with pytest.raises(InputError, match=rf"^{said}\. Do not serve it\.$"):
        verification.check_files(registered[0], folder)
    (folder / "new5").touch()
    (folder / "new6").touch()
    with pytest.raises(InputError, match=rf"^{said} and 2 more\. Do not serve it\.$"):
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
    with pytest.raises(InputError, match=r"^The model of version 1 cannot be loaded: .*Error: broken\..*$"):
        verification.check_answers(registered[0], folder)


FACTS = {names.CV_RUN: "a run", names.DATASET_DIGEST: "some data"}
TAGS = {**FACTS, names.ARCH: "fcn"}


def tagged(tags: dict[str, str]) -> ModelVersion:
    return ModelVersion("m", "3", 0, tags=[ModelVersionTag(k, v) for k, v in tags.items()])


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
    with pytest.raises(InputError, match=f"^Version 3 is {sentence}: do not serve it"):
        verification.check_tags(tagged({**TAGS, **tags}), predictor, {"fold_0": net}, settings)
    verification.check_tags(tagged({**TAGS, names.ARCH: held}), predictor, {"fold_0": net}, settings)


def test_a_net_with_settings_of_its_own_is_what_its_tag_says() -> None:
    settings = TrainSettings(filters=(2, 3, 4, 5, 6))
    net = keras_nets.build(design("fcn", **settings.changes))
    predictor = Predictor(MN, None, made_up_net(), facts=FACTS)
    verification.check_tags(tagged(TAGS), predictor, {"fold_0": net}, settings)
    with pytest.raises(InputError, match="holds another network"):
        verification.check_tags(tagged(TAGS), predictor, {"fold_0": net}, TrainSettings())


FIRST = {"p": {"a": 0.5}, "interval": [2.0, 3.0], "class": "a"}
ANSWERED = verification.Answered([{}, {}], [FIRST, {"p": None}])


def answers(**changes: Any) -> list[dict[str, Any]]:
    return [FIRST | changes, {"p": None}]


@pytest.mark.parametrize(
    "changes", [{}, {"p": {"a": 0.5009}}, {"interval": [2.0009, 2.9991]}, {"p": {"a": 0.4991}}]
)
def test_answers_hold_up_to_what_sums_of_float32_differ_by(changes: dict[str, Any]) -> None:
    ANSWERED.hold(answers(**changes), "It")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"p": {"a": 0.502}}, "a was 0.5 and is 0.502"),
        ({"interval": [2.0, 3.01]}, "interval was 3.0 and is 3.01"),
        ({"interval": [2.0]}, r"interval was \[2.0, 3.0\] and is \[2.0\]"),
        ({"interval": None}, r"interval was \[2.0, 3.0\] and is None"),
        ({"p": {"b": 0.5}}, r"p was {'a': 0.5} and is {'b': 0.5}"),
        ({"class": "b"}, "class was a and is b"),
        ({"class": 0.5}, "class was a and is 0.5"),
        ({"more": 1}, "the answer was {.*} and is {.*}"),
    ],
)
def test_the_first_answer_that_differs_is_named(changes: dict[str, Any], what: str) -> None:
    place = "does not answer as the version did when it was registered"
    for found, i in ((answers(**changes), 0), ([answers()[0], answers(**changes)[0]], 1)):
        kept = verification.Answered([], [answers()[0]] * 2) if i else ANSWERED
        said = rf"^It {place}: {what} of spectrum {i} in artifacts/answers.json\.$"
        with pytest.raises(InputError, match=said):
            kept.hold(found, "It")
    with pytest.raises(InputError, match=r"^It gives 1 answers instead of 2\.$"):
        ANSWERED.hold(answers()[:1], "It")


@pytest.mark.parametrize(
    ("registered_", "found", "holds"),
    [(0.9, 0.9, True), (0.9, 0.900018, True), (0.9, 0.90003, False), (100.0, 100.0009, True),
     (100.0, 100.002, False), (0.0, 0.9e-5, True), (0.0, 2e-5, False), (0.5, float("nan"), False)],
)  # fmt: skip
def test_a_number_holds_within_a_hundred_thousandth(registered_: float, found: float, holds: bool) -> None:
    assert verification.Check("a", registered_, found).holds is holds


def test_numbers_are_compared_by_name_and_shown() -> None:
    checks = verification.compare({"a": 0.5, "b": 0.25, "gone": 1.0}, {"b": 0.75, "a": 0.5, "new": 2.0})
    assert verification.table(checks).to_dict("list") == {
        "number": ["b", "a"],
        "registered": [0.25, 0.5],
        "found": [0.75, 0.5],
        "holds": [False, True],
    }


def test_a_version_is_found_by_number_or_alias(registered: tuple[ModelVersion, Path]) -> None:
    assert verification.find_version("1").version == registered[0].version
    tracking.connect().set_registered_model_alias(registration.MODEL, "mine", registered[0].version)
    assert verification.find_version("mine").run_id == registered[0].run_id
    for name in ("9", "champion"):
        said = (
            rf"^The model mn-valence has no version '{name}' in the experiment .* of .*: expected a number, "
        )
        with pytest.raises(InputError, match=said + r"or an alias such as champion\.$"):
            verification.find_version(name)


def test_who_promoted_is_known_by_the_run_that_registered(store: Path) -> None:
    with tracking.step(tracking.tags_of("promote"), "promote", {"seed": 1, "strategy": "refit"}) as run:
        pass
    record = verification.promoted_by(ModelVersion("m", "3", 0, run_id=run.id))
    assert record.info.run_id == run.id
    assert verification.changed_since(record) == ""
    for key, words in (
        (names.CODE, " (code changed since)"),
        (names.ENVIRONMENT, " (code and environment changed since)"),
    ):
        tracking.connect().set_tag(run.id, key, "another")
        assert verification.changed_since(tracking.connect().get_run(run.id)) == words
    with tracking.step(tracking.tags_of("promote"), "promote", {"seed": 1}) as other:
        pass
    for run_id in (None, "0" * 32, other.id):
        with pytest.raises(
            InputError,
            match=r"^Version 3 was not registered by `promote` \(its run is unknown here\): verify one that "
            r"was\.$",
        ):
            verification.promoted_by(ModelVersion("m", "3", 0, run_id=run_id))


def cross_validated(n_folds: int = 3) -> FinishedCv:
    """A cross-validation whose nets are made up, and whose record knows its tags alone."""
    data = spectra(36)
    nets = [keras_nets.build(design("fcn", filters=(2, 2, 2, 2, 2))) for _ in range(n_folds)]
    record: Any = SimpleNamespace(info=SimpleNamespace(run_id="a run"), data=SimpleNamespace(tags={}))
    return FinishedCv("fcn", data, split(data, "stratified", n_folds), nets, record)


def test_a_parameter_is_that_of_the_newest_evaluation(store: Path) -> None:
    finished = cross_validated()
    said = "^Run a run has no finished noise_eval run any more, whose kept is needed to recompute its numbers"
    with pytest.raises(InputError, match=said):
        verification.param_of("noise_eval", finished, "kept")
    for cv_run, kept, kind in (("a run", "3", "x"), ("a run", "4.0", "y"), ("other", "5", "x")):
        tags = {**tracking.tags_of("noise_eval"), "cv_run": cv_run}
        with tracking.step(tags, "noise_eval", {"kept": kept, "kind": kind}):
            pass
    assert verification.param_of("noise_eval", finished, "kept") == 4
    assert verification.param_of("noise_eval", finished, "kept", kind="x") == 3
    with pytest.raises(InputError, match=said):
        verification.param_of("noise_eval", finished, "kept", kind="z")


Made = tuple[ModelVersion, FinishedCv, dict[str, Any], Predictor]


@pytest.fixture
def made_version(monkeypatch: pytest.MonkeyPatch) -> Made:
    """A version by hand, its cross-validation, the nets of its files and its predictor."""
    finished = cross_validated()
    settings = TrainSettings(filters=(2, 2, 2, 2, 2))
    tags = {names.CV_RUN: "a run", names.DATASET_DIGEST: finished.spectra.digest(), names.ARCH: "fcn"}
    version = tagged(tags)
    known = Registration({}, [], registration.folds_digest(finished.folds), "", {}, {})
    monkeypatch.setattr(registration, "registration", lambda asked: known if asked is version else None)
    records = {("cv_train", "a run"): finished.record}
    monkeypatch.setattr(verification, "finished_run", lambda *asked: records[asked])
    monkeypatch.setattr(
        cross_validation, "load_cv", lambda record: finished if record is finished.record else None
    )
    monkeypatch.setattr(cross_validation, "load_settings", lambda record: settings)
    nets = {f"fold_{f.number}": net for f, net in zip(finished.folds, finished.models, strict=True)}
    return version, finished, nets, Predictor(MN, None, from_keras(finished.models), facts=tags)


def test_the_nets_of_a_version_s_own_files_are_judged(made_version: Made) -> None:
    version, finished, nets, predictor = made_version
    turned = dict(reversed(nets.items()))
    assert verification._with_nets(version, turned, predictor).models == finished.models
    one = keras_nets.build(design("fcn", filters=(2, 2, 2, 2, 2)))
    refit = replace(predictor, net=from_keras([one]))
    assert verification._with_nets(version, {"refit": one}, refit) is finished, "judged by its fold models"


def test_nets_and_data_that_are_not_the_version_s_are_refused(
    made_version: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, finished, nets, predictor = made_version

    def refused(words: str, nets: dict[str, Any] = nets, predictor: Predictor = predictor) -> None:
        with pytest.raises(InputError, match=f"^{words}$"):
            verification._with_nets(version, nets, predictor)

    refused(r"Version 3 holds no \.keras files\.", nets={})
    refused(
        r"Version 3 holds no nets: it was not made by `promote`\.",
        predictor=replace(predictor, net=None, posterior=made_up_posterior()),
    )
    exchanged = dict(zip(nets, list(nets.values())[::-1], strict=True))
    refused(
        r"The served net of version 3 and its \.keras files differ by [\d.e+-]+ in logits\.", nets=exchanged
    )
    refused(
        "Version 3 is tagged cv_run=a run, and its model says another: do not serve it.",
        predictor=replace(predictor, facts=predictor.facts | {names.CV_RUN: "another"}),
    )
    digest = registration.folds_digest(finished.folds)
    turned = replace(finished, folds=finished.folds[::-1])
    monkeypatch.setattr(cross_validation, "load_cv", lambda record: turned)
    refused(
        f"Version 3 was registered with the folds digest {digest}, now it is "
        rf"{registration.folds_digest(turned.folds)}\."
    )
    other = replace(finished, spectra=spectra(36, seed=1))
    monkeypatch.setattr(cross_validation, "load_cv", lambda record: other)
    refused(
        f"Version 3 was registered with the dataset digest {finished.spectra.digest()}, now it is "
        rf"{other.spectra.digest()}\."
    )


def test_own_artifacts_are_those_of_the_version_s_files(
    made_version: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, finished, nets, predictor = made_version
    checked: list[Any] = []

    def download(uri: str, folder: str) -> Path:
        (path := Path(folder) / "artifacts" / "keras").mkdir(parents=True)
        predictor.save(Path(folder) / version_contents.PREDICTOR)
        for name, net in nets.items():
            (path / f"{name}.keras").write_bytes(keras_nets.to_bytes(net))
        checked.append(uri)
        return Path(folder)

    def check(what: str) -> Callable[..., Any]:
        def checks(checked_version: ModelVersion, folder: Path) -> Any:
            assert checked_version is version
            assert (folder / version_contents.PREDICTOR).exists()
            checked.append(what)
            return ANSWERED

        return checks

    monkeypatch.setattr(registry, "download", download)
    for what in ("check_files", "check_answers"):
        monkeypatch.setattr(verification, what, check(what))
    found, answered = verification.own_artifacts(version)
    assert answered is ANSWERED
    assert checked == ["models:/mn-valence/3", "check_files", "check_answers"]
    crops = crop(finished.spectra)
    same, once = (from_keras(models).logits(crops) for models in (found.models, finished.models))
    np.testing.assert_array_equal(same, once)


def test_numbers_are_recomputed_from_the_nets_and_what_is_served_answers_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished, references, run = cross_validated(), object(), object()
    predictor = Predictor(MN, None, from_keras(finished.models))
    asked: list[Any] = []

    def log(name: str) -> Callable[..., dict[str, float]]:
        def logged(*words: Any) -> dict[str, float]:
            asked.append((name, *words))
            return {name: 0.5}

        return logged

    for name in ("log_shift", "log_noise", "log_references"):
        monkeypatch.setattr(evaluations, name, log(name))
    monkeypatch.setattr(verification, "param_of", lambda *words: asked.append(words) or 6)
    measured = SimpleNamespace(metrics={"measured": 0.25, "log_shift": 0.0}, predictor=predictor)
    monkeypatch.setattr(promotion, "measure", lambda *words: asked.append(words) or measured)
    seen = version_contents.examples(finished.spectra, seed=0)
    kept = verification.Answered(seen, answer(predictor, seen))
    made: Any = (run, finished, references, 3, "refit")
    found = verification.recompute(*made, kept)
    right = [
        (from_keras([net]).logits(crop(finished.spectra.select(fold.test)))[0].argmax(axis=1)
         == finished.spectra.valence[fold.test]).mean()
        for net, fold in zip(finished.models, finished.folds, strict=True)
    ]  # fmt: skip
    assert found.pop(names.CV_ACCURACY) == pytest.approx(np.mean(right))
    assert found == {"measured": 0.25, "log_shift": 0.5, "log_noise": 0.5, "log_references": 0.5}
    assert asked == [
        ("log_shift", [run], finished),
        ("noise_eval", finished, "kept_components"),
        ("log_noise", [run], finished, 6),
        ("log_references", [run], finished.models, references),
        (finished, 3, "refit"),
    ]
    wrong = verification.Answered(seen, kept.answers[::-1])
    with pytest.raises(InputError, match=r"^Run a run, measured again, does not answer as the version did"):
        verification.recompute(*made, wrong)

"""What a served model is made of."""

import hashlib
import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import mlflow
import numpy as np
import pytest

import mnflow
from mnflow.promote import version_contents
from mnflow.serve.answer import answer
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from mnflow.track import tracking
from tests.helpers.nets import made_up_net
from tests.helpers.spectra import spectra


def test_a_server_gets_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    served = version_contents.copy_code(tmp_path)
    assert served == tmp_path / "code" / "mnflow"
    package = Path(mnflow.__file__).parent
    found = sorted(p.relative_to(served).as_posix() for p in served.rglob("*") if p.is_file())
    assert {"spectra/edge.py", "preprocess/window.py", "serve/model.py"} <= set(found)
    assert not [
        name
        for name in found
        if name.endswith(("clusters.py", ".pyc")) or name.startswith(("read/", "train", "promote"))
    ]
    assert all((served / name).read_bytes() == (package / name).read_bytes() for name in found)
    lines = version_contents.requirements()
    assert all(" --hash=sha256:" in line for line in lines), (
        "all of them are in the project's requirements.txt"
    )
    pinned = [line.split()[0] for line in lines]
    for name in ("mlflow", "numpy", "pydantic", "uvicorn", "h11", "starlette", "sqlalchemy"):
        assert f"{name}=={metadata.version(name)}" in pinned, "what is needed, and what that needs"
    assert all("==" in line for line in pinned)
    assert not [line for line in pinned if line.startswith(("keras", "jax", "hyperspy", "tensorflow"))]


def test_packages_are_pinned_without_hashes_where_one_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip takes hashes for all packages or for none."""
    whole = version_contents.requirements()
    known = dict(line.split(" ", 1) for line in whole)
    del known[f"numpy=={metadata.version('numpy')}"]
    monkeypatch.setattr(version_contents, "_locked_hashes", lambda: known)
    assert version_contents.requirements() == [line.split()[0] for line in whole]


def test_what_packages_need_is_pinned_by_markers_and_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {
        "mlflow": ["A_a>1; python_version >= '3'", "old; python_version < '3'", "web[fast]"],
        "web": ["quick; extra == 'fast'", "slow; extra == 'slow'", "a.a"],
        "a-a": ["mlflow"],
        "quick": None,
    }

    def version(name: str) -> str:
        if name not in needed:
            raise metadata.PackageNotFoundError(name)
        return f"{len(name)}.0"

    monkeypatch.setattr(version_contents, "version", version)
    monkeypatch.setattr(version_contents, "requires", needed.__getitem__)
    monkeypatch.setattr(version_contents, "_locked_hashes", dict)
    assert version_contents.requirements() == ["a-a==3.0", "mlflow==6.0", "quick==5.0", "web==3.0"]


def test_hashes_are_those_of_the_lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_contents, "ROOT", tmp_path)
    assert version_contents._locked_hashes() == {}
    (tmp_path / "requirements.txt").write_text(
        "# a comment\n\na==1 \\\n    --hash=sha256:x \\\n    --hash=sha256:y\n    # via b\n"
        "b==2 ; python_version > '3' \\\n    --hash=sha256:z  # --hash=no\nc==3\n"
    )
    assert version_contents._locked_hashes() == {
        "a==1": "--hash=sha256:x --hash=sha256:y",
        "b==2": "--hash=sha256:z",
    }


def test_digests_are_of_all_files_but_for_what_comes_later(tmp_path: Path) -> None:
    for name in ("a", "b/c", "b/__pycache__/d.pyc", "registered_model_meta", "b/registered_model_meta"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert version_contents.digests(tmp_path) == {
        name: hashlib.sha256(name.encode()).hexdigest() for name in ("a", "b/c", "b/registered_model_meta")
    }


def test_a_model_is_the_same_wherever_it_comes_from() -> None:
    predictor = Predictor(MN, net=made_up_net(), facts={"cv_run": "a"})
    digest = version_contents.model_digest(predictor)
    assert len(digest) == 64
    assert digest == version_contents.model_digest(replace(predictor, facts={"cv_run": "b"}))
    assert digest != version_contents.model_digest(replace(predictor, temperature=2.0))


def test_the_code_s_digests_are_those_of_its_copy(tmp_path: Path) -> None:
    copy = version_contents.copy_code(tmp_path)
    found = version_contents.code_digests()
    assert (
        found["code/mnflow/serve/answer.py"]
        == hashlib.sha256((copy / "serve" / "answer.py").read_bytes()).hexdigest()
    )
    assert found == version_contents.digests(tmp_path)


def test_examples_are_of_every_class_one_that_is_off_noise_and_a_flat_line() -> None:
    data = spectra(36)
    found = version_contents.examples(data, seed=3)
    energy_ev = data.energy_ev.round(4).tolist()
    assert [e["energy_ev"] == energy_ev for e in found] == [True, False, *[True] * 13]
    np.testing.assert_allclose(np.subtract(found[1]["energy_ev"], energy_ev), 3)
    # evenly among the 12 of each class, which come in turn
    chosen = [3 * place + label for label in range(3) for place in (0, 3, 7, 11)]
    rows = [e["intensity"] for e in found]
    np.testing.assert_allclose([rows[0], *rows[2:13]], data.intensity[chosen], atol=5.1e-6)
    assert rows[0] == rows[1]
    assert np.mean(rows[-2]) == pytest.approx(1, abs=0.03)
    assert np.std(rows[-2]) == pytest.approx(0.2, abs=0.03)
    assert set(rows[-1]) == {1.0}
    assert all(x == round(x, 5) for x in (*rows[0], *rows[-2]))
    assert found == version_contents.examples(data, seed=3)
    assert rows[-2] != version_contents.examples(data, seed=4)[-2]["intensity"]
    few = version_contents.examples(spectra(6), seed=3)
    assert len(few) == 2 * 3 + 3, "of a class with two, both"


@pytest.mark.usefixtures("store")
def test_a_logged_model_brings_its_spectra_and_answers() -> None:
    predictor = Predictor(MN, net=made_up_net())
    asked = version_contents.examples(spectra(6), seed=0)
    with tracking.step(tracking.tags_of("promote"), "promote", {}) as run:
        uri = version_contents.log_model(run, predictor, {"a.keras": b"1", "b.keras": b"2"}, asked)
    folder = Path(mlflow.artifacts.download_artifacts(uri))
    kept = json.loads((folder / version_contents.ANSWERS).read_text())
    assert kept == {"spectra": asked, "answers": json.loads(json.dumps(answer(predictor, asked)))}
    assert {p.name: p.read_bytes() for p in (folder / "artifacts" / "keras").iterdir()} == {
        "a.keras": b"1",
        "b.keras": b"2",
    }
    assert json.loads((folder / "serving_input_example.json").read_text()) == {"inputs": asked[:1]}
    flavour = mlflow.models.get_model_info(uri).flavors["python_function"]
    assert flavour["artifacts"].keys() == {"predictor", "keras", "answers"}, "what the model's code asks for"

"""The contents of a version: code, weights, models, stored answers, and digests of all of them."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mnflow.runtime.project import ROOT
from mnflow.serve.answer import answer
from mnflow.serve.predictor import Predictor
from mnflow.spectra import SpectrumSet
from mnflow.track import tracking

ANSWERS = "artifacts/answers.json"
"""File of a served model: spectra, and what the model answered to them when it was made."""

PREDICTOR = "artifacts/predictor.npz"

EACH = 4
"""Spectra of every class that are kept with their answers."""

_CODE = "code/mnflow"
_SERVED_CODE = (
    "__init__.py",
    "errors.py",
    "runtime/__init__.py",
    "runtime/files.py",
    "runtime/process.py",
    "spectra",
    "preprocess",
    "opinions",
    "serve",
)
_NOT_SERVED = ("__pycache__", "clusters.py", "pipeline.py")
_SERVED_WITH = ("mlflow", "numpy", "pydantic", "fastapi", "uvicorn")
_WRITTEN_AT_DOWNLOAD = ("registered_model_meta",)


def log_model(
    run: tracking.Run,
    predictor: Predictor,
    keras_files: Mapping[str, bytes],
    spectra: Sequence[dict[str, Any]],
) -> str:
    """Log the served model (code, weights in one .npz, the nets as .keras files, answers) and return its URI.

    Parameters
    ----------
    spectra : sequence of dict
        Spectra as a request brings them, kept with the predictor's answers; the first is the input example.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nets = folder / "keras"
        nets.mkdir()
        for file, content in keras_files.items():
            (nets / file).write_bytes(content)
        answers = folder / Path(ANSWERS).name
        answers.write_text(json.dumps({"spectra": list(spectra), "answers": answer(predictor, spectra)}))
        artifacts = {
            "predictor": str(predictor.save(folder / Path(PREDICTOR).name)),
            "keras": str(nets),
            "answers": str(answers),
        }
        with mlflow.start_run(run_id=run.id):
            info = mlflow.pyfunc.log_model(
                name="valence_model",
                python_model=str(copy_code(folder) / "serve" / "model.py"),
                artifacts=artifacts,
                code_paths=[str(folder / _CODE)],
                pip_requirements=requirements(),
                input_example=[spectra[0]],
            )
    return str(info.model_uri)


def copy_code(folder: Path) -> Path:
    """A copy of those parts of the package that a server needs, and of nothing else."""
    target = folder / _CODE
    target.mkdir(parents=True)
    for name in _SERVED_CODE:
        source = Path(__file__).parents[1] / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns(*_NOT_SERVED))
        else:
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copy(source, target / name)
    return target


def requirements() -> list[str]:
    """All packages that a server needs, with their dependencies, pinned to what is installed here.

    So an environment that MLflow builds elsewhere leaves pip nothing to choose.
    """
    pinned: dict[str, str] = {}
    left = [Requirement(name) for name in _SERVED_WITH]
    while left:
        wanted = left.pop()
        name = canonicalize_name(wanted.name)
        if name in pinned:
            continue
        try:
            pinned[name] = version(name)
        except PackageNotFoundError:  # packages that are not installed are not pinned
            continue
        extras = {"", *wanted.extras}
        needed = [Requirement(text) for text in requires(name) or ()]
        left += [
            r for r in needed if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in extras)
        ]
    lines = [f"{name}=={number}" for name, number in sorted(pinned.items())]
    hashes = _locked_hashes()
    return [f"{line} {hashes[line]}" for line in lines] if hashes.keys() >= set(lines) else lines


def _locked_hashes() -> dict[str, str]:
    """The --hash=sha256:... options of every NAME==VERSION in the project's requirements.txt.

    pip takes hashes for all packages or for none.
    """
    path = ROOT / "requirements.txt"
    text = path.read_text().replace("\\\n", " ") if path.is_file() else ""
    split = (line.partition("#")[0].split() for line in text.splitlines())
    # markers are left out
    lines = {words[0]: [w for w in words if w.startswith("--hash=")] for words in split if words}
    return {pin: " ".join(hashes) for pin, hashes in lines.items() if hashes}


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a model's folder, by relative path.

    Bytecode, and files that MLflow adds on download, are left out.
    """
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if "__pycache__" not in name and name not in _WRITTEN_AT_DOWNLOAD
    }


def model_digest(predictor: Predictor) -> str:
    """SHA-256 of all that a predictor holds, but for where it comes from."""
    with tempfile.TemporaryDirectory() as name:
        path = replace(predictor, facts={}).save(Path(name) / "predictor.npz")
        return hashlib.sha256(path.read_bytes()).hexdigest()


def code_digests() -> dict[str, str]:
    """The digests of the code that a model would be logged with now."""
    with tempfile.TemporaryDirectory() as name:
        copy_code(Path(name))
        return digests(Path(name))


def examples(spectra: SpectrumSet, seed: int) -> list[dict[str, Any]]:
    """Spectra stored with their answers: some per class, one that is 3 eV off, noise, and a flat line."""
    edge = spectra.edge
    energy_ev = np.asarray(spectra.energy_ev, dtype=np.float64).round(4)
    chosen: list[int] = []
    for label in range(len(edge.classes)):
        of_class = np.flatnonzero(spectra.valence == label)
        chosen += of_class[np.linspace(0, len(of_class) - 1, min(EACH, len(of_class))).astype(int)].tolist()
    noise = np.random.default_rng(seed).normal(1, 0.2, len(energy_ev))
    rows = [spectra.intensity[i] for i in chosen]
    kept = [(energy_ev, row) for row in (*rows, noise, np.ones_like(noise))]
    kept.insert(1, ((energy_ev + 3).round(4), rows[0]))
    return [{"energy_ev": e.tolist(), "intensity": [round(float(v), 5) for v in row]} for e, row in kept]

"""What made a run: digests of code and environment, and the process."""

import hashlib
import importlib.metadata
import platform
from pathlib import Path
from types import SimpleNamespace

import pytest

from mnflow.runtime.process import this_process
from mnflow.track import provenance


def test_a_digest_of_files_depends_on_names_and_contents_and_not_on_the_folder(tmp_path: Path) -> None:
    digests = []
    for folder, name, content in (("a", "x", "1"), ("b", "x", "1"), ("c", "y", "1"), ("d", "x", "2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(content)
        (tmp_path / folder / "z").write_text("z")
        digests.append(provenance.files_digest((tmp_path / folder).iterdir(), tmp_path / folder))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    files = [tmp_path / "a" / name for name in "zx"]
    assert provenance.files_digest(files, tmp_path / "a") == digests[0]  # in whatever order
    content = b"".join(name + hashlib.sha256(held).digest() for name, held in ((b"x", b"1"), (b"z", b"z")))
    assert digests[0] == hashlib.sha256(content).hexdigest()[:16]


def test_a_run_carries_code_environment_and_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "code_digest", lambda: "code")
    monkeypatch.setattr(provenance, "environment_digest", lambda: "environment")
    assert provenance.tags() == {
        "mnflow.code": "code", "mnflow.environment": "environment", "mnflow.process": this_process(),
    }  # fmt: skip


def test_the_code_is_every_module_of_the_package() -> None:
    package = Path(provenance.__file__).parents[1]
    assert package.name == "mnflow"
    own = provenance.files_digest(package.rglob("*.py"), package.parent)
    assert provenance.code_digest.__wrapped__() == own
    assert len(own) == 16


def test_the_environment_is_python_processor_backend_and_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[list[str]] = []

    def digest() -> str:
        packages = [SimpleNamespace(name=p.split()[0], version=p.split()[1]) for p in found[-1]]
        monkeypatch.setattr(provenance, "distributions", lambda: packages)
        return str(provenance.environment_digest.__wrapped__())

    assert provenance.distributions is importlib.metadata.distributions
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.1")
    monkeypatch.setattr(platform, "machine", lambda: "riscv")
    monkeypatch.setattr(provenance, "keras_backend", lambda: "jax")
    found.append(["NumPy 2.0", "keras 3.1"])
    whole = hashlib.sha256(b"3.12.1\nriscv\njax\nkeras==3.1\nnumpy==2.0").hexdigest()
    assert (known := digest()) == whole[:16]
    found.append(["keras 3.1", "numpy 2.0", "numpy 2.0"])  # another order, and found twice
    assert digest() == known
    for changed in (["keras 3.1", "numpy 2.1"], ["keras 3.1"]):
        found.append(changed)
        assert digest() != known
    monkeypatch.setattr(provenance, "keras_backend", lambda: "torch")
    found.append(found[0])
    assert digest() != known

"""What a served model is made of."""

from importlib import metadata
from pathlib import Path

import mnflow
from mnflow.promote import version_contents


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

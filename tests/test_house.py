"""The rules of CONTRIBUTING.md: layout, imports, sizes, names of tests, defaults in one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnflow.runtime.project import ROOT

LEVELS = (
    ("mnflow.errors",),
    ("mnflow.runtime",),
    ("mnflow.spectra",),
    ("mnflow.read", "mnflow.simulate", "mnflow.preprocess", "mnflow.folds"),
    ("mnflow.opinions",),
    ("mnflow.augment", "mnflow.serve", "mnflow.references", "mnflow.plots"),
    ("mnflow.models",),
    ("mnflow.train", "mnflow.evaluate"),
    ("mnflow.fit", "mnflow.tune", "mnflow.track"),
    ("mnflow.promote", "mnflow.report"),
    ("mnflow.pretrained",),
    ("mnflow.maps", "mnflow.reproduction", "mnflow.setup"),
    ("mnflow.doctor",),
    ("mnflow.view", "mnflow.pipeline"),
    ("entrypoints",),
    ("mnflow.command",),
    ("mnflow.__main__",),
    ("benchmarks",),
)
"""From the ground up. A room imports from levels below its own; rooms of one level do not know each other."""

HEAVY = {
    "mlflow": (
        "mnflow.track", "mnflow.promote", "mnflow.report", "mnflow.reproduction", "mnflow.doctor",
        "mnflow.tune",
        "mnflow.pipeline", "mnflow.runtime.mlflow_env", "mnflow.serve.model",
        "entrypoints",
        "benchmarks",
    ),
    "keras": (
        "mnflow.models", "mnflow.train", "mnflow.doctor", "mnflow.evaluate", "mnflow.track.cross_validation",
        "benchmarks",
    ),
}  # fmt: skip
"""Packages that are slow to import, and who may import them."""

FOLDER_SIZE = range(2, 11)
"""Modules of a folder, `__init__.py` not counted."""


def _modules() -> Iterator[tuple[str, Path]]:
    for top in ("mnflow", "entrypoints", "benchmarks"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(_modules())


def _room(module: str) -> str | None:
    rooms = [room for level in LEVELS for room in level if module == room or module.startswith(f"{room}.")]
    return rooms[0] if rooms else None


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in whole)


def _level(room: str) -> int:
    return next(i for i, level in enumerate(LEVELS) if room in level)


@pytest.mark.parametrize("module", [m for m in MODULES if m != "mnflow"])
def test_imports_go_downwards(module: str) -> None:
    room = _room(module)
    assert room is not None, f"{module} stands in no room of LEVELS"
    for name in _imports(MODULES[module]):
        other = _room(name)
        if other is None or other == room:
            continue
        assert _level(other) < _level(room), f"{module} imports {name}, above or beside it"


@pytest.mark.parametrize("package", HEAVY)
def test_slow_packages_are_imported_in_few_places(package: str) -> None:
    found = [m for m, path in MODULES.items() if any(i.split(".")[0] == package for i in _imports(path))]
    allowed = HEAVY[package]
    assert [m for m in found if not any(m == room or m.startswith(f"{room}.") for room in allowed)] == []


@pytest.mark.parametrize("folder", sorted({p.parent for m, p in MODULES.items() if m.startswith("mnflow.")}))
def test_folders_are_small_and_say_what_they_are_for(folder: Path) -> None:
    names = [p.name for p in folder.glob("*.py") if not p.name.startswith("__")]
    assert folder == ROOT / "mnflow" or len(names) in FOLDER_SIZE, f"{folder.name}: {len(names)} modules"
    assert _sentence(folder)


@pytest.mark.parametrize("folder", ["entrypoints", "benchmarks", "tests", "tests/helpers", "tests/system"])
def test_folders_beside_the_package_say_what_they_are_for_too(folder: str) -> None:
    assert _sentence(ROOT / folder)


def _sentence(folder: Path) -> str | None:
    return ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


LONGEST_FILE = 400
LONGEST_ENTRY_POINT = 60
LONGER_ENTRY_POINTS = {"main": 120, "tune": 120, "preprocess": 65}
"""Lines."""


@pytest.mark.parametrize("module", MODULES)
def test_files_are_short(module: str) -> None:
    lines = len(MODULES[module].read_text().splitlines())
    room, _, name = module.rpartition(".")
    limit = LONGER_ENTRY_POINTS.get(name, LONGEST_ENTRY_POINT) if room == "entrypoints" else LONGEST_FILE
    assert lines <= limit, (
        f"{module} has {lines} lines, at most {limit}: move a part of it to a module of its own"
    )


TESTS_OF_SEVERAL = {
    "test_house.py", "entrypoints/test_mlproject.py", "read/test_any_axis.py", "simulate/test_real_noise.py",
    "plots/test_pictures.py", "test_wheel.py",
}  # fmt: skip
"""Test files that belong to no one module; tests of whole systems are in tests/system."""


def _tests() -> list[str]:
    paths = (p.relative_to(ROOT / "tests") for p in (ROOT / "tests").rglob("test_*.py"))
    return sorted(str(p) for p in paths if p.parts[0] != "system" and str(p) not in TESTS_OF_SEVERAL)


@pytest.mark.parametrize("test", _tests())
def test_tests_mirror_the_modules(test: str) -> None:
    folder, _, name = test.rpartition("/")
    module = f"{folder}/{name.removeprefix('test_')}".lstrip("/")
    # plots/test_plots.py tests mnflow/plots
    whole_folder = module == f"{folder}/{folder.rpartition('/')[2]}.py"
    assert whole_folder or (ROOT / "mnflow" / module).is_file(), (
        f"tests/{test} tests no module mnflow/{module}"
    )


def test_the_seed_of_numpy_is_never_global() -> None:
    calls = ("np.random.seed(", "numpy.random.seed(", "random.seed(")
    found = [m for m, path in MODULES.items() if any(call in path.read_text() for call in calls)]
    assert found == []


def test_nothing_is_unpickled() -> None:
    calls = {"pickle", "joblib", "dill", "cloudpickle"}
    loading = [m for m, path in MODULES.items() if calls & {name.split(".")[0] for name in _imports(path)}]
    assert set(loading) <= MAY_NAME_PICKLE


MAY_NAME_PICKLE = {"mnflow.read.pickles"}
"""Reads the published pickles with an unpickler that builds arrays only."""

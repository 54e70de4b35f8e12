"""MLproject, the entry points' options, and what the command lines say are the same."""

import importlib
from dataclasses import fields

import pytest
import yaml

from mnflow.runtime.project import ROOT

ENTRY_POINTS = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
SCRIPTS = sorted(p.stem for p in (ROOT / "entrypoints").glob("[a-z]*.py"))


def test_every_script_is_an_entry_point_and_the_reverse() -> None:
    assert sorted(ENTRY_POINTS) == sorted([*SCRIPTS, "doctor"])


@pytest.mark.parametrize("name", SCRIPTS)
def test_mlproject_passes_every_option_with_its_default(name: str) -> None:
    options = fields(importlib.import_module(f"entrypoints.{name}").Options)
    entry = ENTRY_POINTS[name]
    declared = {k: v["default"] for k, v in entry.get("parameters", {}).items()}
    assert declared == {f.name: str(f.default).lower() if f.type is bool else f.default for f in options}
    assert entry["command"].split() == [
        "python",
        "-m",
        f"entrypoints.{name}",
        *(w for f in options for w in (f"--{f.name}", f"{{{f.name}}}")),
    ]

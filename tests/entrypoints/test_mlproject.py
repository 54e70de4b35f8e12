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


def pins(name: str) -> dict[str, str]:
    lines = [
        line.split(" ")[0].split("==") for line in (ROOT / name).read_text().splitlines() if "==" in line
    ]
    return {line[0].lower().replace("_", "-"): line[1] for line in lines}


def test_python_env_conda_and_lock_install_the_same() -> None:
    python_env = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    assert python_env["dependencies"] == ["-r requirements.txt"]
    assert conda["dependencies"][-1] == {"pip": python_env["dependencies"]}
    assert f"python={python_env['python']}" in conda["dependencies"]
    assert yaml.safe_load((ROOT / "MLproject").read_text())["python_env"] == "python_env.yaml"


def test_the_lock_holds_every_direct_pin_with_hashes_and_no_address() -> None:
    locked = pins("requirements.txt")
    assert pins("requirements.in").items() <= locked.items()
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert text.count("--hash=sha256:") >= text.count("==")

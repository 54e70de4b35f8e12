"""What the documents tell a user to type exists, with these options; links lead somewhere."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from mnflow.command.main import COMMANDS, STEPS
from mnflow.runtime.cli import parse
from mnflow.runtime.project import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ENTRY_POINTS = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


def commands() -> list[tuple[str, str]]:
    """(document, command) of every line in a block of shell code."""
    found = []
    for document in DOCUMENTS:
        for block in re.findall(r"```sh\n(.*?)```", document.read_text(), re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            found += [
                (document.name, line.strip())
                for line in lines
                if line.strip() and not line.strip().startswith("#")
            ]
    return found


def _project_runs() -> list[tuple[str, str]]:
    return [(document, command) for document, command in commands() if "mlflow run " in command]


@pytest.mark.parametrize(("document", "command"), _project_runs())
def test_mlflow_run_commands_name_entry_points_and_options_that_exist(document: str, command: str) -> None:
    words = shlex.split(command.partition(" #")[0])
    entry = words[words.index("-e") + 1] if "-e" in words else "main"
    assert entry in ENTRY_POINTS, document
    given = dict(words[i + 1].split("=", 1) for i, word in enumerate(words) if word == "-P")
    assert set(given) <= set(ENTRY_POINTS[entry].get("parameters", {})), document
    options = importlib.import_module(f"entrypoints.{entry}").Options
    parse(options, [part for key, value in given.items() for part in (f"--{key}", value)])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_that_exist(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


def test_make_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = {w[1] for _, command in commands() if (w := shlex.split(command.partition(" #")[0]))[0] == "make"}
    assert said <= targets


def test_mnflow_commands_exist_and_their_shipped_files_too() -> None:
    found = [shlex.split(c.partition(" #")[0]) for _, c in commands() if c.startswith("mnflow ")]
    assert found
    for words in found:
        assert words[1] in {*COMMANDS, *STEPS}
        assert all((ROOT / w).exists() for w in words if w.startswith("mnflow/"))

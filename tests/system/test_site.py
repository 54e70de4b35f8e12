"""The site of the documents builds without a warning, reaches every page, and needs no network."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mnflow.runtime.project import ROOT

pytest.importorskip("sphinx")
pytest.importorskip("myst_parser")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Sphinx warns of a page that no other lists, and of a link that leads nowhere."""
    folder = tmp_path_factory.mktemp("site")
    build = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-d",
        folder / "trees",
        ROOT / "docs",
    ]
    done = subprocess.run([*build, folder / "html"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_document_is_a_page_that_the_index_lists(site: Path) -> None:
    index = (site / "index.html").read_text()
    for document in (ROOT / "docs").glob("*.md"):
        page = f"{document.stem}.html"
        assert (site / page).exists()
        assert page == "index.html" or f'href="{page}"' in index, page


def test_pages_load_nothing_from_the_network(site: Path) -> None:
    for page in site.glob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*\bsrc="([^"]+)"', page.read_text())
        loaded += re.findall(
            r'<link[^>]*\brel="(?:stylesheet|preload)"[^>]*\bhref="([^"]+)"', page.read_text()
        )
        assert loaded, page.name
        assert [address for address in loaded if "//" in address] == [], page.name


@pytest.mark.parametrize(
    ("page", "script"),
    [
        ("tutorial-figure", "valence_map"),
        ("tutorial-dual-eels", "dual_eels"),
        ("tutorial-own-spectra", "own_spectra"),
    ],
)
def test_a_tutorial_comes_as_a_notebook_of_the_same_code(site: Path, page: str, script: str) -> None:
    assert f'href="{script}.ipynb"' in (site / f"{page}.html").read_text()
    cells = json.loads((site / f"{script}.ipynb").read_text())["cells"]
    code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    text = (ROOT / "docs" / "examples" / f"{script}.py").read_text()
    lines = [line for line in text.splitlines()[1:] if line.strip() and not line.startswith("# %% ")]
    assert [line for cell in code for line in cell.splitlines() if line.strip()] == lines
    assert len(cells) == 1 + 2 * text.count("# %% ")


def test_the_reference_documents_the_public_names(site: Path) -> None:
    import mnflow

    reference = (site / "api.html").read_text()
    documented = set(re.findall(r'id="mnflow\.([A-Za-z_]+)"', reference))
    assert set(mnflow.__all__) - {"__version__", "MN"} <= documented

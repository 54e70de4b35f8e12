"""What ships with the package is found by its element, and only for the edge that it was made for."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mnflow.errors import InputError
from mnflow.serve import pretrained as shipped
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import PRETRAINED, digest, pretrained, pretrained_for
from mnflow.spectra import MN
from tests.helpers.posterior import made_up_posterior


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that ships predictors for Fe and Mn, and a text beside them."""
    for element in ("Mn", "Fe"):
        edge = replace(MN, element=element)
        Predictor(edge, made_up_posterior(), facts={"of": element}).save(tmp_path / f"{element.lower()}.npz")
    (tmp_path / "zz-card.md").touch()
    monkeypatch.setattr(shipped, "PRETRAINED", tmp_path)
    return tmp_path


def test_the_shipped_one_answers_for_manganese() -> None:
    assert pretrained().edge == pretrained("Mn").edge == MN
    sums = dict(line.split()[::-1] for line in (PRETRAINED / "SHA256SUMS").read_text().splitlines())
    assert digest(PRETRAINED / "mn.npz") == sums["mn.npz"]


def test_a_digest_is_sha_256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc\n")
    assert digest(tmp_path / "x") == hashlib.sha256(b"abc\n").hexdigest()


def test_it_is_found_by_its_element(shelf: Path) -> None:
    assert pretrained().facts == {"of": "Mn"}
    assert pretrained("Fe").facts == {"of": "Fe"}


def test_another_element_is_told_what_there_is_and_what_to_do(shelf: Path) -> None:
    said = (
        "Expected an element with a shipped predictor (Fe, Mn), got 'Xx': simulate it from a settings file, "
        "cross-validate and promote a model of your own (docs/simulation.md)."
    )
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        pretrained("Xx")


def test_it_is_for_exactly_one_edge(shelf: Path) -> None:
    iron = replace(MN, element="Fe")
    for edge, expected in ((MN, "Mn"), (iron, "Fe")):
        found = pretrained_for(edge)
        assert found is not None
        assert (found.edge, found.facts) == (edge, {"of": expected})
    others = {"element": "Xx", "crop_ev": (636.0, 666.0), "classes": ("II", "III", "IV")}
    for name, value in (others | {"dispersion_ev": 0.2}).items():
        assert pretrained_for(replace(MN, **{name: value})) is None, name

"""`mnflow fit`: a simulated pure compound is found again, as text, JSON and figure."""

import json
from pathlib import Path

import numpy as np
import pytest

from mnflow.command import fit
from mnflow.simulate.image import material_edge
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import settings_of

ENERGY_EV = np.arange(615.0, 685.0, 0.1)


@pytest.fixture(scope="module")
def pure_mn4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .csv of one Mn4+ compound without noise."""
    settings = settings_of("mn")
    edge = material_edge(ENERGY_EV, settings, library_of(settings), 2, np.random.default_rng(5))
    path = tmp_path_factory.mktemp("fit") / "mn4.csv"
    np.savetxt(
        path, np.column_stack([ENERGY_EV, edge]), delimiter=",", header="energy_ev,intensity", comments=""
    )
    return path


def test_a_pure_compound_is_found_again(
    pure_mn4: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "fit.png"
    assert fit.main([str(pure_mn4), "--json", "--figure", str(figure)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mean_valence"]["value"] == pytest.approx(4, abs=0.2)
    assert [p["name"] for p in found["parts"]] == ["Mn2+", "Mn3+", "Mn4+"]
    assert found["residual"] < 0.06
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_one_class_alone_can_be_fitted(pure_mn4: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit.main([str(pure_mn4), "--json", "--only", "Mn3+"]) == 0
    assert json.loads(capsys.readouterr().out)["mean_valence"]["value"] == 3


def test_the_summary_names_every_class_and_what_is_left(
    pure_mn4: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit.main([str(pure_mn4)])
    said = capsys.readouterr().out
    assert said.startswith("mean valence ")
    for name in ("Mn2+", "Mn3+", "Mn4+", "t/lambda", "residual"):
        assert name in said

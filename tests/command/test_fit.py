"""`mnflow fit`: a simulated pure compound is found again, as text, JSON and figure."""

import json
from pathlib import Path

import numpy as np
import pytest

from mnflow.command import fit
from mnflow.fit.simulator import FitResult, Interval, Part
from mnflow.preprocess.scan import typical_spectrum
from mnflow.read import read_file
from mnflow.simulate.image import material_edge
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import settings_of
from mnflow.spectra import MN
from tests.helpers.files import counts_image, signal, write
from tests.helpers.help_pages import check_help

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


@pytest.mark.slow
def test_one_class_alone_can_be_fitted(pure_mn4: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit.main([str(pure_mn4), "--json", "--only", "Mn3+"]) == 0
    assert json.loads(capsys.readouterr().out)["mean_valence"]["value"] == 3


def _interval(value: float) -> Interval:
    return Interval(value, 0.1, value - 0.25, value + 0.5)


def _made_up(energy_ev: np.ndarray) -> FitResult:
    parts = (
        Part("Mn2+", _interval(0.75), {"ten_dq": _interval(1.0), "slater": _interval(0.75)}, {}),
        Part("Mn3+", _interval(0.25), {}, {}),
        Part("Mn4+", _interval(0.0), {}, {}),
    )
    drawn = np.zeros((3, len(energy_ev)))
    others = [_interval(x) for x in (2.25, 0.5, 1.0, 0.25, 1.0)]
    return FitResult(MN, energy_ev, drawn[0], drawn[1], drawn, parts, *others, residual=0.03125)


def test_the_summary_has_every_class_with_its_field_and_what_is_left() -> None:
    assert fit.summary(_made_up(ENERGY_EV)).splitlines() == [
        "mean valence 2.25 [2.00, 2.75]",
        "Mn2+ 0.75 [0.50, 1.25]  ten_dq 1.00 [0.75, 1.50]  slater 0.75 [0.50, 1.25]",
        "Mn3+ 0.25 [0.00, 0.75]",
        "Mn4+ 0.00 [-0.25, 0.50]",
        "t/lambda 0.50 [0.25, 1.00], resolution 1.00 [0.75, 1.50] eV",
        "residual 0.031 (below 0.05: a good fit)",
    ]


def test_an_image_is_fitted_by_its_typical_spectrum(
    tmp_path: Path, pure_mn4: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted = []

    def stub(energy_ev: np.ndarray, intensity: np.ndarray, only: list[str]) -> FitResult:
        fitted.append((energy_ev, intensity, only))
        return _made_up(energy_ev)

    monkeypatch.setattr("mnflow.fit.simulator.fit_spectrum", stub)
    path = write(tmp_path / "image.hspy", signal(counts_image(np.random.default_rng(0))))
    image = read_file(path)
    assert fit.main([str(path), "--only", "Mn2+", "Mn3+"]) == 0
    energy_ev, intensity, only = fitted[0]
    np.testing.assert_array_equal(energy_ev, image.energy_ev)
    np.testing.assert_array_equal(intensity, typical_spectrum(image))
    assert only == ["Mn2+", "Mn3+"]
    assert capsys.readouterr().out == f"{fit.summary(_made_up(energy_ev))}\n"
    assert fit.main([str(pure_mn4), "--json"]) == 0
    energy_ev, intensity, only = fitted[1]
    np.testing.assert_array_equal(intensity, read_file(pure_mn4).counts[0])
    assert only == []
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(_made_up(energy_ev).to_dict()))


def test_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    check_help("fit", fit.main, capsys)

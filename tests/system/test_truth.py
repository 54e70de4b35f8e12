"""A known spectrum is called by its name wherever it comes out.

Exchanged names and numbers would be noticed here, though every part agreed with itself.
"""

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mnflow.command import predict as command
from mnflow.maps.prediction import predict as maps_of
from mnflow.serve.http.app import create
from mnflow.serve.pretrained import pretrained
from mnflow.simulate.foreign_laboratory import reference
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import settings_of

CHARGE = {"Mn2+": 2.0, "Mn3+": 3.0, "Mn4+": 4.0}
KNOWN = ("Mn2+", "Mn4+")  # the ends, by which an order that is turned around is told


@pytest.fixture(scope="module")
def spectra() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The mean of eight simulated spectra of a class, from another laboratory's instrument."""
    s = settings_of("Mn")
    library = library_of(s)
    made = {}
    for name in KNOWN:
        index = s.edge.classes.index(name)
        assert s.valence[index].ion.startswith("Mn"), "the truth is the ion that is simulated, not a label"
        energy_ev, grid = np.arange(632.0, 665.0, 0.1), []
        for seed in range(8):
            at_ev, intensity = reference(s, library, index, 0.0, np.random.default_rng(seed))
            grid.append(np.interp(energy_ev, at_ev, intensity, left=0.0))
        made[name] = energy_ev, np.mean(grid, axis=0)
    return made


def file_of(folder: Path, name: str, spectrum: tuple[np.ndarray, np.ndarray]) -> Path:
    path = folder / f"{name.rstrip('+')}.csv"
    pd.DataFrame({"energy_ev": spectrum[0], "intensity": spectrum[1]}).to_csv(path, index=False)
    return path


def is_called(
    name: str, probabilities: dict[str, float], fractions: dict[str, float], mean_valence: float
) -> None:
    """The likeliest class, the largest fraction and the charge are all those of `name`."""
    assert max(probabilities, key=lambda k: float(probabilities[k])) == name
    assert max(fractions, key=lambda k: float(fractions[k])) == name
    assert abs(float(mean_valence) - CHARGE[name]) < 0.5


@pytest.mark.parametrize("name", KNOWN)
def test_by_reading_and_by_csv(
    name: str,
    spectra: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("mnflow.runtime.project.ROOT", tmp_path)
    path = file_of(tmp_path, name, spectra[name])
    command.main([str(path), "--json"])
    row = json.loads(capsys.readouterr().out)
    assert row["class"] == name
    is_called(name, row["probabilities"], row["fractions"], row["mean_valence"])
    command.main([str(path), "--csv"])
    (cells,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert cells["class"] == name
    by_letter = {letter: {k: float(cells[f"{letter}({k})"]) for k in CHARGE} for letter in "px"}
    is_called(name, by_letter["p"], by_letter["x"], float(cells["mean_valence"]))


@pytest.mark.parametrize("name", KNOWN)
def test_by_http(name: str, spectra: Any) -> None:
    energy_ev, intensity = spectra[name]
    body = json.dumps(
        {"inputs": [{"energy_ev": energy_ev.tolist(), "intensity": intensity.tolist()}]}
    ).encode()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": headers}
    asyncio.run(create(pretrained("Mn"))(scope, receive, send))
    (said,) = json.loads(sent[1]["body"])["predictions"]
    assert said["class"] == name
    is_called(name, said["probabilities"], said["fractions"], said["mean_valence"])


@pytest.mark.parametrize("name", KNOWN)
def test_by_maps_tables_and_figures(name: str, spectra: Any, tmp_path: Path) -> None:
    maps = maps_of(file_of(tmp_path, name, spectra[name]), pretrained("Mn"))
    row = maps.to_dataframe().iloc[0]
    by = {kind: {k: row[f"{kind}_{k}"] for k in CHARGE} for kind in ("probability", "fraction")}
    is_called(name, by["probability"], by["fraction"], row["mean_valence"])
    assert row["class"] == name
    signals = {kind: {k: float(np.ravel(v[k].data)[0]) for k in CHARGE}
               for kind, v in (("p", maps.probabilities), ("x", maps.fractions))}  # fmt: skip
    is_called(name, signals["p"], signals["x"], float(np.ravel(maps.mean_valence.data)[0]))
    words = " ".join(t.get_text() for t in maps.plot().findobj(lambda artist: hasattr(artist, "get_text")))
    assert name in words

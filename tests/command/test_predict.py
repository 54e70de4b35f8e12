"""`mnflow predict`: one row per file, errors as rows, and its exit code."""

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnflow.command import predict
from mnflow.command.summary import FIELDS, summarise
from mnflow.errors import InputError
from mnflow.pretrained.shipped import EXAMPLE
from mnflow.read import read_file
from mnflow.references import References
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import pretrained
from mnflow.spectra import MN, RawSpectra
from tests.helpers.files import signal, write
from tests.helpers.nets import made_up_net
from tests.helpers.posterior import made_up_posterior
from tests.helpers.spectra import edge_shape


@pytest.fixture(autouse=True)
def _no_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No store of the developer's: the shipped model answers."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("mnflow.runtime.project.ROOT", tmp_path)


def rows_of(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, object]], str]:
    code = predict.main([*words, "--json"])
    said = capsys.readouterr()
    return code, [json.loads(line) for line in said.out.splitlines()], said.err


def test_an_image_is_summed_up_over_its_unflagged_pixels(capsys: pytest.CaptureFixture[str]) -> None:
    code, (row,), said = rows_of(capsys, str(EXAMPLE))
    assert code == 0
    assert list(row) == ["file", "element", "n", "n_flagged", *FIELDS]
    assert (row["element"], row["n"], row["error"]) == ("Mn", 24 * 32, None)
    assert 0 < row["n_flagged"] < row["n"]  # type: ignore[operator]
    assert 2 <= row["mean_valence"] <= 4  # type: ignore[operator]
    assert "shipped" in said


def test_a_bad_file_costs_a_row_and_the_exit_code_and_nothing_else(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.msa").write_text("nothing")
    (tmp_path / "more.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / ".zip").touch()
    shutil.copy(EXAMPLE, tmp_path / "good.hspy")
    code, rows, said = rows_of(capsys, str(tmp_path), str(tmp_path / "none.dm4"), str(tmp_path / "x*.hspy"))
    assert code == 1
    assert [Path(str(r["file"])).name for r in rows] == ["bad.msa", "good.hspy", "none.dm4", "x*.hspy"]
    assert [r["error"] is None for r in rows] == [False, True, False, False]
    assert rows[0]["class"] is None
    assert said.splitlines()[1:] == [f"not read in {tmp_path}, as they are of no format of spectra: more.zip"]


def test_patterns_and_repeated_files_are_answered_once(tmp_path: Path) -> None:
    for name in ("b.msa", "a.msa"):
        (tmp_path / name).touch()
    words = [str(tmp_path / "*.msa"), str(tmp_path / "a.msa")]
    assert [p.name for p in predict.expand(words)] == ["a.msa", "b.msa"]


def test_a_table_for_people_and_csv_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert predict.main([str(EXAMPLE)]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["file", "n", "class"]
    assert "flagged" in line
    assert predict.main([str(EXAMPLE), "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    shares = [float(row[f"p({name})"]) for name in pretrained().edge.classes]
    assert sum(shares) == pytest.approx(1, abs=1e-5)


def test_an_image_without_an_unflagged_pixel_has_flags_and_no_numbers() -> None:
    predictor = pretrained()
    rng = np.random.default_rng(0)
    energy_ev = np.arange(610.0, 690.0, 0.1)
    noise = RawSpectra(energy_ev, rng.normal(100, 30, (6, len(energy_ev))), (2, 3), None, "", Path("noise"))
    row = summarise("noise", noise, predictor)
    assert (row["n"], row["n_flagged"]) == (6, 6)
    assert row["mean_valence"] is None
    assert row["flags"]


@pytest.mark.parametrize("n", [1, 2])
def test_one_spectrum_is_summed_up_as_an_image_is(n: int) -> None:
    """An uncertain class is no flag that counts, and a dispersion that O K shows to be wrong is said."""
    energy_ev = np.arange(470.0, 700.0, 0.25)
    oxygen = 0.5 / (1 + np.exp(-(energy_ev - 518)))
    counts = 1e4 * (edge_shape(energy_ev, 1) + oxygen + 8 * (energy_ev / 640) ** -3)
    raw = RawSpectra(energy_ev, np.repeat(counts[None], n, axis=0), (n,), None, "", Path("it"))
    unsure = made_up_posterior(sure=True)
    unsure.biases[1][:] *= 0.35  # pure or mixed, half and half
    row = summarise("it", raw, Predictor(MN, unsure))
    assert row["class"] is None
    assert "uncertain" in row["flags"]
    assert row["n_flagged"] == 0
    assert row["notes"][1].startswith("O K and L3 are 12")


def _alike(n: int) -> RawSpectra:
    """Pixels (n,) that are the mean of the shipped image, with noise."""
    example = read_file(EXAMPLE)
    mean = np.asarray(example.counts, dtype=np.float64).mean(axis=0)
    noise = 0.002 * mean.max() * np.random.default_rng(0).standard_normal((n, len(mean)))
    return replace(example, counts=mean + noise, nav_shape=(n,) if n > 1 else (), nav_axes=())


@pytest.mark.parametrize("n", [1, 6])
def test_what_is_no_number_outside_of_the_window_costs_nothing(n: int) -> None:
    raw = _alike(n)
    spoilt = raw.counts.copy()
    spoilt[0, :50], spoilt[0, -20:] = np.nan, np.inf
    good, found = (summarise("a", r, pretrained()) for r in (raw, replace(raw, counts=spoilt)))
    assert found["mean_valence"] == pytest.approx(good["mean_valence"], abs=0.01)
    assert (found["flags"], found["n_flagged"]) == (good["flags"], 0)
    spoilt[0, np.searchsorted(raw.energy_ev, 645.0)] = np.nan
    if n == 1:
        with pytest.raises(InputError, match="no number where its edge is"):
            summarise("a", replace(raw, counts=spoilt), pretrained())
    else:
        assert summarise("a", replace(raw, counts=spoilt), pretrained())["n_flagged"] == 1


def test_a_spike_in_one_pixel_is_not_in_the_mean() -> None:
    raw = _alike(12)
    spoilt = raw.counts.copy()
    at = np.searchsorted(raw.energy_ev, 643.0)
    spoilt[5, at : at + 2] += 20 * np.ptp(raw.counts)
    good, found = (summarise("a", r, pretrained()) for r in (raw, replace(raw, counts=spoilt)))
    assert found["mean_valence"] == pytest.approx(good["mean_valence"], abs=0.02)
    assert found["notes"][-1] == "1 spike, dead or hot channel was bridged in 1 of 12 spectra"


def test_another_model_can_be_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from mnflow.serve.predictor import Predictor
    from mnflow.spectra import MN

    path = Predictor(MN, net=made_up_net()).save(tmp_path / "own.npz")
    code, (row,), said = rows_of(capsys, "--model", str(path), str(EXAMPLE))
    assert code == 0
    assert "interval_unreliable" in row["flags"]  # networks without a posterior
    assert str(path) in said


def _dual(folder: Path) -> tuple[Path, Path]:
    """A file with six thick edges, one of them with a spike, and a file with their low losses."""
    energy_ev, low_ev = np.arange(580.0, 700.0, 0.5), np.arange(-20.0, 100.0, 0.5)
    edges = 1e5 * (edge_shape(energy_ev, 1, 643.0) + 2 * (energy_ev / 640) ** -3)
    counts = np.repeat(edges[None], 6, axis=0)
    counts[2, 150] += 1e6
    low = np.exp(-(low_ev**2)) + 0.03 * np.exp(-(((low_ev - 22) / 5) ** 2))
    made = signal(counts[None].astype(np.float32), scale=0.5)
    beside = signal(np.repeat(1e5 * low[None, None], 6, axis=1).astype(np.float32), scale=0.5, offset=-20.0)
    return write(folder / "core.hspy", made), write(folder / "low.hspy", beside)


def test_a_low_loss_is_used_and_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    core, low = _dual(tmp_path)
    code, (row,), _ = rows_of(capsys, str(core), "--low-loss", str(low))
    assert code == 0
    said = row["notes"]
    assert isinstance(said, list)
    assert said[0].startswith("plural scattering was taken out with the low loss, t/lambda ")
    assert said[1:] == [
        "background: power law",
        "1 spike, dead or hot channel was bridged in 1 of 6 spectra",
    ]
    assert rows_of(capsys, str(core))[1][0]["notes"] == said[1:]
    assert predict.main([str(core), "--csv"]) == 0
    (line,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert line["notes"] == "; ".join(said[1:])
    assert predict.main([str(core)]) == 0
    assert "; ".join(said[1:]) in capsys.readouterr().out


def test_own_references_condition_the_model(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    energy_ev = np.arange(620.0, 680.0, 0.2)
    rows = zip(energy_ev, edge_shape(energy_ev, 0, 641.0), strict=True)
    (tmp_path / "mno.csv").write_text(
        "energy_ev,intensity\n" + "\n".join(f"{e:.1f},{i:.5f}" for e, i in rows)
    )
    (tmp_path / "manifest.csv").write_text("file,valence\nmno.csv,Mn2+\n")
    given = []

    def stub(predictor: Predictor, references: References) -> Predictor:
        given.append(references.valence_text.tolist())
        return replace(predictor, facts={**predictor.facts, "own_references": "1 of Mn2+"})

    monkeypatch.setattr("mnflow.fit.own_references.conditioned", stub)
    code, (row,), said = rows_of(capsys, str(tmp_path / "mno.csv"), "--own-references", str(tmp_path))
    assert code == 0
    assert given == [["Mn2+"]]
    assert "conditioned on 1 of Mn2+" in said
    assert row["error"] is None

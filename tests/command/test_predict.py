"""`mnflow predict`: one row per file, errors as rows, and its exit code."""

import csv
import errno
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnflow.command import predict
from mnflow.command.summary import FIELDS, failure
from mnflow.errors import InputError
from mnflow.pretrained.shipped import EXAMPLE
from mnflow.references import References
from mnflow.serve.answer import OPINIONS
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import pretrained
from mnflow.spectra import MN
from tests.helpers.files import signal, write
from tests.helpers.help_pages import check_help
from tests.helpers.nets import made_up_net
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
    for name in ("more.zip", "other.zip"):
        (tmp_path / name).write_bytes(b"PK\x03\x04")
    (tmp_path / ".zip").touch()
    shutil.copy(EXAMPLE, tmp_path / "good.hspy")
    code, rows, said = rows_of(capsys, str(tmp_path), str(tmp_path / "none.dm4"), str(tmp_path / "x*.hspy"))
    assert code == 1
    assert [Path(str(r["file"])).name for r in rows] == ["bad.msa", "good.hspy", "none.dm4", "x*.hspy"]
    assert [r["error"] is None for r in rows] == [False, True, False, False]
    assert rows[0]["class"] is None
    unread = f"not read in {tmp_path}, as they are of no format of spectra: more.zip, other.zip"
    assert said.splitlines()[1:] == [unread]


def test_patterns_and_repeated_files_are_answered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub" / "folder").mkdir(parents=True)
    for name in ("b.msa", "a.msa", "[x].dm4", "x.dm4", "sub/folder/c.csv"):
        (tmp_path / name).touch()
    words = ["*.msa", "a.msa", "none*.msa", "[x].dm4", "**/*.csv", "sub"]
    expected = ["a.msa", "b.msa", "none*.msa", "[x].dm4", "sub/folder/c.csv", "sub"]
    assert predict.expand(words) == [Path(word) for word in expected]


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError(errno.EIO, "Input/output error"), "Input/output error"), (OSError("odd"), "odd")],
)
def test_a_file_that_the_system_does_not_give_costs_its_row_only(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(given: list[Path], *_: object) -> Iterator[tuple[Path, InputError]]:
        if given == [Path("bad")]:
            raise error
        yield Path("folder", "other"), InputError("No spectrum.")

    monkeypatch.setattr("mnflow.read.read_all", read)
    assert list(predict.answer_paths([Path("bad"), Path("folder")], pretrained())) == [
        failure("bad", MN, f"bad: {said}."),
        failure(str(Path("folder", "other")), MN, "No spectrum."),
    ]


NOTHING = failure("x", MN, "")
ANSWERS = [
    NOTHING | {
        "file": "f" * 36, "n": 1, "class": "Mn3+", "mean_valence": 2.875, "interval": [2.5, 3.126],
        "probabilities": {"Mn2+": 0.125, "Mn3+": 0.75, "Mn4+": 0.125},
        "fractions": {"Mn2+": 0.25, "Mn3+": 0.625, "Mn4+": 0.126}, "error": None,
        "second_opinions": {"l3_l2_ratio": {"value": 1.5}, "o_k": None}, "moved_ev": -2.0,
    },
    NOTHING | {
        "file": f"folder/{'g' * 30}.dm4", "n": 1234567, "n_flagged": 7, "mean_valence": 3.0, "error": None,
        "flags": ["noisy", "clipped"], "notes": ["a note", "=another"],
    },
    NOTHING | {"file": "=bad.dm4", "error": "-no: such file."},
    NOTHING | {"file": "few", "n": 2, "n_flagged": 1, "flags": ["noisy"], "error": None, "moved_ev": 0.25},
]  # fmt: skip


@pytest.fixture
def _made_up_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "answer_paths", lambda *_: iter(ANSWERS))


@pytest.mark.usefixtures("_made_up_answers")
def test_the_table_as_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert predict.main([str(EXAMPLE)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"file{' ' * 32}       n  class mean valence       Mn2+   Mn3+   Mn4+  remarks",
        f"{'f' * 36}       1  Mn3+  2.88 [2.50, 3.13]  0.25   0.62   0.13  window moved by -2.0 eV",
        f"...{'g' * 29}.dm4 1234567  -     3.00                  -      -      -  noisy, clipped, 7 of "
        "1234567 flagged; a note; =another",
        f"=bad.dm4{' ' * 28} error: -no: such file.",
        f"few{' ' * 33}       2  -     -{' ' * 21}-      -      -  noisy, 1 of 2 flagged, window moved by "
        "+0.2 eV",
    ]


@pytest.mark.usefixtures("_made_up_answers")
def test_csv_and_json_as_they_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert predict.main([str(EXAMPLE), "--json"]) == 1
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ANSWERS
    assert predict.main([str(EXAMPLE), "--csv"]) == 1
    head, *rows = capsys.readouterr().out.splitlines()
    assert head == (
        "file,element,n,n_flagged,class,p(Mn2+),p(Mn3+),p(Mn4+),x(Mn2+),x(Mn3+),x(Mn4+),mean_valence,"
        f"interval_low,interval_high,{','.join(OPINIONS)},flags,moved_ev,notes,error"
    )
    empty = "," * len(OPINIONS)
    assert rows == [
        f"{'f' * 36},Mn,1,0,Mn3+,0.125,0.75,0.125,0.25,0.625,0.126,2.875,2.5,3.126,1.5{empty},-2.0,,",
        f"folder/{'g' * 30}.dm4,Mn,1234567,7,,,,,,,,3.0,,{empty},noisy clipped,,a note; =another,",
        f"'=bad.dm4,Mn,0,0,,,,,,,,,,{empty},,,,'-no: such file.",
        f"few,Mn,2,1,,,,,,,,,,{empty},noisy,0.25,,",
    ]


@pytest.mark.usefixtures("_made_up_answers")
@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"]])
def test_a_reader_who_has_seen_enough_is_no_error(form: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert predict.main([str(EXAMPLE), *form]) == 0
        assert os.path.samestat(os.fstat(writer), Path(os.devnull).stat())


@pytest.mark.parametrize(("form", "header"), [([], 1), (["--csv"], 1), (["--json"], 0)])
def test_every_answer_is_shown_at_once(form: list[str], header: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    lines: list[int] = []

    def answers(*_: object) -> Iterator[dict[str, object]]:
        for answer in ANSWERS:
            yield answer
            lines.append(shown.getvalue().count(b"\n") - header)

    monkeypatch.setattr(predict, "answer_paths", answers)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown))
    predict.main([str(EXAMPLE), *form])
    assert lines == [1, 2, 3, 4]


def test_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    check_help("predict", predict.main, capsys)


def test_a_table_for_people_and_csv_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert predict.main([str(EXAMPLE)]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["file", "n", "class"]
    assert "flagged" in line
    assert predict.main([str(EXAMPLE), "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    shares = [float(row[f"p({name})"]) for name in pretrained().edge.classes]
    assert sum(shares) == pytest.approx(1, abs=1e-5)


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

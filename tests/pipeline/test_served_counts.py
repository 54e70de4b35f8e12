"""What servers counted is joined per day, drawn and logged."""

import json
import re
from pathlib import Path

import pytest

from entrypoints import watch
from mnflow.errors import InputError
from mnflow.pipeline.served_counts import log_days, read_days
from mnflow.track import tracking
from mnflow.track.query import artifact
from tests.helpers.memory_store import MemoryStore


def day(spectra: int, moved: list[float], **flags: int) -> dict[str, object]:
    return {
        "requests": 2, "spectra": spectra, "errors": 0, "classes": {"Mn2+": spectra}, "flags": flags,
        "moved_ev": [len(moved), sum(moved), sum(m * m for m in moved)],
    }  # fmt: skip


def test_counts_of_all_servers_are_joined(tmp_path: Path) -> None:
    one = {"2026-01-02": day(4, [1.0, 3.0], noise=1), "2026-01-01": day(1, [0.5])}
    (tmp_path / "served-a.json").write_text(json.dumps(one))
    (tmp_path / "served-b.json").write_text(json.dumps({"2026-01-02": day(2, [2.0])}))
    (tmp_path / "other.json").write_text("not a server's")
    days = read_days(tmp_path)
    columns = ["requests", "spectra", "errors", "class: Mn2+", "moved_ev", "moved_std_ev", "flag: noise"]
    assert sorted(days.columns) == sorted(columns)
    assert days["requests"].tolist() == [2, 4]
    assert [str(d.date()) for d in days.index] == ["2026-01-01", "2026-01-02"]
    assert days["spectra"].tolist() == [1, 6]
    assert days["class: Mn2+"].tolist() == [1, 6]
    assert days["flag: noise"].tolist() == [0, 1]
    assert days["moved_ev"].tolist() == pytest.approx([0.5, 2.0])
    assert days["moved_std_ev"].tolist() == pytest.approx([0, (2 / 3) ** 0.5])


def test_a_run_shows_the_drift(tmp_path: Path, store: Path) -> None:
    counts = {"2026-01-01": day(1, [0.5]), "2026-01-03": day(4, [2.0] * 4, noise=1)}
    (tmp_path / "served-a.json").write_text(json.dumps(counts))
    run = tracking.connect().get_run(watch.run(watch.Options(folder=str(tmp_path))))
    note = "5 spectra in 4 requests on 2 days; windows moved by +0.50 eV first, +2.00 eV last."
    assert run.data.tags["mlflow.note.content"] == note
    history = tracking.connect().get_metric_history(run.info.run_id, "served/flagged_share")
    assert [(m.step, m.value) for m in history] == [(0, 0.0), (2, 0.25)]
    with artifact(run.info.run_id, "figures/served.png") as path:
        assert path.stat().st_size > 10_000


def test_the_table_the_curves_and_the_note_of_many_days(memory: MemoryStore, tmp_path: Path) -> None:
    counts = {
        "2026-01-01": day(4, [], noise=1, unreadable=4), "2026-01-02": day(5, [-0.25]),
        "2026-01-05": day(10, [0.5, 1.5], noise=2, shape=5),
    }  # fmt: skip
    (tmp_path / "served-a.json").write_text(json.dumps(counts))
    run = tracking.Run(memory.create_run("7").info.run_id)
    log_days(run, read_days(tmp_path))
    curves = {name: memory.curve(run, f"served/{name}") for name in ("spectra", "requests", "errors")}
    assert curves["spectra"] == {0: 4, 1: 5, 4: 10}
    assert curves["requests"] == {0: 2, 1: 2, 4: 2}
    assert curves["errors"] == {0: 0, 1: 0, 4: 0}
    assert memory.curve(run, "served/flagged_share") == {0: 0.25, 1: 0.0, 4: 0.5}  # by the commonest flag
    assert memory.curve(run, "served/moved_ev") == {0: 0.0, 1: -0.25, 4: 1.0}
    assert memory.get_run(run.id).data.tags["mlflow.note.content"] == (
        "19 spectra in 6 requests on 3 days; windows moved by -0.25 eV first, +1.00 eV last."
    )
    table = memory.table(run, "tables/served.csv")
    assert table["day"].tolist() == ["2026-01-01", "2026-01-02", "2026-01-05"]
    assert table["flag: shape"].tolist() == [0, 0, 5]
    drawn = memory.table(run, "figures/served.csv")["series"].unique().tolist()
    assert any("noise" in name for name in drawn)
    assert "figures/served.png" in memory.files(run)


def test_days_on_which_nothing_was_read_or_flagged(memory: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "served-a.json").write_text(json.dumps({"2026-01-01": day(3, [])}))
    run = tracking.Run(memory.create_run("7").info.run_id)
    days = read_days(tmp_path)
    assert days[["moved_ev", "moved_std_ev"]].isna().all(axis=None)
    log_days(run, days)
    assert memory.curve(run, "served/flagged_share") == {0: 0.0}
    note = memory.get_run(run.id).data.tags["mlflow.note.content"]
    assert note == "3 spectra in 2 requests on 1 days; none was read."


@pytest.mark.parametrize("text", ["[]", "{", '{"yesterday": {}}', '{"2026-01-01": {"requests": 1}}'])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    said = f"{tmp_path} holds no counts: start a server with MNFLOW_WATCH={tmp_path}, and send it spectra."
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        read_days(tmp_path)
    (tmp_path / "served-a.json").write_text(text)
    with pytest.raises(InputError, match=r"served-a.json holds no counts of a server \(.+\): remove it\.$"):
        read_days(tmp_path)

"""What servers counted is joined per day, drawn and logged."""

import json
from pathlib import Path

import pytest

from entrypoints import watch
from mnflow.errors import InputError
from mnflow.pipeline.served_counts import read_days
from mnflow.track import tracking
from mnflow.track.query import artifact


def day(spectra: int, moved: list[float], **flags: int) -> dict[str, object]:
    return {
        "requests": 2, "spectra": spectra, "errors": 0, "classes": {"Mn2+": spectra}, "flags": flags,
        "moved_ev": [len(moved), sum(moved), sum(m * m for m in moved)],
    }  # fmt: skip


def test_counts_of_all_servers_are_joined(tmp_path: Path) -> None:
    one = {"2026-01-02": day(4, [1.0, 3.0], noise=1), "2026-01-01": day(1, [0.5])}
    (tmp_path / "served-a.json").write_text(json.dumps(one))
    (tmp_path / "served-b.json").write_text(json.dumps({"2026-01-02": day(2, [2.0])}))
    days = read_days(tmp_path)
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


@pytest.mark.parametrize("text", ["[]", "{", '{"yesterday": {}}', '{"2026-01-01": {"requests": 1}}'])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no counts: start a server with MNFLOW_WATCH="):
        read_days(tmp_path)
    (tmp_path / "served-a.json").write_text(text)
    with pytest.raises(InputError, match=r"served-a.json holds no counts of a server"):
        read_days(tmp_path)

"""The table of white lines and valences is what the command makes of the simulator."""

import json

import numpy as np
import pytest

from mnflow.opinions.white_lines import WhiteLines, table_path
from mnflow.pretrained import white_line_table


def test_ranges_hold_as_many_as_they_say() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=20_000)
    valence = values + 0.1 * rng.normal(size=20_000)
    found = white_line_table.table(values, valence)
    assert [len(column) for column in found.values()] == [white_line_table.PARTS] * 3
    assert np.all(np.diff(found["value"]) > 0)
    assert found["value"][7:9] == pytest.approx([-0.078, 0.078], abs=0.02)  # half of 1/16 below and above
    tails = [
        np.mean(valence[values < -1.54] < found["low"][0]),
        np.mean(valence[values > 1.54] > found["high"][-1]),
    ]
    assert tails == pytest.approx([0.01, 0.01], abs=0.004)
    low, high = (np.interp(values, found["value"], found[end]) for end in ("low", "high"))
    inner = np.abs(values) < 1
    assert 0.97 < ((low <= valence) & (valence <= high))[inner].mean() < 0.999


@pytest.mark.slow
def test_the_shipped_table_is_near_what_few_mixtures_give(monkeypatch, tmp_path) -> None:
    shipped = json.loads(table_path("mn").read_text())
    monkeypatch.setattr(white_line_table, "MIXTURES", 4000)
    monkeypatch.setattr(white_line_table, "MATERIALS", 100)
    monkeypatch.setattr(white_line_table, "table_path", lambda element: tmp_path / "mn.json")
    assert white_line_table.make("Mn") == tmp_path / "mn.json"
    written = (tmp_path / "mn.json").read_text()
    made = json.loads(written)
    assert written.endswith("}\n")
    assert list(made) == list(shipped) == ["charges", *WhiteLines._fields]
    assert made["charges"] == [2.0, 3.0, 4.0]
    for name in WhiteLines._fields:
        np.testing.assert_allclose(made[name]["value"][2:-2], shipped[name]["value"][2:-2], rtol=0.08)
        for end in ("low", "high"):
            assert np.abs(np.subtract(made[name][end], shipped[name][end])).mean() < 0.15

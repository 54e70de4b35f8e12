"""The table of white lines and valences is what the command makes of the simulator."""

import json

import numpy as np

from mnflow.opinions.white_lines import WhiteLines, table_path
from mnflow.pretrained import white_line_table


def test_ranges_hold_as_many_as_they_say() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=20_000)
    valence = values + 0.1 * rng.normal(size=20_000)
    found = white_line_table.table(values, valence)
    assert np.all(np.diff(found["value"]) > 0)
    low, high = (np.interp(values, found["value"], found[end]) for end in ("low", "high"))
    inner = np.abs(values) < 1
    assert 0.97 < ((low <= valence) & (valence <= high))[inner].mean() < 0.999


def test_the_shipped_table_is_near_what_few_mixtures_give(monkeypatch, tmp_path) -> None:
    shipped = json.loads(table_path("mn").read_text())
    monkeypatch.setattr(white_line_table, "MIXTURES", 4000)
    monkeypatch.setattr(white_line_table, "MATERIALS", 100)
    monkeypatch.setattr(white_line_table, "table_path", lambda element: tmp_path / "mn.json")
    made = json.loads(white_line_table.make("Mn").read_text())
    for name in WhiteLines._fields:
        np.testing.assert_allclose(made[name]["value"][2:-2], shipped[name]["value"][2:-2], rtol=0.08)
        for end in ("low", "high"):
            assert np.abs(np.subtract(made[name][end], shipped[name][end])).mean() < 0.15

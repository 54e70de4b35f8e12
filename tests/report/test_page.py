"""The report's page: complete in one file, safe against words from runs, and drawn by a real browser."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnflow.plots.style import UNKNOWN_COLOUR, series_styles, valence_colours
from mnflow.report import page
from tests.helpers.browser import browse, needs_browser

pytestmark = pytest.mark.slow

CLASSES = ["Mn2+", "Mn3+", "Mn4+"]


def _run(name: str, i: int, colour: str) -> dict[str, Any]:
    rng = np.random.default_rng(i)
    shift_ev = np.arange(-50, 51) / 10
    accuracy = np.clip(0.33 + 0.66 / (1 + np.exp((np.abs(shift_ev) - 1 - 1.8 * i) * 3)), 0, 1)
    truth = [0, 0, 1, 1, 2, 2, -1]
    return {
        "id": f"{i:032x}", "label": name, "note": "a note", "colour": colour, "dash": "",
        "params": {"arch": name, "seed": "0"},
        "metrics": {"cv/accuracy_mean": 0.98 + 0.005 * i,
        "shift/integrated_accuracy": float(accuracy.mean())},
        "curves": {
            "shift/accuracy": {
                "x": shift_ev.tolist(), "y": accuracy.tolist(), "low": (accuracy - 0.02).tolist(),
                "high": np.minimum(accuracy + 0.02, 1).tolist(), "x_label": "energy shift / eV",
            },
            "train_loss": {"x": [1, 2, 3], "y": [1.0, 0.5, 0.2], "x_label": "step"},
        },
        "references": [
            {"name": f"laboratory {n}", "truth": t,
            "p": rng.dirichlet(0.3 + 4 * (np.arange(3) == t)).round(3).tolist()}
            for n, t in enumerate(truth)
        ],
        "embedding": {
            space: {
                "x": rng.normal(size=60).tolist(), "y": rng.normal(size=60).tolist(),
                "label": [*rng.integers(0, 3, 59).tolist(), -1], "reference": [0] * 50 + [1] * 10,
                "name": [f"pixel {n}" for n in range(60)],
            }
            for space in ("300 inputs", "72 features")
        },
    }  # fmt: skip


def _data(names: list[str]) -> dict[str, Any]:
    colours = [colour for colour, _ in series_styles(["dense", "conv_dense", "fcn"])]
    return {
        "classes": CLASSES, "class_colours": valence_colours(CLASSES), "unknown_colour": UNKNOWN_COLOUR,
        "store": "experiment mn-valence", "written": "2026-01-01 00:00 UTC",
        "runs": [_run(name, i, colours[i]) for i, name in enumerate(names)],
    }  # fmt: skip


def test_the_page_needs_no_network_and_holds_its_data() -> None:
    data = _data(["dense", "conv_dense", "fcn"])
    html = page.render(data, "Three nets")
    assert not re.search(r"(src|href)\s*=|url\(|@import|fetch\(|XMLHttpRequest", html)
    # a name, never fetched
    assert set(re.findall(r"https?://[^\"'\s]+", html)) == {"http://www.w3.org/2000/svg"}
    inside = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert inside
    assert json.loads(inside[1]) == data


def test_words_from_runs_cannot_become_markup() -> None:
    name = "</script><script>alert(1)</script>\u2028\u2029"  # the latter end a line of a script
    html = page.render(_data([name]), "<b>title</b> & more")
    assert "alert(1)</script>" not in html
    assert "&lt;b&gt;title&lt;/b&gt; &amp; more" in html
    assert r'alert(1)\u003c/script>\u2028\u2029","note"' in html
    assert "<b>title" not in html
    assert html.count("<script") == 2


def test_not_a_number_is_refused_rather_than_written() -> None:
    data = _data(["fcn"])
    data["runs"][0]["metrics"]["x"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        page.render(data, "t")


def test_the_page_is_written_whole(tmp_path: Path) -> None:
    path = page.write("text", tmp_path / "new" / "report.html")
    assert path.read_text() == "text"
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


@needs_browser
def test_a_browser_shows_curves_table_points_and_what_differs(tmp_path: Path) -> None:
    path = page.write(
        page.render(_data(["dense", "conv_dense", "<i>fcn</i>"]), "Three nets"), tmp_path / "report.html"
    )
    with browse(tmp_path) as tab:
        tab.open(path.as_uri())
        words = tab.wait_for(
            "Three nets", "3 runs of experiment mn-valence", "<i>fcn</i>", "cv/accuracy_mean"
        )
        for expected in (
            "energy shift / eV",
            "laboratory 3",
            "right, of those with one valence",
            "of 6",
            "300 inputs",
            "arch",
        ):
            assert expected in words, expected
        assert "seed" not in words  # equal in all runs
        assert tab.run("document.querySelectorAll('#embedding circle').length") >= 100
        # a curve per run
        assert tab.run("document.querySelectorAll('#curve-chart path[stroke-width]').length") == 3
        tab.screenshot(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 20_000


@needs_browser
def test_the_page_answers_to_the_mouse(tmp_path: Path) -> None:
    path = page.write(page.render(_data(["dense", "fcn"]), "Two nets"), tmp_path / "report.html")
    with browse(tmp_path) as tab:
        tab.open(path.as_uri())
        tab.wait_for("Two nets")
        tab.run("document.querySelector('#runs input').click()")
        assert tab.run("document.querySelectorAll('#curve-chart path[stroke-width]').length") == 1
        tab.run(
            "[...document.querySelectorAll('#curve-keys button')].find((b) => b.textContent === "
            "'train_loss').click()"
        )
        assert "energy shift" not in tab.run("document.getElementById('curve-chart').textContent")
        tab.run("document.getElementById('all-parameters').click()")
        assert "seed" in tab.text()
        point = "document.querySelector('#embedding path[stroke]')"
        tab.run(f"{point}.dispatchEvent(new PointerEvent('pointermove', {{clientX: 50, clientY: 50}}))")
        assert "reference" in tab.run("document.getElementById('tip').textContent")

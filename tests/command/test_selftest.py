"""`mnflow selftest` counts the stored answers that the shipped model still gives."""

from copy import deepcopy
from dataclasses import replace

import pytest

from mnflow.command import selftest
from mnflow.pretrained import stored_answers
from mnflow.pretrained.card import card_path
from mnflow.pretrained.stored_answers import load_stored
from tests.helpers.help_pages import check_help


def test_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    check_help("selftest", selftest.main, capsys)


def test_the_card_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert selftest.main(["--card"]) == 0
    assert capsys.readouterr().out == f"{card_path().read_text(encoding='utf-8')}\n"


def test_answers_that_differ_are_named_and_counted_once_per_spectrum(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert selftest.main([]) == 0
    assert capsys.readouterr().out == "16 of 16 stored answers agree within 0.001.\n"
    stored = load_stored()
    answers = deepcopy(stored.answers)
    answers[2] |= {"class": "Fe3+", "flags": ["another"]}
    answers[5] |= {"mean_valence": answers[5]["mean_valence"] + 0.002}
    monkeypatch.setattr(stored_answers, "load_stored", lambda: replace(stored, answers=answers))
    assert selftest.main([]) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.partition(" is ")[0] for line in lines] == [
        f"differs  spectrum {stored.rows[2]}: class",
        f"differs  spectrum {stored.rows[2]}: flags",
        f"differs  spectrum {stored.rows[5]}: mean_valence",
    ]
    assert last == "14 of 16 stored answers agree within 0.001."

"""The shipped model, the record of its making, its numbers and its card belong together, and to this code."""

import json
from pathlib import Path

import numpy as np
import pytest

from mnflow.command import selftest
from mnflow.errors import InputError
from mnflow.fit import posterior as fitting
from mnflow.pretrained import card
from mnflow.pretrained.stored_answers import load_stored, valences_of
from mnflow.serve.pretrained import PRETRAINED, digest, pretrained
from mnflow.simulate.settings import settings_of

PROBE_TOLERANCE = 1e-3
"""Of a peak: libraries round differently, and other physics differs by more."""

REFIT_TOLERANCE = 0.05
"""Root mean square difference of the mean valence between two runs of the command, on unflagged pixels:
far less than the width of an interval. Processors add up in different orders, and thousands of steps of a fit
make something of it; more than this would be another model. Where a pixel is flagged, numbers mean nothing.
"""


def test_the_record_and_the_numbers_are_of_the_model_that_ships() -> None:
    assert card.load_record()["sha256"] == digest(PRETRAINED / "mn.npz")
    assert {row["benchmark"] for row in card.load_numbers()} >= {"posterior/held_out", "posterior/foreign"}


def test_numbers_of_another_model_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "PRETRAINED", tmp_path)
    (tmp_path / "mn.npz").write_bytes(b"another model")
    (tmp_path / "mn-numbers.jsonl").write_text((PRETRAINED / "mn-numbers.jsonl").read_text())
    with pytest.raises(InputError) as error:
        card.load_numbers()
    measured, shipped = (digest(folder / "mn.npz")[:12] for folder in (PRETRAINED, tmp_path))
    assert str(error.value) == (
        f"mn-numbers.jsonl is about the model {measured}, and {shipped} is the one that ships: run `python "
        f"-m benchmarks.posterior > {tmp_path / 'mn-numbers.jsonl'}`, then `python -m mnflow.pretrained`."
    )
    (tmp_path / "mn-numbers.jsonl").write_text('{"benchmark": "posterior/names"}\n')
    with pytest.raises(InputError, match="is about the model none, and"):
        card.load_numbers()


def test_the_card_is_what_record_and_numbers_say() -> None:
    assert card.card_path().read_text(encoding="utf-8") == card.render()


def test_a_card_is_written_whole_and_says_nothing_of_what_was_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped, numbers = card.card_path().read_text(encoding="utf-8"), card.load_numbers()
    monkeypatch.setattr(card, "card_path", lambda element: tmp_path / f"{element}.md")
    assert card.write_card() == tmp_path / "Mn.md"
    assert (tmp_path / "Mn.md").read_text(encoding="utf-8") == shipped
    simulated = [row for row in numbers if row["benchmark"] != "posterior/measured"]
    monkeypatch.setattr(card, "load_numbers", lambda element: simulated)
    card.write_card()
    words = (tmp_path / "Mn.md").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["Mn.md"]
    first = shipped.index("\nMeasured spectra of pure compounds")
    assert words == shipped[:first] + shipped[shipped.index("\n## What it cannot do") :]
    one = {"benchmark": "posterior/measured", "low": 3, "high": 3, "mean_valence": 2.954, "in_interval": 1}
    two = one | {"low": 2, "high": 2, "in_interval": 0.5, "spectra": 8}
    no_compound = [one | {"low": 2.5}, one | {"low": None}]
    assert card._measured([one, two, *no_compound]).splitlines()[-2:] == [
        "| 2 | 2.95 | 50 % of 8 |",
        "| 3 | 2.95 | 100 % of 1 |",
    ]


def test_the_self_test_shows_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert selftest.main(["--card"]) == 0
    assert capsys.readouterr().out.strip() == card.card_path().read_text(encoding="utf-8").strip()


def test_the_code_still_makes_the_model_that_ships() -> None:
    recorded, now = card.load_record()["recipe"], json.loads(json.dumps(fitting.recipe("mn")))
    before, after = (np.array(recipe.pop("probe")) for recipe in (recorded, now))
    again = "run the three commands of mnflow/pretrained/mn-card.md, or undo what changed the recipe"
    assert now == recorded, again
    assert np.abs(after - before).max() < PROBE_TOLERANCE, again


def test_the_recipe_notices_other_physics(monkeypatch: pytest.MonkeyPatch) -> None:
    from mnflow.fit import mixtures

    monkeypatch.setattr(mixtures, "RESOLUTION_EV", (0.15, 1.9))
    probe = np.array(fitting.recipe("mn")["probe"])
    assert np.abs(probe - np.array(card.load_record()["recipe"]["probe"])).max() > PROBE_TOLERANCE


@pytest.mark.services
def test_the_command_makes_the_model_that_ships() -> None:
    """A quarter of an hour on one idle core: `make test-model`."""
    again = fitting.build(settings_of("mn"))
    stored = load_stored()
    apart = valences_of(stored.rows, again) - valences_of(stored.rows, pretrained())
    unflagged = np.array([not found["flags"] for found in stored.answers])
    assert unflagged.sum() > 10
    assert np.sqrt((apart[unflagged] ** 2).mean()) < REFIT_TOLERANCE

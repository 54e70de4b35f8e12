"""The shipped model is the one that was recorded, and answers as it did then."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnflow.command import selftest
from mnflow.pretrained import shipped, stored_answers
from mnflow.pretrained.stored_answers import TOLERANCE, differences, load_stored
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import PRETRAINED, digest, pretrained
from mnflow.spectra import MN
from tests.helpers.nets import made_up_net


def test_files_have_the_recorded_digests() -> None:
    recorded = shipped.recorded_digests()
    assert set(recorded) >= {"mn.npz", shipped.EXAMPLE.name}
    assert recorded == {name: digest(PRETRAINED / name) for name in recorded}


def test_the_self_test_agrees() -> None:
    assert selftest.main([]) == 0


def test_the_self_test_notices_another_model() -> None:
    other = Predictor(MN, net=made_up_net())
    assert differences(load_stored(), TOLERANCE, other)


def test_differences_name_the_spectrum_and_both_answers() -> None:
    stored = load_stored()
    assert len(stored.rows) == len(stored.answers) == 16
    assert (stored.rows[0], stored.rows[-1]) == (0, 24 * 32 - 1)
    found = dict(stored.answers[3])
    other = found | {"mean_valence": found["mean_valence"] + 0.002, "class": "Mn9+"}
    other["interval"] = [found["interval"][0], found["interval"][1] - 0.002]
    other["probabilities"] = {name: p + 0.0008 for name, p in found["probabilities"].items()}
    changed = replace(stored, answers=[*stored.answers[:3], other, *stored.answers[4:]])
    changed.answers[5] = {k: v for k, v in changed.answers[5].items() if k != "flags"} | {"more": 1}
    row, last = stored.rows[3], stored.rows[5]
    assert [line.partition(" is ")[0] for line in differences(changed, TOLERANCE)] == [
        f"spectrum {row}: class", f"spectrum {row}: interval", f"spectrum {row}: mean_valence",
        f"spectrum {last}: flags", f"spectrum {last}: more",
    ]  # fmt: skip
    lines = differences(changed, TOLERANCE)
    assert lines[0] == f"spectrum {row}: class is {found['class']}, stored is Mn9+"
    assert lines[4] == f"spectrum {last}: more is None, stored is 1"
    assert len(differences(changed, 0.003)) == 3


def test_stored_answers_differ_where_names_lengths_or_kinds_do() -> None:
    same, equal = {"a": [1.0, None], "b": "x"}, stored_answers._equal
    assert equal(same, {"a": [1.0005, None], "b": "x"}, 1e-3)
    for other in (
        {"a": [1.0, None]}, {"a": [1.0], "b": "x"}, {"a": [1.0, 0.0], "b": "x"}, {"a": 1.0, "b": "x"},
        {"a": [1.002, None], "b": "x"}, {"a": [1.0, None], "b": "y"}, [1.0, None], None,
    ):  # fmt: skip
        assert not equal(same, other, 1e-3)
        assert not equal(other, same, 1e-3)


def test_answers_and_digests_are_stored_as_they_ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_stored()
    monkeypatch.setattr(stored_answers, "stored_path", lambda element="Mn": tmp_path / f"{element}.json")
    assert stored_answers.store(pretrained()) == tmp_path / "Mn.json"
    assert load_stored().rows == before.rows
    assert differences(load_stored(), 0.0) == []
    assert differences(before, TOLERANCE) == []
    valences = stored_answers.valences_of(before.rows, pretrained())
    np.testing.assert_allclose(valences, [found["mean_valence"] for found in before.answers], atol=TOLERANCE)
    kept = shipped.DIGEST_FILE.read_text()
    monkeypatch.setattr(shipped, "DIGEST_FILE", tmp_path / "SUMS")
    shipped.record_digests()
    assert (tmp_path / "SUMS").read_text() == kept

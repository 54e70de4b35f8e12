"""Tables of runs: what the report shows of them, and what of a table it does without."""

import json

import pandas as pd
import pytest

from mnflow.report import tables
from mnflow.track import tracking
from tests.helpers.memory_store import MemoryStore

CLASSES = ["Mn2+", "Mn3+"]


def test_classes_are_the_columns_of_probabilities() -> None:
    table = pd.DataFrame(columns=["name", "p", "p(Mn2+)", "p(Mn3+)", "help(x)"])
    assert tables.class_names(table) == CLASSES
    assert tables.class_names(None) == []


def test_references_have_their_true_class_and_rounded_probabilities() -> None:
    rows = [[7, "Mn3+", 0.123456, 0.876544], ["lab", "Mn8/3", 0.5, 0.5]]
    table = pd.DataFrame(rows, columns=["name", "valence", "p(Mn2+)", "p(Mn3+)"])
    assert tables.references(table, CLASSES) == [
        {"name": "7", "truth": 1, "p": [0.1235, 0.8765]},
        {"name": "lab", "truth": -1, "p": [0.5, 0.5]},
    ]
    assert tables.references(table.astype(str), CLASSES) == tables.references(table, CLASSES)


@pytest.mark.parametrize("missing", ["name", "valence", "p(Mn3+)"])
def test_a_table_of_other_columns_has_no_references(missing: str) -> None:
    table = pd.DataFrame([["a", "Mn2+", 1.0, 0.0]], columns=["name", "valence", "p(Mn2+)", "p(Mn3+)"])
    assert len(tables.references(table, CLASSES)) == 1
    assert tables.references(table.drop(columns=missing), CLASSES) == []
    assert tables.references(None, CLASSES) == []


def points(dots: int, references: int) -> pd.DataFrame:
    n = dots + references
    return pd.DataFrame(
        {
            "name": range(n),
            "set": ["acquired"] * dots + ["reference"] * references,
            "valence": ["Mn2+", "Mn3+", "mixed"] * (n // 3) + ["mixed"] * (n % 3),
            "input_x": [0.12345] * n,
            "input_y": range(n),
        }
    )


def test_points_have_place_class_set_and_name() -> None:
    assert tables.embedding(points(2, 1), CLASSES) == {
        "input": {
            "x": [0.123] * 3,
            "y": [0.0, 1.0, 2.0],
            "label": [0, 1, -1],
            "reference": [0, 0, 1],
            "name": ["0", "1", "2"],
        }
    }
    as_text = tables.embedding(points(2, 1).astype(str), CLASSES)  # as if a cell of each column were empty
    assert as_text == tables.embedding(points(2, 1), CLASSES)
    assert json.dumps(tables.embedding(points(0, 1), CLASSES)["input"]["reference"]) == "[1]"
    both = points(2, 1).assign(features_x=1, features_y=2)
    assert tables.embedding(both, CLASSES)["features"]["y"] == [2.0] * 3


@pytest.mark.parametrize(("dots", "shown"), [(4000, 4000), (4001, 2001), (8001, 2667)])
def test_of_many_points_an_even_part_is_shown_but_every_reference(dots: int, shown: int) -> None:
    found = tables.embedding(points(dots, 6), CLASSES)["input"]
    assert found["reference"].count(0) == shown <= 4000
    assert found["reference"].count(1) == 6
    step = -(-dots // 4000)
    assert found["y"][:2] == [0.0, step]


@pytest.mark.parametrize("missing", ["name", "set", "valence"])
def test_a_table_of_other_columns_has_no_points(missing: str) -> None:
    assert tables.embedding(points(2, 1).drop(columns=missing), CLASSES) == {}
    assert tables.embedding(None, CLASSES) == {}


def test_a_run_without_the_table_has_none_and_names_are_words(memory: MemoryStore) -> None:
    with tracking.step(tracking.tags_of("tsne"), "tsne", {}) as run:
        run.table(pd.DataFrame({"name": ["NA", "null"]}), "tsne")
    record = tracking.connect().get_run(run.id)
    table = tables.read_table(record, "tsne")
    assert table is not None
    assert table["name"].tolist() == ["NA", "null"]
    assert tables.read_table(record, "shift") is None

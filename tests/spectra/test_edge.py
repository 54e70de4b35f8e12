"""An edge's names become folders and cells of tables, and may be nothing else."""

import json
import re
from dataclasses import asdict, replace
from typing import Any

import pytest

from mnflow.errors import InputError
from mnflow.spectra import MN, Edge
from mnflow.spectra.edge import SPLITTING_EV


@pytest.mark.parametrize(
    "name", ["../../../x", "/x", "..", ".x", "~", "a\\b", "=1+1", "", "x" * 41, "a\nb", "C:x"]
)
def test_a_class_is_a_plain_name(name: str) -> None:
    with pytest.raises(InputError, match="expected a name of letters, digits and signs"):
        replace(MN, classes=(name, "Mn3+", "Mn4+"))


@pytest.mark.parametrize("name", ["Mn2+", "Mn²⁺", "Fe(III) oct.", "V4+_a", "x" * 40])
def test_usual_names_are_taken(name: str) -> None:
    assert replace(MN, classes=(name, "Mn3+", "Mn4+")).classes[0] == name


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"crop_ev": (614.9, 665.0)},
            "(614.9, 665.0) eV must lie inside the wide window (615.0, 685.0)",
        ),
        ({"crop_ev": (635.0, 685.1)}, "must lie inside the wide window"),
        ({"crop_ev": (665.0, 665.0)}, "must lie inside the wide window"),
        ({"dispersion_ev": 0.0}, "the dispersion (0.0 eV) must be positive"),
        ({"charges": (2.0, 3.0)}, "expected one charge for each of several distinct classes"),
        ({"classes": ("Mn2+", "Mn2+", "Mn4+")}, "expected one charge for each of several distinct classes"),
    ],
)
def test_windows_and_classes_that_cannot_be(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        replace(MN, **changes)


def test_windows_as_channels() -> None:
    assert (MN.n_wide, MN.n_crop, MN.crop_start, MN.l3_ev) == (700, 300, 200, 644.0)
    assert replace(MN, crop_ev=MN.wide_ev).crop_start == 0
    for axis, low, high, n in ((MN.wide_axis_ev, 615, 684.9, 700), (MN.crop_axis_ev, 635, 664.9, 300)):
        assert (axis[0], axis[-1], len(axis)) == (pytest.approx(low), pytest.approx(high), n)


def test_an_edge_comes_back_from_json() -> None:
    assert Edge.from_dict(json.loads(json.dumps(asdict(MN)))) == MN


def test_labels_and_elements_that_are_unknown() -> None:
    assert [MN.label(name) for name in MN.classes] == [0, 1, 2]
    with pytest.raises(InputError, match=r"Unknown valence 'Mn5\+': expected one of Mn2\+, Mn3\+, Mn4\+\."):
        MN.label("Mn5+")
    with pytest.raises(InputError, match="splitting of Zn is unknown: expected one of Ti, V, Cr, Mn"):
        _ = replace(MN, element="Zn").splitting_ev


def test_the_bins_of_clusters_follow_the_splitting() -> None:
    assert MN.feature_ev.tolist() == list(range(-8, 30))
    assert (MN.l3_features, MN.line_features, MN.above_features) == (
        slice(6, 11),
        slice(5, 24),
        slice(22, 36),
    )
    for element, splitting_ev in SPLITTING_EV.items():
        edge = replace(MN, element=element)
        lines, above = (edge.feature_ev[part] for part in (edge.line_features, edge.above_features))
        assert lines[0] < 0 < splitting_ev < lines[-1]
        assert above[0] > splitting_ev + 2
        assert above[-1] <= edge.feature_ev[-1]
        assert edge.feature_ev[edge.l3_features].tolist() == [-2, -1, 0, 1, 2]

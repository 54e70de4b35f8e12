"""An edge's names become folders and cells of tables, and may be nothing else."""

from dataclasses import replace

import pytest

from mnflow.errors import InputError
from mnflow.spectra import MN
from mnflow.spectra.edge import SPLITTING_EV


@pytest.mark.parametrize(
    "name", ["../../../x", "/x", "..", ".x", "~", "a\\b", "=1+1", "", "x" * 41, "a\nb", "C:x"]
)
def test_a_class_is_a_plain_name(name: str) -> None:
    with pytest.raises(InputError, match="expected a name of letters, digits and signs"):
        replace(MN, classes=(name, "Mn3+", "Mn4+"))


@pytest.mark.parametrize("name", ["Mn2+", "Mn²⁺", "Fe(III) oct.", "V4+_a"])
def test_usual_names_are_taken(name: str) -> None:
    assert replace(MN, classes=(name, "Mn3+", "Mn4+")).classes[0] == name


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

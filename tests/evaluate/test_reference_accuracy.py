"""Accuracy on reference spectra: per fold, mean, and majority vote."""

import numpy as np
import pytest

from mnflow.evaluate.reference_accuracy import reference_accuracy, reference_table, vote
from mnflow.references import References
from mnflow.spectra import UNLABELLED, SpectrumSet
from tests.helpers.spectra import COARSE
from tests.helpers.spectra import spectra as made_up


def _probabilities(*choices: tuple[int, ...]) -> np.ndarray:
    return np.eye(3)[np.array(choices)] * 0.7 + 0.1


def test_references_by_fold_mean_and_vote() -> None:
    probabilities = _probabilities((0, 1, 2, 0), (0, 1, 1, 1), (0, 2, 1, 2))  # (models, spectra, classes)
    result = reference_accuracy(probabilities, np.array([0, 1, 2, -1]))
    np.testing.assert_allclose(result.per_fold, [1, 2 / 3, 1 / 3])
    assert result.mean == pytest.approx(2 / 3)
    assert result.vote == pytest.approx(2 / 3)
    none_known = reference_accuracy(probabilities, np.full(4, -1))
    np.testing.assert_array_equal(
        [*none_known.per_fold, none_known.mean, none_known.vote], np.full(5, np.nan)
    )


def test_the_mean_decides_a_tied_vote() -> None:
    probabilities = np.array([[[0.6, 0.4, 0]], [[0.1, 0.9, 0]]])
    assert vote(probabilities).tolist() == [1]
    most = np.array([[[0.6, 0.4, 0]], [[0.6, 0.4, 0]], [[0, 0, 1.0]]])
    assert vote(most).tolist() == [0]
    # not 1, which nobody chose
    assert vote(np.array([[[0.5, 0.4, 0.1]], [[0.0, 0.45, 0.55]]])).tolist() == [2]


def test_the_table_of_references() -> None:
    spectra = made_up(3, edge=COARSE)
    references = References(spectra, np.array(["Mn2+", "Mn3+", "Mn4+"]), np.array([0, 5, -5]), [])
    table = reference_table(_probabilities((0, 1, 2), (0, 1, 1), (0, 2, 1)), references)
    assert table["vote"].tolist() == ["Mn2+", "Mn3+", "Mn3+"]
    assert table["right"].tolist() == ["yes", "yes", "no"]
    np.testing.assert_allclose(table["agreement"], [1, 2 / 3, 2 / 3])
    np.testing.assert_allclose(table["moved_ev"], [0, 1, -1])
    np.testing.assert_allclose(table["p(Mn2+)"], [0.8, 0.1, 0.1])
    np.testing.assert_allclose(table["p(Mn3+)"], [0.1, 0.1 + 0.7 * 2 / 3, 0.1 + 0.7 * 2 / 3])
    labels = [
        "name",
        "group",
        "valence",
        "vote",
        "agreement",
        "right",
        "moved_ev",
        "p(Mn2+)",
        "p(Mn3+)",
        "p(Mn4+)",
    ]
    assert table.columns.tolist() == labels
    assert table["group"].tolist() == spectra.group.tolist()
    assert table["name"].tolist() == spectra.name.tolist()
    assert table["valence"].tolist() == ["Mn2+", "Mn3+", "Mn4+"]


def test_a_mixed_reference_is_neither_right_nor_wrong() -> None:
    spectra = made_up(3, edge=COARSE)
    mixed = SpectrumSet(spectra.energy_ev, spectra.intensity, [0, UNLABELLED, 1], spectra.group, COARSE)
    references = References(mixed, np.array(["Mn2+", "Mn2+/Mn3+", "Mn3+"]), np.zeros(3, dtype=int), [])
    table = reference_table(_probabilities((0, 1, 2)), references)
    assert table["right"].tolist() == ["yes", "", "no"]

"""Which classes a set of labelled spectra has."""

import numpy as np

from mnflow.spectra import MN, UNLABELLED
from tests.helpers.spectra import spectra


def test_labels_follow_their_classes_when_one_is_not_there() -> None:
    made = spectra(30)
    some = made.select(made.valence != 0)
    some.valence[3] = UNLABELLED
    present = some.present()
    assert present.edge.classes == ("Mn3+", "Mn4+")
    assert present.edge.charges == (3.0, 4.0)
    names = np.array([*present.edge.classes, "none"])
    np.testing.assert_array_equal(names[present.valence], np.array([*MN.classes, "none"])[some.valence])
    np.testing.assert_array_equal(present.intensity, some.intensity)
    np.testing.assert_array_equal(present.name, some.name)


def test_all_classes_or_one_stay_as_they_are() -> None:
    made = spectra(30)
    assert made.present() is made
    one = made.select(made.valence == 1)
    assert one.present() is one

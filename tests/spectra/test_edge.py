"""An edge's names become folders and cells of tables, and may be nothing else."""

from dataclasses import replace

import pytest

from mnflow.errors import InputError
from mnflow.spectra import MN


@pytest.mark.parametrize(
    "name", ["../../../x", "/x", "..", ".x", "~", "a\\b", "=1+1", "", "x" * 41, "a\nb", "C:x"]
)
def test_a_class_is_a_plain_name(name: str) -> None:
    with pytest.raises(InputError, match="expected a name of letters, digits and signs"):
        replace(MN, classes=(name, "Mn3+", "Mn4+"))


@pytest.mark.parametrize("name", ["Mn2+", "Mn²⁺", "Fe(III) oct.", "V4+_a"])
def test_usual_names_are_taken(name: str) -> None:
    assert replace(MN, classes=(name, "Mn3+", "Mn4+")).classes[0] == name

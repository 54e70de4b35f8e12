"""A set of labelled spectra: what it refuses, selects and counts, its digest, and its file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.spectra import MN, UNLABELLED, SpectrumSet
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


def made_of(**changes: Any) -> SpectrumSet:
    """Two spectra of two channels, with `changes`."""
    fields = {"energy_ev": [615, 616], "intensity": [[1, 2], [3, 4]], "valence": [0, 2], "group": ["a", "b"]}
    return SpectrumSet(**{**fields, "edge": MN, **changes})  # type: ignore[arg-type]


def test_lists_become_arrays_and_spectra_get_names() -> None:
    made = made_of(valence=[0, UNLABELLED])
    kinds = [getattr(made, k).dtype.kind for k in ("energy_ev", "intensity", "valence", "group", "name")]
    assert (len(made), kinds, made.intensity.dtype) == (2, ["f", "f", "i", "U", "U"], np.float32)
    assert made.name.tolist() == ["spectrum 0", "spectrum 1"]
    assert made_of(name=["x", "y"]).name.tolist() == ["x", "y"]
    assert made.counts() == {"Mn2+": 1, "Mn3+": 0, "Mn4+": 0}
    one = made_of(name=["x", "y"], source="here").select([1])
    assert (one.intensity.tolist(), one.valence.tolist(), one.group.tolist()) == ([[3, 4]], [2], ["b"])
    assert (one.name.tolist(), one.source, one.edge) == (["y"], "here", MN)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"intensity": [[1, 2]]},
            r"needs intensity \(N, C\), .* got \(1, 2\), \(2,\), \(2,\), \(2,\), \(2,\)",
        ),
        ({"group": ["a"]}, r"needs intensity \(N, C\)"),
        ({"name": ["a"]}, r"needs intensity \(N, C\)"),
        (
            {"energy_ev": [616, 615]},
            r"A SpectrumSet needs a uniform, .* axis of two channels or more; resample first\.$",
        ),
        ({"energy_ev": [615, 616, 618], "intensity": np.ones((2, 3))}, "uniform, increasing energy axis"),
        ({"energy_ev": [615], "intensity": np.ones((2, 1))}, "uniform, increasing energy axis"),
        (
            {"intensity": [[1, 2], [np.nan, 4]]},
            r"^A SpectrumSet holds finite .* mend the spectra with NaN or infinity first\.$",
        ),
        ({"valence": [0, 3]}, r"Labels must lie in 0 \.\.\. 2 \(or -1 for none\)"),
        ({"valence": [0, -2]}, "Labels must lie"),
    ],
)
def test_what_is_no_set_of_spectra(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        made_of(**changes)


def test_the_digest_depends_on_all_that_training_sees() -> None:
    others = [
        made_of(energy_ev=[615, 617]), made_of(intensity=[[1, 2], [3, 5]]), made_of(valence=[0, 1]),
        made_of(group=["a", "c"]), made_of(edge=replace(MN, charges=(2.0, 3.0, 5.0))),
    ]  # fmt: skip
    digests = {made.digest() for made in [made_of(), *others]}
    assert len(digests) == 6
    assert {len(digest) for digest in digests} == {16}
    assert made_of(name=["x", "y"], source="elsewhere").digest() == made_of().digest()


def test_a_set_comes_back_from_its_file(tmp_path: Path) -> None:
    made = replace(spectra(12), source="made up")
    back = SpectrumSet.load(made.save(tmp_path / "a.npz"))
    assert (back.digest(), back.source, back.edge) == (made.digest(), "made up", made.edge)
    assert back.name.tolist() == made.name.tolist()


def test_what_is_no_file_of_a_set(tmp_path: Path) -> None:
    path = spectra(12).save(tmp_path / "a.npz")
    with pytest.raises(InputError, match=r"No dataset at .*none\.npz: expected a \.npz file"):
        SpectrumSet.load(tmp_path / "none.npz")
    with np.load(path) as z:
        arrays = dict(z)
    header = json.loads(str(arrays["header"]))
    for changed, why in (
        ({**arrays, "header": np.array(json.dumps({**header, "format": "other"}))}, "format 'other'"),
        ({k: v for k, v in arrays.items() if k != "group"}, "'group'"),
        ({**arrays, "header": np.array("{")}, "Expecting property name"),
    ):
        np.savez(path, **changed)
        with pytest.raises(InputError, match=rf"is not a dataset of mnflow \({why}.*run the preprocess step"):
            SpectrumSet.load(path)

"""A predictor conditioned on an instrument's own pure spectra reads mixtures of them better."""

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.fit import own_references
from mnflow.fit.mixtures import Materials, mix
from mnflow.fit.own_references import _own_sets, _sound, conditioned, pure_crops
from mnflow.references import References
from mnflow.serve.novelty import locate
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import pretrained
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import load
from mnflow.spectra import MN, UNLABELLED, SpectrumSet
from tests.helpers.nets import made_up_net

SETTINGS = load()


@pytest.fixture(scope="module")
def pure() -> np.ndarray:
    """One foreign instrument's spectra of three pure compounds (3, n_crop), per atom."""
    rng = np.random.default_rng(11)
    materials = Materials.draw(SETTINGS, library_of(SETTINGS), 2, rng, foreign=True)
    return materials.sets(1, rng).pure[0].astype(np.float32)


def references(crops: np.ndarray, valence: list[int], moved: list[int]) -> References:
    text = np.array([MN.classes[k] if k >= 0 else "Mn2+/Mn3+" for k in valence])
    names = np.array([f"{i}.csv" for i in range(len(crops))])
    spectra = SpectrumSet(MN.crop_axis_ev, crops, np.array(valence), names, MN, "own", names)
    return References(spectra, text, np.array(moved), [])


def test_windows_that_moved_apart_are_put_back(pure: np.ndarray) -> None:
    moved = np.roll(pure, -7, axis=1)  # a window that begins 7 channels later
    given = np.stack([pure[0], pure[1], moved[2]])
    found = pure_crops(references(given, [0, 1, 2], [0, 0, 7]))
    for spectrum, first, channels in (
        (found[2][0], pure[2], slice(7, None)),
        (found[0][0], pure[0], slice(None)),
    ):
        kept = first[channels]
        np.testing.assert_allclose(spectrum[channels], (kept - kept.min()) / np.ptp(kept), atol=1e-5)


def test_crops_of_a_class_are_each_from_0_to_1(pure: np.ndarray) -> None:
    given = np.stack([pure[0], 3 * pure[0] + 5, pure[1]])
    found = pure_crops(references(given, [0, 0, 1], [0, 0, 0]))
    np.testing.assert_allclose(found[0][1], found[0][0], atol=1e-5)
    assert (found[0].min(axis=1).tolist(), found[0].max(axis=1).tolist()) == ([0, 0], [1, 1])
    assert {crops.dtype for crops in found.values()} == {np.dtype(np.float32)}


def test_measured_spectra_stand_for_their_class_in_most_sets(
    pure: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They differ a little from set to set, in amount, too; the other classes stay as simulated."""
    monkeypatch.setattr(own_references, "COPIES", 20)
    materials = Materials.draw(SETTINGS, library_of(SETTINGS), 2, np.random.default_rng(0))
    plain = materials.sets(200, np.random.default_rng(1))
    crop = pure_crops(references(pure, [0, 1, 2], [0] * 3))[0]
    made = _own_sets(materials, 200, {0: crop}, SETTINGS, np.random.default_rng(1))
    own = np.isnan(made.thickness)
    assert 0.7 < own.mean() < 0.9
    np.testing.assert_array_equal(made.pure[:, 1:], plain.pure[:, 1:])
    np.testing.assert_array_equal(made.pure[~own], plain.pure[~own])
    assert made.pure.dtype == np.float16
    given = made.pure[own, 0].astype(float)
    likeness = [np.corrcoef(row, crop[0])[0, 1] for row in given]
    assert 0.97 < min(likeness) < max(likeness) <= 1
    amount = given.max(axis=1) / np.median(given.max(axis=1))
    assert 0.05 < amount.std() < 0.1
    assert len(np.unique(amount.round(3))) > 50


def test_mixed_references_are_left_out(pure: np.ndarray) -> None:
    found = pure_crops(references(pure, [0, UNLABELLED, 0], [0, 0, 0]))
    assert {k: len(rows) for k, rows in found.items()} == {0: 2}


def test_refuses_what_nothing_can_be_conditioned_on(pure: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"expected pure spectra of Mn2\+, Mn3\+, Mn4\+.*got Mn2\+/Mn3\+"):
        conditioned(pretrained(), references(pure, [UNLABELLED] * 3, [0] * 3))
    with pytest.raises(InputError, match="need a model with a posterior"):
        conditioned(Predictor(MN, net=made_up_net()), references(pure, [0, 1, 2], [0] * 3))


@pytest.mark.parametrize(
    ("valence", "sentence"),
    [
        ([2, 1, 0], r"of Mn2\+ read as a valence of 3\.\d\d to 4\.00: correct their valence"),
        ([0, 2, 1], r"of Mn3\+ read as .*, those of Mn4\+ as .*: they seem exchanged"),
        ([1, 0, 2], r"of Mn2\+ read as .*, those of Mn3\+ as .*: they seem exchanged"),
    ],
)
def test_labels_that_were_exchanged_are_refused(pure: np.ndarray, valence: list[int], sentence: str) -> None:
    """The model would learn them, and answer Mn2+ to Mn4+ without a flag."""
    with pytest.raises(InputError, match=sentence):
        conditioned(pretrained(), references(pure, valence, [0] * 3))


def test_spoilt_references_are_left_out_and_a_class_of_them_is_refused(pure: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    noise, flat = rng.normal(1, 0.1, pure.shape[1]), np.ones(pure.shape[1])
    cut = np.minimum(pure[2], 0.5 * pure[2].max())
    for bad in (noise, flat, cut):
        with pytest.raises(InputError, match=r"of Mn4\+: expected a spectrum of it, got noise, lines that"):
            conditioned(pretrained(), references(np.stack([pure[0], bad]), [0, 2], [0, 0]))
        found = _sound(pretrained(), references(np.stack([pure[0], bad, pure[2]]), [0, 2, 2], [0, 1, 2]))
        assert found.spectra.name.tolist() == ["0.csv", "2.csv"]
        assert (found.moved_bins.tolist(), found.valence_text.tolist()) == ([0, 2], ["Mn2+", "Mn4+"])


@pytest.mark.slow
def test_mixtures_of_the_references_are_read_better(
    pure: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SETS": 1000, "MATERIALS": 20, "EPOCHS": 6, "CALIBRATED": 1000, "COPIES": 50}.items():
        monkeypatch.setattr(own_references, name, value)
    general = pretrained()
    own = conditioned(general, references(pure, [0, 1, 2], [0] * 3))
    assert own.facts["own_references"] == "1 of Mn2+, 1 of Mn3+, 1 of Mn4+"
    mixtures = mix(np.repeat(pure[None], 300, axis=0), np.random.default_rng(2))
    truth = mixtures.fractions @ np.array(MN.charges)
    before, after = (
        np.sqrt(np.mean((p(mixtures.crops).reading.mean_valence - truth) ** 2)) for p in (general, own)
    )
    assert after < before
    assert own.own_references is not None
    quiet = mix(np.repeat(pure[None], 300, axis=0), np.random.default_rng(3), {0.0: 1e-4, 1.0: 1e-3})
    nearest = own.own_references.nearest(locate(quiet.crops))
    assert np.median(np.abs(nearest - quiet.fractions @ np.array(MN.charges))) < 0.1
    again = conditioned(general, references(pure, [0, 1, 2], [0] * 3))
    np.testing.assert_array_equal(
        again(mixtures.crops).reading.interval, own(mixtures.crops).reading.interval
    )


@pytest.mark.slow
def test_one_class_is_enough_but_gives_no_second_opinion(
    pure: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SETS": 500, "MATERIALS": 5, "EPOCHS": 1, "CALIBRATED": 500, "COPIES": 20}.items():
        monkeypatch.setattr(own_references, name, value)
    own = conditioned(pretrained(), references(pure[:1], [0], [0]))
    assert own.own_references is None
    assert own.facts["own_references"] == "1 of Mn2+"

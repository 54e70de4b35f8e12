"""Folds are disjoint and complete, keep classes or whole groups; no inner split sees a test spectrum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnflow.errors import InputError
from mnflow.folds import Fold, inner_validation, split
from mnflow.spectra import SpectrumSet
from tests.helpers.spectra import COARSE
from tests.helpers.spectra import spectra as made_up


def _check_complete(spectra: SpectrumSet, folds: list[Fold]) -> None:
    tested = np.concatenate([f.test for f in folds])
    assert sorted(tested) == list(range(len(spectra)))
    assert [fold.number for fold in folds] == list(range(len(folds)))
    for fold in folds:
        assert sorted(np.concatenate([fold.train, fold.test])) == list(range(len(spectra)))


@given(n_folds=st.integers(2, 6), seed=st.integers(0, 99), n=st.integers(36, 100))
@settings(max_examples=20, deadline=None)
def test_stratified_folds_have_the_classes_shares(n_folds: int, seed: int, n: int) -> None:
    spectra = made_up(n, edge=COARSE)
    folds = split(spectra, "stratified", n_folds, seed)
    _check_complete(spectra, folds)
    for label in range(3):
        sizes = [(spectra.valence[f.test] == label).sum() for f in folds]
        assert max(sizes) - min(sizes) <= 1


@given(n_folds=st.integers(2, 10), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_grouped_folds_part_no_group_and_have_every_class(n_folds: int, seed: int) -> None:
    spectra = made_up(90, n_groups=30, edge=COARSE)
    folds = split(spectra, "grouped", n_folds, seed)
    _check_complete(spectra, folds)
    for fold in folds:
        assert not set(spectra.group[fold.train]) & set(spectra.group[fold.test])
        assert set(spectra.valence[fold.test]) == {0, 1, 2}


@pytest.mark.parametrize("seed", range(3))
def test_groups_of_unequal_size_fill_folds_evenly(seed: int) -> None:
    sizes = [6, 3, 2, 1] * 3  # of four groups in each class
    valence = np.repeat(np.arange(12) // 4, sizes)
    group = np.repeat([f"image {i}" for i in range(12)], sizes)
    spectra = SpectrumSet(COARSE.wide_axis_ev, made_up(36, edge=COARSE).intensity, valence, group, COARSE)
    for fold in split(spectra, "grouped", 2, seed):
        assert np.bincount(valence[fold.test]).tolist() == [6, 6, 6]


def test_folds_follow_from_the_seed() -> None:
    spectra = made_up(60, edge=COARSE)
    first, again, other = (split(spectra, "stratified", 5, seed) for seed in (1, 1, 2))
    assert all((a.test == b.test).all() for a, b in zip(first, again, strict=True))
    assert any((a.test != b.test).any() for a, b in zip(first, other, strict=True))
    paper, spelled_out = split(spectra), split(spectra, "stratified", 10, 0)
    assert [f.test.tolist() for f in paper] == [f.test.tolist() for f in spelled_out]
    inner = [inner_validation(spectra, first[0], seed=seed).test.tolist() for seed in (1, 1, 2)]
    assert inner[0] == inner[1] != inner[2]
    assert (
        inner_validation(spectra, first[0]).test.tolist()
        == inner_validation(spectra, first[0], share=9, seed=0).test.tolist()
    )


@pytest.mark.parametrize("kind", ["stratified", "grouped"])
def test_inner_validation_lies_in_the_training_part(kind: str) -> None:
    spectra = made_up(120, n_groups=30, edge=COARSE)
    for fold in split(spectra, kind, 5):
        inner = inner_validation(spectra, fold, kind, share=4)
        assert inner.number == fold.number
        assert sorted(np.concatenate([inner.train, inner.test])) == sorted(fold.train)
        if kind == "grouped":
            assert not set(spectra.group[inner.train]) & set(spectra.group[inner.test])


def test_what_cannot_be_divided_gives_a_clear_error() -> None:
    spectra = made_up(60, edge=COARSE, n_groups=12)
    with pytest.raises(InputError, match="stratified, grouped"):
        split(spectra, "random")
    with pytest.raises(InputError, match="two folds"):
        split(spectra, n_folds=1)
    with pytest.raises(InputError, match=r"as many groups of every class; Mn2\+ has 4"):
        split(spectra, "grouped", 5)
    with pytest.raises(InputError, match=r"as many spectra of every class; Mn2\+ has 20"):
        split(spectra, n_folds=21)
    two = spectra.select(spectra.valence != 1)
    with pytest.raises(InputError, match=r"spectra of Mn2\+, Mn4\+ only: run preprocess again"):
        split(two)
    assert len(split(two.present())) == 10
    with pytest.raises(InputError, match=r"two classes or more; there are only Mn4\+\.$"):
        split(spectra.select(spectra.valence == 2))
    unlabelled = SpectrumSet(
        spectra.energy_ev, spectra.intensity, np.full(60, -1), spectra.group, spectra.edge
    )
    with pytest.raises(InputError, match=r"^Some spectra have no valence: .*before training\.$"):
        split(unlabelled)


def test_groups_of_mixed_classes_may_leave_a_fold_without_a_class() -> None:
    # spectra by class
    sizes = {"a": (9, 0, 0), "b": (6, 1, 0), "c": (2, 1, 0), "d": (0, 0, 3), "e": (0, 0, 3)}
    valence = np.concatenate([np.repeat(np.arange(3), n) for n in sizes.values()])
    group = np.repeat(list(sizes), [sum(n) for n in sizes.values()])
    spectra = SpectrumSet(
        COARSE.wide_axis_ev, made_up(len(valence), edge=COARSE).intensity, valence, group, COARSE
    )
    with pytest.raises(InputError, match=r"^Fold 0 has no test spectra of Mn3\+: use fewer folds"):
        split(spectra, "grouped", 2)
    apart = SpectrumSet(
        COARSE.wide_axis_ev, spectra.intensity, valence, np.where(group == "a", "c", group), COARSE
    )
    assert {tuple(sorted(set(apart.group[fold.test]))) for fold in split(apart, "grouped", 2)} == {
        ("b", "d"),
        ("c", "e"),
    }

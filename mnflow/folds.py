"""Which spectra train and which test: stratified or grouped folds, and inner validation."""

from dataclasses import dataclass

import numpy as np

from mnflow.errors import InputError
from mnflow.spectra import UNLABELLED, SpectrumSet
from mnflow.spectra.arrays import Ints

KINDS = ("stratified", "grouped")
"""`stratified` is the paper's; in `grouped` no spectrum image is on both sides."""

N_FOLDS = 10
"""Number of folds, as in the paper."""


@dataclass(frozen=True)
class Fold:
    """One division of a dataset; `train` and `test` index its spectra."""

    number: int
    train: Ints
    test: Ints


def split(spectra: SpectrumSet, kind: str = KINDS[0], n_folds: int = N_FOLDS, seed: int = 0) -> list[Fold]:
    """Divide labelled spectra into folds, each tested once.

    Parameters
    ----------
    spectra : SpectrumSet
        N labelled spectra of two classes or more.
    kind : str
        `stratified`: every fold has the classes' shares. `grouped`: the same as well as whole groups allow.
    n_folds : int
        Two or more.
    seed : int
        Of the shuffle.

    Raises
    ------
    InputError
        If the data cannot be divided like that; the message names the class or group.
    """
    if kind not in KINDS:
        raise InputError(f"Unknown kind of folds {kind!r}: expected one of {', '.join(KINDS)}.")
    _check(spectra, kind, n_folds)
    assign = _stratified if kind == "stratified" else _grouped
    fold_of = assign(spectra, n_folds, seed)  # (N,)
    folds = [Fold(i, np.flatnonzero(fold_of != i), np.flatnonzero(fold_of == i)) for i in range(n_folds)]
    for fold in folds:
        _check_fold(spectra, fold)
    return folds


def inner_validation(
    spectra: SpectrumSet, fold: Fold, kind: str = KINDS[0], share: int = 9, seed: int = 0
) -> Fold:
    """Set aside 1/`share` of a fold's training spectra to choose epochs, schedules and parameters.

    The test spectra of `fold` are on neither side: nothing chosen with this can have seen them.

    Returns
    -------
    Fold
        `train` and `test` (the validation part) index `spectra`; both lie in `fold.train`.
    """
    inner = split(spectra.select(fold.train), kind, share, seed)[0]
    return Fold(fold.number, fold.train[inner.train], fold.train[inner.test])


def _stratified(spectra: SpectrumSet, n_folds: int, seed: int) -> Ints:
    """The fold in which every spectrum is tested; classes have the same shares in all."""
    from sklearn.model_selection import StratifiedKFold  # takes a second, which options must not

    fold_of = np.empty(len(spectra), dtype=np.int64)
    parts = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(
        spectra.intensity, spectra.valence
    )
    for i, (_, test) in enumerate(parts):
        fold_of[test] = i
    return fold_of


def _grouped(spectra: SpectrumSet, n_folds: int, seed: int) -> Ints:
    """The fold in which every spectrum is tested; a group is in one fold only.

    Class by class, the largest group first, each goes to the fold with the fewest spectra of that class: then
    every fold gets a group of every class; scikit-learn's StratifiedGroupKFold does not promise this.
    """
    rng = np.random.default_rng(seed)
    names, group_of = np.unique(spectra.group, return_inverse=True)
    table = np.zeros((len(names), len(spectra.edge.classes)), dtype=np.int64)  # spectra by group and class
    np.add.at(table, (group_of, spectra.valence), 1)
    filled = np.zeros((n_folds, table.shape[1]), dtype=np.int64)
    fold_of_group = np.empty(len(names), dtype=np.int64)
    order = rng.permutation(len(names))
    for g in order[np.argsort(-table[order].sum(axis=1), kind="stable")]:
        label = int(table[g].argmax())
        fold = int(np.lexsort((filled.sum(axis=1), filled[:, label]))[0])
        fold_of_group[g] = fold
        filled[fold] += table[g]
    return fold_of_group[group_of]


def _check(spectra: SpectrumSet, kind: str, n_folds: int) -> None:
    """Raise errors that name the class, where scikit-learn would warn or be vague."""
    if n_folds < 2:
        raise InputError(f"Expected two folds or more, got {n_folds}.")
    if (spectra.valence == UNLABELLED).any():
        raise InputError("Some spectra have no valence: label them all or leave them out before training.")
    counts = spectra.counts()
    present = [name for name, n in counts.items() if n]
    if len(present) < 2:
        raise InputError(
            "Training needs spectra of two classes or more; there are only "
            f"{present[0] if present else 'none'}."
        )
    if len(present) < len(counts):
        raise InputError(
            f"The dataset names the classes {', '.join(counts)} and has spectra of {', '.join(present)} "
            "only: run preprocess again, whose datasets name the classes that are there."
        )
    what = "spectra"
    if kind == "grouped":
        what = "groups"
        counts = {
            name: len(set(spectra.group[spectra.valence == spectra.edge.label(name)])) for name in counts
        }
    for name in counts:
        if counts[name] < n_folds:
            raise InputError(
                f"{n_folds} folds need as many {what} of every class; {name} has {counts[name]}. Use fewer "
                f"folds."
            )


def _check_fold(spectra: SpectrumSet, fold: Fold) -> None:
    """A fold must be able to train on, and test, every class."""
    for side, index in (("training", fold.train), ("test", fold.test)):
        missing = set(range(len(spectra.edge.classes))) - set(spectra.valence[index].tolist())
        if missing:
            names = ", ".join(spectra.edge.classes[i] for i in sorted(missing))
            raise InputError(
                f"Fold {fold.number} has no {side} spectra of {names}: use fewer folds, another seed, or "
                f"more groups."
            )

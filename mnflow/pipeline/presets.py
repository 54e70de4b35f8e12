"""How much of the paper `main` runs: presets, and the cross-validations that each consists of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from mnflow.folds import N_FOLDS
from mnflow.train.settings import parse_augmentation

PAPER_NETS = ("dense", "conv_dense", "fcn")

COMPARED_NETS = (*PAPER_NETS, "fcn_wide")
"""What a quick run trains: the paper's networks, and the wider FCN that may become champion."""

FEATURES = ("fcn", "10x")
"""Network and augmentation whose features are shown by t-SNE, as in the paper."""


@dataclass(frozen=True)
class Cell:
    """One cross-validation of a preset; the fields are those of cv_train's options."""

    arch: str
    augmentation: str
    noise_augmentation: bool
    degraded_copies: int
    folds: str
    n_folds: int
    epochs: int
    seed: int


@dataclass(frozen=True)
class Grid:
    """Cross-validations of every net at every augmentation, with or without noise, for each kind of folds."""

    augmentations: tuple[str, ...]
    noise_augmentations: tuple[bool, ...] = (False,)
    folds: tuple[str, ...] = ("stratified",)
    nets: tuple[str, ...] = PAPER_NETS


@dataclass(frozen=True)
class Preset:
    """Grids, run one after the other, so that a run that is stopped early is of use.

    Attributes
    ----------
    shown : int
        How often a training shows each spectrum, random crops included; the number of epochs follows from it.
    size : str
        Of the simulated dataset.
    resume : bool
        Whether a finished cross-validation of the same data and parameters is taken instead of a new one.
    baselines : tuple of str
        Methods without a network that go through the same folds and evaluations, spectra aligned at L3 first.
    """

    grids: tuple[Grid, ...]
    shown: int
    tsne_iterations: int
    degraded_copies: int
    size: str = "paper"
    n_folds: int = N_FOLDS
    resume: bool = False
    promote: bool = True
    baselines: tuple[str, ...] = ()

    @property
    def folds(self) -> tuple[str, ...]:
        """Kinds of folds, each once."""
        return tuple(dict.fromkeys(kind for grid in self.grids for kind in grid.folds))

    def cells(self, seeds: Sequence[int]) -> list[Cell]:
        """Every cross-validation, in the order in which they run."""
        return [
            Cell(
                arch=arch,
                augmentation=augmentation,
                noise_augmentation=noise,
                degraded_copies=self.degraded_copies,
                folds=folds,
                n_folds=self.n_folds,
                epochs=round(self.shown / max(parse_augmentation(augmentation), 1)),
                seed=seed,
            )
            for seed in seeds
            for grid in self.grids
            for folds, noise, augmentation, arch in product(
                grid.folds, grid.noise_augmentations, grid.augmentations, grid.nets
            )
        ]


_CLAIMED = ("none", "1x", "10x")  # the augmentations that the paper's claims name
_OTHERS = tuple(f"{k}x" for k in range(2, 10))
_PAPER = Preset(
    grids=tuple(
        Grid(augmentations, (False, True), ("stratified", "grouped")) for augmentations in (_CLAIMED, _OTHERS)
    ),
    # on inner validation splits, the FCN's accuracy is 0.991 at 10x; twice as many gave 0.995
    shown=100,
    tsne_iterations=10_000,
    degraded_copies=0,  # only the paper's own augmentations, or its claims could not be judged
    resume=True,
)
_CLAIMS = (
    Grid(_CLAIMED),
    Grid(("10x",), (True,), nets=("fcn",)),
    Grid(("none",), folds=("grouped",)),
    Grid(("none", "10x"), nets=("fcn_antialiased",)),
    Grid(_CLAIMED, nets=("fcn_wide",)),
    Grid(("10x",), (True,), nets=("fcn_wide",)),
    Grid(("none",), folds=("grouped",), nets=("fcn_wide",)),
)
PRESETS = {
    "quick": Preset(
        (Grid(("10x",), (True,), nets=COMPARED_NETS),),
        shown=200,
        tsne_iterations=500,
        degraded_copies=1,
        baselines=("least_squares", "random_forest", "white_lines"),
    ),
    "paper": _PAPER,
    "claims": replace(_PAPER, grids=_CLAIMS, promote=False),
}

"""The whole path: simulate, preprocess, train three nets, evaluate them, and promote the best fully
convolutional one.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from entrypoints import cv_train, noise_eval, preprocess, promote, reference_test, shift_eval, simulate, tsne
from mnflow.errors import InputError
from mnflow.runtime.cli import execute, option

if TYPE_CHECKING:
    from mnflow.track.tracking import Run

ARCHITECTURES = ("dense", "conv_dense", "fcn")
FEATURES = ("fcn", "10x")
"""Net and augmentation whose features are shown by t-SNE, as in the paper."""

SHOWN = {
    "cv/accuracy_mean": "as they are",
    "shift/integrated_accuracy": "shifted",
    "shift/worst_accuracy": "worst shift",
    "noise/accuracy_at_5x": "noise x 5",
    "reference/accuracy_mean": "foreign, mean",
    "reference/accuracy_vote": "foreign, vote",
}
"""Metrics of a CV run that the table at the end shows, and what it calls them."""


@dataclass(frozen=True)
class Options:
    """How much of the paper to run."""

    preset: str = option(
        "quick",
        "quick: three nets at 10x, minutes; paper: the whole grid of nets and augmentations; claims: what "
        "its claims name",
        ("quick", "paper", "claims"),
    )
    settings: str = option("mn", "as in simulate")
    seed: int = option(0, "seed of everything that is drawn")
    seeds: int = option(1, "trainings of every net on the same data, with this seed and those that follow it")
    scheduler: str = option("local", "local, or the address of a Dask cluster (tcp://...)")


@dataclass(frozen=True)
class Grid:
    """Cross-validations of every net at every augmentation, with or without noise, for each kind of folds."""

    augmentations: tuple[str, ...]
    noise_augmentations: tuple[bool, ...] = (False,)
    folds: tuple[str, ...] = ("stratified",)
    nets: tuple[str, ...] = ARCHITECTURES


@dataclass(frozen=True)
class Preset:
    """How much of the paper is run: one grid after the other, so that one that is stopped early is of use.

    `shown` is how often a training shows each spectrum, its random crops counted; the number of epochs
    follows from it.
    """

    grids: tuple[Grid, ...]
    shown: int
    tsne_iterations: int
    degraded_copies: int
    size: str = simulate.Options.size
    n_folds: int = cv_train.Options.n_folds
    resume: bool = (
        False  # take a cross-validation of the same data and parameters that has finished before as it is
    )
    promote: bool = True

    def cells(self, data: str, seeds: Sequence[int], scheduler: str) -> list[cv_train.Options]:
        """Every cross-validation, in the order in which they are done."""
        from mnflow.train.settings import parse_augmentation

        return [
            cv_train.Options(
                arch=arch,
                augmentation=augmentation,
                noise_augmentation=noise,
                degraded_copies=self.degraded_copies,
                folds=folds,
                n_folds=self.n_folds,
                epochs=round(self.shown / max(parse_augmentation(augmentation), 1)),
                seed=seed,
                data=data,
                scheduler=scheduler,
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
    # on inner validation splits, 0.991 of the FCN's spectra right at 10x; twice as many gave 0.995
    shown=100,
    tsne_iterations=10_000,
    degraded_copies=0,  # the paper's own augmentations and no other, or its claims could not be judged
    resume=True,
)
_CLAIMS = (
    Grid(_CLAIMED),
    Grid(("10x",), (True,), nets=("fcn",)),
    Grid(("none",), folds=("grouped",)),
    Grid(("none", "10x"), nets=("fcn_antialiased",)),
)
PRESETS = {
    "quick": Preset((Grid(("10x",), (True,)),), shown=200, tsne_iterations=500, degraded_copies=1),
    "paper": _PAPER,
    "claims": replace(_PAPER, grids=_CLAIMS, promote=False),
}


def run(options: Options) -> str:
    """Run every step as a run of its own, show what came out, and return the id of the run that sums it
    up.
    """
    from mnflow.track import tracking
    from mnflow.track.query import finished_run

    preset = PRESETS[options.preset]
    folds = ",".join(dict.fromkeys(kind for grid in preset.grids for kind in grid.folds))
    with tracking.step(tracking.tags_of("main", folds=folds), f"main {options.preset}", vars(options)) as own:
        if options.seeds < 1:
            raise InputError(f"Option seeds: expected at least 1, got {options.seeds}.")
        terms = {} if preset.resume else _interrupted(own, options)
        folder = f"{simulate.folder_of(options.settings)}-{options.seed}"
        simulate.run(
            simulate.Options(out=folder, size=preset.size, seed=options.seed, settings=options.settings)
        )
        data = preprocess.run(preprocess.Options(source=folder, settings=options.settings))
        own.tags({"dataset_digest": finished_run("preprocess", data).data.tags["dataset_digest"]})
        with _workers(options.scheduler) as scheduler:
            cells = preset.cells(data, range(options.seed, options.seed + options.seeds), scheduler)
            cv_runs = _cross_validate(cells, terms, options.seed)
        named = next(
            run_id
            for run_id, cell in zip(cv_runs, cells, strict=True)
            if (cell.arch, cell.augmentation) == FEATURES
        )
        tsne.run(tsne.Options(run=named, iterations=preset.tsne_iterations, seed=options.seed))
        refused = _promote(options.seed) if preset.promote else ""
        _sum_up(own, cv_runs, refused)
    return own.id


def _workers(scheduler: str) -> AbstractContextManager[str]:
    """The address of the workers that all cross-validations share: they import and compile once."""
    from mnflow.runtime.parallel import local_cluster

    return local_cluster() if scheduler == "local" else nullcontext(scheduler)


def _interrupted(own: "Run", options: Options) -> dict[str, str] | None:
    """Tags by which the cells of an interrupted start of this command, same in code and packages, are known;
    it is marked.
    """
    from mnflow.track import names, provenance, resume

    same = {k: v for k, v in provenance.tags().items() if k != names.PROCESS}
    params = {k: str(v) for k, v in vars(options).items()}
    stopped = [
        r
        for r in resume.stopped_runs({"mnflow.step": "main", **same})
        if r.data.params.items() >= params.items()
    ]
    for orphan in stopped:
        resume.take_up(orphan, own)
    return same if stopped else None


def _cross_validate(cells: Sequence[cv_train.Options], terms: dict[str, str] | None, seed: int) -> list[str]:
    """Train and evaluate every cell, unless a run with the tags `terms` has; returns the ids of the CV runs.

    While the workers train one cell, this process evaluates the one before, on the foreign spectra of `seed`.
    """
    from mnflow.runtime.cli import say

    run_ids: list[str] = []
    with ThreadPoolExecutor(1) as evaluating:
        pending: Future[None] | None = None
        for number, cell in enumerate(cells, start=1):
            say(f"Cross-validation {number} of {len(cells)}: {cv_train.run_name(cell)}")
            known = "" if terms is None else _trained_before(cell, terms)
            run_ids.append(known or cv_train.run(cell))
            if pending:
                pending.result()
            pending = evaluating.submit(_evaluate, run_ids[-1], seed)
        if pending:
            pending.result()
    return run_ids


def _evaluate(run_id: str, seed: int) -> None:
    """Every evaluation of a CV run that it does not carry the numbers of yet."""
    from mnflow.track import tracking

    known = set(tracking.connect().get_run(run_id).data.metrics)
    if "shift/integrated_accuracy" not in known:
        shift_eval.run(shift_eval.Options(run=run_id))
    if "noise/accuracy_at_5x" not in known:
        noise_eval.run(noise_eval.Options(run=run_id))
    if "reference/accuracy_vote" not in known:
        reference_test.run(reference_test.Options(run=run_id, seed=seed))


def _promote(seed: int) -> str:
    """Promote the best net; a gate that refuses it is a result too, and what it says is returned."""
    try:
        promote.run(promote.Options(seed=seed))
    except InputError as refusal:
        return str(refusal)
    return ""


def _trained_before(cell: cv_train.Options, terms: dict[str, str]) -> str:
    """The id of a finished CV run of this cell on the same data, with these tags, or an empty string."""
    from mnflow.runtime.cli import say
    from mnflow.track import cross_validation
    from mnflow.track.query import finished_run, finished_runs

    digest = finished_run("preprocess", cell.data).data.tags["dataset_digest"]
    noise = str(cell.noise_augmentation).lower()
    tags = {
        "arch": cell.arch,
        "augmentation": cell.augmentation,
        "folds": cell.folds,
        "noise_augmentation": noise,
    }
    same = {k: str(getattr(cell, k)) for k in ("epochs", "seed", "n_folds", "degraded_copies", "study")}
    for record in finished_runs(cross_validation.STEP, dataset_digest=digest, **tags, **terms):
        if record.data.params.items() >= same.items():
            say(f"{record.info.run_name}: trained before, taken as it is")
            return str(record.info.run_id)
    return ""


def _sum_up(own: "Run", cv_runs: list[str], refused: str) -> None:
    """Log and print the nets side by side, the alias that was set, and what to try next."""
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from mnflow.promote import registry
    from mnflow.report import summary
    from mnflow.track import tracking

    records = [tracking.connect().get_run(run_id) for run_id in cv_runs]
    rows = [
        {"run": r.info.run_name, **{name: r.data.metrics[key] for key, name in SHOWN.items()}}
        for r in records
    ]
    own.table(pd.DataFrame(rows), "summary")
    for name, figure in summary.figures(records).items():
        own.figure(figure, name)
    table = Table(
        title="Share of spectra whose valence is right (shifted: mean over -5 ... +5 eV; foreign: another laboratory)"
    )
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "run" else "right", no_wrap=name == "run")
    for row in rows:
        table.add_row(*(v if isinstance(v, str) else f"{v:.4f}" for v in row.values()))
    console = Console(width=110)
    console.print(table)
    version = registry.aliased(registry.CHAMPION)
    console.print(
        f"Alias champion of {registry.MODEL}: " + (f"version {version.version}" if version else "not set")
    )
    if refused:
        console.print(refused)
    console.print(
        "Next:  make ui                                                   the runs, curves and figures"
    )
    console.print(
        f"       .venv/bin/mlflow models serve -m models:/{registry.MODEL}@champion     the served model"
    )


if __name__ == "__main__":
    execute(Options, run)

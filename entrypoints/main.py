"""The whole path: simulate, preprocess, train the networks, evaluate them, promote the best FCN."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from entrypoints import cv_train, noise_eval, preprocess, promote, reference_test, shift_eval, simulate, tsne
from entrypoints.baselines import aligned
from mnflow.errors import InputError
from mnflow.pipeline.execution import execute
from mnflow.pipeline.presets import FEATURES, PRESETS, Cell
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """How much of the paper to run."""

    preset: str = option(
        "quick",
        "quick: four networks at 10x, minutes; paper: all networks and augmentations; claims: those that "
        "the paper's claims name",
        tuple(PRESETS),
    )
    settings: str = option(simulate.Options.settings, "as in simulate")
    seed: int = option(0, "seed of all random draws")
    seeds: int = option(1, "trainings per network on the same data, with this seed and the following ones")
    scheduler: str = option(cv_train.Options.scheduler, "local, or the address of a Dask cluster (tcp://...)")


def run(options: Options) -> str:
    """Run every step as a run of its own, print the summary, and return the id of the run that holds it."""
    from mnflow.pipeline import grid
    from mnflow.track import names, tracking
    from mnflow.track.query import finished_run

    preset = PRESETS[options.preset]
    tags = tracking.tags_of("main", folds=",".join(preset.folds))
    if options.seeds < 1:
        raise InputError(f"Option seeds: expected at least 1, got {options.seeds}.")
    with tracking.step(tags, f"main {options.preset}", vars(options)) as own, tracking.nested(own):
        known = {k: str(v) for k, v in vars(options).items()}
        interrupted = not preset.resume and grid.take_up_interrupted(own, known)
        folder = f"{simulate.folder_of(options.settings)}-{options.seed}"
        simulate.run(
            simulate.Options(out=folder, size=preset.size, seed=options.seed, settings=options.settings)
        )
        data = preprocess.run(preprocess.Options(source=folder, settings=options.settings))
        digest = finished_run("preprocess", data).data.tags[names.DATASET_DIGEST]
        own.tags({names.DATASET_DIGEST: digest})
        cells = preset.cells(range(options.seed, options.seed + options.seeds))
        same = {} if preset.resume else grid.same_code()
        plain: list[str] = []
        with _workers(options.scheduler) as scheduler:
            cv_runs = grid.train_and_evaluate(
                cells,
                lambda cell: train(cell, data, scheduler),
                lambda step, run_id: evaluate(step, run_id, options.seed),
                lambda cell: grid.finished_cell(cell, digest, same) if preset.resume or interrupted else None,
                lambda: plain.extend(aligned(preset.baselines, data, preset.n_folds, options.seed)),
            )
        shown = next(
            r for r, cell in zip(cv_runs, cells, strict=True) if (cell.arch, cell.augmentation) == FEATURES
        )
        tsne.run(tsne.Options(run=shown, iterations=preset.tsne_iterations, seed=options.seed))
        outcome = _promote(options.seed) if preset.promote else ""
        grid.print_summary(grid.log_summary(own, [*cv_runs, *plain]))
        own.note(outcome or f"{len(cv_runs)} cross-validations: see tables/summary.csv and the figures.")
    return own.id


def train(cell: Cell, data: str, scheduler: str) -> str:
    """Cross-validate a cell on a preprocess run's data; returns the run's id."""
    return cv_train.run(cv_train.Options(**vars(cell), data=data, scheduler=scheduler))


def evaluate(step: str, run_id: str, seed: int) -> None:
    """Run one evaluation of a cross-validation; `seed` is that of the reference spectra."""
    match step:
        case "shift_eval":
            shift_eval.run(shift_eval.Options(run=run_id))
        case "noise_eval":
            noise_eval.run(noise_eval.Options(run=run_id))
        case "reference_test":
            reference_test.run(reference_test.Options(run=run_id, seed=seed))


def _workers(scheduler: str) -> AbstractContextManager[str]:
    """The address of the workers that all cross-validations share, so that they import and compile once."""
    from mnflow.runtime.parallel import local_cluster

    return local_cluster() if scheduler == "local" else nullcontext(scheduler)


def _promote(seed: int) -> str:
    """Promote the best network; if the gate refuses it, that is a result too. Returns what came of it."""
    from mnflow.track import names, tracking

    try:
        done = promote.run(promote.Options(seed=seed))
    except InputError as refusal:
        return str(refusal)
    return str(tracking.connect().get_run(done).data.tags.get(names.NOTE, ""))


if __name__ == "__main__":
    execute(Options, run)

"""Write labelled spectrum images as .hspy files, one folder a valence, from ligand-field multiplets."""

from dataclasses import dataclass
from pathlib import Path

from mnflow.runtime.cli import execute, option

FOLDER_TAG = "mnflow.folder"
"""Tag of a simulate run: the absolute path of its images."""


@dataclass(frozen=True)
class Options:
    """Simulated spectrum images with substrate, thickness, background, counts, calibration offsets and
    drift.
    """

    out: str = option("data/simulated", "folder to write to")
    size: str = option(
        "paper", "paper: 10/10/15 images of some 5,000 pixels; quick: a few small ones", ("paper", "quick")
    )
    seed: int = option(0, "seed of everything that is drawn")
    settings: str = option(
        "mn", "a settings file with ion, symmetry and parameter ranges, or the name of a shipped one"
    )


def folder_of(settings: str) -> Path:
    """Where images of these settings go unless something else is said: each settings file has a folder of its
    own.
    """
    out = Path(Options.out)
    return out if settings == Options.settings else out.with_name(f"{out.name}-{Path(settings).stem}")


def run(options: Options) -> str:
    """Simulate, log where the images are, and return the run's id."""
    from mnflow.runtime.cli import say
    from mnflow.simulate import simulate_images
    from mnflow.track import provenance, tracking

    out = Path(options.out)
    with tracking.step(
        tracking.tags_of("simulate"), f"simulate {options.size} seed {options.seed}", vars(options)
    ) as run:
        paths = simulate_images(out, options.seed, options.size, Path(options.settings), say)
        run.metrics(
            {"simulate/images": len(paths), "simulate/megabytes": sum(p.stat().st_size for p in paths) / 1e6}
        )
        run.tags({FOLDER_TAG: str(out.resolve()), "images_digest": provenance.files_digest(paths, out)})
        run.file(out / "manifest.csv")
        run.note(
            f"{len(paths)} simulated spectrum images in {options.out} (settings {options.settings}, seed "
            f"{options.seed})."
        )
    return run.id


if __name__ == "__main__":
    execute(Options, run)

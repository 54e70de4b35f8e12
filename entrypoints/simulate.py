"""Write labelled spectrum images as .hspy files, one folder per class, from ligand-field multiplets."""

from dataclasses import dataclass
from pathlib import Path

from mnflow.pipeline.execution import execute
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """Simulated images with substrate, thickness, background, counts, calibration offsets and drift."""

    out: str = option("data/simulated", "folder to write to")
    size: str = option(
        "paper", "paper: 10/10/15 images of some 5,000 pixels; quick: a few small ones", ("paper", "quick")
    )
    seed: int = option(0, "seed of all random draws")
    settings: str = option(
        "mn", "settings file with ion, symmetry and parameter ranges, or a shipped one's name"
    )


def folder_of(settings: str) -> Path:
    """The default folder for images of these settings; each settings file has its own."""
    out = Path(Options.out)
    return out if settings == Options.settings else out.with_name(f"{out.name}-{Path(settings).stem}")


def run(options: Options) -> str:
    """Simulate, log where the images are, and return the run's id."""
    from mnflow.runtime.cli import say
    from mnflow.simulate import simulate_images
    from mnflow.track import names, provenance, tracking

    out = Path(options.out)
    name = f"simulate {options.size} seed {options.seed}"
    with tracking.step(tracking.tags_of("simulate"), name, vars(options)) as run:
        paths = simulate_images(out, options.seed, options.size, Path(options.settings), say)
        megabytes = sum(p.stat().st_size for p in paths) / 1e6
        run.metrics({"simulate/images": len(paths), "simulate/megabytes": megabytes})
        run.tags({names.FOLDER: str(out.resolve()), "images_digest": provenance.files_digest(paths, out)})
        run.file(out / "manifest.csv")
        run.note(
            f"{len(paths)} simulated spectrum images in {options.out} "
            f"(settings {options.settings}, seed {options.seed})."
        )
    return run.id


if __name__ == "__main__":
    execute(Options, run)

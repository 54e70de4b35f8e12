"""Write labelled spectrum images as .hspy files, one folder a valence, from ligand-field multiplets."""

from dataclasses import dataclass
from pathlib import Path

from mnflow.options import execute, option


@dataclass(frozen=True)
class Options:
    """Simulated spectrum images with substrate, thickness, background, counts, calibration offsets and drift."""

    out: str = option("data/simulated", "folder to write to")
    size: str = option("paper", "paper: 10/10/15 images of some 5,000 pixels; quick: a few small ones", ("paper", "quick"))
    seed: int = option(0, "seed of everything that is drawn")
    settings: str = option("default", "default, or a settings file with ion, symmetry and parameter ranges")


def run(options: Options) -> str:
    """Simulate, log where the images are, and return the run's id."""
    from mnflow import plots, tracking
    from mnflow.read import read_source
    from mnflow.simulate import load_settings, simulate_images

    settings = None if options.settings == "default" else Path(options.settings)
    out = Path(options.out)
    with tracking.step(tracking.tags_of("simulate"), f"simulate {options.size} seed {options.seed}", vars(options)) as run:
        paths = simulate_images(out, options.seed, options.size, settings)
        edge = load_settings(settings).edge
        run.metrics({"simulate/images": len(paths), "simulate/bytes": sum(p.stat().st_size for p in paths)})
        run.tags({"mnflow.folder": str(out.resolve())})
        run.file(out / "manifest.csv")
        run.figure(plots.raw_images(read_source(out, edge)), "spectrum_images")
        run.note(f"{len(paths)} simulated spectrum images of {', '.join(edge.classes)} in {options.out} (seed {options.seed}).")
    return run.id


if __name__ == "__main__":
    execute(Options, run)

"""Turn spectra into one dataset: background, rejected substrate and thick pixels, resampling in eV."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mnflow.pipeline.execution import execute
from mnflow.runtime.cli import option

if TYPE_CHECKING:
    from mnflow.spectra import SpectrumSet
    from mnflow.track.tracking import Run


@dataclass(frozen=True)
class Options:
    """Preprocess simulated images, a folder with one folder per class, a manifest, or a published pickle."""

    source: str = option("simulated", "simulated, a folder, a manifest.csv, or a published .pkl file")
    settings: str = option("mn", "settings file of the element, or the name of a shipped one")
    substrate: str = option("auto", "auto, keep, or how many k-means clusters of least edge jump to reject")
    thick: str = option("auto", "auto, keep, or how many of the thickest k-means clusters to reject")
    low_loss: str = option("none", "low losses (dual EELS): a file, or a folder of files of the same names")
    max_bad: float = option(0.1, "share of unusable pixels above which a file is refused")


def run(options: Options) -> str:
    """Preprocess, log the dataset and the pictures of what was kept, and return the run's id."""
    from mnflow.pipeline.datasets import log_preprocessed
    from mnflow.preprocess.pipeline import PreprocessOptions, preprocess
    from mnflow.read.source import list_source, read_source
    from mnflow.runtime.cli import given, say
    from mnflow.simulate.settings import load
    from mnflow.track import tracking

    edge, simulated = load(Path(options.settings)).edge, options.source == "simulated"
    if not simulated:
        list_source(options.source, edge)  # a mistyped path leaves no run
    with tracking.step(tracking.tags_of("preprocess"), f"preprocess {options.source}", vars(options)) as run:
        rules = PreprocessOptions(substrate=options.substrate, thick=options.thick, max_bad=options.max_bad)
        source = _simulated_images(options.settings) if simulated else Path(options.source)
        raws = read_source(source, edge, given(options.low_loss))
        log_preprocessed(run, preprocess(raws, edge, rules, options.source, say), options.source, edge)
    return run.id


def _simulated_images(settings: str) -> Path:
    """The folder of the newest simulated images with these settings; they are simulated if there are none."""
    from entrypoints import simulate
    from mnflow.pipeline.datasets import find_or_make_images

    out = simulate.folder_of(settings)
    options = simulate.Options(out=str(out), settings=settings)
    return find_or_make_images(settings, out, lambda: simulate.run(options))


def find_or_make_dataset(data: str, user: "Run") -> "tuple[SpectrumSet, str]":
    """The dataset that `data` names, and its URI; see `mnflow.pipeline.datasets.find_or_make`."""
    from mnflow.pipeline.datasets import find_or_make

    return find_or_make(data, user, lambda: run(Options()))


if __name__ == "__main__":
    execute(Options, run)

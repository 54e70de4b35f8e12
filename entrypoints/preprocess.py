"""Turn spectrum images or spectra into one dataset: background, substrate and thickness rejection, resampling
in eV.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mnflow.runtime.cli import execute, option

if TYPE_CHECKING:
    from mnflow.spectra import SpectrumSet
    from mnflow.track.tracking import Run


@dataclass(frozen=True)
class Options:
    """Preprocess the simulated images, a folder with one folder a valence, a manifest, or a published
    pickle.
    """

    source: str = option("simulated", "simulated, a folder, a manifest.csv, or a published .pkl file")
    settings: str = option("mn", "settings file of the element, or the name of a shipped one")
    substrate: str = option(
        "auto", "auto, keep (reject none), or how many k-means clusters of least edge jump to reject"
    )
    thick: str = option(
        "auto", "auto, keep (reject none), or how many of the thickest k-means clusters to reject"
    )
    max_bad: float = option(
        0.1, "largest share of unusable pixels (not finite, empty, saturated) before a file is refused"
    )


def run(options: Options) -> str:
    """Preprocess, log the dataset and the pictures of what was kept, and return the run's id."""
    import pandas as pd

    from mnflow import plots
    from mnflow.preprocess.pipeline import FATES, PreprocessOptions, preprocess
    from mnflow.read import read_source
    from mnflow.runtime.cli import say
    from mnflow.simulate.settings import load
    from mnflow.track import tracking
    from mnflow.track.datasets import log_dataset

    with tracking.step(tracking.tags_of("preprocess"), f"preprocess {options.source}", vars(options)) as run:
        rules = PreprocessOptions(substrate=options.substrate, thick=options.thick, max_bad=options.max_bad)
        source = (
            _simulated_images(options.settings) if options.source == "simulated" else Path(options.source)
        )
        edge = load(Path(options.settings)).edge
        done = preprocess(read_source(source, edge), edge, rules, options.source, say)
        spectra = done.spectra
        log_dataset(run, spectra)
        run.dataset(spectra, "preprocessed")
        run.tags({"dataset_digest": spectra.digest()})
        run.metrics({f"preprocess/kept_{name.rstrip('+')}": n for name, n in spectra.counts().items()})
        run.table(
            pd.DataFrame([{"group": i.group, "valence": i.valence, **i.counts} for i in done.images]),
            "pixels",
        )
        run.figure(plots.spectra_per_class(spectra), "spectra")
        run.figure(plots.kept_maps({i.group: i.fate for i in done.images}, FATES), "kept_pixels")
        for name, rounds in done.clusters.items():
            if rounds:
                run.figure(plots.cluster_rounds(rounds), f"clusters_{name.rstrip('+')}")
        run.note(
            f"{len(spectra)} spectra kept of {sum(i.fate.size for i in done.images)} pixels in "
            f"{len(done.images)} files "
            f"({options.source}): {', '.join(f'{n} {name}' for name, n in spectra.counts().items())}."
        )
    return run.id


def _simulated_images(settings: str) -> Path:
    """The folder of the newest simulate run with these settings that still is there; images are simulated if
    there is none.
    """
    from entrypoints import simulate
    from mnflow.runtime.cli import say
    from mnflow.track.query import finished_runs

    for found in finished_runs("simulate"):
        folder = Path(found.data.tags[simulate.FOLDER_TAG])
        if found.data.params["settings"] == settings and (folder / "manifest.csv").is_file():
            return folder
    say(f"There are no simulated images of the settings {settings} yet: making them first.")
    out = simulate.folder_of(settings)
    simulate.run(simulate.Options(out=str(out), settings=settings))
    return out


def find_or_make_dataset(data: str, user: "Run") -> "tuple[SpectrumSet, str]":
    """The dataset that `data` names, and where it is kept (`runs:/ID`).

    Parameters
    ----------
    data : str
        newest: of the newest preprocess run; if there is none, images are simulated and preprocessed first.
        Else the id of a preprocess run, or the path of an .npz file, which becomes an artifact of `user`.
    user : Run
        The run that will use it.
    """
    from mnflow.errors import InputError
    from mnflow.runtime.cli import say
    from mnflow.track.datasets import load_dataset, log_dataset
    from mnflow.track.query import finished_run

    if data.endswith(".npz"):
        spectra = load_dataset(data)
        return spectra, log_dataset(user, spectra)
    try:
        uri = f"runs:/{finished_run('preprocess', data).info.run_id}"
    except InputError:
        if data != "newest":
            raise
        say("There is no dataset yet: simulating one first.")
        uri = f"runs:/{run(Options())}"
    return load_dataset(uri), uri


if __name__ == "__main__":
    execute(Options, run)

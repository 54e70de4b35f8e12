"""Find or make images and datasets, and log a preprocessed dataset."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from mnflow import plots
from mnflow.errors import InputError
from mnflow.preprocess.detector.spikes import spikes_note
from mnflow.preprocess.pipeline import FATES, Preprocessed, missing_classes
from mnflow.runtime.cli import say
from mnflow.spectra import Edge, SpectrumSet
from mnflow.track import names
from mnflow.track.datasets import load_dataset, log_dataset
from mnflow.track.query import finished_run, finished_runs
from mnflow.track.tracking import Run

NEWEST = "newest"
"""Stands for the dataset of the newest preprocess run."""


def find_or_make_images(settings: str, out: Path, make: Callable[[], str]) -> Path:
    """The folder of the newest simulate run with these settings, or `out`, to which `make` simulates."""
    for found in finished_runs("simulate"):
        folder = Path(found.data.tags[names.FOLDER])
        if found.data.params["settings"] == settings and (folder / "manifest.csv").is_file():
            return folder
    say(f"There are no simulated images of the settings {settings} yet: simulating them first.")
    make()
    return out


def find_or_make(data: str, user: Run, make: Callable[[], str]) -> tuple[SpectrumSet, str]:
    """The dataset that `data` names, and its URI (`runs:/ID`).

    Parameters
    ----------
    data : str
        newest: of the newest preprocess run, or of `make` if there is none. Else the id of a preprocess run,
        or the path of an .npz file, which becomes an artifact of `user`.
    user : Run
        The run that will use it.
    make : callable
        Simulates and preprocesses; returns the id of the preprocess run.

    Raises
    ------
    InputError
        If there is no such run or file.
    """
    if data.endswith(".npz"):
        spectra = load_dataset(data).present()
        return spectra, log_dataset(user, spectra)
    try:
        run_id = finished_run("preprocess", data).info.run_id
    except InputError:
        if data != NEWEST:
            raise
        say("There is no dataset yet: simulating one first.")
        run_id = make()
    uri = f"runs:/{run_id}"
    return load_dataset(uri), uri


def log_preprocessed(run: Run, done: Preprocessed, source: str, edge: Edge) -> None:
    """Log a preprocessed dataset, the number of pixels that were kept and rejected, and figures of both.

    `edge` is the expected one: the run's note says which of its classes are missing.
    """
    spectra = done.spectra
    log_dataset(run, spectra)
    run.dataset(spectra, "preprocessed")
    run.tags({names.DATASET_DIGEST: spectra.digest()})
    run.metrics({f"preprocess/kept_{name.rstrip('+')}": n for name, n in spectra.counts().items()})
    rows = [{"group": i.group, "valence": i.valence, **i.counts} for i in done.images]
    run.table(pd.DataFrame(rows), "pixels")
    run.figure(plots.spectra_per_class(spectra), "spectra")
    run.figure(plots.kept_maps({i.group: i.fate for i in done.images}, FATES), "kept_pixels")
    for name, rounds in done.clusters.items():
        if rounds:
            run.figure(plots.cluster_rounds(rounds), f"clusters_{name.rstrip('+')}")
    kept = ", ".join(f"{n} {name}" for name, n in spectra.counts().items())
    run.note(
        f"{len(spectra)} spectra kept of {sum(i.fate.size for i in done.images)} pixels in "
        f"{len(done.images)} files ({source}): {kept}. {_done_to(done)} "
        f"{missing_classes(edge, spectra)}".strip()
    )


def _done_to(done: Preprocessed) -> str:
    """Backgrounds, repairs, and what was assumed in reading, each with the number of its files or pixels."""
    background = Counter(i.position.background for i in done.images)
    said = [f"Background: {', '.join(f'{name} in {n} files' for name, n in background.items())}"]
    if spikes := sum(i.spikes for i in done.images):
        mended = sum(i.counts["mended"] for i in done.images)
        said.append(f"{spikes_note(spikes)} in {mended} of the pixels")
    notes = Counter(note for i in done.images for note in i.notes)
    said += [f"{note[0].upper()}{note[1:]} ({n} files)" for note, n in notes.items()]
    return " ".join(f"{sentence}." for sentence in said)

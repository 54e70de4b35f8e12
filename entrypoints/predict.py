"""Valence maps of a file: every pixel's class, mean valence, confidence and flags, as .hspy and as one
figure.
"""

from dataclasses import dataclass
from pathlib import Path

from mnflow.errors import InputError
from mnflow.runtime.cli import execute, option


@dataclass(frozen=True)
class Options:
    """Which file to read, with which model, and where the maps go."""

    file: str = option(
        "none", "a .hspy, .dm3, .dm4, .emd, .msa or .csv file: an image, a line scan or one spectrum"
    )
    model: str = option("models:/mn-valence@champion", "a registered model's URI")
    out: str = option("data/valence", "folder for FILE_valence.hspy and FILE_valence.png")


def run(options: Options) -> str:
    """Read the file, write and log the maps, and return the run's id."""
    from mnflow import maps, plots
    from mnflow.read import read_file
    from mnflow.runtime.cli import relative, say
    from mnflow.runtime.files import whole_file
    from mnflow.track import provenance, tracking

    if options.file == "none":
        raise InputError("Option file: expected the path of a file with spectra, got none.")
    with tracking.step(
        tracking.tags_of("predict"), f"predict {Path(options.file).name}", vars(options)
    ) as run:
        predictor = maps.load_predictor(options.model)
        raw = read_file(options.file, edge=predictor.edge)
        run.tags({"file_digest": provenance.files_digest([raw.path], raw.path.parent)})
        values = maps.read_valences(raw, predictor, progress=True)
        found = maps.maps_signal(values, maps.signal_of(raw), predictor)
        name = f"{Path(options.file).stem}_valence"
        path = maps.save_maps(found, Path(options.out) / f"{name}.hspy")
        edge = predictor.edge
        figure = plots.valence_maps(
            maps.as_images(found), edge.classes, edge.charges, *maps.pixel_size(found)
        )
        with whole_file(path.with_suffix(".png")) as part:
            figure.savefig(part)
        run.figure(figure, "valence")
        run.file(path, "maps")
        if len(raw) == 1:
            run.figure(plots.saliency(*maps.where_the_nets_looked(raw, predictor)), "saliency")
        metrics, sentence = maps.summary(values, predictor)
        run.metrics(metrics)
        sentence = " ".join([sentence, *(f"{note[0].upper()}{note[1:]}." for note in raw.notes)])
        run.note(f"{raw.path.name}: {sentence}")
        say(f"{raw.path.name}: {sentence}\nwrote {relative(path)} and .png")
    return run.id


if __name__ == "__main__":
    execute(Options, run)

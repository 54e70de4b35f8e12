"""Valence maps of a file: class, mean valence, interval, fractions and flags per pixel, and a figure."""

import math
from dataclasses import dataclass
from pathlib import Path

from mnflow.errors import InputError
from mnflow.pipeline.execution import execute
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """Which file to read, with which model, and where the maps go."""

    file: str = option("none", "a file that HyperSpy reads, or text: an image, a line scan or one spectrum")
    model: str = option("default", "a registered model's URI; default: the champion, else the shipped model")
    low_loss: str = option("none", "a file with the low losses of the same places (dual EELS), if another")
    own_references: str = option("none", "folder of pure spectra of the same instrument to condition on")
    out: str = option("data/valence", "folder for FILE_valence.hspy, .csv, .png and .pdf")


def run(options: Options) -> str:
    """Read the file, write and log the maps, and return the run's id."""
    from mnflow import maps
    from mnflow.read import read_file
    from mnflow.runtime.cli import given, relative, say
    from mnflow.runtime.files import whole_file
    from mnflow.track import provenance, tracking

    if options.file == "none":
        raise InputError("Option file: expected the path of a file with spectra, got none.")
    name = f"predict {Path(options.file).name}"
    with tracking.step(tracking.tags_of("predict"), name, vars(options)) as run:
        predictor = maps.load_predictor(options.model, given(options.own_references))
        raw = read_file(options.file, edge=predictor.edge, low_loss=given(options.low_loss))
        run.tags({"file_digest": provenance.files_digest([raw.path], raw.path.parent)})
        found = maps.maps_of(raw, predictor, progress=True)
        path = Path(options.out) / f"{Path(options.file).stem}_valence.hspy"
        for suffix in (".hspy", ".csv"):
            run.file(found.save(path.with_suffix(suffix)), "maps")
        figure = found.plot()
        for suffix in (".png", ".pdf"):
            with whole_file(path.with_suffix(suffix)) as part:
                figure.savefig(part, format=suffix[1:], dpi=300)
        run.figure(figure, "valence")
        region = found.region()
        metrics = {"predict/spectra": region.n, "predict/flagged": region.n_flagged / region.n}
        if math.isfinite(region.mean_valence):
            metrics["predict/mean_valence"] = region.mean_valence
        run.metrics(metrics)
        sentence = " ".join([f"{region}.", *(f"{note[0].upper()}{note[1:]}." for note in found.notes)])
        run.note(f"{raw.path.name}: {sentence}")
        say(f"wrote {relative(path)}, .csv, .png and .pdf")
    return run.id


if __name__ == "__main__":
    execute(Options, run)

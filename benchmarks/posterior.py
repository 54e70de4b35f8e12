"""Errors, coverage and width of the shipped posterior by noise, thickness, resolution and composition.

`MNFLOW_REAL_DATA=FOLDER python -m benchmarks.posterior [--element mn] [--seeds 5] [--mixtures 6000]`:
materials that the fit and the calibration never saw, and the foreign laboratory's, over several seeds of the
draws; then measured spectra, if there is a folder of them, as a check only. Prints JSON lines: root mean
square error of the mean valence, coverage and mean width of the 90 % interval; the same of t/lambda; and
names: how often one class where no share reaches 60 %.
"""

import argparse
import csv
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import emit
from mnflow.fit.mixture_errors import Read, draw_and_read
from mnflow.read import read_file
from mnflow.serve.answer import answer, in_words
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import PRETRAINED, digest, pretrained
from mnflow.simulate.settings import settings_of
from mnflow.spectra.arrays import Bools

MIXED_BELOW = 0.6
"""Where the largest share is below this, one class is not an answer."""


def bins(read: Read, charges: tuple[float, ...]) -> Iterator[tuple[str, Bools]]:
    """Names of bins, and which of the mixtures lie in each."""
    fractions, noise = read.mixtures.fractions, read.mixtures.noise
    thickness, resolution = read.sets.thickness, read.sets.resolution_ev
    yield "all", np.ones(len(noise), dtype=bool)
    for name, values, edges in (
        ("noise", noise, (0, 0.004, 0.015, 0.03, 1)),
        ("t/lambda", thickness, (-1, 0.01, 0.5, 1.0, 2)),
        ("resolution_ev", resolution, (0, 0.5, 1.0, 3)),
        ("mean_valence", read.truth, (1.99, 2.5, 3.0, 3.5, 4.01)),
    ):
        for low, high in pairwise(edges):
            yield f"{name} {low:g} ... {high:g}", (values >= low) & (values < high)
    for k, charge in enumerate(charges):
        yield f"pure {charge:g}+", fractions[:, k] == 1
    valences = (fractions > 0).sum(axis=1)
    for i in range(len(charges)):
        for j in range(i):
            pair = (fractions[:, i] > 0) & (fractions[:, j] > 0) & (valences == 2)
            yield f"{charges[j]:g}+ with {charges[i]:g}+", pair
    if len(charges) > 2:
        yield "three valences or more", valences > 2


def judge(kind: str, reads: list[Read], classes: tuple[str, ...], charges: tuple[float, ...]) -> None:
    """Emit a line per bin, with the least and greatest coverage over the seeds, and one of the names."""
    for name in dict(bins(reads[0], charges)):
        chosen = [(r, dict(bins(r, charges))[name]) for r in reads]
        error, covered, width = (
            np.concatenate([getattr(r, what)[rows] for r, rows in chosen])
            for what in ("error", "covered", "width")
        )
        by_seed = [float(r.covered[rows].mean()) for r, rows in chosen if rows.any()]
        if len(error):
            emit(
                f"posterior/{kind}", bin=name, n=len(error), rmse=float(np.sqrt((error**2).mean())),
                bias=float(error.mean()), coverage=float(covered.mean()), least=min(by_seed),
                most=max(by_seed),
                width=float(width.mean()),
            )  # fmt: skip
    estimate = np.concatenate([r.reading.t_over_lambda for r in reads])
    thickness = np.concatenate([r.sets.thickness for r in reads])
    inside = (estimate[:, 1] <= thickness + 1e-6) & (thickness - 1e-6 <= estimate[:, 2])
    emit(
        f"posterior/{kind}/t_over_lambda",
        rmse=float(np.sqrt(((estimate[:, 0] - thickness) ** 2).mean())),
        coverage=float(inside.mean()), width=float((estimate[:, 2] - estimate[:, 1]).mean()),
    )  # fmt: skip
    label = np.concatenate([r.reading.label for r in reads])
    fractions = np.concatenate([r.mixtures.fractions for r in reads])
    named, top = label < len(classes), fractions.max(axis=1)
    share = fractions[np.arange(len(label)), np.minimum(label, len(classes) - 1)]
    emit(
        f"posterior/{kind}/names",
        one_class_where_mixed=float(named[top < MIXED_BELOW].mean()),
        mixed_where_mixed=float((label == len(classes))[top < MIXED_BELOW].mean()),
        named_where_pure=float(named[top == 1].mean()),
        right_where_pure_and_named=float((share[named & (top == 1)] == 1).mean()),
        mixed_where_pure=float((label == len(classes))[top == 1].mean()),
    )


def measured(folder: Path) -> Iterator[tuple[str, tuple[float, float] | None, list[dict[str, Any]]]]:
    """Names of measured spectra, bounds of their mean valence as far as chemistry says, and the spectra."""
    pure = {"Mn2+": 2.0, "Mn3+": 3.0, "Mn4+": 4.0}
    with (folder / "digitized" / "manifest.csv").open(newline="") as f:
        for row in csv.DictReader(f):
            charge = pure.get(row["valence"])
            bounds = None if charge is None else (charge, charge)
            yield f"{row['file']} {row['valence']}", bounds, _spectra(folder / "digitized" / row["file"])
    with (folder / "foreign" / "manifest.csv").open(newline="") as f:
        for row in csv.DictReader(f):
            if row["element"] == "Mn":
                path = folder / "foreign" / row["file"]
                yield (
                    f"{row['file']} {row['compound']}",
                    (float(row["low"]), float(row["high"])),
                    _spectra(path),
                )
    yield "coreloss_spectrum.msa La0.7Sr0.3MnO3?", None, _spectra(folder / "vendor" / "coreloss_spectrum.msa")
    mno = sorted((folder / "published").glob("*.pkl"))
    if mno:
        yield f"{mno[0].name} MnO", (2.0, 2.0), _spectra(mno[0])


def _spectra(path: Path) -> list[dict[str, Any]]:
    raw = read_file(path)
    counts = np.asarray(raw.counts).reshape(-1, len(raw.energy_ev))
    return [{"energy_ev": raw.energy_ev, "intensity": row} for row in counts]


def check(predictor: Predictor, folder: Path) -> None:
    """Emit the answers to measured spectra; nothing may be tuned to them."""
    off = []
    for name, bounds, spectra in measured(folder):
        answers = [a for a in answer(predictor, spectra) if a["error"] is None]
        if not answers:
            emit("posterior/measured", spectrum=name, error=answer(predictor, spectra[:1])[0]["error"])
            continue
        valence = np.array([a["mean_valence"] for a in answers])
        interval = np.array([a["interval"] for a in answers])
        row: dict[str, Any] = (
            {"said": in_words(answers[0])} if len(answers) == 1 else {"spectra": len(answers)}
        )
        row |= {"mean_valence": float(valence.mean()), "width": float(np.diff(interval, axis=1).mean())}
        row["flags"] = sorted({flag for a in answers for flag in a["flags"]})
        if bounds:
            inside = (interval[:, 0] <= bounds[1] + 1e-6) & (interval[:, 1] >= bounds[0] - 1e-6)
            row |= {"low": bounds[0], "high": bounds[1], "in_interval": float(inside.mean())}
            if bounds[0] == bounds[1]:
                off.append(float(valence.mean()) - bounds[0])
        emit("posterior/measured", spectrum=name, **row)
    if off:
        emit("posterior/measured/pure", compounds=len(off), rmse=float(np.sqrt(np.mean(np.square(off)))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--element", default="mn")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--mixtures", type=int, default=6000, help="per seed")
    parser.add_argument("--model", type=Path, help="a predictor's .npz instead of the shipped one")
    options = parser.parse_args()
    predictor = Predictor.load(options.model) if options.model else pretrained(options.element)
    settings = settings_of(predictor.edge.element)
    path = options.model or PRETRAINED / f"{options.element.lower()}.npz"
    emit("posterior/model", sha256=digest(path), seeds=options.seeds, mixtures=options.mixtures)
    for kind in ("held_out", "foreign"):
        rngs = [np.random.default_rng([seed, 2]) for seed in range(options.seeds)]
        reads = [
            draw_and_read(predictor, settings, rng, options.mixtures, foreign=kind == "foreign")
            for rng in rngs
        ]
        judge(kind, reads, predictor.edge.classes, predictor.edge.charges)
    folder = os.environ.get("MNFLOW_REAL_DATA")
    if folder and predictor.edge.element == "Mn":
        check(predictor, Path(folder))


if __name__ == "__main__":
    main()

"""Networks trained on simulated spectra alone, tested on measured ones that they never saw.

`MNFLOW_REAL_DATA=FOLDER python -m benchmarks.sim_to_real [--seeds 5] [--folds 10] [--epochs 40]`: an FCN with
the defaults of `cv_train`, on simulated data of every seed. Without the folder, only the foreign laboratory
is reported. Prints one JSON line per seed: accuracy of single folds (mean, least) and of the majority vote.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mnflow import folds
from mnflow.augment.degrade import Degradation, degrade
from mnflow.evaluate.accuracy import predict
from mnflow.evaluate.reference_accuracy import vote
from mnflow.models import keras_nets
from mnflow.preprocess import crop, normalise
from mnflow.preprocess.pipeline import preprocess
from mnflow.read import read_file, read_source
from mnflow.references import References, read_references
from mnflow.simulate import simulate_images, simulate_references
from mnflow.spectra import MN, SpectrumSet
from mnflow.spectra.arrays import Array, Ints
from mnflow.train import cross_validate
from mnflow.train.settings import TrainSettings

THICK = Degradation(thickness=(0.7, 1.3), blur_ev=(0.5, 1.5))
SHIFTS = range(-50, 51)


def simulated(seed: int) -> SpectrumSet:
    """Training data of a seed."""
    with tempfile.TemporaryDirectory() as folder:
        simulate_images(Path(folder), seed)
        return preprocess(read_source(folder, MN), MN).spectra


def foreign(seed: int) -> SpectrumSet:
    """References of the foreign laboratory on the crop window (N, n_crop)."""
    with tempfile.TemporaryDirectory() as folder:
        simulate_references(Path(folder), seed)
        return read_references(folder, MN).spectra


def scores(probabilities: Array, valence: Ints) -> dict[str, float]:
    """Accuracy of single folds and of their vote; probabilities are (folds, N, K)."""
    single = (probabilities.argmax(axis=-1) == valence).mean(axis=1)
    majority = float((vote(probabilities) == valence).mean())
    return {
        "mean": round(float(single.mean()), 4),
        "least": round(float(single.min()), 4),
        "vote": round(majority, 4),
    }


def mixed(references: References, found: Array) -> dict[str, Any]:
    """Mean probabilities of spectra of two valences, and the share of them that lies on these two classes.

    `both first`: how many have the two right classes before the others.
    """
    out: dict[str, Any] = {}
    both_first = 0
    for name, text, p in zip(
        references.spectra.name, references.valence_text, found.mean(axis=0), strict=True
    ):
        right = [MN.label(part) for part in text.split("/") if part in MN.classes]
        if len(right) == 2:
            both_first += set(np.argsort(p)[-2:]) == set(right)
            out[f"{name} {text}"] = [*p.round(3).tolist(), round(float(p[right].sum()), 3)]
    return out | {"both first": both_first}


def real(nets: list[Any], data: Path) -> dict[str, Any]:
    """Predictions of measured spectra."""
    raw = read_file(next((data / "published").glob("*.pkl")), "Mn2+", "MnO", MN)
    mno = SpectrumSet(
        raw.energy_ev, np.asarray(raw.counts), np.zeros(len(raw), int), np.full(len(raw), "MnO")
    )
    by_shift = np.array([(predict(nets, crop(mno, s)).argmax(axis=-1) == 0).mean(axis=1) for s in SHIFTS])
    thick = SpectrumSet(
        mno.energy_ev, degrade(mno.intensity, 0.1, np.random.default_rng(0), THICK), mno.valence, mno.group
    )
    digitized = read_references(data / "digitized", MN)
    found = predict(nets, normalise(digitized.spectra.intensity))
    single = digitized.spectra.valence >= 0
    return {
        "MnO": scores(predict(nets, crop(mno)), mno.valence),
        "MnO, worst shift": {
            "mean": round(float(by_shift.mean(axis=1).min()), 4),
            "least": round(float(by_shift.min()), 4),
        },
        "MnO made thick": scores(predict(nets, crop(thick)), mno.valence),
        "digitized": scores(found[:, single], digitized.spectra.valence[single]),
        "digitized, mixed": mixed(digitized, found),
    }


def run(seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Simulate, train and ask, for one seed."""
    spectra = simulated(seed)
    parts = folds.split(spectra, seed=seed)[: args.folds]
    settings = TrainSettings(epochs=args.epochs, seed=seed)
    found = cross_validate.train_folds(spectra, parts, settings, args.workers)
    nets = [keras_nets.from_bytes(f.model) for f in found]
    other = [foreign(1000 + 10 * seed + i) for i in range(5)]
    crops, valence = np.concatenate([o.intensity for o in other]), np.concatenate([o.valence for o in other])
    thick = degrade(crops, 0.1, np.random.default_rng(seed), THICK)
    out: dict[str, Any] = {
        "seed": seed, "kept": spectra.counts(), "folds": args.folds, "epochs": args.epochs,
        "own folds": round(float(np.mean([f.accuracy for f in found])), 4),
        "foreign": scores(predict(nets, normalise(crops)), valence),
        "foreign made thick": scores(predict(nets, normalise(thick)), valence),
    }  # fmt: skip
    data = os.environ.get("MNFLOW_REAL_DATA")
    return out | (real(nets, Path(data)) if data else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("seeds", 5),
        ("folds", 10),
        ("epochs", TrainSettings.epochs),
        ("workers", 0),
        ("first_seed", 1),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        print(json.dumps(run(seed, args)), flush=True)


if __name__ == "__main__":
    main()

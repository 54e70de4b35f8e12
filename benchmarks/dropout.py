"""What the paper's dropout of 0.8 before the last convolution costs the fully convolutional net.

Run it with `python -m benchmarks.dropout RUN_ID`, the id of a preprocess run: ten-fold cross-validations at
10x as the preset paper of `main` trains them, with less dropout and without. Nothing is chosen by what comes
out. Prints JSON lines: accuracy unshifted, mean and worst over shifts, with five times the noise.
"""

import argparse
from itertools import product

from benchmarks.measure import emit
from mnflow import folds
from mnflow.augment.pca_noise import MAX_NOISE_SCALE
from mnflow.evaluate.accuracy import noise_accuracy, shift_accuracy
from mnflow.models import keras_nets
from mnflow.runtime import parallel
from mnflow.spectra import SpectrumSet
from mnflow.track.datasets import load_dataset
from mnflow.train import cross_validate
from mnflow.train.settings import TrainSettings

DROPOUTS = (0.8, 0.5, 0.0)


def judge(spectra: SpectrumSet, settings: TrainSettings, scheduler: str) -> dict[str, float]:
    """Accuracies of a cross-validation with these settings."""
    parts = folds.split(spectra)
    trained = cross_validate.train_folds(spectra, parts, settings, scheduler=scheduler)
    nets = [keras_nets.from_bytes(result.model) for result in trained]
    _, shifted = shift_accuracy(nets, spectra, parts)  # (folds, shifts)
    return {
        "accuracy": sum(result.accuracy for result in trained) / len(trained),
        "shift_mean": float(shifted.mean()),
        "shift_worst": float(shifted.mean(axis=0).min()),
        "noise_at_5x": float(noise_accuracy(nets, spectra, parts, [MAX_NOISE_SCALE]).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="id of a preprocess run")
    spectra = load_dataset(f"runs:/{parser.parse_args().run}")
    with parallel.local_cluster() as scheduler:
        for noise, dropout in product((False, True), DROPOUTS):
            settings = TrainSettings(noise_augmentation=noise, degraded_copies=0, epochs=10, dropout=dropout)
            emit("dropout", dropout=dropout, noise_augmentation=noise, **judge(spectra, settings, scheduler))


if __name__ == "__main__":
    main()

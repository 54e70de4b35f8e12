"""A million raw spectra to valence maps, compared with `model.predict` on ready crops.

Run it with `python -m benchmarks.prediction [--quick]`. Memory is the whole process's, before Keras starts.
"""

import argparse
import resource
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.measure import emit, machine, median_seconds
from mnflow.fit.out_of_distribution import PLANES
from mnflow.maps.pixels import place_image, read_pixels
from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.serve.novelty import Novelty
from mnflow.serve.numpy_nets import from_keras
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import pretrained
from mnflow.spectra import MN, RawSpectra
from mnflow.spectra.axis import axis_ev

ENERGY_EV = axis_ev(610.0, 800, 0.1)
CHUNK = 10_000
FOLDS = 10
BATCHES = (32, 1024)
"""Batch sizes of `model.predict`: its default, and one that suits it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="50,000 spectra instead of a million, one net by `predict`, times ten",
    )
    options = parser.parse_args()
    emit("machine", **machine())
    n = 50_000 if options.quick else 1_000_000
    nets = [keras_nets.build(design("fcn")) for _ in range(FOLDS)]
    predictor = _predictor(from_keras(nets))
    raw = raw_spectra(n)
    where = place_image(raw, predictor)
    read_pixels(raw_spectra(CHUNK), predictor, where)
    seconds = median_seconds(lambda: read_pixels(raw, predictor, where), 1).wall
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    emit("prediction/maps", spectra=n, seconds=seconds, per_million_s=seconds / n * 1e6, peak_mb=peak_mb)
    crops = np.random.default_rng(0).normal(size=(20_000, MN.n_crop)).astype(np.float32)
    n_models = 1 if options.quick else FOLDS
    for batch in BATCHES:
        for net in nets[:n_models]:
            net.predict(crops[:batch], batch_size=batch, verbose=0)  # compiles
        theirs = median_seconds(partial(_predict_all, nets[:n_models], crops, batch), 1).wall
        per_million = theirs / len(crops) * 1e6 * FOLDS / n_models
        emit(
            "prediction/keras",
            batch=batch,
            per_million_s=per_million,
            ratio=per_million / (seconds / n * 1e6),
        )


def _predict_all(nets: list, crops: np.ndarray, batch: int) -> None:
    for net in nets:
        net.predict(crops, batch_size=batch, verbose=0)


def _predictor(net: object) -> Predictor:
    """Ten networks and the second opinions; their answers do not matter for speed."""
    rng = np.random.default_rng(0)
    shapes = ((86,), (8, 86), (86, PLANES), (PLANES,), (PLANES,))
    novelty = Novelty(*(rng.normal(size=s).astype(np.float32) for s in shapes))  # type: ignore[arg-type]
    return Predictor(MN, pretrained("Mn").posterior, net, 1.0, novelty)  # type: ignore[arg-type]


def raw_spectra(n: int) -> RawSpectra:
    """A lazy file of `n` spectra of 800 channels with background, made chunk by chunk."""
    import dask.array as da

    edge = (
        np.exp(-((ENERGY_EV - 642) ** 2)) + 0.4 * np.exp(-((ENERGY_EV - 653) ** 2)) + 0.1 * (ENERGY_EV > 642)
    )
    tile = 1000 * (edge + 5 * (ENERGY_EV / 640) ** -3.0) + np.random.default_rng(0).normal(
        0, 30, (CHUNK, len(ENERGY_EV))
    )
    tile = tile.astype(np.float32)
    counts = da.map_blocks(
        lambda: tile,
        chunks=((CHUNK,) * (n // CHUNK), (len(ENERGY_EV),)),
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    )
    return RawSpectra(ENERGY_EV, counts, (n,), None, "made up", Path("made up"))


if __name__ == "__main__":
    main()

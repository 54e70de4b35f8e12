"""The shift test of ten models beside 101 calls of `model.predict` for each; prints JSON lines.

Run it with `python -m benchmarks.evaluation [--quick]`.
"""

import argparse

import numpy as np

from benchmarks.measure import emit, machine, median_seconds, spectra
from mnflow import evaluate, folds, models
from mnflow.preprocess import crop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one model by `predict` instead of ten, times ten")
    options = parser.parse_args()
    some = spectra(2001)
    parts = folds.split(some)
    nets = [models.build("fcn") for _ in parts]

    def by_predict(n_models: int) -> None:
        for net, fold in list(zip(nets, parts, strict=True))[:n_models]:
            tested = some.select(fold.test)
            for shift in range(-50, 51):
                net.predict(crop(tested, shift), verbose=0)

    def ours() -> None:
        evaluate.shift_accuracy(nets, some, parts)

    emit("machine", **machine())
    first = median_seconds(ours, 1)
    again = median_seconds(ours)
    n_models = 1 if options.quick else len(nets)
    theirs = median_seconds(lambda: by_predict(n_models), 1) * len(nets) / n_models
    emit("evaluation/shift", seconds=first, seconds_again=again, predict_seconds=theirs, ratio=theirs / first,
         ratio_again=theirs / again, spectra=int(np.sum([len(f.test) for f in parts]) * 101))  # fmt: skip


if __name__ == "__main__":
    main()

"""The shift test of ten models compared with 101 calls of `model.predict` for each; prints JSON lines.

Ratios are of wall times and of processor seconds, which other work on the machine changes little.

Run it with `python -m benchmarks.evaluation [--quick]`.
"""

import argparse

from benchmarks.measure import emit, machine, median_seconds, spectra
from mnflow import folds
from mnflow.evaluate.accuracy import shift_accuracy
from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.preprocess import crop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one model by `predict` instead of ten, times ten"
    )
    options = parser.parse_args()
    some = spectra(2001)
    parts = folds.split(some)
    nets = [keras_nets.build(design("fcn")) for _ in parts]

    def by_predict(n_models: int) -> None:
        for net, fold in list(zip(nets, parts, strict=True))[:n_models]:
            tested = some.select(fold.test)
            for shift in range(-50, 51):
                net.predict(crop(tested, shift), verbose=0)

    def ours() -> None:
        shift_accuracy(nets, some, parts)

    emit("machine", **machine())
    first = median_seconds(ours, 1)
    again = median_seconds(ours)
    n_models = 1 if options.quick else len(nets)
    theirs = median_seconds(lambda: by_predict(n_models), 1).times(len(nets) / n_models)
    for name, mine in (("evaluation/shift", first), ("evaluation/shift_compiled_before", again)):
        emit(name, seconds=mine.wall, predict_seconds=theirs.wall, ratio=theirs.wall / mine.wall,
        cpu_seconds=mine.cpu,
             predict_cpu_seconds=theirs.cpu, ratio_of_cpu_seconds=theirs.cpu / mine.cpu)  # fmt: skip


if __name__ == "__main__":
    main()

"""What a wrong dispersion costs: errors, coverage and width of the shipped posterior over its error.

`python -m benchmarks.dispersion [--mixtures 6000] [--seed 0]`: mixtures of materials set aside, and of the
foreign laboratory's, whose energies are stretched about the middle of the crop by -10 to +10 %, with noise
after that. Prints JSON lines: root mean square error, bias, coverage and mean width of the 90 % interval, and
the shares that are flagged and that the white lines contradict.
"""

import argparse
from dataclasses import replace

import numpy as np

from benchmarks.measure import emit
from mnflow.fit.mixture_errors import QUIET, draw_and_read
from mnflow.fit.mixtures import NOISE, Conditions
from mnflow.preprocess.crops import normalise
from mnflow.serve.pretrained import pretrained
from mnflow.simulate.settings import settings_of

ERRORS = (-0.1, -0.05, 0.0, 0.05, 0.1)
CONDITIONS = Conditions(dispersion_error=0.0, wild=0.0, spikes=0.0, short=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixtures", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    predictor = pretrained("Mn")
    for kind in ("held_out", "foreign"):
        rng = np.random.default_rng([options.seed, 4])
        clean = draw_and_read(
            predictor, settings_of("Mn"), rng, options.mixtures, kind == "foreign", QUIET, CONDITIONS
        )
        mixed = clean.mixtures.crops
        noise = NOISE[0.5] * np.ptp(mixed, axis=1)[:, None] * rng.standard_normal(mixed.shape)
        channel = np.arange(mixed.shape[1]) - mixed.shape[1] / 2
        for error in ERRORS:
            crops = np.stack([np.interp(channel * (1 + error), channel, crop) for crop in mixed])
            found = predictor(normalise((crops + noise).astype(np.float32)))
            read = replace(clean, reading=found.reading)
            emit(
                f"dispersion/{kind}", error=error, n=len(mixed), rmse=float(np.sqrt((read.error**2).mean())),
                bias=float(read.error.mean()), coverage=float(read.covered.mean()),
                width=float(read.width.mean()), flagged=float(found.strange.any(axis=1).mean()),
                contradicted=float(found.contradicted.mean()),
            )  # fmt: skip


if __name__ == "__main__":
    main()

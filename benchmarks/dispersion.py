"""What a wrong dispersion costs: errors, coverage and width of the shipped posterior over its error.

`python -m benchmarks.dispersion [--mixtures 1500] [--seed 0]`: mixtures of materials set aside, and of the
foreign laboratory's, whose energies are stretched about the middle of the crop by -10 to +10 %, with noise
after that. Prints JSON lines: root mean square error, bias, coverage and mean width of the 90 % interval, and
the share that is flagged.
"""

import argparse

import numpy as np

from benchmarks.measure import emit
from mnflow.fit import mixtures
from mnflow.fit.mixtures import Materials, mix, parted
from mnflow.preprocess.window import normalise
from mnflow.serve.pretrained import pretrained
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import settings_of

ERRORS = (-0.1, -0.05, 0.0, 0.05, 0.1)
NOISE = 0.0083
"""Of the peak: the median of acquired spectra."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixtures", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    predictor = pretrained("Mn")
    settings, library = settings_of("Mn"), library_of(settings_of("Mn"))
    mixtures.DISPERSION_ERROR, mixtures.WILD, mixtures.SHORT, mixtures.SPIKES = 0.0, 0.0, 0.0, 0.0
    for kind in ("held_out", "foreign"):
        rng = np.random.default_rng([options.seed, 4])
        foreign = kind == "foreign"
        materials = Materials.draw(settings, library if foreign else parted(library)[2], 300, rng, foreign)
        mixed = mix(materials.sets(options.mixtures, rng).pure, rng, {0.0: 1e-4, 1.0: 1e-4})
        truth = mixed.fractions @ np.array(predictor.edge.charges)
        noise = NOISE * np.ptp(mixed.crops, axis=1)[:, None] * rng.standard_normal(mixed.crops.shape)
        channel = np.arange(mixed.crops.shape[1]) - mixed.crops.shape[1] / 2
        for error in ERRORS:
            crops = np.stack([np.interp(channel * (1 + error), channel, crop) for crop in mixed.crops])
            found = predictor(normalise((crops + noise).astype(np.float32)))
            off = found.reading.mean_valence - truth
            low, high = found.reading.interval.T
            emit(
                f"dispersion/{kind}", error=error, n=len(off), rmse=float(np.sqrt((off**2).mean())),
                bias=float(off.mean()),
                coverage=float(((low <= truth + 1e-6) & (truth - 1e-6 <= high)).mean()),
                width=float((high - low).mean()), flagged=float(found.strange.any(axis=1).mean()),
            )  # fmt: skip


if __name__ == "__main__":
    main()

"""What a low loss is worth: errors of the shipped posterior over thickness, with and without it.

`python -m benchmarks.dual_eels [--mixtures 6000] [--seed 0]`: the same mixtures of materials set aside, and
of the foreign laboratory's, behind t/lambda of 0 to 1.5 (plural scattering only, no further blur), with noise
after that; then without plural scattering, by a low loss of 1e6 counts. Prints JSON lines: root mean square
error and bias of the mean valence, and the mean t/lambda measured.
"""

import argparse
from dataclasses import replace

import numpy as np

from benchmarks.measure import emit
from mnflow.fit.mixture_errors import QUIET, draw_and_read
from mnflow.fit.mixtures import NOISE, Conditions
from mnflow.preprocess.crops import normalise
from mnflow.preprocess.low_loss import thickness, without_plural_scattering
from mnflow.serve.pretrained import pretrained
from mnflow.simulate.physics.scattering import convolve, plural_factor
from mnflow.simulate.settings import settings_of
from mnflow.spectra.arrays import Array

THICKNESSES = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5)
CONDITIONS = Conditions(thickness=(0.0, 0.0), x_ray=0.0, spikes=0.0, short=0.0)

_LOW_EV = np.arange(-20.0, 120.0, 0.1)
_COUNTS = 1e6
_GROUP = 50  # mixtures that share a single-scattering distribution


def thickened(thin: Array, t: float, single: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Edges (n, C) behind a thickness, and their low losses (n, L) as counted."""
    n_fft = 8192
    factor = plural_factor(single, np.array([t]), n_fft)
    thick = convolve(thin, factor, n_fft)
    zero_loss = np.exp(-0.5 * (_LOW_EV / 0.3) ** 2)
    low = convolve(zero_loss[None] / zero_loss.sum(), factor, n_fft)
    return thick, rng.poisson(_COUNTS * np.maximum(np.repeat(low, len(thin), axis=0), 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixtures", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    predictor = pretrained("Mn")
    settings, step_ev = settings_of("Mn"), predictor.edge.dispersion_ev
    for kind in ("held_out", "foreign"):
        rng = np.random.default_rng([options.seed, 3])
        foreign = kind == "foreign"
        clean = draw_and_read(predictor, settings, rng, options.mixtures, foreign, QUIET, CONDITIONS)
        mixed = clean.mixtures.crops
        scattering = settings.foreign.scattering if foreign else settings.scattering
        thin = mixed - np.median(mixed[:, :20], axis=1, keepdims=True)
        singles = [scattering.draw(1200, step_ev, rng) for _ in range(0, len(thin), _GROUP)]
        for t in THICKNESSES:
            noise = np.random.default_rng(options.seed).standard_normal(thin.shape)
            raw, mended, measured = [], [], []
            for i, single in enumerate(singles):
                rows = slice(i * _GROUP, (i + 1) * _GROUP)
                thick, low = thickened(thin[rows], t, single, rng)
                thick = thick + NOISE[0.5] * thick.max(axis=1, keepdims=True) * noise[rows]
                raw.append(thick)
                mended.append(without_plural_scattering(step_ev, thick, _LOW_EV, low))
                measured.append(thickness(_LOW_EV, low))
            for with_low_loss, parts in ((False, raw), (True, mended)):
                crops = normalise(np.concatenate(parts).astype(np.float32))
                error = replace(clean, reading=predictor(crops).reading).error
                emit(
                    f"dual_eels/{kind}", thickness=t, low_loss=with_low_loss, n=len(error),
                    rmse=float(np.sqrt((error**2).mean())), bias=float(error.mean()),
                    measured=float(np.mean(np.concatenate(measured))),
                )  # fmt: skip


if __name__ == "__main__":
    main()

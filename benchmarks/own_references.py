"""What references of the same instrument bring: errors before and after conditioning, simulated instruments.

`python -m benchmarks.own_references [--instruments 4] [--mixtures 300]`: each instrument is of the foreign
laboratory, with one reference of each class; specimens are mixtures of the same compounds, up to `THICKER` in
t/lambda thicker. Prints JSON lines: error of the mean valence, coverage and width of its interval, before and
after; error of the nearest mixture of references; share that it contradicts; seconds of one core.
"""

import argparse
import time

import numpy as np

from benchmarks.measure import emit
from mnflow.augment.degrade import Degradation, degrade
from mnflow.fit.mixtures import Materials, Mixtures, draw_fractions, mix
from mnflow.fit.own_references import conditioned
from mnflow.references import References
from mnflow.serve.novelty import locate
from mnflow.serve.pretrained import pretrained
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import settings_of
from mnflow.spectra import MN, SpectrumSet

THICKER = 0.4
"""Within what `mnflow.fit.own_references.DIFFERENCE` allows for."""


def instrument(seed: int, n: int) -> tuple[References, Mixtures]:
    """References of an instrument, one of each class, and `n` mixtures of the same compounds."""
    settings, rng = settings_of("mn"), np.random.default_rng([seed, 8])
    materials = Materials.draw(settings, library_of(settings), 2, rng, foreign=True)
    pure = materials.sets(1, rng).pure[0].astype(np.float32)
    fractions = draw_fractions(n, len(pure), rng)
    thicker = Degradation(thickness=(0, THICKER), blur_ev=(0, 0.2), tail_share=(0, 0.05), stretch=(0, 0))
    specimens = degrade((fractions @ pure).astype(np.float32), MN.dispersion_ev, rng, thicker)
    mixtures = mix(specimens[:, None], rng, fractions=np.ones((n, 1)))
    names = np.array([f"{name}.csv" for name in MN.classes])
    spectra = SpectrumSet(MN.crop_axis_ev, pure, np.arange(len(pure)), names, MN, "own", names)
    found = References(spectra, np.array(MN.classes), np.zeros(len(pure), dtype=int), [])
    return found, Mixtures(mixtures.crops, fractions, mixtures.noise)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instruments", type=int, default=4)
    parser.add_argument("--mixtures", type=int, default=300, help="per instrument")
    options = parser.parse_args()
    general = pretrained("mn")
    for seed in range(options.instruments):
        references, mixtures = instrument(seed, options.mixtures)
        truth = mixtures.fractions @ np.array(MN.charges)
        start = time.process_time()
        own = conditioned(general, references)
        seconds = time.process_time() - start
        for name, predictor in (("before", general), ("after", own)):
            outcome = predictor(mixtures.crops)
            low, high = outcome.reading.interval.T
            emit(
                f"own_references/{name}", instrument=seed,
                rmse=float(np.sqrt(((outcome.reading.mean_valence - truth) ** 2).mean())),
                coverage=float(((low <= truth + 1e-6) & (truth - 1e-6 <= high)).mean()),
                width=float((high - low).mean()),
            )  # fmt: skip
        assert own.own_references is not None
        nearest, reading = own.own_references.nearest(locate(mixtures.crops)), own(mixtures.crops).reading
        emit(
            "own_references/nearest_mixture", instrument=seed, seconds=seconds,
            rmse=float(np.sqrt(((nearest - truth) ** 2).mean())),
            contradicts=float(own.own_references.contradicts(locate(mixtures.crops), reading).mean()),
        )  # fmt: skip


if __name__ == "__main__":
    main()

"""Answers to spectra that hold little before L3 and after L2, with a background that cannot be fitted.

`python -m benchmarks.short_windows [--mixtures 600] [--seed 0]`: spectra of materials set aside at 0.3 to 2 %
noise, on a power law of 0.5 to 4 times the edge's height with an exponent of 2.2 to 4, on a flat level of as
much, or on none, cut to windows around L3. Prints JSON lines: the shares flagged or refused, and of the
others the root mean square error of the mean valence, coverage and mean width of the interval, and the share
that is off by more than 0.35 and outside of it.
"""

import argparse

import numpy as np

from benchmarks.detector_faults import ENERGY_EV, wide_edges
from benchmarks.measure import emit
from mnflow.maps.valence_maps import UNCOUNTED
from mnflow.serve.answer import answer
from mnflow.serve.pretrained import pretrained

WINDOWS_EV = ((-30, 30), (-6, 20), (-3, 16), (-3, 15.2))
"""From L3."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixtures", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    predictor, n = pretrained("Mn"), options.mixtures
    rng = np.random.default_rng([options.seed, 7])
    wide, l3_ev, noise, truth = wide_edges(predictor, rng, n)
    noisy, level = wide + noise * rng.standard_normal(wide.shape), rng.uniform(0.5, 4, (n, 1))
    power_law = (ENERGY_EV / 642) ** -rng.uniform(2.2, 4, (n, 1))
    for low, high in WINDOWS_EV:
        inside = (l3_ev[:, None] + low <= ENERGY_EV) & (l3_ev[:, None] + high >= ENERGY_EV)
        for name, background in (("power law", level * power_law), ("flat", level), ("none", 0 * level)):
            counts = noisy + background
            spectra = [
                {"energy_ev": ENERGY_EV[there], "intensity": y[there]}
                for there, y in zip(inside, counts, strict=True)
            ]
            answers = answer(predictor, spectra)
            good = np.array([a["error"] is None and not set(a["flags"]) & set(UNCOUNTED) for a in answers])
            found = np.array(
                [[a["mean_valence"], *a["interval"]] for a, g in zip(answers, good, strict=True) if g]
            )
            off, ends = found[:, 0] - truth[good], found[:, 1:] - truth[good, None]
            outside = (ends[:, 0] > 1e-6) | (ends[:, 1] < -1e-6)
            emit(
                "short_windows", window_ev=(low, high), background=name, flagged=float(1 - good.mean()),
                rmse=float(np.sqrt((off**2).mean())), coverage=float(1 - outside.mean()),
                width=float(np.diff(ends, axis=1).mean()),
                wrong=float((outside & (np.abs(off) > 0.35)).mean()),
            )  # fmt: skip


if __name__ == "__main__":
    main()

"""`mnflow fit`: its intervals on simulated spectra, and how well each class fits measured pure spectra.

`MNFLOW_REAL_DATA=FOLDER python -m benchmarks.simulator_fit [--element mn] [--spectra 100]`: materials that
neither the fit nor its intervals' calibration knows, and the foreign laboratory's; then measured spectra, if
there is a folder of them. Prints JSON lines: error, coverage and mean width of the 90 % intervals, seconds a
spectrum; and for each measured pure spectrum the distance of the best fit by each class alone.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import emit
from benchmarks.posterior import measured
from mnflow.fit.simulator import WIDENED, fit_spectrum
from mnflow.pretrained.fit_intervals import draw_and_fit, intervals_of
from mnflow.simulate.settings import settings_of

SET_ASIDE = 0
"""Part of the materials that is measured on, of `parted`."""


def intervals(element: str, foreign: bool, n: int) -> None:
    """Emit error, coverage and width for each of `WIDENED`."""
    start = time.process_time()
    fits, truth = draw_and_fit(element, SET_ASIDE, foreign, n, np.random.default_rng([0, 7, foreign]))
    seconds = (time.process_time() - start) / n
    for name in WIDENED:
        value, low, high = np.array([(i.value, i.low, i.high) for i in intervals_of(name, fits)]).T
        inside = (low <= truth[name] + 1e-6) & (truth[name] - 1e-6 <= high)
        emit(
            f"simulator_fit/{'foreign' if foreign else 'held_out'}", of=name, n=len(value),
            rmse=float(np.sqrt(((value - truth[name]) ** 2).mean())), coverage=float(inside.mean()),
            width=float((high - low).mean()), seconds_a_spectrum=seconds,
        )  # fmt: skip


def best_fits(element: str, folder: Path) -> None:
    """Emit the residual of the best fit by each class alone, for measured pure spectra."""
    edge = settings_of(element).edge
    for name, bounds, spectra in measured(folder):
        if bounds is None or bounds[0] != bounds[1]:
            continue
        mean = np.mean([spectrum["intensity"] for spectrum in spectra], axis=0)
        row: dict[str, Any] = {}
        for label in edge.classes:
            found = fit_spectrum(spectra[0]["energy_ev"], mean, edge, only=[label])
            row[label] = found.residual
        own = row[edge.classes[edge.charges.index(int(bounds[0]))]]
        others = min(value for value in row.values() if value is not own)
        emit("simulator_fit/measured", spectrum=name, valence=bounds[0], **row, other_by_own=others / own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--element", default="mn")
    parser.add_argument("--spectra", type=int, default=100, help="of each kind")
    options = parser.parse_args()
    for foreign in (False, True):
        intervals(options.element, foreign, options.spectra)
    folder = os.environ.get("MNFLOW_REAL_DATA")
    if folder and options.element == "mn":
        best_fits(options.element, Path(folder))


if __name__ == "__main__":
    main()

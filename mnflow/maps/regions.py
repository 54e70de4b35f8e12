"""A region of an image as one spectrum: the mean of its unflagged pixels, and the answer to it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

import numpy as np

from mnflow.maps.pixels import FLAGS, NO_CLASS, Pixels, mean_spectra, read_pixels
from mnflow.preprocess.window import Placement
from mnflow.serve.decision import MIXED
from mnflow.serve.predictor import Predictor
from mnflow.spectra import RawSpectra
from mnflow.spectra.arrays import Bools, Floats


@dataclass(frozen=True)
class Region:
    """The answer to the mean spectrum of a region's unflagged pixels.

    Attributes
    ----------
    n, n_flagged : int
        Pixels of the region, and how many of them are flagged and not counted.
    valence_class : str or None
        A class, "mixed", or None where no class is sure.
    probabilities, fractions : dict of str to float
        By class; fractions are None where the model has none.
    mean_valence : float
        NaN if every pixel is flagged.
    interval : tuple of float
        The 90 % interval of the mean valence; NaN where the model has none.
    flags : list of str
        Flags of the mean spectrum.
    t_over_lambda : tuple of float, optional
        Relative thickness that the edge shows: mean, and low and high end of its 90 % interval. None where
        plural scattering was taken out, or nothing is said of it.
    spread : float
        Standard deviation of the mean valence between the unflagged pixels.
    energy_ev, spectrum : ndarray, shape (C,)
        The mean raw spectrum.
    """

    n: int
    n_flagged: int
    valence_class: str | None
    probabilities: dict[str, float]
    fractions: dict[str, float] | None
    mean_valence: float
    interval: tuple[float, float]
    flags: list[str]
    t_over_lambda: tuple[float, ...] | None
    spread: float
    energy_ev: Floats
    spectrum: Floats

    def __str__(self) -> str:
        if np.isnan(self.mean_valence):
            return f"all of {self.n} spectra are flagged" if self.n else "no spectra"
        low, high = self.interval
        ends = "" if np.isnan(low) else f" [{low:.2f}, {high:.2f}]"
        share = "" if self.n == 1 else f"; {self.n - self.n_flagged} of {self.n} spectra"
        return f"{self.valence_class or 'no sure class'}, mean valence {self.mean_valence:.2f}{ends}{share}"


def regions_of(
    masks: Bools, flagged: Bools, pixels: Pixels, raw: RawSpectra, where: Placement, predictor: Predictor
) -> list[Region]:
    """The answer to each of R masks (R, N) in one pass over the spectra.

    A region of one pixel is answered even if it is flagged.
    """
    alone = masks.sum(axis=1) == 1
    counted = masks & ~(flagged & ~alone[:, None])
    spectra = mean_spectra(raw, counted, where, pixels.spikes)
    mean_raw = replace(raw, counts=spectra, nav_shape=(len(spectra),), nav_axes=())  # no scan any more
    answers = read_pixels(mean_raw, predictor, where)
    classes = predictor.edge.classes

    def by_class(values: Any) -> dict[str, float]:
        return dict(zip(classes, values.astype(float).tolist(), strict=True))

    def region(i: int) -> Region:
        used = np.flatnonzero(counted[i])
        source, row = (pixels, int(used[0])) if len(used) == 1 else (answers, i)  # one pixel: its own answer
        fractions, ratio = source.fractions[row], source.t_over_lambda[row]
        return Region(
            n=int(masks[i].sum()),
            n_flagged=int((masks[i] & flagged).sum()),
            valence_class=class_name(int(source.label[row]), classes),
            probabilities=by_class(source.probabilities[row]),
            fractions=None if np.isnan(fractions).all() and len(used) else by_class(fractions),
            mean_valence=float(source.mean_valence[row]),
            interval=(float(source.interval[row, 0]), float(source.interval[row, 1])),
            flags=list(compress(FLAGS, source.flags[row])),
            t_over_lambda=None
            if raw.thickness is not None or np.isnan(ratio).any()
            else tuple(ratio.tolist()),
            spread=float(pixels.mean_valence[used].std()) if len(used) else np.nan,
            energy_ev=raw.energy_ev,
            spectrum=spectra[i],
        )

    return [region(i) for i in range(len(masks))]


def class_name(label: int, classes: Sequence[str]) -> str | None:
    """What a label means: a class, `MIXED`, or None."""
    return None if label == NO_CLASS else (*classes, MIXED)[label]

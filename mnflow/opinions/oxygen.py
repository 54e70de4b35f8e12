"""Distance from the threshold of O K to L3: it grows with the valence, and shows a wrong dispersion."""

import numpy as np

from mnflow.preprocess.background import fit_power_law
from mnflow.preprocess.resample import median, moving_average
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Floats

EXPECTED_EV = {"Mn": (106.0, 116.0)}
"""Distance of O K's threshold and L3's maximum in oxides, by element: thresholds of 529 to 533 eV, and L3 at
640 (Mn2+) to 644 eV (Mn4+).
"""

_BEFORE, _BEHIND = 1.3, 0.6  # of the expected distance: what must be on the axis before L3, and O K's end
_SEARCHED = 0.14  # of the expected distance, on either side
_THRESHOLD = 0.3  # of the step's height
_LEAST_CONTRAST = 15.0  # of the step over the noise before it
_SMOOTHING_EV = 1.5


def o_k_distance_ev(energy_ev: Floats, intensity: Floats, l3_ev: float, edge: Edge) -> float | None:
    """Distance in eV from O K's threshold to L3 in one spectrum (C,) on an increasing axis.

    The threshold is where the edge first reaches three tenths of its step. None where O K is not on the axis
    or does not rise clearly, or for an element without an entry in `EXPECTED_EV`. The distance grows with the
    valence of Mn: Zhang et al. (2010), American Mineralogist 95, 1741.
    """
    if edge.element not in EXPECTED_EV:
        return None
    expected = float(np.mean(EXPECTED_EV[edge.element]))
    first, last = np.searchsorted(energy_ev, [l3_ev - _BEFORE * expected, l3_ev - _BEHIND * expected])
    if first == 0 or last - first < 20:
        return None
    energy = energy_ev[first:last] - (l3_ev - expected)  # from where O K is expected
    width = max(1, round(_SMOOTHING_EV / float(np.median(np.diff(energy)))))
    y = moving_average(np.asarray(intensity[None, first:last], dtype=np.float64), width)
    before, searched = energy < -_SEARCHED * expected, np.abs(energy) <= _SEARCHED * expected
    behind = energy > _SEARCHED * expected
    if not (before.any() and behind.any()):
        return None
    signal = (y - fit_power_law(energy_ev[first:last][before], y[:, before])(energy_ev[first:last]))[0]
    step = float(median(signal[behind]))
    if not step > _LEAST_CONTRAST * signal[before].std():
        return None
    reached = np.flatnonzero(searched & (signal >= _THRESHOLD * step))
    if len(reached) == 0 or reached[0] == np.flatnonzero(searched)[0]:
        return None
    at = reached[0] - 1
    share = (_THRESHOLD * step - signal[at]) / (signal[at + 1] - signal[at])
    return float(expected - energy[at] - share * (energy[at + 1] - energy[at]))


def dispersion_note(distance_ev: float | None, edge: Edge) -> list[str]:
    """What the distance from O K to L3 says of the dispersion, if it is one that no oxide has."""
    if distance_ev is None:
        return []
    low, high = EXPECTED_EV[edge.element]
    if low <= distance_ev <= high:
        return []
    off = distance_ev / (low if distance_ev < low else high) - 1
    return [
        f"O K and L3 are {distance_ev:.1f} eV apart, in oxides {low:.0f} to {high:.0f}: "
        f"the dispersion is off by {off:+.0%} or more"
    ]

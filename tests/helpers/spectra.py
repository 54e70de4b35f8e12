"""Spectra without physics: two lines and a step, at places that depend on the class."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.spectra import MN, Edge, SpectrumSet
from mnflow.spectra.axis import axis_ev


def edge_shape(energy_ev: NDArray[np.float64], valence: Any = 0, l3_ev: float = 642.0) -> NDArray[np.float64]:
    """L3 and L2 over their steps; a higher valence has closer lines and a stronger L2."""
    label = np.asarray(valence)[..., None]
    l3 = np.exp(-(((energy_ev - l3_ev) / (0.9 + 0.3 * label)) ** 2))
    l2 = (0.3 + 0.2 * label) * np.exp(-(((energy_ev - l3_ev - 11 + 0.7 * label) / 1.5) ** 2))
    step = np.clip((energy_ev - l3_ev) / 3, 0, 1) + 0.5 * np.clip((energy_ev - l3_ev - 10) / 3, 0, 1)
    return np.asarray(l3 + l2 + 0.12 * step)


COARSE = Edge("Mn", MN.classes, MN.charges, wide_ev=(630.0, 670.0), crop_ev=(638.0, 660.0), dispersion_ev=0.2)
"""The same edge in 200 and 110 channels: what is tested with it costs less."""


def spectra(
    n: int = 60, noise: float = 0.01, seed: int = 0, edge: Edge = MN, n_groups: int = 6
) -> SpectrumSet:
    """`n` spectra of the classes in turn, and of the groups in turn (each of one class if 3 divides them)."""
    rng = np.random.default_rng(seed)
    energy_ev = axis_ev(edge.wide_ev[0], edge.n_wide, edge.dispersion_ev)
    valence = np.arange(n) % len(edge.classes)
    intensity = edge_shape(energy_ev, valence) + noise * rng.normal(size=(n, edge.n_wide))
    return SpectrumSet(
        energy_ev, intensity, valence, np.array([f"image {i % n_groups}" for i in range(n)]), edge, "made up"
    )

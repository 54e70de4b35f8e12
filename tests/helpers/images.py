"""Spectrum images of known truth: substrate, a wedge of oxide, plural scattering, background."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnflow.spectra import RawSpectra

ENERGY_EV = 600 + 0.1 * np.arange(950)


@dataclass
class Made:
    """Counts and the edge alone (Y, X, C) on energy_ev (C,), t/lambda (Y, X) (0 on the substrate)."""

    raw: RawSpectra
    thickness: NDArray[np.float64]
    edge: NDArray[np.float64]


def make(
    rng: np.random.Generator, valence: str = "Mn2+", group: str = "SI 1", shape: tuple[int, int] = (12, 14),
    l3_ev: float = 643.0, energy_ev: NDArray[np.float64] = ENERGY_EV, dose: float = 2e4,
    substrate: bool = True,
) -> Made:  # fmt: skip
    """A wedge along x, bare substrate on its first quarter, thick on its last."""
    along = np.linspace(0, 1, shape[1])
    thickness = (
        np.where(along < 0.25, 0.0, 0.15 + 1.2 * (along - 0.25)) if substrate else np.full(shape[1], 0.3)
    )
    thickness = np.repeat(thickness[None], shape[0], axis=0)  # (Y, X)
    lines = np.exp(-0.5 * ((energy_ev - l3_ev) / 0.8) ** 2) + 0.5 * np.exp(
        -0.5 * ((energy_ev - l3_ev - 11) / 0.9) ** 2
    )
    single = lines + 0.08 / (1 + np.exp(l3_ev - energy_ev))
    loss = np.exp(-0.5 * ((np.arange(400) * 0.1 - 22) / 8) ** 2)
    plural = np.convolve(single, loss / loss.sum())[: len(energy_ev)]
    edge = thickness[..., None] * (single + thickness[..., None] * plural)  # (Y, X, C)
    background = 3 * (thickness + 0.2)[..., None] * (energy_ev / 640) ** -3.0
    counts = rng.poisson(dose * (edge + background)).astype(np.float32)
    raw = RawSpectra(
        energy_ev, counts.reshape(-1, len(energy_ev)), shape, valence, group, Path(f"{group}.hspy")
    )
    return Made(raw, thickness, dose * edge)

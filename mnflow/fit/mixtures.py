"""Mixtures of valences as one instrument sees them: what becomes of them is known, so a fraction can be
judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.augment.energy_shift import MAX_SHIFT_EV
from mnflow.preprocess.window import normalise
from mnflow.simulate.image import phase_edge, point_spread
from mnflow.simulate.library import Library
from mnflow.simulate.physics.scattering import convolve, plural_factor, response_factor
from mnflow.simulate.settings import Settings

NOISE = {0.0: 0.003, 0.05: 0.004, 0.5: 0.0083, 0.95: 0.036, 1.0: 0.05}
"""Quantiles of the noise of 448 acquired spectra, as a share of the peak; the ends are a guess."""

PURE, PAIRS = 0.1, 0.6
"""Shares of mixtures that are no mixture, and of those of two valences; the others hold all."""

CHUNK = 1000
"""Mixtures that share what is drawn once for all of a specimen."""

_MARGIN_EV = 30.0  # tails and shifts come from here


@dataclass(frozen=True)
class Mixtures:
    """N mixtures of K valences.

    Attributes
    ----------
    crops : ndarray, shape (N, n_crop)
        Normalised, shifted by up to 5 eV, and with the noise of acquired spectra.
    fractions : ndarray, shape (N, K)
        Of the atoms.
    pure : ndarray, shape (N, K, n_crop)
        What the same instrument would show of each valence's material alone, without noise, every atom alike.
    """

    crops: NDArray[np.float32]
    fractions: NDArray[np.float64]
    pure: NDArray[np.float32]


@dataclass(frozen=True)
class Materials:
    """Edges (K, M, C) of M materials of every class, before the spectrometer, of equal area in the crop
    window.
    """

    settings: Settings
    energy_ev: NDArray[np.float64]
    edges: NDArray[np.float32]

    @classmethod
    def draw(
        cls, settings: Settings, library: Library, n: int, rng: np.random.Generator, foreign: bool = False
    ) -> "Materials":
        """`n` materials of every class, each of two of the library's sticks."""
        low, high = settings.edge.crop_ev
        energy_ev = np.arange(low - _MARGIN_EV, high + _MARGIN_EV, settings.edge.dispersion_ev)
        edges = np.stack(
            [
                [phase_edge(energy_ev, settings.spectrum, v, library.of(k, foreign), rng) for _ in range(n)]
                for k, v in enumerate(settings.valence)
            ]
        )
        inside = (energy_ev >= low) & (energy_ev < high)
        edges /= edges[:, :, inside].mean(axis=-1, keepdims=True)
        return cls(settings, energy_ev, edges.astype(np.float32))

    def mix(self, n: int, rng: np.random.Generator, noise: Mapping[float, float] = NOISE) -> Mixtures:
        """Draw `n` mixtures, each with its own materials, instrument, thickness, shift and noise (by its
        quantiles).
        """
        parts = [self.mixed(self.pure(min(CHUNK, n - i), rng), rng, noise) for i in range(0, n, CHUNK)]
        return Mixtures(
            *(np.concatenate([getattr(p, k) for p in parts]) for k in ("crops", "fractions", "pure"))
        )

    def pure(self, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """What `n` instruments show of a material of every class: (n, K, n_crop), without noise. No more than
        `CHUNK` share the specimen's scattering and the instrument's tail.
        """
        n_classes, n_materials = self.edges.shape[:2]
        chosen = np.stack([self.edges[k, rng.integers(0, n_materials, n)] for k in range(n_classes)], axis=1)
        return self._placed(self._seen(chosen, rng), rng)

    def mixed(
        self, pure: NDArray[Any], rng: np.random.Generator, noise: Mapping[float, float] = NOISE
    ) -> Mixtures:
        """Mixtures of these materials (n, K, n_crop), in fractions and with noise that are drawn anew."""
        n, n_classes, n_crop = pure.shape
        fractions = draw_fractions(n, n_classes, rng)
        crops = np.einsum("nk,nkc->nc", fractions.astype(np.float32), pure)
        level = np.exp(np.interp(rng.random(n), list(noise), np.log(list(noise.values()))))
        counted = point_spread(
            rng.standard_normal((n, n_crop)), rng.uniform(*self.settings.instrument.spread)
        )
        counted *= (level * np.ptp(crops, axis=1))[:, None] / counted.std(axis=1, keepdims=True)
        return Mixtures(np.asarray(normalise(crops + counted), dtype=np.float32), fractions, pure)

    def _seen(self, edges: NDArray[np.float32], rng: np.random.Generator) -> NDArray[Any]:
        """Edges (n, K, C) after plural scattering and the spectrometer, the same for all of a mixture."""
        s, step, (n, _, channels) = self.settings, self.settings.edge.dispersion_ev, edges.shape
        thin, thick = max(v.thickness[0] for v in s.valence), min(v.thickness[1] for v in s.valence)
        thickness: NDArray[np.float64] = np.asarray(rng.uniform(thin, thick, n))
        blur = np.hypot(
            rng.uniform(*s.instrument.resolution_ev, n),
            rng.uniform(*s.instrument.thick_blur_ev, n) * thickness,
        )
        tail = rng.uniform(*s.instrument.tail_share), rng.uniform(*s.instrument.tail_ev)
        n_fft = 2 * channels
        factor: Any = response_factor(step, n_fft, blur, *tail)
        factor = factor * plural_factor(s.scattering.draw(channels, step, rng), thickness, n_fft)
        return convolve(edges, factor.astype(np.complex64)[:, None], n_fft)

    def _placed(self, edges: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float32]:
        """Crops (n, K, n_crop) of edges (n, K, C) on an axis of a wrong offset and dispersion."""
        edge, n = self.settings.edge, len(edges)
        shift = rng.uniform(-MAX_SHIFT_EV, MAX_SHIFT_EV, (n, 1))
        stretch = 1 + rng.uniform(*self.settings.instrument.dispersion_error, (n, 1))
        middle = np.mean(edge.crop_ev)
        true_ev = middle + (edge.crop_axis_ev - middle - shift) * stretch  # (n, n_crop)
        place = (true_ev - self.energy_ev[0]) / edge.dispersion_ev
        left = place.astype(np.int64)[:, None]
        right_share = (place[:, None] - left).astype(np.float32)
        low, high = np.take_along_axis(edges, left, axis=2), np.take_along_axis(edges, left + 1, axis=2)
        return np.asarray(low + right_share * (high - low), dtype=np.float32)


def draw_fractions(n: int, n_classes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Shares (n, n_classes) of sum 1: pairs, mixtures of all, and some of one class only."""
    fractions = rng.dirichlet(np.ones(n_classes), n)
    kind = rng.random(n)
    pairs, pure = np.flatnonzero(kind < PAIRS), np.flatnonzero(kind > 1 - PURE)
    fractions[pairs, rng.integers(0, n_classes, len(pairs))] = 0
    fractions[pure] = np.eye(n_classes)[rng.integers(0, n_classes, len(pure))]
    return np.asarray(fractions / fractions.sum(axis=1, keepdims=True))


def parted(library: Library, share: int = 4) -> tuple[Library, Library]:
    """A library without every `share`-th stick spectrum, and with these alone: materials to fit on, and to
    test on.
    """
    test = np.arange(len(library.valence)) % share == 0

    def part(rows: NDArray[np.bool_]) -> Library:
        return replace(
            library,
            strength=library.strength[rows],
            valence=library.valence[rows],
            foreign=library.foreign[rows],
        )

    return part(~test), part(test)

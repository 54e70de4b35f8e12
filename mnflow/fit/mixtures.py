"""Simulated mixtures of valences as many instruments see them, with the true composition of each.

Expensive things (multiplets, plural scattering, resolution) are computed once per set of materials behind one
instrument (`Materials.sets`); composition, noise, channel width, what background subtraction leaves and the
ends of the spectrum are cheap and drawn anew each time a set is used (`mix`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.augment.energy_shift import MAX_SHIFT_EV
from mnflow.preprocess.crops import normalise
from mnflow.simulate.image import material_edge, point_spread
from mnflow.simulate.library import Library
from mnflow.simulate.physics.scattering import convolve, plural_factor, response_factor
from mnflow.simulate.settings import Settings
from mnflow.spectra.arrays import Array, Bools, Floats, Floats32, Ints

CHUNK = 500
"""Sets that share a single-scattering distribution and a response tail."""

RESOLUTION_EV = (0.15, 2.0)
"""FWHM, log-uniform."""

X_RAY_RESOLUTION_EV = (0.15, 0.5)
"""FWHM of soft X-ray spectra."""

SATURATED, SATURATION = 0.5, (0.0, 0.4)
"""Share of X-ray spectra whose electron yield saturates, and the range of s: an absorption x, at most 1, is
seen as x / (1 + s x) (Nakajima et al. 1999, https://doi.org/10.1103/PhysRevB.59.6421).
"""

WILD_DISPERSION_ERROR = 0.1
"""Largest relative error of the dispersion."""

NOISE = {0.0: 0.0003, 0.1: 0.002, 0.5: 0.0083, 0.9: 0.03, 0.97: 0.05, 1.0: 0.1}
"""Quantiles of the noise per channel, as a share of the peak; the median is that of 448 acquired spectra."""

PURE, PAIRS, NEIGHBOURS = 1 / 3, 0.45, 0.8
"""Shares of pure compounds and of mixtures of two valences (the others hold all), and of neighbours in pairs.
"""

COARSE, COARSE_CHANNELS = 0.3, (1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
"""Share of spectra from wider channels, and the widths: 0.15 to 1 eV for Mn."""

RESIDUE = 0.02
"""What a subtracted background leaves 20 eV from the peak: standard deviation of slope and bend as a share of
the peak, each in half of the spectra.
"""

SPIKE_HEIGHT = (0.02, 0.3)
"""As a share of the peak."""

SHORT_BEFORE_EV, SHORT_AFTER_EV = (2.5, 10.0), (15.5, 25.0)
"""Where short spectra begin and end, from the peak."""

_MARGIN_EV = 40.0  # tails, shifts and stretched axes come from here
_SPREADS = (0.0, 0.2, 0.31, 0.38, 0.45)  # of detectors; 0 for direct ones and X-rays
_BANK = 60_000  # noise samples: that of a spectrum is a stretch of them
_GROUPS = 6  # channel widths per call


@dataclass(frozen=True)
class Conditions:
    """How spectra are recorded; `short`, `spikes`, `x_ray` and `wild` are shares of the spectra.

    Attributes
    ----------
    thickness : tuple of float
        Range of t/lambda.
    x_ray : float
        Soft X-ray spectra, which have no plural scattering.
    dispersion_error : float
        Standard deviation of the relative error of the dispersion.
    wild : float
        Digitized and badly calibrated ones: their error is uniform up to +-`WILD_DISPERSION_ERROR`.
    spikes : float
        Spectra with a spike.
    short : float
        Spectra that may begin or end early (six in ten at either end).
    """

    thickness: tuple[float, float] = (0.0, 1.5)
    x_ray: float = 0.15
    dispersion_error: float = 0.02
    wild: float = 0.15
    spikes: float = 0.03
    short: float = 0.3


USUAL = Conditions()


@dataclass(frozen=True)
class Sets:
    """N sets of one material per class, all measured by the same instrument.

    `pure` (N, K, n_crop), without noise, per atom; `thickness` t/lambda (NaN where it is not known) and
    `resolution_ev` (N,).
    """

    pure: NDArray[np.float16]
    thickness: Floats
    resolution_ev: Floats


@dataclass(frozen=True)
class Mixtures:
    """N mixtures: normalised `crops` (N, n_crop), atomic `fractions` (N, K), `noise` (N,) per peak."""

    crops: Floats32
    fractions: Floats
    noise: Floats32


@dataclass(frozen=True)
class Materials:
    """Edges (K, M, C) of one atom in M materials of each class, before the spectrometer."""

    settings: Settings
    energy_ev: Floats
    edges: Floats32
    foreign: bool = False

    @classmethod
    def draw(
        cls, settings: Settings, library: Library, n: int, rng: np.random.Generator, foreign: bool = False
    ) -> "Materials":
        """`n` materials per class, each of two of the library's sticks."""
        low, high = settings.edge.crop_ev
        energy_ev = np.arange(low - _MARGIN_EV, high + _MARGIN_EV, settings.edge.dispersion_ev)
        edges = np.empty((len(settings.valence), n, len(energy_ev)), dtype=np.float32)
        for k, i in np.ndindex(edges.shape[:2]):
            edges[k, i] = material_edge(energy_ev, settings, library, k, rng, foreign)
        return cls(settings, energy_ev, edges / edges.max(), foreign)

    def sets(self, n: int, rng: np.random.Generator, conditions: Conditions = USUAL) -> Sets:
        """`n` sets, each with its own materials, thickness, resolution, shift and dispersion."""
        parts = [self._sets(min(CHUNK, n - i), rng, conditions) for i in range(0, n, CHUNK)]
        return Sets(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Sets)))

    def _sets(self, n: int, rng: np.random.Generator, conditions: Conditions) -> Sets:
        s, step = self.settings, self.settings.edge.dispersion_ev
        n_classes, n_materials, channels = self.edges.shape
        chosen = np.stack([self.edges[k, rng.integers(0, n_materials, n)] for k in range(n_classes)], axis=1)
        x_ray = rng.random(n) < conditions.x_ray
        thickness = np.where(x_ray, 0.0, rng.uniform(*conditions.thickness, n))
        resolution = np.exp(rng.uniform(np.log(RESOLUTION_EV[0]), np.log(RESOLUTION_EV[1]), n))
        resolution = np.where(x_ray, rng.uniform(*X_RAY_RESOLUTION_EV, n), resolution)
        blur = np.hypot(resolution, rng.uniform(*s.instrument.thick_blur_ev, n) * thickness)
        tail = rng.uniform(*s.instrument.tail_share), rng.uniform(*s.instrument.tail_ev)
        n_fft = 2 * channels
        factor: Any = response_factor(step, n_fft, blur, *tail)
        scattering = s.foreign.scattering if self.foreign else s.scattering
        factor = factor * plural_factor(scattering.draw(channels, step, rng), thickness, n_fft)
        seen = convolve(chosen, factor.astype(np.complex64)[:, None], n_fft)
        saturation = rng.uniform(*SATURATION, n) * (x_ray & (rng.random(n) < SATURATED))
        greatest = seen.max(axis=(1, 2), keepdims=True)
        seen = seen / (1 + saturation[:, None, None].astype(np.float32) * np.maximum(seen, 0) / greatest)
        pure = self._placed(seen, rng, conditions)
        return Sets((pure / pure.max(axis=(1, 2), keepdims=True)).astype(np.float16), thickness, resolution)

    def _placed(self, edges: Array, rng: np.random.Generator, conditions: Conditions) -> Floats32:
        """Crops (n, K, n_crop) of edges (n, K, C) on an axis of a wrong offset and dispersion."""
        edge, n = self.settings.edge, len(edges)
        shift = rng.uniform(-MAX_SHIFT_EV, MAX_SHIFT_EV, (n, 1))
        usual = conditions.dispersion_error * rng.standard_normal((n, 1))
        usual = np.clip(usual, -WILD_DISPERSION_ERROR, WILD_DISPERSION_ERROR)
        wild = rng.uniform(-WILD_DISPERSION_ERROR, WILD_DISPERSION_ERROR, (n, 1))
        stretch = 1 + np.where(rng.random((n, 1)) < conditions.wild, wild, usual)
        middle = np.mean(edge.crop_ev)
        true_ev = middle + (edge.crop_axis_ev - middle - shift) * stretch  # (n, n_crop)
        place = (true_ev - self.energy_ev[0]) / edge.dispersion_ev
        left = place.astype(np.int64)[:, None]
        right_share = (place[:, None] - left).astype(np.float32)
        low, high = np.take_along_axis(edges, left, axis=2), np.take_along_axis(edges, left + 1, axis=2)
        return np.asarray(low + right_share * (high - low), dtype=np.float32)


def mix(
    pure: Array,
    rng: np.random.Generator,
    noise: Mapping[float, float] = NOISE,
    fractions: Floats | None = None,
    conditions: Conditions = USUAL,
) -> Mixtures:
    """Mix sets (n, K, n_crop) in newly drawn compositions (n, K) and with newly drawn noise."""
    parts = [slice(i, i + CHUNK) for i in range(0, len(pure), CHUNK)]
    mixed = [
        _mix(pure[p].astype(np.float32), rng, noise, None if fractions is None else fractions[p], conditions)
        for p in parts
    ]
    return Mixtures(*(np.concatenate([getattr(m, f.name) for m in mixed]) for f in fields(Mixtures)))


def _mix(
    pure: Floats32,
    rng: np.random.Generator,
    noise: Mapping[float, float],
    fractions: Floats | None,
    conditions: Conditions,
) -> Mixtures:
    n, n_classes, n_crop = pure.shape
    if fractions is None:
        fractions = draw_fractions(n, n_classes, rng)
    x = np.matmul(fractions.astype(np.float32)[:, None], pure)[:, 0]
    x /= np.ptp(x, axis=1)[:, None]
    peak = x.argmax(axis=1)
    level = np.exp(np.interp(rng.random(n), list(noise), np.log(list(noise.values())))).astype(np.float32)
    from_peak = ((np.arange(n_crop) - peak[:, None]) / 200).astype(np.float32)
    slope, bend = (
        (RESIDUE * rng.standard_normal((n, 1)) * (rng.random((n, 1)) < 0.5)).astype(np.float32)
        for _ in range(2)
    )
    x += (slope + bend * from_peak) * from_peak
    _record(x, level, rng)
    for i in np.flatnonzero(rng.random(n) < conditions.spikes):
        x[i, rng.integers(0, n_crop)] += rng.uniform(*SPIKE_HEIGHT)
    _shorten(x, peak, rng, conditions.short)
    return Mixtures(np.asarray(normalise(x), dtype=np.float32), fractions, level)


def _record(x: Floats32, level: Floats32, rng: np.random.Generator) -> None:
    """Add noise of `level` (n,) to spectra (n, C); record some in wider channels, interpolated back."""
    n, n_crop = x.shape
    bank = point_spread(rng.standard_normal((1, _BANK)), rng.choice(_SPREADS))[0].astype(np.float32)
    pieces = np.lib.stride_tricks.sliding_window_view(bank / bank.std(), n_crop)
    order = rng.permutation(n)
    fine, *coarse = np.split(order, np.linspace((1 - COARSE) * n, n, _GROUPS + 1).astype(int)[:-1])
    x[fine] += level[fine, None] * pieces[rng.integers(0, len(pieces), len(fine))]
    for rows in coarse:
        down, up = _rebinning(n_crop, float(rng.choice(COARSE_CHANNELS)), int(rng.integers(5)) / 5)
        drawn = pieces[rng.integers(0, len(pieces), len(rows)), : len(down)]
        x[rows] = (x[rows] @ down.T + level[rows, None] * drawn) @ up.T


@lru_cache(maxsize=64)
def _rebinning(n_crop: int, width: float, phase: float) -> tuple[Floats32, Floats32]:
    """Matrices that average channels into ones `width` times as wide, and interpolate linearly back."""
    edges = np.arange(-phase * width, n_crop + width, width)
    channel = np.arange(n_crop)
    overlap = np.minimum(edges[1:, None], channel + 1) - np.maximum(edges[:-1, None], channel)
    overlap = np.clip(overlap, 0, None)  # (wide channels, n_crop)
    whole = overlap.sum(axis=1) > width / 2
    down = overlap[whole] / overlap[whole].sum(axis=1, keepdims=True)
    middle = ((edges[1:] + edges[:-1]) / 2 - 0.5)[whole]
    up = np.stack([np.interp(channel, middle, row) for row in np.eye(len(middle))], axis=1)
    return down.astype(np.float32), up.astype(np.float32)


def _shorten(x: Floats32, peak: Ints, rng: np.random.Generator, share: float) -> None:
    """Continue some spectra (n, C) by the value at which they begin or end too early, as placement does."""
    rows = np.flatnonzero(rng.random(len(x)) < share)
    n, last = len(rows), x.shape[1] - 1
    before, after = (rng.uniform(*r, n) * 10 for r in (SHORT_BEFORE_EV, SHORT_AFTER_EV))
    first_kept = np.where(rng.random(n) < 0.6, peak[rows] - before, 0).astype(int)
    last_kept = np.where(rng.random(n) < 0.6, peak[rows] + after, last).astype(int)
    place = np.clip(
        np.arange(last + 1), np.maximum(first_kept, 0)[:, None], np.minimum(last_kept, last)[:, None]
    )
    x[rows] = np.take_along_axis(x[rows], place, axis=1)


def draw_fractions(n: int, n_classes: int, rng: np.random.Generator) -> Floats:
    """Shares (n, n_classes) of sum 1: pure compounds, pairs (mostly neighbours), and mixtures of all."""
    fractions = rng.dirichlet(np.ones(n_classes), n)
    kind = rng.random(n)
    pure, pairs = np.flatnonzero(kind < PURE), np.flatnonzero((kind >= PURE) & (kind < PURE + PAIRS))
    first = rng.integers(0, n_classes - 1, len(pairs))
    low, high = np.triu_indices(n_classes, 1)
    others = rng.integers(0, len(low), len(pairs))
    neighbours = rng.random(len(pairs)) < NEIGHBOURS
    fractions[pairs] = 0
    share = rng.random(len(pairs))
    fractions[pairs, np.where(neighbours, first, low[others])] = share
    fractions[pairs, np.where(neighbours, first + 1, high[others])] = 1 - share
    fractions[pure] = np.eye(n_classes)[rng.integers(0, n_classes, len(pure))]
    return np.asarray(fractions)


def parted(library: Library, share: int = 6) -> tuple[Library, Library, Library]:
    """A library split into materials to fit (all but two of every `share`), to calibrate and to test on."""
    part = np.arange(len(library.valence)) % share

    def select(rows: Bools) -> Library:
        return replace(library, **{f.name: getattr(library, f.name)[rows] for f in fields(library)})

    return select(part > 1), select(part == 1), select(part == 0)

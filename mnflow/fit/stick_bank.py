"""All stick spectra of an element as vectors of Fourier coefficients, in which a line shape is a few factors.

Widths, shifts, thickness and resolution are factors there: a thousand line shapes take a second.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mnflow.fit.mixtures import parted
from mnflow.simulate.library import Library, library_of
from mnflow.simulate.physics.lineshape import STICK_EV, LineShape, above_onset_ev, shared, split_ev, widths
from mnflow.simulate.physics.scattering import plural_factor, response_factor
from mnflow.simulate.settings import Lines, Settings, settings_of
from mnflow.spectra.arrays import Array, Ints

WINDOW_EV = (-7.0, 17.0)
"""What is fitted, from the maximum of L3."""

STEP_EV = 0.1
"""Channels of calculated spectra."""

L3_WIDTH_EV, L2_EXTRA_EV = 0.35, 0.3
"""Lifetimes: what a fit cannot tell from the resolution."""

_SPAN_EV = (-22.0, 42.0)  # of calculated spectra, from the L3 centroid of the first class; they are periodic
_BIN_EV, _BINS = 0.25, 28  # sticks that lie in one such bin above their onset share a width

GRID = tuple(product((0.3, 0.7), (0.4, 0.9, 1.4, 2.0), (0.0, 0.6)))
"""Growth (as a share of a class's range), resolution and thickness of the starting points."""


@dataclass(frozen=True, eq=False)
class Bank:
    """A library in Fourier space: sticks (N, L, F) by classes of width, and what each row is.

    L counts bins of the energy above the onset, first of L3, then of L2; the origin is the L3 centroid.
    """

    settings: Settings
    sticks: NDArray[np.complex64]
    l2_ev: Array
    valence: Ints
    parameters: Array
    omega: Array
    single: Array
    holes: Array
    usual_ev: Array

    def lines(self, rows: Array, shape: LineShape) -> Array:
        """White lines (n, F) of area 1 of some rows, with their L3 centroid at 0."""
        above, factors = np.arange(_BINS) * _BIN_EV, []
        for is_l2 in (False, True):
            lorentz = widths(above, np.full(_BINS, is_l2), shape)[0]
            factors.append(np.exp(-0.5 * self.omega * lorentz[:, None]))
        l2 = shape.l2_factor * np.exp(-1j * self.omega * shape.l2_shift_ev)
        factor = np.concatenate([factors[0], factors[1] * l2]).astype(np.complex64)  # (L, F)
        return np.einsum("nlf,lf->nf", self.sticks[rows], factor)

    @property
    def n_fft(self) -> int:
        """Channels of a spectrum."""
        return 2 * (len(self.omega) - 1)

    def seen(self, lines: Array, thickness: float, resolution_ev: float, shift_ev: Array) -> Array:
        """Spectra (n, C) of lines (n, F) after specimen and instrument, each moved by its `shift_ev` (n,)."""
        factor = plural_factor(self.single, np.array([thickness]), self.n_fft)
        factor = factor * response_factor(STEP_EV, self.n_fft, np.array([resolution_ev]), shift_ev=shift_ev)
        return np.fft.irfft(lines * factor, self.n_fft) / STEP_EV

    def on_window(self, spectra: Array, place_ev: Array) -> Array:
        """Spectra (n, C) at energies (W,) from the L3 centroid of the first class."""
        place = (place_ev - _SPAN_EV[0]) / STEP_EV
        left = np.clip(place.astype(int), 0, self.n_fft - 2)
        return spectra[:, left] + (spectra[:, left + 1] - spectra[:, left]) * (place - left)


@lru_cache(maxsize=4)
def bank_of(element: str, known_only: bool = False) -> Bank:
    """All stick spectra of an element's own laboratory, or those that `parted` does not set aside."""
    settings = settings_of(element)
    library = library_of(settings)
    return bank_from(settings, parted(library)[0] if known_only else library)


def bank_from(settings: Settings, library: Library) -> Bank:
    """The own laboratory's stick spectra of a library."""
    own = ~library.foreign
    strength, valence = library.strength[own].astype(np.float64), library.valence[own]
    channels = round((_SPAN_EV[1] - _SPAN_EV[0]) / STEP_EV)
    sticks = np.zeros((len(strength), 2 * _BINS, channels // 2 + 1), np.complex64)
    l2_ev = np.empty(len(strength))
    for i, s in enumerate(strength):
        is_l2 = split_ev(s) < STICK_EV
        centre3, centre2 = (np.average(STICK_EV[m], weights=s[m]) for m in (~is_l2, is_l2))
        l2_ev[i] = centre2 - centre3
        level = (
            np.minimum(np.round(above_onset_ev(s, is_l2) / _BIN_EV).astype(int), _BINS - 1) + _BINS * is_l2
        )
        place = (STICK_EV - centre3 - _SPAN_EV[0]) / STEP_EV
        used = (s > 0) & (place >= 0) & (place < channels - 1)
        sticks[i] = np.fft.rfft(shared(place[used], s[used], level[used], (2 * _BINS, channels)))
    scattering = settings.scattering
    middle = replace(scattering, **{k: (np.mean(r), np.mean(r)) for k, r in vars(scattering).items()})
    return Bank(
        settings, sticks, l2_ev, valence, library.parameters[own].astype(float),
        2 * np.pi * np.fft.rfftfreq(channels, STEP_EV),
        middle.draw(channels, STEP_EV, np.random.default_rng(0)),
        np.array([v.holes for v in settings.valence], dtype=float),
        np.array([np.mean(v.l3_ev) for v in settings.valence]) - np.mean(settings.valence[0].l3_ev),
    )  # fmt: skip


@dataclass(frozen=True)
class Screen:
    """All stick spectra of a class at one grid point, aligned (n, W) on `WINDOW_EV` at their maxima.

    The maxima lie at `maximum_ev` (n,) from the L3 centroid of the first class.
    """

    aligned: Array
    maximum_ev: Array


@lru_cache(maxsize=16)
def screens_of(bank: Bank, k: int) -> tuple[Screen, ...]:
    """Class k of a bank at every point of `GRID`."""
    rows = np.flatnonzero(bank.valence == k)
    usual = np.full(len(rows), bank.usual_ev[k])
    low, high = (round(ev / STEP_EV) for ev in WINDOW_EV)
    screens = []
    for share, resolution, thickness in GRID:
        growth, limit = own_middle(bank.settings.valence[k].lines, share)
        lines = bank.lines(
            rows, LineShape(L3_WIDTH_EV, L2_EXTRA_EV, growth, limit, l2_shift_ev=0.6, l2_factor=0.95)
        )
        spectra = bank.seen(lines, thickness, resolution, usual)
        peak = spectra.argmax(axis=1)
        aligned = np.take_along_axis(spectra, peak[:, None] + np.arange(low, high), axis=1)
        screens.append(Screen(aligned, _SPAN_EV[0] + STEP_EV * peak))
    return tuple(screens)


def own_middle(lines: Lines, share: float) -> tuple[float, float]:
    """Growth and limit of a width, this share of the way through a class's ranges."""
    (a, b), (c, d) = lines.growth, lines.max_width_ev
    return a + share * (b - a), c + share * (d - c)

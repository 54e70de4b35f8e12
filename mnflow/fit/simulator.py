"""The simulator fitted to one spectrum: which ions in which fields, behind which specimen and instrument."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mnflow.errors import InputError
from mnflow.fit.refinement import (
    BOUNDS,
    COMMON,
    OWN,
    Problem,
    State,
    alternatives,
    curvature,
    standard_deviations,
)
from mnflow.fit.stick_bank import WINDOW_EV, Bank, bank_of
from mnflow.plots.prediction import fit_figure
from mnflow.serve.novelty import l3_channel
from mnflow.serve.request import FIELDS, cut
from mnflow.simulate.library import PARAMETERS
from mnflow.simulate.settings import is_shipped, settings_of
from mnflow.spectra import MN, Edge
from mnflow.spectra.arrays import Array, Ints

WIDENED = ("mean_valence", "share", "thickness")
"""What is compared with the truth of simulated spectra, to calibrate its intervals."""


class Widening(NamedTuple):
    """How a standard deviation becomes half an interval: `factor` times its root of squares with `model_sd`.

    The model is never right, so intervals that suppose it are too short. Both numbers are chosen for
    simulated spectra of materials that the fit does not know (`mnflow.pretrained.fit_intervals`).
    """

    model_sd: float
    factor: float


AS_SAID = Widening(0.0, 1.645)
"""The 90 % interval of a Gaussian."""


@dataclass(frozen=True)
class Interval:
    """Best value, its standard deviation if the model is right, and an interval that should hold 90 %.

    Of mean valence, shares and thickness 90 % are held where the element's intervals were calibrated
    (`Widening`); all others suppose that the model is right.
    """

    value: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class Part:
    """One valence of the best mixture.

    Attributes
    ----------
    name : str
        Class.
    share : Interval
        Of the atoms.
    parameters : dict of str to Interval
        `PARAMETERS` of its field: 10Dq, Ds, Dt in eV, reduction of the Slater integrals, and Delta in eV if
        its best stick spectrum has charge transfer.
    line_shape : dict of str to float
        Growth of the width (eV/eV) and its limit in eV, and where L3 lies from its usual place in eV.
    """

    name: str
    share: Interval
    parameters: dict[str, Interval]
    line_shape: dict[str, float]


@dataclass(frozen=True)
class FitResult:
    """The simulator's best answer to one spectrum.

    Attributes
    ----------
    edge : Edge
        The edge that was fitted.
    energy_ev, measured, fitted : ndarray, shape (C,)
        Around L3, on the axis of the crop; background removed, maximum 1.
    parts : tuple of Part
        Every class; absent ones have a share of 0 and no parameters.
    components : ndarray, shape (K, C)
        What each class adds to `fitted`.
    mean_valence : Interval
        Mean charge of the atoms.
    thickness, resolution_ev, l2_shift_ev, dispersion : Interval
        t/lambda; Gaussian FWHM of instrument and disorder together; how far L2 lies beyond Hartree-Fock's
        place; factor on the width of a channel.
    residual : float
        Distance of measured and fitted shapes (mean removed, unit length): below 0.05 is a good fit.
    """

    edge: Edge
    energy_ev: Array
    measured: Array
    fitted: Array
    components: Array
    parts: tuple[Part, ...]
    mean_valence: Interval
    thickness: Interval
    resolution_ev: Interval
    l2_shift_ev: Interval
    dispersion: Interval
    residual: float

    def to_dict(self) -> dict[str, Any]:
        """All of it as numbers, strings, lists and dicts, for JSON."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in asdict(self).items()
        }


def fit_spectrum(
    energy_ev: ArrayLike, intensity: ArrayLike, edge: Edge = MN, only: Sequence[str] = ()
) -> FitResult:
    """Fit the simulator to one spectrum: composition, fields, thickness, resolution and line shape.

    The background is removed and L3 found as for any answer. Every stick spectrum of the element's library is
    tried; the best ones are refined together by least squares (variable projection: amounts and continuum
    follow linearly). Intervals add what the curvature at the best fit allows to how far stick spectra differ
    that fit nearly as well, and are widened by as much as materials that the fit does not know need.

    Parameters
    ----------
    energy_ev, intensity : array_like, shape (C,)
        A spectrum with its background, or without it.
    edge : Edge
        One with shipped settings.
    only : sequence of str
        The classes that may be in it; empty for all.

    Returns
    -------
    FitResult

    Raises
    ------
    InputError
        For a spectrum that cannot be read, an edge without a simulator, or an unknown class.

    Examples
    --------
    >>> from mnflow.fit.simulator import fit_spectrum
    >>> result = fit_spectrum(energy_ev, intensity)  # doctest: +SKIP
    >>> result.mean_valence.value, result.residual  # doctest: +SKIP
    (2.04, 0.06)
    """
    if not is_shipped(edge.element) or settings_of(edge.element).edge != edge:
        raise InputError(
            f"No simulator for the edge {edge.element} with the classes {', '.join(edge.classes)}: expected "
            "an edge as in the shipped settings."
        )
    unknown = [name for name in only if name not in edge.classes]
    if unknown:
        raise InputError(f"Expected classes among {', '.join(edge.classes)}, got {', '.join(unknown)}.")
    spectrum = {
        name: np.asarray(v, dtype=float).tolist()
        for name, v in zip(FIELDS, (energy_ev, intensity), strict=True)
    }
    cuts, errors = cut([spectrum], edge)
    if errors:
        raise InputError(errors[0])
    return fit_crop(np.asarray(cuts[0].crop, dtype=float), edge, only)


def fit_crop(crop: Array, edge: Edge = MN, only: Sequence[str] = (), bank: Bank | None = None) -> FitResult:
    """As `fit_spectrum`, of a crop (n_crop,) without background; `bank` is another one than the element's."""
    problem, channels = problem_of(crop, edge, only, bank or bank_of(edge.element))
    best = min((problem.refined(start) for start in problem.starts()), key=lambda s: s.cost)
    best = min(best, problem.refined(problem.reselected(best)), key=lambda s: s.cost)
    return _result(problem, best, edge, edge.crop_axis_ev[channels])


def problem_of(crop: Array, edge: Edge, only: Sequence[str], bank: Bank) -> tuple[Problem, Ints]:
    """What is fitted of a crop (n_crop,), and its channels."""
    l3 = int(l3_channel(crop[None].astype(np.float32))[0])
    first, stop = (l3 + round(ev / edge.dispersion_ev) for ev in WINDOW_EV)
    channels = np.arange(max(first, 0), min(stop, len(crop)))
    target = (crop[channels] - crop.min()) / np.ptp(crop)
    classes = tuple(k for k, name in enumerate(edge.classes) if not only or name in only)
    return Problem(bank, (channels - l3) * edge.dispersion_ev, target, classes), channels


def distance(measured: Array, fitted: Array) -> float:
    """Distance of two shapes (C,), means removed and of unit length."""
    shapes = [v - v.mean() for v in (measured, fitted)]
    return float(np.linalg.norm(np.subtract(*(v / np.linalg.norm(v) for v in shapes))))


def plot(result: FitResult) -> Figure:
    """The spectrum, the fit and what each valence adds, and under them what is left."""
    shares = ", ".join(f"{p.name} {p.share.value:.2f}" for p in result.parts)
    return fit_figure(
        result.energy_ev, result.measured, result.fitted, result.components, result.edge.classes,
        f"{shares}; residual {result.residual:.3f}",
    )  # fmt: skip


def _result(problem: Problem, best: State, edge: Edge, energy_ev: Array) -> FitResult:
    """Values and intervals at the best state."""
    bank, rows, n = problem.bank, np.array(best.rows), len(best.rows)
    columns = problem.columns(rows, best.z, np.arange(n))
    amounts, rest = problem.solved(columns)
    variance = rest**2 / (len(problem.target) - len(best.z) - n - 2)  # per channel, if the model is right
    weights, shares, rows_of = alternatives(problem, best, variance)
    classes, charges = bank.valence[rows], np.array(edge.charges)
    best_shares = np.zeros(len(charges))
    best_shares[classes] = amounts[:n] / amounts[:n].sum()
    shares_sd, valence_sd = curvature(problem, best, variance)
    spread = np.sqrt(weights @ (shares - best_shares) ** 2 + shares_sd**2)
    valence_sd = np.sqrt(weights @ ((shares - best_shares) @ charges) ** 2 + valence_sd**2)
    common, own = problem.split(best.z)
    sd = standard_deviations(problem, best, variance)
    parts, widening = [], widenings(edge.element)
    for k, name in enumerate(edge.classes):
        share = _interval(best_shares[k], spread[k], 0.0, 1.0, widening["share"])
        if k not in classes:
            parts.append(Part(name, share, {}, {}))
            continue
        i = int(np.flatnonzero(classes == k)[0])
        fields = _field_intervals(bank.parameters, rows[i], rows_of[:, k], weights * shares[:, k])
        parts.append(Part(name, share, fields, dict(zip(OWN, own[i].tolist(), strict=True))))
    named = {
        name: _interval(common[name], sd[j], *BOUNDS[name], widening.get(name, AS_SAID))
        for j, name in enumerate(COMMON)
    }
    charge_range = float(charges.min()), float(charges.max())
    fitted = columns @ amounts
    components = np.zeros((len(charges), len(fitted)))
    components[classes] = (columns[:, :n] * amounts[:n]).T
    return FitResult(
        edge, energy_ev, problem.target, fitted, components, tuple(parts),
        _interval(best_shares @ charges, valence_sd, *charge_range, widening["mean_valence"]),
        named["thickness"], named["resolution_ev"], named["l2_shift_ev"], named["dispersion"],
        distance(problem.target, fitted),
    )  # fmt: skip


def _field_intervals(parameters: Array, row: int, rows: Array, weights: Array) -> dict[str, Interval]:
    """`PARAMETERS` of the best row, and how far they reach among the rows (A,) that fit nearly as well."""
    found, total = {}, max(weights.sum(), 1e-12)
    for j, name in enumerate(PARAMETERS):
        value, all_values = parameters[row, j], parameters[rows, j]
        if np.isnan(value):
            continue
        known = np.where(np.isnan(all_values), value, all_values)
        found[name] = _interval(value, np.sqrt(weights @ (known - value) ** 2 / total), -np.inf, np.inf)
    return found


def _interval(value: float, sd: float, low: float, high: float, widening: Widening = AS_SAID) -> Interval:
    """90 % interval of a Gaussian, widened, inside what is possible."""
    value, half = float(np.clip(value, low, high)), widening.factor * np.hypot(sd, widening.model_sd)
    return Interval(value, float(sd), float(max(value - half, low)), float(min(value + half, high)))


def widenings_path(element: str) -> Path:
    """The file of an element's widenings."""
    return Path(__file__).with_name(f"{element.lower()}-intervals.json")


@lru_cache
def widenings(element: str) -> dict[str, Widening]:
    """By the name of what is fitted; none is widened for an element whose intervals are not calibrated."""
    path = widenings_path(element)
    if not path.exists():
        return dict.fromkeys(WIDENED, AS_SAID)
    return {name: Widening(*pair) for name, pair in json.loads(path.read_text(encoding="utf-8")).items()}

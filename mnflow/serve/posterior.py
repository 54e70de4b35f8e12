"""The posterior over compositions and the relative thickness, computed from a crop in numpy.

A composition is one share of atoms per valence, in steps of 0.1: 66 of them for three valences. Everything
that an answer says follows from their probabilities (`mnflow.serve.decision`), so that nothing in it
contradicts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from mnflow.preprocess.resample import moving_average
from mnflow.serve.decision import Reading, mean_and_interval, mean_valence_distribution, read
from mnflow.serve.novelty import Located, locate
from mnflow.serve.numpy_nets import softmax
from mnflow.spectra.arrays import Bools, Floats, Floats32

SHARE_STEPS = 10
"""Steps between a share of 0 and one of 1."""

T_OVER_LAMBDA = np.arange(0, 1.51, 0.25)
"""Relative thicknesses (T,) that plural scattering in the edge gives a probability to."""

SPAN = (-0.235, 0.57)
"""Window around L3, as shares of the crop: -7 to +17 eV for Mn."""

SMOOTHING, STEP = 3, 2
"""Channels that are averaged, and channels from one input to the next: 0.3 and 0.2 eV for Mn."""

CHUNK = 1024
"""Spectra that pass the layers together: what lies between them stays in the processor's cache."""

_FINE_STEP = 0.02  # of the mean valence, that an interval ends on
_LEAST_NOISE = 1e-4  # below it, noise makes no difference


@lru_cache
def compositions(n_classes: int) -> Floats:
    """All compositions (M, n_classes) in steps of 0.1; rows sum to 1, the first is pure class 0."""
    shares = range(SHARE_STEPS, -1, -1)
    found = [c for c in product(shares, repeat=n_classes) if sum(c) == SHARE_STEPS]
    return np.array(found) / SHARE_STEPS


@dataclass(frozen=True)
class Calibration:
    """What makes the 90 % interval hold the true mean valence in 90 % of cases, whatever that is.

    An interval holds every valence at which the spectrum is not an odd one among mixtures of that valence and
    of as much noise, of materials that the fit never saw: conformal prediction, conditional on the answer
    (Vovk 2013, https://doi.org/10.1007/s10994-013-5355-6). The conformity score is the probability that the
    posterior gives to lower valences.

    Attributes
    ----------
    noise_edges : tuple of float
        Between the bins of the noise level.
    valences : tuple of float
        Mean valences (V,) that the limits are known at, in order.
    limits : ndarray, shape (noise bins, V, 2)
        Least and greatest probability of lower valences that is not odd.
    """

    noise_edges: tuple[float, ...]
    valences: tuple[float, ...]
    limits: Floats32

    def intervals(self, noise: Any, values: Floats, mass: Floats) -> Any:
        """Low and high end (N, 2) from noise levels (N,) and distributions (N, M) on `values` (M,).

        NaN where every valence is odd.
        """
        grid = np.linspace(values[0], values[-1], 1 + round((values[-1] - values[0]) / _FINE_STEP))
        limits = [[np.interp(grid, self.valences, ends) for ends in limit.T] for limit in self.limits]
        by_noise = np.array(limits, dtype=np.float32)[np.searchsorted(self.noise_edges, noise)]
        low, high = by_noise.swapaxes(0, 1)
        below = probability_below(values, mass, grid)
        held = (low <= below) & (below <= high)  # (N, G)
        ends = np.stack([grid[held.argmax(axis=1)], grid[::-1][held[:, ::-1].argmax(axis=1)]], axis=1)
        return np.where(held.any(axis=1)[:, None], ends, np.nan)


def probability_below(values: Floats, mass: Floats, at: Floats) -> Floats32:
    """Probability of valences below `at`, of distributions (N, M) on equally spaced `values` (M,).

    (N, G): `at`, from the first to the last value, is (G,) for all distributions alike, or (N, G). Of a
    value's own probability half counts as below.
    """
    middle = (np.cumsum(mass, axis=1) - mass / 2).astype(np.float32)
    place = (at - values[0]) / (values[1] - values[0])
    left = np.minimum(place.astype(np.int64), len(values) - 2)
    share = (place - left).astype(np.float32)
    rows = slice(None) if at.ndim == 1 else np.arange(len(mass))[:, None]
    return np.asarray(middle[rows, left] * (1 - share) + middle[rows, left + 1] * share)


@dataclass(frozen=True)
class Posterior:
    """Dense layers with ReLU between them, fitted to simulated mixtures by `mnflow.fit.posterior`.

    Attributes
    ----------
    weights : tuple of ndarray, shapes (P, H), ..., (H', M + T)
        Of every layer. Inputs (`inputs`) are not scaled beforehand: the first layer's weights do it. The last
        layer gives M compositions and T relative thicknesses (`T_OVER_LAMBDA`).
    biases : tuple of ndarray, shapes (H,), ..., (M + T,)
    charges : tuple of float
        Formal valence of every class.
    calibration : Calibration, optional
        Without it, intervals are the posterior's own quantiles.
    """

    weights: tuple[Floats32, ...]
    biases: tuple[Floats32, ...]
    charges: tuple[float, ...]
    calibration: Calibration | None = None

    def cells(self, located: Located) -> Floats:
        """Probabilities (N, M) of `compositions` for N crops."""
        return self._masses(inputs(located))[0]

    def __call__(self, located: Located) -> Reading:
        """Everything that is said of N crops."""
        cells, thickness = self._masses(inputs(located))
        possible = compositions(len(self.charges))
        distribution = mean_valence_distribution(cells, possible, self.charges)
        ratio = mean_and_interval(T_OVER_LAMBDA, thickness)
        found = replace(read(cells, possible, distribution), t_over_lambda=ratio)
        if self.calibration is None:
            return found
        return found.with_interval(self.calibration.intervals(located.noise, *distribution))

    def _masses(self, x: Floats32) -> list[Floats]:
        """Probabilities of `compositions` (N, M) and of `T_OVER_LAMBDA` (N, T)."""
        starts = range(0, max(len(x), 1), CHUNK)
        parts = [_forward(self.weights, self.biases, x[i : i + CHUNK]) for i in starts]
        outputs = np.concatenate(parts).astype(np.float64)
        return [softmax(part) for part in np.split(outputs, [-len(T_OVER_LAMBDA)], axis=1)]

    def arrays(self) -> dict[str, Any]:
        """Everything it consists of, by name, for an archive of arrays."""
        named = (("weight", self.weights), ("bias", self.biases))
        found: dict[str, Any] = {f"posterior_{k}{i}": a for k, arrays in named for i, a in enumerate(arrays)}
        found["posterior_charges"] = np.array(self.charges)
        if (c := self.calibration) is not None:
            found |= {"posterior_noise_edges": np.array(c.noise_edges), "posterior_limits": c.limits}
            found["posterior_valences"] = np.array(c.valences)
        return found

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> "Posterior | None":
        """The inverse of `arrays`; None if there is none among them."""
        numbers = range(sum(name.startswith("posterior_weight") for name in arrays))
        if not numbers:
            return None
        layers = [(arrays[f"posterior_weight{i}"], arrays[f"posterior_bias{i}"]) for i in numbers]
        calibration = None
        if "posterior_limits" in arrays:
            noise, valences = (tuple(arrays[f"posterior_{k}"].tolist()) for k in ("noise_edges", "valences"))
            calibration = Calibration(noise, valences, arrays["posterior_limits"])
        weights, biases = zip(*layers, strict=True)
        return cls(weights, biases, tuple(arrays["posterior_charges"].tolist()), calibration)


@dataclass(frozen=True)
class ReferenceMixtures:
    """Mixtures of measured pure spectra; the nearest (least squares with a constant) is a second opinion.

    Attributes
    ----------
    templates : ndarray, shape (T, P)
        `inputs` of mixtures in steps of 0.1 of the shares, moved by a channel or two, without the noise.
    mean_valence : ndarray, shape (T,)
        Of each.
    """

    templates: Floats32
    mean_valence: Floats

    TOLERANCE = 0.2
    """How far beyond the posterior's interval the nearest mixture may lie before the two disagree: two steps
    of the shares.
    """

    @classmethod
    def of_pure(cls, pure: Mapping[int, Floats32], charges: Sequence[float]) -> "ReferenceMixtures | None":
        """From one spectrum (n_crop,) per class, in proportion to their atoms; None for fewer classes than
        two.
        """
        if len(pure) < 2:
            return None
        shares = compositions(len(pure))
        mixed = (shares @ np.stack(list(pure.values()))).astype(np.float32)
        low, high = mixed.min(axis=1, keepdims=True), mixed.max(axis=1, keepdims=True)
        located = locate((mixed - low) / (high - low))
        moved = [inputs(located._replace(l3=located.l3 + m))[:, :-1] for m in range(-2, 3)]
        valence = shares @ np.array([charges[k] for k in pure])
        return cls(np.concatenate(moved), np.tile(valence, len(moved)))

    def nearest(self, located: Located) -> Floats:
        """Mean valence (N,) of the mixture nearest to each of N crops."""
        return np.asarray(self.mean_valence[(inputs(located)[:, :-1] @ self.templates.T).argmax(axis=1)])

    def contradicts(self, located: Located, reading: Reading) -> Bools:
        """Whether the nearest mixture lies more than `TOLERANCE` outside the interval: (N,)."""
        nearest = self.nearest(located)
        low, high = reading.interval.T
        return np.asarray((nearest < low - self.TOLERANCE) | (nearest > high + self.TOLERANCE))


def inputs(located: Located) -> Floats32:
    """Inputs of the layers from N crops (N, P): the window around L3, and the logarithm of the noise.

    The window has zero mean and unit length. Where L3 lies is forgotten.
    """
    n_crop = located.crops.shape[1]
    low, high = (round(share * n_crop) for share in SPAN)
    smooth = moving_average(located.crops, SMOOTHING)
    window = located._replace(smooth=smooth).around_l3(np.arange(low, high, STEP))
    window -= window.mean(axis=1, keepdims=True)
    window /= np.maximum(np.sqrt(np.einsum("np,np->n", window, window)), 1e-9)[:, None]
    noise = np.log10(located.noise + _LEAST_NOISE)
    return np.concatenate([window, noise[:, None]], axis=1).astype(np.float32)


def _forward(weights: Sequence[Floats32], biases: Sequence[Floats32], x: Any) -> Any:
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = x @ weight + bias
        if i < len(weights) - 1:
            np.maximum(x, 0, out=x)
    return x

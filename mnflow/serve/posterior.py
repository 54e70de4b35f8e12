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
from numpy.typing import NDArray

from mnflow.preprocess.resample import moving_average
from mnflow.serve.decision import Reading, mean_and_interval, read
from mnflow.serve.novelty import Located, locate
from mnflow.serve.numpy_nets import softmax

Floats = NDArray[np.float32]

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

_LEAST_NOISE = 1e-4  # below it, noise makes no difference


@lru_cache
def compositions(n_classes: int) -> NDArray[np.float64]:
    """All compositions (M, n_classes) in steps of 0.1; rows sum to 1, the first is pure class 0."""
    shares = range(SHARE_STEPS, -1, -1)
    found = [c for c in product(shares, repeat=n_classes) if sum(c) == SHARE_STEPS]
    return np.array(found) / SHARE_STEPS


@dataclass(frozen=True)
class Calibration:
    """Corrections so that the 90 % interval of the mean valence covers 90 % on materials unseen by the fit.

    Conformalised quantile regression (Romano et al. 2019, https://doi.org/10.48550/arXiv.1905.03222), with
    its own correction in every bin of noise, width of the posterior and mean valence.

    Attributes
    ----------
    noise_edges, spread_edges, valence_edges : tuple of float
        Between the bins: of the noise level, of the posterior's standard deviation and mean of the valence.
    offsets : ndarray, shape (noise bins, spread bins, valence bins, 2)
        What is added to the low and to the high end.
    """

    noise_edges: tuple[float, ...]
    spread_edges: tuple[float, ...]
    valence_edges: tuple[float, ...]
    offsets: Floats

    def bins(self, noise: Any, spread: Any, valence: Any) -> tuple[NDArray[np.int64], ...]:
        """Index of the bin of N spectra along each of the three axes."""
        edges = (self.noise_edges, self.spread_edges, self.valence_edges)
        pairs = zip(edges, (noise, spread, valence), strict=True)
        return tuple(np.searchsorted(np.array(e), values) for e, values in pairs)


@dataclass(frozen=True)
class Posterior:
    """Dense layers with ReLU between them, fitted to simulated mixtures by `mnflow.fit.posterior`.

    Attributes
    ----------
    weights : tuple of ndarray, shapes (P, H), ..., (H', M + T)
        The first takes `inputs` as they are; scaling is in it. M compositions, T of `T_OVER_LAMBDA`.
    biases : tuple of ndarray, shapes (H,), ..., (M + T,)
    charges : tuple of float
        Formal valence of every class.
    calibration : Calibration, optional
        Without it, intervals are the posterior's own quantiles.
    """

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    charges: tuple[float, ...]
    calibration: Calibration | None = None

    def cells(self, located: Located) -> NDArray[np.float64]:
        """Probabilities (N, M) of `compositions` for N crops."""
        return self._masses(inputs(located))[0]

    def __call__(self, located: Located) -> Reading:
        """Everything that is said of N crops."""
        cells, thickness = self._masses(inputs(located))
        found = replace(
            read(cells, compositions(len(self.charges)), self.charges),
            t_over_lambda=mean_and_interval(T_OVER_LAMBDA, thickness),
        )
        if self.calibration is None:
            return found
        places = self.calibration.bins(located.noise, found.spread, found.mean_valence)
        return found.widened(self.calibration.offsets[places].astype(np.float64), self.charges)

    def _masses(self, x: Floats) -> list[NDArray[np.float64]]:
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
            edges = {"noise": c.noise_edges, "spread": c.spread_edges, "valence": c.valence_edges}
            found |= {f"posterior_{name}_edges": np.array(e) for name, e in edges.items()}
            found["posterior_offsets"] = c.offsets
        return found

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> "Posterior | None":
        """The inverse of `arrays`; None if there is none among them."""
        numbers = range(sum(name.startswith("posterior_weight") for name in arrays))
        if not numbers:
            return None
        layers = [(arrays[f"posterior_weight{i}"], arrays[f"posterior_bias{i}"]) for i in numbers]
        calibration = None
        if "posterior_offsets" in arrays:
            names = ("noise", "spread", "valence")
            noise, spread, valence = (tuple(arrays[f"posterior_{name}_edges"].tolist()) for name in names)
            calibration = Calibration(noise, spread, valence, arrays["posterior_offsets"])
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

    templates: Floats
    mean_valence: NDArray[np.float64]

    TOLERANCE = 0.2
    """How far beyond the posterior's interval the nearest mixture may lie before the two disagree: two steps
    of the shares.
    """

    @classmethod
    def of_pure(cls, pure: Mapping[int, Floats], charges: Sequence[float]) -> "ReferenceMixtures | None":
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

    def nearest(self, located: Located) -> NDArray[np.float64]:
        """Mean valence (N,) of the mixture nearest to each of N crops."""
        return np.asarray(self.mean_valence[(inputs(located)[:, :-1] @ self.templates.T).argmax(axis=1)])

    def contradicts(self, located: Located, reading: Reading) -> NDArray[np.bool_]:
        """Whether the nearest mixture lies more than `TOLERANCE` outside the interval: (N,)."""
        nearest = self.nearest(located)
        low, high = reading.interval.T
        return np.asarray((nearest < low - self.TOLERANCE) | (nearest > high + self.TOLERANCE))


def inputs(located: Located) -> Floats:
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


def _forward(weights: Sequence[Floats], biases: Sequence[Floats], x: Any) -> Any:
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = x @ weight + bias
        if i < len(weights) - 1:
            np.maximum(x, 0, out=x)
    return x

"""How much of every valence is in a spectrum: a small regression on the shape of its edge, in numpy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.serve.novelty import Located

Floats = NDArray[np.float32]

SPAN = (-0.235, 0.57)
"""What is looked at around L3, as shares of the crop: -7 ... +17 eV for Mn."""

STEP = 2
"""Every other smoothed channel says all."""


@dataclass(frozen=True)
class Unmixer:
    """Dense layers with ReLU between them, fitted to mixtures by `mnflow.fit.unmix.fit`.

    Attributes
    ----------
    weights : tuple of ndarray, shapes (P, H), (H, H'), (H', K)
        The first takes the window of `shapes` as it is; scaling is in it.
    biases : tuple of ndarray, shapes (H,), (H',), (K,)
    """

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]

    def __call__(self, located: Located) -> NDArray[np.float64]:
        """Shares of the classes' atoms (N, K), not negative and of sum 1, in N crops."""
        x: Any = shapes(located)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight + bias
            if i < len(self.weights) - 1:
                np.maximum(x, 0, out=x)
        fractions = np.clip(x.astype(np.float64), 1e-9, None)
        return np.asarray(fractions / fractions.sum(axis=1, keepdims=True))

    def arrays(self) -> dict[str, Floats]:
        """All that it is, by name, for an archive of arrays."""
        named = (("weight", self.weights), ("bias", self.biases))
        return {f"unmix_{kind}{i}": array for kind, arrays in named for i, array in enumerate(arrays)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> "Unmixer | None":
        """The inverse of `arrays`; None if there is none among them."""
        numbers = range(sum(name.startswith("unmix_weight") for name in arrays))
        layers = [(arrays[f"unmix_weight{i}"], arrays[f"unmix_bias{i}"]) for i in numbers]
        return cls(*zip(*layers, strict=True)) if layers else None


def shapes(located: Located) -> Floats:
    """The smoothed window around L3 of N crops, without its mean and of unit length: (N, P). Forgets where L3
    lies.
    """
    n_crop = located.crops.shape[1]
    low, high = (round(share * n_crop) for share in SPAN)
    window = located.around_l3(np.arange(low, high, STEP))
    window -= window.mean(axis=1, keepdims=True)
    window /= np.maximum(np.sqrt(np.einsum("np,np->n", window, window)), 1e-9)[:, None]
    return window

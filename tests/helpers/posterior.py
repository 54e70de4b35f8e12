"""A posterior with drawn weights: its answers are meaningless but reproducible."""

from itertools import pairwise

import numpy as np

from mnflow.serve.novelty import locate
from mnflow.serve.posterior import T_OVER_LAMBDA, Posterior, compositions, inputs


def made_up_posterior(n_classes: int = 3, n_crop: int = 300, seed: int = 5, sure: bool = False) -> Posterior:
    """Charges are 2, 3, ...; a `sure` one names the second class, whatever it sees."""
    rng = np.random.default_rng(seed)
    n_inputs = inputs(locate(np.zeros((1, n_crop), np.float32))).shape[1]
    n_cells = len(compositions(n_classes))
    sizes = (n_inputs, 16, n_cells + len(T_OVER_LAMBDA))
    weights = [rng.normal(size=s).astype(np.float32) / np.sqrt(s[0]) for s in pairwise(sizes)]
    weights[0][-1] = 0  # deaf to noise, so that tests can compare
    weights[1] *= 5
    biases = [np.zeros(n, np.float32) for n in sizes[1:]]
    if sure:
        weights[1] *= 0.01
        biases[1][:n_cells][compositions(n_classes)[:, 1] == 1] = 12
    return Posterior(tuple(weights), tuple(biases), tuple(float(2 + k) for k in range(n_classes)))

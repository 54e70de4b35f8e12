"""A net and a predictor with drawn weights: what they say is nonsense, but it is always the same."""

import numpy as np
import pytest

from mnflow.serve.net import Net, Step
from mnflow.serve.predictor import Predictor
from mnflow.valence import MN


@pytest.fixture(scope="session")
def net() -> Net:
    """Four fold models of the paper's fcn."""
    rng = np.random.default_rng(5)
    filters, kernels = (1, 2, 2, 4, 8, 12), (9, 7, 7, 5, 3)
    steps = [
        Step(
            rng.normal(size=(4, k, c_in, c_out)).astype("f") / np.sqrt(k * c_in),
            rng.normal(size=(4, c_out)).astype("f") / 9,
            True,
            2,
        )
        for k, c_in, c_out in zip(kernels, filters, filters[1:], strict=False)
    ]
    last = Step(rng.normal(size=(4, 1, 12, 3)).astype("f"), np.zeros((4, 3), "f"), before="mean")
    return Net((*steps, last), 300)


@pytest.fixture(scope="session")
def predictor(net: Net) -> Predictor:
    return Predictor(net, MN, temperature=1.5, facts={"cv_run": "abc"})

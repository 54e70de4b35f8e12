"""An ensemble with drawn weights: its answers are meaningless but reproducible, and it needs no Keras."""

import numpy as np

from mnflow.serve.numpy_nets import NumpyNet, Step


def made_up_net(folds: int = 4, seed: int = 5) -> NumpyNet:
    """`folds` models of the paper's fcn."""
    rng = np.random.default_rng(seed)
    filters, kernels = (1, 2, 2, 4, 8, 12), (9, 7, 7, 5, 3)

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(size=(folds, *shape)).astype(np.float32)

    steps = [
        Step(
            drawn(k, c_in, c_out) / np.sqrt(k * c_in), drawn(c_out) / 9, relu=True, taps=(0.5, 0.5), stride=2
        )
        for k, c_in, c_out in zip(kernels, filters[:-1], filters[1:], strict=True)
    ]
    return NumpyNet((*steps, Step(drawn(1, 12, 3), np.zeros((folds, 3), np.float32), before="mean")), 300)

"""The same training as a user would write it: a tenfold copy of augmented spectra, and `model.fit` or a PyTorch loop.

Run by benchmarks.training in a process of its own, with the framework's name; prints spectra a second as JSON. Augmenting
is not timed, training is; the first epoch, which compiles, is left out.
"""

import json
import sys
import time
from typing import Any

import numpy as np

BATCH = 128
N_CHANNELS = 300


def data(n: int) -> tuple[Any, Any]:
    """Spectra (n, 300) and labels (n,); what they show does not matter for speed."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, N_CHANNELS), dtype=np.float32), rng.integers(0, 3, n)


def keras_fit(n: int, epochs: int) -> float:
    """Spectra a second of Keras's own `model.fit`, on the backend of KERAS_BACKEND."""
    import keras

    from mnflow import models

    net = models.build("fcn")
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    stamps: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: stamps.append(time.perf_counter()))
    net.fit(*data(n), batch_size=BATCH, epochs=epochs + 1, verbose=0, callbacks=[clock])
    return epochs * n / (stamps[-1] - stamps[0])


def torch_net() -> Any:
    """The FCN in PyTorch, layer by layer."""
    from torch import nn

    layers: list[Any] = []
    width = 1
    for filters, kernel in zip((2, 2, 4, 8, 12), (9, 7, 7, 5, 3), strict=True):
        layers += [nn.Conv1d(width, filters, kernel), nn.ReLU(), nn.BatchNorm1d(filters, eps=1e-3), nn.AvgPool1d(2)]
        width = filters
    return nn.Sequential(*layers, nn.Dropout(0.8), nn.Conv1d(width, 3, 1), nn.AdaptiveAvgPool1d(1), nn.Flatten())


def torch_loop(n: int, epochs: int) -> float:
    """Spectra a second of a plain PyTorch loop over a permutation of tensors in memory."""
    import torch

    torch.manual_seed(0)
    net = torch_net()
    adam = torch.optim.Adam(net.parameters())
    loss = torch.nn.CrossEntropyLoss()
    x, y = (torch.from_numpy(a) for a in data(n))
    x = x[:, None]
    start = 0.0
    for epoch in range(epochs + 1):
        if epoch == 1:
            start = time.perf_counter()
        for index in torch.randperm(n).split(BATCH):
            adam.zero_grad()
            loss(net(x[index]), y[index]).backward()
            adam.step()
    return epochs * n / (time.perf_counter() - start)


if __name__ == "__main__":
    framework, n, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    speed = torch_loop(n, epochs) if framework == "torch" else keras_fit(n, epochs)
    print(json.dumps({"spectra_per_second": speed}))

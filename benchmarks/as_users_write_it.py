"""The same training as a user would write it: `model.fit` or a PyTorch loop on augmented copies.

Run by benchmarks.training in a process of its own, with the framework's name, the number of spectra, of
epochs, and the batch size; prints its speed as JSON. Augmenting is not timed, training is; the first epoch,
which compiles, is left out.
"""

import json
import sys
import time
from typing import Any

import numpy as np

N_CHANNELS = 300


Stamp = tuple[float, float]
Speed = dict[str, float]


def now() -> Stamp:
    """Wall time and processor time of this process, all threads."""
    return time.perf_counter(), time.process_time()


def speed(spectra: int, start: Stamp, stop: Stamp) -> Speed:
    """Spectra per second, and per processor second."""
    return {
        "spectra_per_second": spectra / (stop[0] - start[0]),
        "spectra_per_cpu_second": spectra / (stop[1] - start[1]),
    }


def data(n: int) -> tuple[Any, Any]:
    """Spectra (n, 300) and labels (n,); what they show does not matter for speed."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, N_CHANNELS), dtype=np.float32), rng.integers(0, 3, n)


def keras_fit(n: int, epochs: int, batch_size: int) -> Speed:
    """Speed of Keras's own `model.fit`, on the backend of KERAS_BACKEND."""
    import keras

    from mnflow.models import keras_nets
    from mnflow.models.architectures import design

    net = keras_nets.build(design("fcn"))
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    stamps: list[Stamp] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: stamps.append(now()))
    net.fit(*data(n), batch_size=batch_size, epochs=epochs + 1, verbose=0, callbacks=[clock])
    return speed(epochs * n, stamps[0], stamps[-1])


def torch_net() -> Any:
    """The FCN in PyTorch, layer by layer."""
    from torch import nn

    layers: list[Any] = []
    width = 1
    for filters, kernel in zip((2, 2, 4, 8, 12), (9, 7, 7, 5, 3), strict=True):
        layers += [
            nn.Conv1d(width, filters, kernel),
            nn.ReLU(),
            nn.BatchNorm1d(filters, eps=1e-3),
            nn.AvgPool1d(2),
        ]
        width = filters
    return nn.Sequential(
        *layers, nn.Dropout(0.8), nn.Conv1d(width, 3, 1), nn.AdaptiveAvgPool1d(1), nn.Flatten()
    )


def torch_loop(n: int, epochs: int, batch_size: int) -> Speed:
    """Speed of a plain PyTorch loop over a permutation of tensors in memory."""
    import torch

    torch.manual_seed(0)
    net = torch_net()
    adam = torch.optim.Adam(net.parameters())
    loss = torch.nn.CrossEntropyLoss()
    x, y = (torch.from_numpy(a) for a in data(n))
    x = x[:, None]
    start = now()
    for epoch in range(epochs + 1):
        if epoch == 1:
            start = now()
        for index in torch.randperm(n).split(batch_size):
            adam.zero_grad()
            loss(net(x[index]), y[index]).backward()
            adam.step()
    return speed(epochs * n, start, now())


if __name__ == "__main__":
    framework, (n, epochs, batch_size) = sys.argv[1], map(int, sys.argv[2:])
    print(json.dumps((torch_loop if framework == "torch" else keras_fit)(n, epochs, batch_size)))

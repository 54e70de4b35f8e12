"""The networks' shapes: filters, kernels, pooling, dropout; what is fully convolutional."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.preprocess.crops import around_l3_channels
from mnflow.spectra.arrays import Floats32

POOL = 2
"""Channels that every average pooling joins."""


@dataclass(frozen=True)
class Shape:
    """What makes up a net.

    Attributes
    ----------
    filters, kernels : tuple of int
        Of every block of convolution; a kernel's length in channels.
    hidden : tuple of int
        Units of the dense layers between the blocks and the classes. A net with blocks and without them is
        fully convolutional: one feature vector a position, and a mean over the positions.
    dropout : float
        Share of values that are set to zero in training.
    smoothing : int
        How often neighbouring channels are averaged before each pooling: a low-pass filter, so that halving
        the channels does not alias (https://arxiv.org/abs/1904.11486).
    l3_bin : int
        If positive, the net first cuts the stretch around L3 out of its crop, averages so many channels to
        one, and normalises again (`mnflow.preprocess.crops.around_l3`): an energy shift changes nothing of
        what it sees, and noise little.
    """

    filters: tuple[int, ...] = ()
    kernels: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    smoothing: int = 0
    l3_bin: int = 0

    @property
    def fully_convolutional(self) -> bool:
        """Whether it ends in a mean over the positions, not in dense layers."""
        return bool(self.filters) and not self.hidden


_FILTERS, _KERNELS = (2, 2, 4, 8, 12), (9, 7, 7, 5, 3)


ARCHITECTURES: dict[str, Shape] = {
    "dense": Shape(hidden=(32, 32), dropout=0.5),
    "conv_dense": Shape(_FILTERS, _KERNELS, hidden=(8, 4)),
    "fcn": Shape(_FILTERS, _KERNELS, dropout=0.8),
    "fcn_antialiased": Shape(_FILTERS, _KERNELS, dropout=0.8, smoothing=2),
    "fcn_wide": Shape((16, 32, 48), (5, 5, 5), dropout=0.2, l3_bin=5),
}
"""The paper's nets; 10,915, 1,293 and 673 trainable weights. The fourth is the third with a filter before
every pooling; `fcn_wide` is ours, and the one to use (docs/findings.md).
"""


FULLY_CONVOLUTIONAL = tuple(arch for arch, shape in ARCHITECTURES.items() if shape.fully_convolutional)
"""Nets that end in a mean over the positions: the only ones that may become champion."""


def resolve(
    arch: str,
    dropout: float | None = None,
    filters: Sequence[int] | None = None,
    kernels: Sequence[int] | None = None,
    depth: int | None = None,
    l3_bin: int | None = None,
) -> Shape:
    """The shape of net `arch`, with what is given in place of its own values, if that fits together."""
    if arch not in ARCHITECTURES:
        raise InputError(f"Unknown net {arch!r}: expected one of {', '.join(ARCHITECTURES)}.")
    paper = ARCHITECTURES[arch]
    shape = replace(
        paper,
        filters=(paper.filters if filters is None else tuple(filters))[:depth],
        kernels=(paper.kernels if kernels is None else tuple(kernels))[:depth],
        dropout=paper.dropout if dropout is None else float(dropout),
        l3_bin=paper.l3_bin if l3_bin is None else int(l3_bin),
    )
    if not 0 <= shape.dropout < 1:
        raise InputError(f"Dropout must lie in [0, 1), got {shape.dropout}.")
    if len(shape.filters) != len(shape.kernels) or any(n < 1 for n in shape.filters + shape.kernels):
        raise InputError(
            f"Expected one positive kernel length for each filter count, got {shape.filters} and "
            f"{shape.kernels}."
        )
    if depth is not None and not 1 <= depth <= len(shape.filters):
        raise InputError(f"Expected a depth of at least 1 and at most the net's blocks, got {depth}.")
    if bool(shape.l3_bin) != bool(paper.l3_bin) or shape.l3_bin < 0:
        raise InputError(
            f"Expected bins of 1 channel or more, for nets that look at the stretch around L3, got "
            f"{shape.l3_bin} for {arch}."
        )
    if shape.filters and not paper.filters:
        raise InputError(
            f"The net {arch!r} has no convolutions: leave filters and kernels out, or choose conv_dense or "
            f"fcn."
        )
    return shape


def block_lengths(shape: Shape, n_channels: int) -> list[int]:
    """Channels at the input of each block and at the end: 300, 146, 70, 32, 14, 6 in the paper."""
    lengths = [around_l3_channels(n_channels)[1] // shape.l3_bin if shape.l3_bin else n_channels]
    for kernel in shape.kernels:
        lengths.append((lengths[-1] - kernel + 1 - shape.smoothing) // POOL)
    if lengths[-1] < 1:
        raise InputError(
            f"Spectra of {n_channels} channels are too short for kernels {shape.kernels}: use fewer or "
            f"shorter ones."
        )
    return lengths


@dataclass(frozen=True)
class Plan:
    """What a net is; compiled code knows it in advance, and equal plans share one compilation."""

    arch: str
    shape: Shape
    n_classes: int
    n_channels: int


def design(
    arch: str,
    n_classes: int = 3,
    n_channels: int = 300,
    **changes: Any,
) -> Plan:
    """The plan of net `arch` for crops of `n_channels` channels; `changes` are those of `resolve`."""
    shape = resolve(arch, **changes)
    block_lengths(shape, n_channels)
    return Plan(arch, shape, n_classes, n_channels)


Weights = dict[str, list[Floats32]]
"""Arrays of every layer that has any, by the layer's name, in Keras's order."""


def initial_params(plan: Plan, rng: np.random.Generator) -> Weights:
    """Weights as Keras draws them: Glorot-uniform kernels, biases 0, scales 1."""
    params: Weights = {}

    def add(name: str, norm: str, *shape: int) -> None:
        limit = np.sqrt(6 / (np.prod(shape[:-2]) * (shape[-2] + shape[-1])))
        params[name] = [rng.uniform(-limit, limit, shape).astype(np.float32), np.zeros(shape[-1], np.float32)]
        if norm:
            params[norm] = [np.ones(shape[-1], np.float32), np.zeros(shape[-1], np.float32)]

    width = 1
    for i, (filters, kernel) in enumerate(zip(plan.shape.filters, plan.shape.kernels, strict=True), start=1):
        add(f"conv{i}", f"norm{i}", kernel, width, filters)
        width = filters
    if plan.shape.fully_convolutional:
        add("logits", "", 1, width, plan.n_classes)
        return params
    width *= block_lengths(plan.shape, plan.n_channels)[-1]
    for i, units in enumerate(plan.shape.hidden, start=1):
        add(f"dense{i}", f"dense_norm{i}", width, units)
        width = units
    add("logits", "", width, plan.n_classes)
    return params


def count_weights(plan: Plan) -> int:
    """Number of trainable weights."""
    return sum(a.size for arrays in initial_params(plan, np.random.default_rng(0)).values() for a in arrays)

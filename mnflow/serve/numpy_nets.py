"""The trained nets without Keras: an ensemble's forward pass in numpy, quick to start, to load and to call.

Every net of `mnflow.models.keras_nets` becomes a chain of `Step`s. Batch normalisation is linear, so it is
folded into the weights of the step that follows. Arrays carry the fold models on their first axis (F); a test
holds the outputs equal to Keras's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.preprocess.crops import around_l3, around_l3_channels
from mnflow.spectra.arrays import Floats32

CHUNK = 128
"""Spectra that pass the net together: what lies between the layers stays in the processor's cache."""

_PASSED = ("InputLayer", "Reshape", "AveragePooling1D", "LayerNormalization", "Dropout", "Softmax")
"""Kinds of Keras layers without a step of their own: inactive in prediction, or part of `around_l3`."""

_MAX_GROUP = 10
"""Most neighbouring (pooled) outputs of a convolution that one matrix product gives (see `_banded`)."""


@dataclass(frozen=True)
class Step:
    """One convolution or dense layer of F nets, with what follows it.

    Attributes
    ----------
    weight : ndarray, shape (F, kernel, c_in, c_out)
        A dense layer has a kernel of 1.
    bias : ndarray, shape (F, c_out)
    relu : bool
        Whether negative outputs become zero.
    taps : tuple of float
        Weights of the neighbours that pooling joins afterwards; (1,) for none.
    stride : int
        Channels between the neighbourhoods that pooling joins.
    before : str
        Applied to the input (F, B, L, c_in): "" nothing, "flatten" to (F, B, 1, L * c_in), "mean" over L.
    """

    weight: Floats32
    bias: Floats32
    relu: bool = False
    taps: tuple[float, ...] = (1.0,)
    stride: int = 1
    before: str = ""


@dataclass(frozen=True)
class _Layer:
    """A step made ready for inputs of one length.

    Spectra are innermost in memory, so that all neighbouring inputs of a group of pooled outputs are the rows
    of one matrix. The bias is added when pooling has made the outputs fewer: relu(y + b) = max(y, -b) + b.

    Attributes
    ----------
    matrices : ndarray, shape (F, taps * group * c_out, width * c_in)
        From `width` neighbouring inputs to the outputs of a group, before pooling joins the taps.
    floor : ndarray, shape (F, taps, group * c_out, 1)
        What an output is at least, before its bias is added, if there is a ReLU.
    bias : ndarray, shape (F, group * c_out, 1)
        Of all taps together.
    """

    step: Step
    n_out: int
    group: int
    matrices: Floats32
    floor: Floats32
    bias: Floats32


@dataclass(frozen=True)
class NumpyNet:
    """F models of one architecture, their input's length, and the bins of the stretch around L3 (0: all)."""

    steps: tuple[Step, ...]
    n_channels: int
    l3_bin: int = 0
    layers: tuple[_Layer, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        length, channels, layers = self.n_channels, 1, []
        if self.l3_bin:
            length = around_l3_channels(self.n_channels)[1] // self.l3_bin
        for step in self.steps:
            if step.before:
                length, channels = 1, channels * (length if step.before == "flatten" else 1)
            if step.weight.shape[2] != channels or step.weight.shape[1] + len(step.taps) - 1 > length:
                raise InputError(
                    f"A step with weights {step.weight.shape} cannot follow {length} positions of {channels} "
                    f"channels."
                )
            layers.append(_ready(step, length))
            length, channels = layers[-1].n_out, step.weight.shape[3]
        object.__setattr__(self, "layers", tuple(layers))

    @property
    def n_folds(self) -> int:
        return len(self.steps[0].weight)

    def only(self, fold: int) -> "NumpyNet":
        """The net of one fold model, by its place."""
        one = slice(fold, fold + 1)
        steps = tuple(replace(s, weight=s.weight[one], bias=s.bias[one]) for s in self.steps)
        return replace(self, steps=steps)

    def logits(self, crops: Any) -> Floats32:
        """Logits (F, N, K) of N normalised crops (N, n_channels).

        Raises `InputError` if the crops have another number of channels.
        """
        return self._forward(crops, len(self.layers))

    def features(self, crops: Any) -> Floats32:
        """What enters the last layer, averaged over the energies: (F, N, c)."""
        return self._forward(crops, len(self.layers) - 1)

    def _forward(self, crops: Any, n_layers: int) -> Floats32:
        """Mean over the energies of what comes out of the first layers: (F, N, c)."""
        crops = np.asarray(crops, dtype=np.float32)
        if crops.ndim != 2 or crops.shape[1] != self.n_channels:
            raise InputError(
                f"The net takes crops (N, {self.n_channels}), got {crops.shape}: use mnflow.preprocess."
            )
        if self.l3_bin:
            crops = around_l3(crops, self.l3_bin)
        chunks = [crops[i : i + CHUNK] for i in range(0, max(len(crops), 1), CHUNK)]
        return np.concatenate([_run(self.layers[:n_layers], chunk) for chunk in chunks], axis=1)


def softmax(logits: Any) -> Any:
    """Probabilities of logits (..., K), without overflow."""
    exponential = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponential / exponential.sum(axis=-1, keepdims=True)


def _ready(step: Step, length: int) -> _Layer:
    """Lay out a step for inputs of `length` positions; outputs that pooling would drop are not computed."""
    n_out = (length - step.weight.shape[1] + 1 - len(step.taps)) // step.stride + 1
    group = next(g for g in range(_MAX_GROUP, 0, -1) if n_out % g == 0)
    bias = np.tile(step.bias, group)[:, None, :, None] * np.array(step.taps, dtype=np.float32)[:, None, None]
    return _Layer(step, n_out, group, _banded(step, group), -bias, bias.sum(axis=1))


def _banded(step: Step, group: int) -> Floats32:
    """The matrices of a `_Layer`; a tap's weight may pass the ReLU that follows, since it is positive.

    They hold zeros, but turn thousands of products of a few rows into one, which is much quicker.
    """
    folds, kernel, c_in, c_out = step.weight.shape
    n_taps = len(step.taps)
    width = (group - 1) * step.stride + n_taps - 1 + kernel
    matrices = np.zeros((folds, n_taps, group, c_out, width, c_in), dtype=np.float32)
    for tap, share in enumerate(step.taps):
        for i in range(group):
            start = i * step.stride + tap
            matrices[:, tap, i, :, start : start + kernel] = share * step.weight.transpose(0, 3, 1, 2)
    return matrices.reshape(folds, n_taps * group * c_out, width * c_in)


def _run(layers: Sequence[_Layer], crops: Floats32) -> Floats32:
    """Mean over positions (F, B, c) after these layers of crops (B, C)."""
    x, channels = np.ascontiguousarray(crops.T)[None], 1  # (1, C, B): all folds see the same spectra
    for layer in layers:
        if layer.step.before == "mean":
            x = _mean(x, channels)
        x, channels = _apply(layer, x), layer.step.weight.shape[3]
    return _mean(x, channels).swapaxes(1, 2)


def _mean(x: Floats32, channels: int) -> Floats32:
    """(F, L * c, B) -> (F, c, B)."""
    return np.asarray(x.reshape(len(x), x.shape[1] // channels, channels, x.shape[2]).mean(axis=1))


def _apply(layer: _Layer, x: Floats32) -> Floats32:
    """(F or 1, L * c_in, B) -> (F, L' * c_out, B)."""
    folds, rows, width = layer.matrices.shape
    n_batch, blocks, taps = x.shape[2], layer.n_out // layer.group, len(layer.step.taps)
    # (F or 1, blocks, width, B): overlapping runs of neighbouring inputs, a view that numpy keeps inside x
    row = n_batch * x.itemsize
    next_block = layer.group * layer.step.stride * layer.step.weight.shape[2] * row
    runs = np.ndarray(
        (len(x), blocks, width, n_batch), x.dtype, x, strides=(x.shape[1] * row, next_block, row, x.itemsize)
    )
    if len(x) == folds:
        y = np.matmul(layer.matrices[:, None], runs).reshape(folds, blocks, taps, rows // taps, n_batch)
    else:  # the nets' matrices one below the other are one product
        y = np.matmul(layer.matrices.reshape(-1, width), runs[0])
        y = y.reshape(blocks, folds, taps, rows // taps, n_batch).swapaxes(0, 1)
    if layer.step.relu:
        np.maximum(y, layer.floor[:, None], out=y)
    pooled = np.empty((folds, blocks, rows // taps, n_batch), dtype=np.float32)
    np.add(y[:, :, 0], y[:, :, 1] if taps > 1 else 0, out=pooled)
    for tap in range(2, taps):
        pooled += y[:, :, tap]
    pooled += layer.bias[:, None]
    return pooled.reshape(folds, blocks * rows // taps, n_batch)


def from_keras(models: Sequence[Any]) -> NumpyNet:
    """The numpy ensemble of Keras nets that `mnflow.models.keras_nets.build` made (all of one architecture).

    Raises `InputError` for no net, nets of different architectures, or a layer that is none of ours.
    """
    chains = [_chain(model) for model in models]
    if not chains or any([s.weight.shape for s in c] != [s.weight.shape for s in chains[0]] for c in chains):
        raise InputError("Expected one Keras net or more, all of one architecture.")
    n_channels = int(models[0].input_shape[-1])
    steps = tuple(_stack(steps) for steps in zip(*chains, strict=True))
    return NumpyNet(steps, n_channels, bin_of(models[0]))


def bin_of(model: Any) -> int:
    """Channels that a Keras net averages to one around L3; 0 for one that sees its whole crop."""
    return next((int(layer.pool_size[0]) for layer in model.layers if layer.name == "bins"), 0)


def _stack(steps: Sequence[Step]) -> Step:
    weight = np.concatenate([s.weight for s in steps]).astype(np.float32)
    return replace(steps[0], weight=weight, bias=np.concatenate([s.bias for s in steps]).astype(np.float32))


def _chain(model: Any) -> list[Step]:
    """One Keras net as steps with F = 1, in float64; linear layers between them are folded forward."""
    steps: list[Step] = []
    scale: Any = 1.0  # what the next step's input must still be multiplied by, per channel ...
    offset: Any = 0.0  # ... and what must then be added
    before = ""
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in ("Conv1D", "Dense"):
            kernel, bias = (np.asarray(w, dtype=np.float64) for w in layer.get_weights())
            if kind == "Dense" and not steps:
                before = "flatten"
            kernel = kernel if kernel.ndim == 3 else kernel[None]  # (kernel, c_in, c_out)
            width = kernel.shape[1]
            scale, offset = (np.resize(np.broadcast_to(v, np.size(v)), width) for v in (scale, offset))
            bias = bias + np.einsum("c,kco->o", offset, kernel)
            relu = layer.activation.__name__ == "relu"
            steps.append(Step((kernel * scale[:, None])[None], bias[None], relu, before=before))
            scale, offset, before = 1.0, 0.0, ""
        elif kind == "BatchNormalization":
            gamma, beta, mean, variance = (np.asarray(w, dtype=np.float64) for w in layer.get_weights())
            scale = gamma / np.sqrt(variance + layer.epsilon)
            offset = beta - mean * scale
        elif kind == "AveragePooling1D" and steps:  # one before all convolutions belongs to `around_l3`
            steps[-1] = _pooled(steps[-1], int(layer.pool_size[0]), int(layer.strides[0]), layer.name)
        elif kind in ("Flatten", "GlobalAveragePooling1D"):
            before = "flatten" if kind == "Flatten" else "mean"
        elif kind not in _PASSED:
            raise InputError(
                f"The layer {layer.name!r} ({kind}) is in none of mnflow's nets, and cannot be served."
            )
    if before == "mean":  # cheaper before the last, linear 1x1 convolution, and the same
        steps[-1] = replace(steps[-1], before="mean")
    return steps


def _pooled(step: Step, size: int, stride: int, name: str) -> Step:
    """A step and the average pooling after it (and after others of stride 1, which smooth) as one step."""
    if step.stride != 1:
        raise InputError(f"The layer {name!r} pools what was pooled already; mnflow's nets do not.")
    taps = np.convolve(step.taps, np.full(size, 1 / size))
    return replace(step, taps=tuple(taps.tolist()), stride=stride)

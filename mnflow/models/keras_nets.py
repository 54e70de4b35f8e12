"""The nets in plain Keras: the paper's dense, conv_dense and fully convolutional fcn, and ours.

The paper's shapes are those of Chatzidakis & Botton, Sci. Rep. 9, 2126 (2019),
https://doi.org/10.1038/s41598-019-38482-1. Normalised crops (B, n_channels) -> probabilities (B, n_classes).
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.models.architectures import ARCHITECTURES, POOL, Plan, Shape, Weights
from mnflow.models.keras_import import keras
from mnflow.preprocess.crops import EPSILON, around_l3_channels

__all__ = [
    "ARCHITECTURES",
    "build",
    "feature_model",
    "from_bytes",
    "get_weights",
    "load",
    "outline",
    "to_bytes",
    "with_weights",
]

layers = keras.layers


def build(plan: Plan) -> keras.Model:
    """Build a net, untrained: normalised crops (B, n_channels) -> probabilities (B, n_classes)."""
    shape = plan.shape
    spectrum = keras.Input((plan.n_channels,), name="spectrum")
    x = _extractor(spectrum, shape) if shape.filters else spectrum
    head = _fully_convolutional_head if shape.fully_convolutional else _dense_head
    return keras.Model(spectrum, head(x, shape, plan.n_classes), name=plan.arch)


def _extractor(x: Any, shape: Shape) -> Any:
    """Blocks of [conv, ReLU, batch norm, average pool 2]: (B, 300) -> (B, 6, 12)."""
    if shape.l3_bin:
        x = _around_l3(x, shape.l3_bin)
    x = layers.Reshape((-1, 1), name="channels")(x)
    for i, (filters, kernel) in enumerate(zip(shape.filters, shape.kernels, strict=True), start=1):
        x = layers.Conv1D(filters, kernel, activation="relu", name=f"conv{i}")(x)
        x = layers.BatchNormalization(name=f"norm{i}")(x)
        for j in range(1, shape.smoothing + 1):
            x = layers.AveragePooling1D(2, strides=1, name=f"smooth{i}_{j}")(x)
        x = layers.AveragePooling1D(POOL, name=f"pool{i}")(x)
    return x


def _around_l3(x: Any, n_bin: int) -> Any:
    """`mnflow.preprocess.crops.around_l3` inside the net: (B, 300) -> (B, 36) for bins of 5."""
    n_channels = x.shape[1]
    before, length, smooth = around_l3_channels(n_channels)
    averaged = layers.AveragePooling1D(smooth, strides=1)(layers.Reshape((n_channels, 1))(x))  # (B, 281, 1)
    peak = keras.ops.argmax(averaged, axis=1) + smooth // 2  # (B, 1)
    start = keras.ops.clip(peak - before, 0, n_channels - length)
    stretch = keras.ops.take_along_axis(x, start + np.arange(length), axis=1)
    means = layers.AveragePooling1D(n_bin, name="bins")(layers.Reshape((length, 1))(stretch))
    unit = layers.LayerNormalization(center=False, scale=False, epsilon=EPSILON)
    return unit(layers.Reshape((-1,))(means))


def _dense_head(x: Any, shape: Shape, n_classes: int) -> Any:
    """Hidden layers of [dense, ReLU, batch norm, dropout], then softmax."""
    if shape.filters:
        x = layers.Flatten(name="features")(x)  # (B, 6, 12) -> (B, 72)
    for i, units in enumerate(shape.hidden, start=1):
        x = layers.Dense(units, activation="relu", name=f"dense{i}")(x)
        x = layers.BatchNormalization(name=f"dense_norm{i}")(x)
        x = layers.Dropout(shape.dropout, name=f"dropout{i}")(x)
    return layers.Dense(n_classes, activation="softmax", name="logits")(x)


def _fully_convolutional_head(x: Any, shape: Shape, n_classes: int) -> Any:
    """Dropout, 1x1 convolution to one map a class, mean over the positions, softmax."""
    x = layers.Dropout(shape.dropout, name="dropout1")(x)
    x = layers.Conv1D(n_classes, 1, name="logits")(x)  # (B, 6, 12) -> (B, 6, 3)
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    return layers.Softmax(name="probabilities")(x)


def feature_model(model: keras.Model) -> keras.Model:
    """The feature extractor of a net with convolutions: (B, 300) -> (B, 72) in the paper's shape."""
    pools = [layer for layer in model.layers if layer.name.startswith("pool")]
    if not pools:
        raise InputError(f"The net {model.name!r} has no feature extractor: choose conv_dense or fcn.")
    return keras.Model(model.inputs, layers.Flatten()(pools[-1].output), name=f"{model.name}_features")


def with_weights(model: keras.Model, weights: Weights) -> keras.Model:
    """Put `weights` into `model`, layer by layer, and return it."""
    for name, arrays in weights.items():
        model.get_layer(name).set_weights(arrays)
    return model


def get_weights(model: keras.Model) -> Weights:
    """The arrays of every layer with weights (random generators of dropout left out)."""
    return {
        layer.name: layer.get_weights()
        for layer in model.layers
        if layer.weights and not isinstance(layer, layers.Dropout)
    }


def outline(model: keras.Model) -> list[tuple[str, Any]]:
    """Kind and output shape of every layer: what a net is, whatever it is called."""
    return [(type(layer).__name__, getattr(layer.output, "shape", None)) for layer in model.layers]


def to_bytes(model: keras.Model) -> bytes:
    """The standard .keras file of `model`, as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()


def from_bytes(content: bytes) -> keras.Model:
    """The model in a .keras file's bytes (for prediction: not compiled; no code in the file is run)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        return load(path)


def load(path: str | os.PathLike[str]) -> keras.Model:
    """Read a .keras file for prediction: not compiled, and in Keras's safe mode."""
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a damaged file makes zipfile, h5py or Keras stumble over
        raise InputError(
            f"{path} is not a model that can be read ({error}): expected a .keras file of cv_train."
        ) from error

"""Keras models as compiled functions for evaluation; all fold models share one compilation.

A shifted crop is normalised by its own minimum, maximum and mean before the first ReLU, so that the crops of
one spectrum share no more than the products of the first layer, a quarter of the work. What makes the shift
test quick is that nothing else is done twice: weights are arguments of the compiled function, crops are made
inside it, and the spectra come with the batch innermost in memory already, as the nets want them.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import lax

from mnflow.models import keras_nets
from mnflow.models.architectures import ARCHITECTURES, Plan
from mnflow.models.jax_nets import Array, Moments, Params, forward
from mnflow.models.keras_import import keras
from mnflow.preprocess import normalise
from mnflow.serve.numpy_nets import bin_of
from mnflow.spectra.arrays import Floats32, Ints

BATCH = 256
"""Spectra that pass a net together: what lies between the layers stays in the processor's cache."""


class JaxNet(NamedTuple):
    """A Keras net's weights, and what the compiled code must know about it."""

    params: Params
    moving: Moments
    plan: Plan


def from_keras(model: keras.Model) -> JaxNet:
    """The net in a model that `mnflow.models.keras_nets.build` made."""
    weights = keras_nets.get_weights(model)
    norms = {name: arrays for name, arrays in weights.items() if "norm" in name}
    moving = Moments({n: a[2] for n, a in norms.items()}, {n: a[3] for n, a in norms.items()})
    kernels = [arrays[0].shape for name, arrays in weights.items() if name.startswith("conv")]
    shape = replace(
        ARCHITECTURES[model.name],
        filters=tuple(shape[-1] for shape in kernels),
        kernels=tuple(shape[0] for shape in kernels),
        dropout=0.0,
        l3_bin=bin_of(model),
    )
    plan = Plan(model.name, shape, n_classes=model.output_shape[-1], n_channels=model.input_shape[-1])
    return JaxNet({name: arrays[:2] for name, arrays in weights.items()}, moving, plan)


def probabilities(net: JaxNet, crops: Floats32) -> Floats32:
    """Probabilities (N, K) of normalised crops (N, n_crop)."""
    padded = np.resize(crops, (-(-len(crops) // BATCH), BATCH, crops.shape[1])) if len(crops) else crops[None]
    batches = np.ascontiguousarray(padded.transpose(0, 2, 1))  # (n, L, B)
    return np.asarray(_probabilities(net.params, net.moving, batches, net.plan))[: len(crops)]


@partial(jax.jit, static_argnames="plan")
def _probabilities(params: Params, moving: Moments, batches: Array, plan: Plan) -> Array:
    logits = lax.map(lambda batch: forward(params, batch.T, plan, fixed=moving)[0].T, batches)  # (n, B, K)
    return jax.nn.softmax(logits.reshape(-1, plan.n_classes))


def shifted_classes(net: JaxNet, wide: Floats32, starts: Ints) -> Ints:
    """The likeliest class (S, N) of wide spectra (N, C), cropped from each of the channels `starts` (S,)."""
    return np.asarray(
        _shifted_classes(net.params, net.moving, np.ascontiguousarray(wide.T), starts, net.plan)
    )


@partial(jax.jit, static_argnames="plan")
def _shifted_classes(params: Params, moving: Moments, wide: Array, starts: Array, plan: Plan) -> Array:
    def classes(start: Array) -> Array:
        # (C, N) -> (N, n_channels)
        crops = normalise(lax.dynamic_slice_in_dim(wide, start, plan.n_channels).T)
        return forward(params, crops, plan, fixed=moving)[0].argmax(axis=0)

    return lax.map(classes, starts)

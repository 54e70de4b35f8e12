"""mnflow: the oxidation state of manganese from electron energy-loss spectra."""

import os
from typing import Any

# Keras reads its backend once, at import: JAX trains fastest on a CPU. Set KERAS_BACKEND to choose another.
os.environ.setdefault("KERAS_BACKEND", "jax")
# MLflow's Keras flavor imports TensorFlow, which greets everyone with lines about missing GPUs.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`mnflow.predict`, found when it is asked for: the package itself must import in no time."""
    if name == "predict":
        from mnflow.maps import predict

        return predict
    raise AttributeError(f"module 'mnflow' has no attribute {name!r}")

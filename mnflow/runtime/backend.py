"""Which library runs Keras's networks; set just before Keras is imported, and nowhere else."""

import os

DEFAULT = "jax"
"""JAX trains fastest on a CPU."""


def keras_backend() -> str:
    """The backend that Keras has or will have: KERAS_BACKEND if it is set, else `DEFAULT`."""
    return os.environ.get("KERAS_BACKEND") or DEFAULT


def set_keras_backend() -> None:
    """Keras reads its backend once, at import, from the environment."""
    os.environ["KERAS_BACKEND"] = keras_backend()
    # MLflow's Keras flavor imports TensorFlow where it is installed, which prints lines about missing GPUs.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

"""Keras on the backend of this project: `from mnflow.models.keras_import import keras`."""

from mnflow.runtime.backend import set_keras_backend

set_keras_backend()

import keras  # noqa: E402
from keras.src.utils import module_utils  # noqa: E402

__all__ = ["keras"]

keras.config.set_image_data_format("channels_last")  # whatever the user's keras.json says
keras.config.set_floatx("float32")

if keras.backend.backend() != "tensorflow":
    # To save a model Keras imports TensorFlow (480 MB, 3 s) under any backend where it is installed, only to
    # see that nothing of it is in there.
    module_utils.tensorflow._available = False

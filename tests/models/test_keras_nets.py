"""The nets have the paper's shapes, and their files mean the same under every backend."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.models import keras_nets
from mnflow.models.architectures import count_weights, design


@pytest.mark.parametrize(("arch", "weights"), [("dense", 10_915), ("conv_dense", 1_293), ("fcn", 673)])
def test_weight_counts_are_the_papers(arch: str, weights: int) -> None:
    net = keras_nets.build(design(arch))
    assert sum(np.prod(v.shape) for v in net.trainable_variables) == count_weights(design(arch)) == weights


def test_the_extractor_has_the_papers_lengths() -> None:
    net = keras_nets.build(design("fcn"))
    lengths = [net.get_layer(f"{kind}{i}").output.shape[1] for i in range(1, 6) for kind in ("conv", "pool")]
    assert lengths == [292, 146, 140, 70, 64, 32, 28, 14, 12, 6]
    assert keras_nets.feature_model(net).output_shape == (None, 72)
    assert net.get_layer("dropout1").rate == 0.8


def test_normalisation_follows_the_activation() -> None:
    order = [layer.name.rstrip("12345") for layer in keras_nets.build(design("conv_dense")).layers[2:5]]
    assert order == ["conv", "norm", "pool"]
    assert keras_nets.build(design("dense")).get_layer("dense1").activation.__name__ == "relu"


def test_a_net_without_convolutions_has_no_features() -> None:
    with pytest.raises(InputError, match="conv_dense or fcn"):
        keras_nets.feature_model(keras_nets.build(design("dense")))


def test_what_is_no_keras_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_text("nothing of the kind")
    with pytest.raises(InputError, match=r"expected a \.keras file"):
        keras_nets.load(tmp_path / "model.keras")


def test_a_keras_file_that_is_damaged_or_missing_is_refused_or_gives_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    net = keras_nets.build(design("fcn"))
    content = keras_nets.to_bytes(net)
    refused = 0
    for place in rng.integers(0, 8 * len(content), 12):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << (place % 8)
        try:
            read = keras_nets.from_bytes(bytes(damaged))
        except InputError:
            refused += 1
        else:  # a date or a name that nobody reads
            for weights, expected in zip(read.get_weights(), net.get_weights(), strict=True):
                np.testing.assert_array_equal(weights, expected)
    assert refused >= 8
    for short in (content[: len(content) // 2], b""):
        with pytest.raises(InputError, match=r"expected a \.keras file"):
            keras_nets.from_bytes(short)
    with pytest.raises(InputError, match=r"nowhere\.keras is not a model that can be read"):
        keras_nets.load(tmp_path / "nowhere.keras")


@pytest.mark.slow
def test_the_users_keras_json_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(
        json.dumps({"image_data_format": "channels_first", "floatx": "float16", "backend": "torch"})
    )
    code = (
        "import numpy as np\n"
        "from mnflow.models import keras_nets\n"
        "from mnflow.models.architectures import design\n"
        "net = keras_nets.build(design('fcn'))\n"
        "print(net.count_params(), net.predict(np.zeros((1, 300)), verbose=0).dtype)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"} | {"KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(keras_nets.build(design("fcn")).count_params()), "float32"]


_LOAD = """
import json, sys
import numpy as np
from mnflow.models import architectures, keras_nets
inputs = np.load(sys.argv[1] + "/inputs.npy")
nets = [keras_nets.load(f"{sys.argv[1]}/{a}.keras") for a in architectures.ARCHITECTURES]
print(json.dumps([net.predict(inputs, verbose=0).tolist() for net in nets]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "numpy"])
def test_saved_nets_give_the_same_under_every_backend(tmp_path: Path, backend: str) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(5, 300)).astype(np.float32)
    np.save(tmp_path / "inputs.npy", inputs)
    here = []
    for arch in keras_nets.ARCHITECTURES:
        net = keras_nets.build(design(arch))
        for variable in net.weights:
            if variable.dtype == "float32":
                variable.assign(rng.uniform(0.2, 0.8, variable.shape))
        (tmp_path / f"{arch}.keras").write_bytes(keras_nets.to_bytes(net))
        here.append(net.predict(inputs, verbose=0))
    there = subprocess.run(
        [sys.executable, "-c", _LOAD, str(tmp_path)],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    np.testing.assert_allclose(json.loads(there.stdout), here, atol=1e-5)

"""Keras gets the backend that the environment names, or JAX."""

import os

import pytest

from mnflow.runtime.backend import keras_backend, set_keras_backend


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}),
        ({"KERAS_BACKEND": ""}, {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}),
        (
            {"KERAS_BACKEND": "torch", "TF_CPP_MIN_LOG_LEVEL": "0"},
            {"KERAS_BACKEND": "torch", "TF_CPP_MIN_LOG_LEVEL": "0"},
        ),
    ],
)
def test_networks_run_on_jax_unless_the_environment_names_another_backend(
    before: dict[str, str], after: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", environment := dict(before))
    assert keras_backend() == after["KERAS_BACKEND"]
    assert environment == before
    set_keras_backend()
    assert environment == after

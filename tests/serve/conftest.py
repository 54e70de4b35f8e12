"""A net and a predictor with meaningless but reproducible answers."""

import pytest

from mnflow.serve.numpy_nets import NumpyNet
from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN
from tests.helpers.nets import made_up_net


@pytest.fixture(scope="session")
def net() -> NumpyNet:
    return made_up_net()


@pytest.fixture(scope="session")
def predictor(net: NumpyNet) -> Predictor:
    return Predictor(MN, net=net, temperature=1.5, facts={"cv_run": "abc"})

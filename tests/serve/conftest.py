"""A net and a predictor that always say the same nonsense."""

import pytest

from mnflow.serve.net import Net
from mnflow.serve.predictor import Predictor
from mnflow.valence import MN
from tests.made_up_net import made_up_net


@pytest.fixture(scope="session")
def net() -> Net:
    return made_up_net()


@pytest.fixture(scope="session")
def predictor(net: Net) -> Predictor:
    return Predictor(net, MN, temperature=1.5, facts={"cv_run": "abc"})

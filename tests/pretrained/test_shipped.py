"""The shipped model is the one that was recorded, and answers as it did then."""

from mnflow.command import selftest
from mnflow.pretrained import shipped
from mnflow.pretrained.stored_answers import TOLERANCE, differences, load_stored
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import PRETRAINED, digest
from mnflow.spectra import MN
from tests.helpers.nets import made_up_net


def test_files_have_the_recorded_digests() -> None:
    recorded = shipped.recorded_digests()
    assert set(recorded) >= {"mn.npz", shipped.EXAMPLE.name}
    assert recorded == {name: digest(PRETRAINED / name) for name in recorded}


def test_the_self_test_agrees() -> None:
    assert selftest.main([]) == 0


def test_the_self_test_notices_another_model() -> None:
    other = Predictor(MN, net=made_up_net())
    assert differences(load_stored(), TOLERANCE, other)

"""What pages share: a token that cannot be guessed, and a folder that goes with them."""

import shutil

from mnflow.serve.predictor import Predictor
from mnflow.view.shared import Shared


def _no_model() -> Predictor:
    raise AssertionError("no model is needed")


def test_tokens_have_128_random_bits_and_differ() -> None:
    first, second = Shared(_no_model, None), Shared(_no_model, None)
    assert len(first.token) == len(second.token) == 22  # 16 bytes in base 64
    assert first.token != second.token
    first.close()
    second.close()


def test_the_folder_goes_at_the_end_and_may_be_gone_before() -> None:
    shared = Shared(_no_model, None)
    (shared.folder / "dropped.csv").write_text("1,2")
    shared.close()
    assert not shared.folder.exists()
    shared.close()
    again = Shared(_no_model, None)
    shutil.rmtree(again.folder)
    again.close()

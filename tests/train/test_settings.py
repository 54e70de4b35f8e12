"""Training settings: words for augmentations, and what is refused."""

import pytest

from mnflow.errors import InputError
from mnflow.train.settings import TrainSettings, parse_augmentation


def test_words_for_augmentations() -> None:
    assert [parse_augmentation(w) for w in ("none", "1x", "10x")] == [0, 1, 10]
    for word in ("x", "10", "-1x", "1.5x", "101x", ""):
        with pytest.raises(InputError, match=r"none or 1x \.\.\. 100x"):
            parse_augmentation(word)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"augmentation": -1}, "augmentation of 0"),
        ({"degraded_copies": 21}, "Expected 0 ... 20 degraded copies, got 21"),
        ({"epochs": 0}, "1 epoch"),
        ({"batch_size": 1}, "batch of 2"),
        ({"learning_rate": 0.0}, "positive learning rate"),
        ({"schedule": "cosine"}, "one_cycle, constant"),
        ({"augmentation": 101}, "augmentation of 0"),
        ({"degraded_copies": -1}, "degraded copies, got -1"),
        ({"dropout": 1.0}, r"Dropout must lie in \[0, 1\), got 1.0"),
    ],
)
def test_bad_settings_give_a_clear_error(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        TrainSettings(**settings)


def test_settings_that_just_mean_something() -> None:
    TrainSettings(augmentation=0, degraded_copies=0, epochs=1, batch_size=2)
    TrainSettings(augmentation=100, degraded_copies=20, schedule="constant")

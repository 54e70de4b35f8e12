"""Training settings: words for augmentations, and what is refused."""

import pytest

from mnflow.errors import InputError
from mnflow.train.settings import TrainSettings, augmentation_word, parse_augmentation


def test_words_for_augmentations() -> None:
    assert [parse_augmentation(w) for w in ("none", "1x", "10x")] == [0, 1, 10]
    for word in ("x", "10", "-1x", "1.5x", "101x", ""):
        with pytest.raises(InputError) as error:
            parse_augmentation(word)
        assert str(error.value) == f"Expected an augmentation of none or 1x ... 100x, got {word!r}."
    assert parse_augmentation("100x") == 100
    assert [augmentation_word(n) for n in (0, 1, 10)] == ["none", "1x", "10x"]


AUGMENTATION = "Expected an augmentation of 0 (none) ... 100 crops, got "
RATE = "Expected a positive learning rate and one of the schedules one_cycle, constant, got "


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"augmentation": -1}, f"{AUGMENTATION}-1."),
        ({"augmentation": 101}, f"{AUGMENTATION}101."),
        ({"degraded_copies": 21}, "Expected 0 ... 20 degraded copies, got 21."),
        ({"degraded_copies": -1}, "Expected 0 ... 20 degraded copies, got -1."),
        ({"epochs": 0}, "Expected 1 epoch and a batch of 2 or more, got 0 and 128."),
        ({"batch_size": 1}, "Expected 1 epoch and a batch of 2 or more, got 40 and 1."),
        ({"learning_rate": 0.0}, f"{RATE}0.0 and 'one_cycle'."),
        ({"learning_rate": float("nan")}, f"{RATE}nan and 'one_cycle'."),
        ({"schedule": "cosine"}, f"{RATE}0.01 and 'cosine'."),
    ],
)
def test_bad_settings_give_a_clear_error(settings: dict, words: str) -> None:
    with pytest.raises(InputError) as error:
        TrainSettings(**settings)
    assert str(error.value) == words


def test_what_does_not_fit_the_net_is_refused() -> None:
    for name, value in (("dropout", 1.0), ("filters", (1,)), ("kernels", (1,)), ("depth", 9), ("l3_bin", -1)):
        with pytest.raises(InputError):
            TrainSettings(**{name: value})
    given = {"dropout": 0.1, "filters": (2, 3), "kernels": (5, 3), "depth": 1, "l3_bin": 2}
    assert TrainSettings("fcn_wide", **given).changes == given
    assert TrainSettings().changes == dict.fromkeys(given)


def test_settings_that_just_mean_something() -> None:
    TrainSettings(augmentation=0, degraded_copies=0, epochs=1, batch_size=2)
    TrainSettings(augmentation=100, degraded_copies=20, schedule="constant")

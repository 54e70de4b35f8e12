"""A curve's steps count small units of its quantity; an evaluation is known by its setting and dataset."""

import numpy as np
import pytest

from mnflow.track import names


def test_steps_of_a_shift_are_mev_and_of_noise_hundredths() -> None:
    steps = names.SHIFT_CURVE.steps([-5.0, -0.1, 0.0006, 0.3])
    assert steps.tolist() == [-5000, -100, 1, 300]
    assert steps.dtype == np.int64
    assert names.SHIFT_CURVE.values([-5000, 300]).tolist() == [-5.0, 0.3]
    assert names.NOISE_CURVE.steps(0.25).item() == 25
    assert names.NOISE_CURVE.values([25]).tolist() == [0.25]


def test_a_setting_is_four_tags_and_the_dataset() -> None:
    setting = {"arch": "fcn", "augmentation": "10x", "noise_augmentation": "true", "folds": "grouped"}
    setting["dataset_digest"] = "0123"
    assert names.setting_of({**setting, "mnflow.step": "cv_train"}) == setting
    with pytest.raises(KeyError, match="dataset_digest"):
        names.setting_of({k: v for k, v in setting.items() if k != "dataset_digest"})

"""The gate names what failed, and the comparison knows what is within the noise."""

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.promote import gate
from mnflow.promote.gate import CALIBRATION_ERROR, MEASURED_BEFORE, Gate, compare

GOOD = {**dict.fromkeys(MEASURED_BEFORE, 0.99), CALIBRATION_ERROR: 0.01}


def test_good_numbers_pass() -> None:
    assert Gate().failures(GOOD) == []


def test_values_at_the_thresholds_pass() -> None:
    just = {metric: getattr(Gate(), name) for name, (metric, _) in gate._METRICS.items()}
    assert Gate().failures(just) == []
    assert Gate(0, 0, 0, 0, 0, 0).failures(dict.fromkeys(just, 0.0)) == []
    assert len(Gate().failures({})) == len(just), "what was not measured does not pass"


@pytest.mark.parametrize(
    ("metric", "value", "clause"),
    [
        ("cv/accuracy_mean", 0.5, r"cv/accuracy_mean is 0.5; the minimum is 0.9 \(min_cv_accuracy\)"),
        ("shift/worst_accuracy", 0.1, "shift/worst_accuracy is 0.1; the minimum"),
        (CALIBRATION_ERROR, 0.2, r"calibration/error is 0.2; the maximum is 0.05 \(max_calibration_error\)"),
        ("noise/accuracy_at_5x", float("nan"), r"noise/accuracy_at_5x is missing \(noise_eval measures it\)"),
    ],
)
def test_a_failure_names_its_number(metric: str, value: float, clause: str) -> None:
    failures = Gate().failures({**GOOD, metric: value})
    assert len(failures) == 1
    with pytest.raises(AssertionError, match=clause):
        raise AssertionError(failures[0])


def test_worse_is_worse_than_the_folds_scatter() -> None:
    champion = np.array([0.90, 0.95, 0.92, 0.99])
    assert not compare(champion, champion).is_worse
    assert compare(champion - [0.020, 0.021, 0.019, 0.020], champion).is_worse
    for change in ([0.020, 0.021, 0.019, 0.020], [-0.05, 0.04, -0.03, 0.02]):
        assert not compare(champion + np.array(change), champion).is_worse
    assert compare([0.80, 0.81], [0.90, 0.91]).is_worse
    found = compare([0.9, 0.8], [0.8, 0.8])
    np.testing.assert_allclose([found.difference, found.standard_error], [0.05, 0.05])
    assert not compare([0.5], [0.9]).is_worse, "one fold has no scatter to judge by"


def test_a_threshold_that_is_no_share_is_refused() -> None:
    Gate(min_cv_accuracy=1.0, max_calibration_error=0.0)
    for value in (float("nan"), -0.1, 1.5, 95.0):
        with pytest.raises(InputError, match="min_cv_accuracy: expected a share between 0 and 1"):
            Gate(min_cv_accuracy=value)


def test_what_is_not_a_number_is_worse() -> None:
    assert compare([0.9, float("nan")], [0.9, 0.9]).is_worse

"""Every claim can hold and can fail."""

import pytest

from mnflow.reproduction import claims
from mnflow.reproduction.document import verdict
from mnflow.reproduction.evidence import Evidence
from tests.helpers.evidence import evidence


def _verdicts(evidence: Evidence) -> dict[str, str]:
    return {
        c.says: verdict(c.check(evidence), evidence.simulated) for c in (*claims.CLAIMS, *claims.QUESTIONS)
    }


def test_numbers_like_the_papers_hold_on_simulated_data_only() -> None:
    found = _verdicts(evidence())
    assert found["shifted, no augmentation: the FCN loses little"] == "holds on simulated data only"
    assert found["the FCN at 10x beats convolutions + dense net at 10x"] == "holds on simulated data only"
    assert found["the dense net has about 11,000 weights"] == "holds"
    assert (
        found["convolutions + dense net: about 1,100 weights (the authors' code: 1,293)"]
        == "**does not hold**"
    )
    assert (
        found["five times the noise, trained with noise augmentation: more than 93 %"] == "not measured yet"
    )
    assert _verdicts(evidence(simulated=False))["shifted, no augmentation: the FCN loses little"] == "holds"


@pytest.mark.parametrize(
    ("quantity", "value", "says"),
    [
        ("accuracy", 0.98, "no shift, no augmentation: all three nets are right in more than 99 %"),
        ("shift_integrated", 0.8, "shifted, no augmentation: the FCN loses little"),
        ("shift_integrated", 0.95, "the FCN at 10x beats convolutions + dense net at 10x"),
        (
            "shift_integrated",
            0.85,
            "the FCN without augmentation beats both others at 1x (mean over all shifts)",
        ),
        ("noise_5x", 0.95, "the same without noise augmentation: 78 %"),
        (
            "reference_accuracy_fold",
            0.8,
            "of spectra from other laboratories the FCN alone is right without augmentation",
        ),
        ("shift_swing_16", 0.02, "accuracy under shift does not swing with a period of 16 channels"),
        ("shift_swing_8", 0.02, "nor with a period of 8 channels"),
    ],
)
def test_a_claim_can_fail(quantity: str, value: float, says: str) -> None:
    assert _verdicts(evidence(**{quantity: value}))[says] == "**does not hold**"

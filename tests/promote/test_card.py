"""The model card says in words what was measured, and which models it was compared with."""

from pathlib import Path

import pytest

from mnflow.folds import split
from mnflow.promote.card import card, wilson
from mnflow.promote.gate import CALIBRATION_ERROR, Comparison
from mnflow.track import names, tracking
from mnflow.track.cross_validation import FinishedCv
from mnflow.track.query import finished_run
from tests.helpers.spectra import spectra

pytestmark = pytest.mark.usefixtures("store")

METRICS = {**dict.fromkeys(names.COLUMNS, 0.5), names.NOISE_5X_ACCURACY: 0.25, "mixture/rmse": 0.123}


def finished_with(*rivals: str) -> FinishedCv:
    """A finished run of an fcn, and others on the same data and folds, by their augmentation."""
    data = spectra(36)
    tags = {"dataset_digest": data.digest(), "dataset_uri": "made up", "noise_augmentation": "false"}
    for arch, augmentation in (*(("conv_dense", rival) for rival in rivals), ("fcn", "10x")):
        setting = tracking.tags_of("cv_train", arch, augmentation, "stratified")
        with tracking.step({**setting, **tags}, f"{arch} {augmentation}", {}) as run:
            run.metrics({**METRICS, names.CV_ACCURACY: 0.5 if arch == "fcn" else 0.75})
    record = finished_run("cv_train", run.id)
    return FinishedCv("fcn 10x", data, split(data, "stratified", 3), [None] * 3, record)


def test_a_card_without_rivals_or_a_champion_before_says_nothing_of_them() -> None:
    more = {**METRICS, CALIBRATION_ERROR: 0.0312, "mixture/coverage": 0.912, "mixture/other": 0.5}
    del more["mixture/rmse"], more[names.REFERENCE_VOTE_ACCURACY]
    text = card(finished_with(), more, "refit on all spectra", None)
    assert "(refit on all spectra; 3 stratified folds)" in text
    _, _, rivals = text.partition("### Rivals on the same data and folds\n")
    assert rivals.startswith("\n\n| model | as measured |")
    rows = [line for line in rivals.splitlines() if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in rows] == ["model", "fcn 10x"]
    measured = [line for line in text.splitlines() if line.startswith("- ")]
    assert measured[-2:] == [
        "- 91% of their true mean valences lie in the 90 % interval.",
        "- 3.1% expected error of the nets' probabilities.",
    ]
    assert len(measured) == 6


def test_a_card_shows_eight_rivals() -> None:
    text = card(finished_with(*(f"{k}x" for k in range(1, 10))), METRICS, "", None)
    assert text.count("| conv_dense ") == 8


def test_the_card_is_for_people() -> None:
    finished = finished_with("10x")
    text = card(finished, METRICS, "ensemble of 3 fold models", Comparison(0.01, 0.002))
    masked = text.replace(finished.spectra.digest(), "DIGEST").replace(finished.run.id, "RUN")
    assert masked + "\n" == Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    titles = [line for line in text.splitlines() if line.startswith("### ")]
    assert titles[0] == "### fcn 10x: the valence of Mn from its L2,3 edge"
    for part in ("How to call it", "Trained on", "How well", "Rivals", "Limits", "Intended use", "Licence"):
        assert any(part in title for title in titles), part
    assert "Trained on 36 spectra (12 Mn2+, 12 Mn3+, 12 Mn4+; made up; digest" in text
    assert "- 25.0% (13.8% to 41.1%) with five times the noise." in text
    assert "- 0.12 error of mean valences (r.m.s.)" in text
    assert "best of the others: conv_dense 10x 0.5000, -0.0833 (ahead in unshifted)." in text
    assert "| conv_dense 10x | 0.7500 | 0.5000 | 0.5000 | 0.2500 |" in text
    assert "+0.0100 ± 0.0020 compared with the champion" in text


@pytest.mark.parametrize(
    ("share", "n", "interval"),
    [
        (0.0, 10, (0.0, 0.2775)),
        (1.0, 10, (0.7225, 1.0)),
        (0.5, 4, (0.1500, 0.8500)),
        (0.9, 20, (0.6990, 0.9721)),
    ],
)
def test_intervals_of_shares_are_wilson_s(share: float, n: int, interval: tuple[float, float]) -> None:
    assert wilson(share, n) == pytest.approx(interval, abs=1e-4)

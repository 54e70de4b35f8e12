"""The table of claims: numbers as they are logged, rules that can fail, and a document that says so."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from entrypoints import reproduce
from mnflow.reproduction import claims
from mnflow.reproduction.document import verdict, write_document
from mnflow.reproduction.evidence import Evidence, collect, interval
from mnflow.reproduction.swing import STRIDES, swing
from mnflow.track import tracking
from mnflow.track.query import artifact

NETS = ("dense", "conv_dense", "fcn")
GOOD = {
    ("accuracy", "none"): (0.995, 0.995, 0.995),
    ("shift/integrated", "none"): (0.45, 0.5, 0.98),
    ("shift/integrated", "1x"): (0.8, 0.85, 0.985),
    ("shift/integrated", "10x"): (0.9, 0.95, 0.99),
    ("shift/far", "none"): (0.33, 0.34, 0.9),
    ("noise/5x", "10x"): (0.5, 0.6, 0.78),
    ("reference/accuracy_fold", "none"): (0.4, 0.5, 1.0),
    ("reference/accuracy_vote", "none"): (0.3, 0.6, 1.0),
    ("shift/swing_16", "none"): (0.0, 0.0, 0.0),
    ("shift/swing_8", "none"): (0.0, 0.0, 0.0),
}


def _evidence(simulated: bool = True, **changed: float) -> Evidence:
    """Evidence as the paper has it, with the FCN's value of some quantities changed."""
    rng = np.random.default_rng(0)
    rows = []
    for (quantity, augmentation), values in GOOD.items():
        for net, value in zip(NETS, values, strict=True):
            mean = changed.get(quantity.replace("/", "_"), value) if net == "fcn" else value
            for fold in range(10):
                rows.append(
                    (quantity, net, augmentation, False, "stratified", 0, fold, mean + rng.normal(0, 0.001))
                )
    columns = ["quantity", "arch", "augmentation", "noise_augmentation", "folds", "seed", "fold", "value"]
    return Evidence(pd.DataFrame(rows, columns=columns), {"Mn2+": 448, "Mn3+": 765, "Mn4+": 788}, simulated)


def _verdicts(evidence: Evidence) -> dict[str, str]:
    return {
        c.says: verdict(c.check(evidence), evidence.simulated) for c in (*claims.CLAIMS, *claims.QUESTIONS)
    }


def test_numbers_like_the_papers_hold_on_simulated_data_only() -> None:
    found = _verdicts(_evidence())
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
    assert _verdicts(_evidence(simulated=False))["shifted, no augmentation: the FCN loses little"] == "holds"


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
    assert _verdicts(_evidence(**{quantity: value}))[says] == "**does not hold**"


def test_the_interval_is_students() -> None:
    found = interval(pd.Series([0.9, 1.0, 0.95]))
    assert found.mean == pytest.approx(0.95)
    assert found.high - found.mean == pytest.approx(4.3027 * 0.05 / np.sqrt(3), rel=1e-4)
    assert str(interval(pd.Series([0.9]))) == "90.0% (n = 1)"


def test_swing_is_the_amplitude_of_its_period_and_of_no_other() -> None:
    channel = np.arange(101)
    curve = 0.9 - 1e-5 * (channel - 50) ** 2
    for period in STRIDES:
        waves = np.stack(
            [
                0 * channel,
                0.03 * np.cos(2 * np.pi * channel / period),
                0.02 * np.sin(2 * np.pi * channel / period),
            ]
        )
        assert swing(curve + waves, period) == pytest.approx([0, 0.03, 0.02], abs=2e-3)
    assert swing(curve + 0.03 * np.cos(2 * np.pi * channel / 8), 16) == pytest.approx(0, abs=1e-3)


def test_what_falls_off_far_from_the_trained_place_is_no_swing() -> None:
    shift = np.linspace(-5, 5, 101)
    falls_off = 0.3 + 0.7 / (1 + np.exp((np.abs(shift - 0.3) - 3) / 0.4))
    assert swing(falls_off, 16) < 0.002
    assert swing(falls_off, 8) < 0.002


def test_the_document_has_a_row_for_every_claim_and_setting() -> None:
    text = write_document(_evidence())
    for claim in (*claims.CLAIMS, *claims.QUESTIONS):
        assert claim.says in text
    assert "| fcn | none | stratified | 99.5% ± 0.1% | 98.0% ± 0.1% | - | - | 100.0% ± 0.1% |" in text
    assert re.search(r"\| FCN \| 100.0% ± 0.1%; vote (100.0|99.9)% \| - \| - \|", text)
    assert write_document(Evidence(_evidence().values[:0], {}, True)).count("not measured yet") > 10
    assert "](figures/" not in text
    assert "](figures/noise_stratified_noise.png)" in write_document(
        _evidence(), shown=["noise_stratified_noise"]
    )


def test_evidence_is_read_from_runs(store: Path) -> None:
    with tracking.step(tracking.tags_of("preprocess"), "preprocess", {"source": "simulated"}) as data:
        pass
    tags = {**tracking.tags_of("cv_train", "fcn", "10x", "stratified"), "dataset_uri": f"runs:/{data.id}"}
    with tracking.step({**tags, "noise_augmentation": "false"}, "fcn 10x", {"seed": 3, "epochs": 2}) as run:
        truth = ["Mn2+", "Mn3+"] * 4
        predicted = ["Mn2+", "Mn3+"] * 3 + ["Mn3+", "Mn3+"]
        run.table(
            pd.DataFrame({"fold": [0] * 4 + [1] * 4, "truth": truth, "predicted": predicted}), "predictions"
        )
        for fold in range(2):
            with tracking.child(run, {"fold": str(fold)}, f"fold {fold}") as child:
                child.curve("test/accuracy", [1, 2], [1.0, 0.75])
                child.metrics({"cv/seconds": 0.8})
    with tracking.step({**tags, "mnflow.step": "shift_eval", "cv_run": run.id}, "shift", {}) as own:
        shift_ev = np.arange(-50, 51) / 10
        rows = {
            "fold": np.repeat([0, 1], 101),
            "shift_ev": np.tile(shift_ev, 2),
            "accuracy": np.tile(1 - np.abs(shift_ev) / 10, 2),
        }
        own.table(pd.DataFrame(rows), "shift")
    for _ in range(2):
        with tracking.step({**tags, "mnflow.step": "tsne", "cv_run": run.id}, "tsne", {}) as own:
            for place in (own, run):
                place.metrics({"tsne/reference_agreement_features": 0.9})
    evidence = collect()
    assert evidence.pick("tsne/reference_agreement_features", "fcn", "10x").to_list() == [0.9]
    assert evidence.simulated
    assert evidence.counts == {"Mn2+": 4, "Mn3+": 4}
    assert evidence.pick("accuracy", "fcn", "10x").to_dict() == {(3, 0): 1.0, (3, 1): 0.75}
    assert evidence.pick("best_epoch_gain", "fcn", "10x").to_list() == [0.25, 0.25]
    assert evidence.pick("seconds_per_100k", "fcn", "10x").to_list() == pytest.approx(
        [1e5 * 0.8 / (2 * 10 * 4)] * 2
    )
    assert evidence.pick("shift/worst", "fcn", "10x").to_list() == pytest.approx([0.5, 0.5])
    assert evidence.pick("shift/far", "fcn", "10x").to_list() == pytest.approx([0.6, 0.6])

    run_id = reproduce.run(reproduce.Options(out=str(store / "docs" / "reproduction.md")))
    assert "](figures/swing.png)" in (store / "docs" / "reproduction.md").read_text()
    assert (store / "docs" / "figures" / "swing.png").stat().st_size > 10_000
    assert "| fcn | 10x | stratified |" in (store / "docs" / "reproduction.md").read_text()
    with artifact(run_id, "tables/evidence.csv") as path:
        assert len(pd.read_csv(path)) == len(evidence.values)


def test_other_data_are_judged_in_a_column_beside() -> None:
    alike = replace(_evidence(shift_integrated=0.8), settings="mn-oxides", digest="abc")
    lines = write_document(_evidence(), alike).splitlines()
    row = next(line for line in lines if "the FCN loses little" in line)
    assert row.count("|") == 6
    assert "holds on simulated data only | loss of the FCN" in row
    assert row.endswith(": **does not** |")
    assert next(line for line in lines if "about 650 weights" in line).endswith("| - |")
    assert any("dataset abc (settings `mn-oxides`, 2001 spectra)" in line for line in lines)


def test_runs_of_one_dataset_are_told_from_those_of_another(store: Path) -> None:
    ids = []
    for settings, accuracy in (("mn", 1.0), ("mn-oxides", 0.5)):
        with tracking.step(
            tracking.tags_of("preprocess"), settings, {"source": "simulated", "settings": settings}
        ) as data:
            data.tags({"dataset_digest": f"digest of {settings}"})
        ids.append(data.id)
        tags = {
            **tracking.tags_of("cv_train", "fcn", "none", "stratified"),
            "dataset_digest": f"digest of {settings}",
        }
        tags |= {"dataset_uri": f"runs:/{data.id}", "noise_augmentation": "false"}
        with tracking.step(tags, "fcn none", {"seed": 0}) as run:
            predicted = ["Mn2+"] * int(4 * accuracy) + ["Mn3+"] * int(4 - 4 * accuracy)
            run.table(pd.DataFrame({"fold": 0, "truth": ["Mn2+"] * 4, "predicted": predicted}), "predictions")
    assert collect().settings == "mn-oxides"
    assert collect(ids[0]).pick("accuracy", "fcn").to_list() == [1.0]
    assert collect(ids[1]).pick("accuracy", "fcn").to_list() == [0.5]
    out = store / "docs" / "reproduction.md"
    reproduce.run(reproduce.Options(out=str(out), data=ids[0], beside=ids[1]))
    assert "beside: mn-oxides" in out.read_text()

"""The written document: a row per claim and setting."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from mnflow.reproduction import claims
from mnflow.reproduction.document import write_document
from mnflow.reproduction.evidence import Evidence

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


def test_other_data_are_judged_in_a_column_beside() -> None:
    alike = replace(_evidence(shift_integrated=0.8), settings="mn-oxides", digest="abc")
    lines = write_document(_evidence(), alike).splitlines()
    row = next(line for line in lines if "the FCN loses little" in line)
    assert row.count("|") == 6
    assert "holds on simulated data only | loss of the FCN" in row
    assert row.endswith(": **does not** |")
    assert next(line for line in lines if "about 650 weights" in line).endswith("| - |")
    assert "dataset abc (settings `mn-oxides`, 2001 spectra)" in " ".join(lines)

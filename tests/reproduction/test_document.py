"""The written document: a row per claim and setting."""

import re
from dataclasses import replace

from mnflow.reproduction import claims
from mnflow.reproduction.document import write_document
from mnflow.reproduction.evidence import Evidence
from tests.helpers.evidence import evidence


def test_the_document_has_a_row_for_every_claim_and_setting() -> None:
    text = write_document(evidence())
    for claim in (*claims.CLAIMS, *claims.QUESTIONS):
        assert claim.says in text
    assert "| fcn | none | stratified | 99.5% ± 0.1% | 98.0% ± 0.1% | - | - | 100.0% ± 0.1% |" in text
    assert re.search(r"\| FCN \| 100.0% ± 0.1%; vote (100.0|99.9)% \| - \| - \|", text)
    assert write_document(Evidence(evidence().values[:0], {}, True)).count("not measured yet") > 10
    assert "](figures/" not in text
    assert "](figures/noise_stratified_noise.png)" in write_document(
        evidence(), shown=["noise_stratified_noise"]
    )


def test_other_data_are_judged_in_a_column_beside() -> None:
    alike = replace(evidence(shift_integrated=0.8), settings="mn-oxides", digest="abc")
    lines = write_document(evidence(), alike).splitlines()
    row = next(line for line in lines if "the FCN loses little" in line)
    assert row.count("|") == 6
    assert "holds on simulated data only | loss of the FCN" in row
    assert row.endswith(": **does not** |")
    assert next(line for line in lines if "about 650 weights" in line).endswith("| - |")
    assert "dataset abc (settings `mn-oxides`, 2001 spectra)" in " ".join(lines)

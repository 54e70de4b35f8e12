"""The written document: a row per claim and setting."""

import re
from dataclasses import replace

import pandas as pd

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


def test_other_data_and_our_own_net_are_judged_in_columns_beside() -> None:
    wide = evidence().values.query("arch == 'fcn'").replace({"arch": {"fcn": "fcn_wide"}})
    both = replace(evidence(), values=pd.concat([evidence(shift_integrated=0.8).values, wide]))
    alike = replace(evidence(shift_integrated=0.7), settings="mn-oxides", digest="abc")
    lines = write_document(both, alike).splitlines()
    row = next(line for line in lines if "the FCN loses little" in line)
    verdict, ours, other = (cell.strip() for cell in row.split("|")[4:7])
    assert verdict == "**does not hold**"
    assert ours.startswith("loss of the FCN")
    assert ours.endswith(": holds")
    assert other.endswith(": **does not**")
    assert next(line for line in lines if "about 650 weights" in line).endswith("| - | - |")
    assert "dataset abc (settings `mn-oxides`, 2001 spectra)" in " ".join(lines)

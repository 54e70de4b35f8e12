"""The written document: a row per claim and setting."""

import re
from dataclasses import replace

import pandas as pd

from mnflow.reproduction import claims, document
from mnflow.reproduction.document import SHOWN, verdict, write_document
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


COLUMNS = ["quantity", "arch", "augmentation", "noise_augmentation", "folds", "seed", "fold", "value"]


def small() -> Evidence:
    """Two folds of some settings."""
    settings = [
        ("fcn", "10x", True, "stratified"), ("fcn", "none", False, "grouped"),
        ("fcn", "2x", False, "stratified"), ("a|b", "none", False, "stratified"),
        ("fcn", "10x", False, "stratified"),
    ]  # fmt: skip
    quantities = {"accuracy": 0.5, "reference/accuracy_fold": 0.25, "reference/accuracy_vote": 0.75}
    rows = [
        (quantity, *setting, seed, fold, value + 0.0078702 * (-1) ** fold)
        for quantity, value in quantities.items()
        for setting in settings
        for seed in (2, 0)
        for fold in range(2)
        if quantity == "accuracy" or setting[1] == "10x"
    ]
    values = pd.DataFrame(rows, columns=COLUMNS)
    return Evidence(values, {"Mn2+": 3, "Mn3+": 4}, True, "0123", "mn")


def part(text: str, heading: str) -> str:
    """What stands below a heading."""
    return text.partition(f"## {heading}\n\n")[2].partition("\n## ")[0]


def test_the_head_says_data_seeds_and_what_is_beside() -> None:
    text = write_document(small())
    assert "\nAll spectra are simulated. Dataset 0123 (settings `mn`). Seeds: 0, 2.\n" in text
    beside = "*fcn_wide* judges the same claims with this project's own net where the paper has\nits FCN.\n"
    assert beside in text
    acquired = replace(small(), simulated=False, values=small().values[:0])
    said = "The training spectra were acquired, not simulated. Dataset 0123 (settings `mn`). Seeds: none yet."
    assert said in write_document(acquired)
    compared = write_document(small(), replace(small(), settings="mn-oxides", digest="abc"))
    data = (
        "its FCN; *mn-oxides* with the cross-validations on dataset abc (settings `mn-oxides`,\n7 spectra).\n"
    )
    assert data in compared
    head = "| where | the paper says | we measured | verdict | beside: fcn_wide | beside: mn-oxides |"
    assert f"{head}\n| --- | --- | --- | --- | --- | --- |\n| Fig. 1 |" in compared


def test_the_parts_stand_in_order_with_the_figures_that_were_drawn() -> None:
    plain, whole = write_document(small()), write_document(small(), shown=["swing", "other", *SHOWN])
    headings = [
        "What the paper says", "What a reader would ask", "Table 1: spectra of other laboratories", "Figures",
        "All cross-validations",
    ]  # fmt: skip
    assert re.findall("^## (.*)", plain, re.MULTILINE) == headings
    titles = [title for title, _ in SHOWN.values()]
    assert re.findall("^## (.*)", whole, re.MULTILINE) == headings[:2] + titles + headings[2:]
    title, words = SHOWN["swing"]
    assert part(whole, title) == f"![{title}](figures/swing.png)\n\n{words}\n"
    ask = "| where | is it so that | we measured | verdict | beside: fcn_wide |"
    assert part(plain, headings[1]).startswith(ask)
    assert part(plain, headings[2]).endswith(document._reference_table(small()))
    assert part(plain, headings[4]) == document._settings_table(small())


def test_a_claim_has_its_measure_and_verdict_and_a_dash_where_nothing_was_measured() -> None:
    rows = document._claims_table(claims.CLAIMS, small(), {"own": small()}, "the paper says").splitlines()
    weights = next(row for row in rows if "about 650 weights" in row)
    assert weights == "| Methods | the FCN has about 650 weights | 673 | holds | - |"
    speed = next(row for row in rows if "3 s for an epoch" in row)
    says = "3 s for an epoch of 100,000 augmented spectra (GTX 1060)"
    assert speed == f"| Methods | {says} | - | not measured yet | - |"
    counts = next(row for row in rows if "2001 spectra remain" in row)
    assert counts.endswith(" | 3 Mn2+ / 4 Mn3+ = 7 | **does not hold** | - |")


def test_a_verdict_is_one_of_four() -> None:
    holds, exact, fails = (claims.Finding("", h, e) for h, e in ((True, False), (True, True), (False, True)))
    assert [verdict(holds, simulated) for simulated in (True, False)] == [
        "holds on simulated data only",
        "holds",
    ]
    assert [verdict(f, True) for f in (exact, fails, None)] == [
        "holds",
        "**does not hold**",
        "not measured yet",
    ]


def test_table_1_has_a_row_per_net_and_a_column_per_augmentation() -> None:
    assert document._reference_table(small()) == (
        "| net | none | 1x | 10x |\n"
        "| --- | --- | --- | --- |\n"
        "| dense | - | - | - |\n"
        "| conv + dense | - | - | - |\n"
        "| FCN | - | - | 25.0% ± 1.4%; vote 75.0% |\n"
        "| anti-aliased FCN | - | - | - |\n"
        "| fcn_wide | - | - | - |\n"
    )


def test_all_settings_are_listed_by_folds_net_and_augmentation() -> None:
    rest = "| - | - | - |"
    assert document._settings_table(small()) == (
        "| net or method | augmentation | folds | accuracy | mean over shifts | worst shift | 5x noise | "
        "references |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        f"| fcn | none | grouped | 50.0% ± 1.4% {rest} - |\n"
        f"| a/b | none | stratified | 50.0% ± 1.4% {rest} - |\n"
        f"| fcn | 2x | stratified | 50.0% ± 1.4% {rest} - |\n"
        f"| fcn | 10x | stratified | 50.0% ± 1.4% {rest} 25.0% ± 1.4% |\n"
        f"| fcn | 10x + noise | stratified | 50.0% ± 1.4% {rest} 25.0% ± 1.4% |\n"
    )
    assert document._settings_table(replace(small(), values=small().values[:0])) == "None yet.\n"

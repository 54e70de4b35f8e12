"""docs/reproduction.md: every claim, what we measured, and a verdict."""

from collections.abc import Mapping, Sequence

import pandas as pd

from mnflow.reproduction.claims import CLAIMS, NAMES, QUESTIONS, Claim, Finding
from mnflow.reproduction.evidence import Evidence, interval
from mnflow.track import names

SHOWN = {
    "shift_stratified": (
        "Fig. 3: accuracy against energy shift",
        "Mean over the folds; trained without noise augmentation, stratified folds.",
    ),
    "noise_stratified": (
        "Fig. 4: accuracy against noise",
        "Mean over the folds; trained without noise augmentation, stratified folds ...",
    ),
    "noise_stratified_noise": (
        "Fig. 4, trained with noise augmentation",
        "... and with it.",
    ),
    "swing": (
        "How accuracy swings under shift",
        "What the accuracy's curve under shift is made of: waves by their period, mean over the folds. Peaks "
        "at 16, 8, 4 and 2 "
        "channels are what pooling by 2 leaves behind.",
    ),
}
"""Figures that stand in the document, by name: heading, and what is to be said of them."""

_HEAD = """\
# The paper's claims, and what we measured

Written by `mlflow run . -e reproduce`; do not edit by hand. The paper: Chatzidakis & Botton,
*Towards calibration-invariant spectroscopy using deep learning*, Sci. Rep. 9, 2126 (2019),
<https://doi.org/10.1038/s41598-019-38482-1>.

Numbers are means over the fold models, with the 95 % confidence interval in brackets (Student's t over folds
and seeds; n is their number. The folds of one seed share training spectra, so true intervals are wider).

{data} Dataset {digest} (settings `{settings}`). {seeds}
"""

_BESIDE = """\
The columns beside compare: *{wide}* judges the same claims with this project's own net where the paper has
its FCN{data}.
"""

_OTHER_DATA = """; *{settings}* with the cross-validations on dataset {digest} (settings `{settings}`,
{spectra} spectra)"""

_WIDE = "fcn_wide"

_VERDICTS = """\
A verdict is *holds*, *holds on simulated data only* (all spectra came from our simulator), or
*does not hold*. The rule behind each was fixed before the results were known and is in
`mnflow/reproduction/claims.py`, except for those of the swing under shift.
[findings.md](findings.md) explains that, and what does not hold.
"""


_TABLE_1 = """\
Mean accuracy of the ten fold models on reference spectra, and of their majority vote; trained without noise
augmentation on stratified folds. The references here are simulated: another instrument, other materials and
other physics than in training. For spectra of real laboratories:
`mlflow run . -e reference_test -P references=FOLDER`.
"""

_FIGURES = """\
Every figure of the paper is logged by the step that computes it, as PNG and as CSV.

| the paper | run | artifact |
| --- | --- | --- |
| Fig. 1b-d, activations by block and valence | `reference_test` | figures/activations.png, ... |
| Fig. 2, spectra of each valence | `preprocess` | figures/spectra.png |
| Fig. 3, shift, all augmentations | `main` (preset=paper), `reproduce` | figures/shift_stratified.png, ... |
| Fig. 4, noise, all augmentations | the same | figures/noise_stratified.png, ... |
| Fig. 4, with example spectra | `noise_eval` | figures/noise.png |
| Table 1 | `reference_test` | figures/references.png, figures/reference_spectra.png, tables/references.csv |
| Fig. 5, t-SNE of inputs and features | `tsne` | figures/tsne.png |
"""


def write_document(evidence: Evidence, other: Evidence | None = None, shown: Sequence[str] = ()) -> str:
    """The whole document as Markdown.

    Parameters
    ----------
    other : Evidence, optional
        The numbers on other data, whose verdicts stand in a column of their own.
    shown : sequence of str
        Names of the figures that were drawn; those of `SHOWN` are shown.
    """
    data = (
        "All spectra are simulated."
        if evidence.simulated
        else "The training spectra were acquired, not simulated."
    )
    seeds = sorted(set(evidence.values["seed"]))
    beside = {_WIDE: evidence.in_place_of_fcn(_WIDE)} | ({other.settings: other} if other else {})
    parts = [
        _HEAD.format(
            data=data,
            digest=evidence.digest,
            settings=evidence.settings,
            seeds=f"Seeds: {', '.join(map(str, seeds)) or 'none yet'}.",
        ),
        "## What the paper says\n",
        _VERDICTS,
        _BESIDE.format(wide=_WIDE, data=_other_text(other) if other else ""),
        _claims_table(CLAIMS, evidence, beside, "the paper says"),
        "## What a reader would ask\n",
        _claims_table(QUESTIONS, evidence, beside, "is it so that"),
        *(_figure(name) for name in SHOWN if name in shown),
        "## Table 1: spectra of other laboratories\n",
        _TABLE_1,
        _reference_table(evidence),
        "## Figures\n",
        _FIGURES,
        "## All cross-validations\n",
        _settings_table(evidence),
    ]
    return "\n".join(parts)


def _figure(name: str) -> str:
    title, text = SHOWN[name]
    return f"## {title}\n\n![{title}](figures/{name}.png)\n\n{text}\n"


def verdict(finding: Finding | None, simulated: bool) -> str:
    """The word on a claim."""
    if finding is None:
        return "not measured yet"
    if not finding.holds:
        return "**does not hold**"
    return "holds on simulated data only" if simulated and not finding.exact else "holds"


def _other_text(other: Evidence) -> str:
    spectra = sum(other.counts.values())
    return _OTHER_DATA.format(digest=other.digest, settings=other.settings, spectra=spectra)


def _claims_table(
    claims: Sequence[Claim], evidence: Evidence, beside: Mapping[str, Evidence], heading: str
) -> str:
    head = ["where", heading, "we measured", "verdict", *(f"beside: {name}" for name in beside)]
    rows = []
    for claim in claims:
        found = claim.check(evidence)
        row = [claim.where, claim.says, found.measured if found else "-", verdict(found, evidence.simulated)]
        rows.append([*row, *(_there(claim.check(numbers), found) for numbers in beside.values())])
    return _table(head, rows)


def _there(there: Finding | None, found: Finding | None) -> str:
    """A cell beside: nothing where the claim is about neither other data nor the other net."""
    if there is None or there == found:
        return "-"
    return f"{there.measured}: {'holds' if there.holds else '**does not**'}"


def _reference_table(evidence: Evidence) -> str:
    """The paper's Table 1: a row a net, mean over the folds' nets and vote by augmentation."""
    rows = []
    for arch in NAMES:
        row = [NAMES[arch]]
        for augmentation in ("none", "1x", "10x"):
            mean, vote = (
                evidence.pick(f"reference/accuracy_{kind}", arch, augmentation) for kind in ("fold", "vote")
            )
            row.append("-" if mean.empty else f"{_short(mean)}; vote {vote.mean():.1%}")
        rows.append(row)
    return _table(("net", "none", "1x", "10x"), rows)


_QUANTITIES = {
    "accuracy": "accuracy",
    "shift/integrated": "mean over shifts",
    "shift/worst": "worst shift",
    "noise/5x": "5x noise",
    "reference/accuracy_fold": "references",
}


def _settings_table(evidence: Evidence) -> str:
    """A row for every setting that was run, nets and baselines."""
    settings = evidence.values[[*names.SETTING]].drop_duplicates()
    rows = []
    for arch, augmentation, noise, folds in sorted(
        settings.itertuples(index=False), key=lambda s: (s[3], s[0], len(s[1]), *s[1:3])
    ):
        numbers = [evidence.pick(q, arch, augmentation, noise, folds) for q in _QUANTITIES]
        name = f"{augmentation}{' + noise' if noise else ''}"
        rows.append((arch, name, folds, *("-" if n.empty else _short(n) for n in numbers)))
    return (
        _table(("net or method", "augmentation", "folds", *_QUANTITIES.values()), rows)
        if rows
        else "None yet.\n"
    )


def _short(values: "pd.Series[float]") -> str:
    i = interval(values)
    return f"{i.mean:.1%} ± {i.high - i.mean:.1%}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"

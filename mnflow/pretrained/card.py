"""The shipped model's card: purpose, training data, errors and limits."""

import json
from pathlib import Path
from typing import Any

from mnflow.errors import InputError
from mnflow.runtime.files import whole_file
from mnflow.serve.pretrained import PRETRAINED, digest

_TEXT = """\
# The shipped model: {element}

The model that is installed with mnflow. It is used where a project has not promoted a model of its own.
File: `mnflow/pretrained/{stem}.npz`, sha256 `{sha256}`.

## What it is

- **Task**: the share of {classes} in a spectrum of the L2,3 edge of {element}; class, probabilities, mean valence with a
  90 % interval, and flags follow from it. It sees {width:g} eV around L3 ({low:g} to {high:g} eV on its
  own axis), wherever the spectrometer has put them, and was trained on windows that are off by up to {shift:g} eV.
- **Kind**: dense layers ({layers} units) on the normalised window, whose outputs are one posterior over compositions in
  steps of 10 %, and one over t/lambda; conformal intervals, conditional on the valence and the noise; scores for
  spectra that are unlike the training data. Numpy alone runs it.
- **Made from** simulated spectra only: {sets} sets of {materials} simulated materials per class, mixed anew in each of
  {epochs} epochs. No measured spectrum was trained on, tuned to or used to select.
- **Intended for** EELS (and soft X-ray) spectra of oxides and similar compounds of {element} with a resolution of 2 eV or
  better, in channels up to 1 eV, of specimens up to t/lambda 1.5.

## How far off it is

Measured by `python -m benchmarks.posterior --seeds {seeds} --mixtures {mixtures}`: {n} simulated mixtures of each kind.
`Set aside`: compounds that neither the fit nor the calibration saw. `Foreign`: another laboratory's physics and
instruments; other compounds of it took part in the calibration of the intervals.

| | set aside | foreign |
|---|---|---|
{rows}
{measured}
## What it cannot do

- It knows oxidation states, not compounds, coordination or spin state, and only {classes}. Metallic {element} and other
  valences should be flagged; not all are.
- Its intervals are right for spectra like the simulated ones. They hold pure compounds too often, and those of measured
  specimens less often than simulated ones.
- It is no substitute for measured references of the same phases on the same instrument: with these, least squares is
  better.

## How to make it anew

```sh
{command}          # a quarter of an hour on one idle core
python -m benchmarks.posterior --seeds {seeds} --mixtures {mixtures} > mnflow/pretrained/{stem}-numbers.jsonl
python -m mnflow.pretrained                   # answers for the self-test, digests, this card
```

What the first command used is in `mnflow/pretrained/{stem}-made.json`; a test compares it with the code, and
`make test-model` makes the model anew and compares its answers.

## Licence and citation

GPL-3.0-or-later, as mnflow; atomic parameters from Crispy (MIT). Please cite mnflow (CITATION.cff) and Chatzidakis and
Botton, Sci. Rep. 9, 2126 (2019), https://doi.org/10.1038/s41598-019-38482-1.
"""

_ROWS = (
    ("root mean square error of the mean valence", "all", "rmse", 3),
    ("bias of the mean valence", "all", "bias", 3),
    ("coverage of the 90 % interval", "all", "coverage", 3),
    ("mean width of the interval", "all", "width", 2),
)
"""What the card says of all mixtures: its words, the benchmark's bin and number, and decimals."""


def card_path(element: str = "Mn") -> Path:
    """The card's file."""
    return PRETRAINED / f"{element.lower()}-card.md"


def load_record(element: str = "Mn") -> dict[str, Any]:
    """How the shipped model was made (`mnflow.fit.posterior.record_making`)."""
    record: dict[str, Any] = json.loads((PRETRAINED / f"{element.lower()}-made.json").read_text())
    return record


def load_numbers(element: str = "Mn") -> list[dict[str, Any]]:
    """The rows that `benchmarks.posterior` wrote about the shipped model; `InputError` if of another one."""
    path = PRETRAINED / f"{element.lower()}-numbers.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    measured = next((r["sha256"] for r in rows if r["benchmark"] == "posterior/model"), "none")
    shipped = digest(PRETRAINED / f"{element.lower()}.npz")
    if measured != shipped:
        raise InputError(
            f"{path.name} is about the model {measured[:12]}, and {shipped[:12]} is the one that ships: run "
            f"`python -m benchmarks.posterior > {path}`, then `python -m mnflow.pretrained`."
        )
    return rows


def render(element: str = "Mn") -> str:
    """The card in Markdown, from the record of the model's making and the benchmark's rows."""
    from mnflow.augment.energy_shift import MAX_SHIFT_EV
    from mnflow.serve.pretrained import pretrained

    edge, made, rows = pretrained(element).edge, load_record(element), load_numbers(element)
    recipe, stem = made["recipe"], element.lower()
    about = next(r for r in rows if r["benchmark"] == "posterior/model")
    return _TEXT.format(
        element=edge.element, classes=", ".join(edge.classes), stem=stem,
        sha256=made["sha256"], low=edge.crop_ev[0], high=edge.crop_ev[1],
        width=edge.crop_ev[1] - edge.crop_ev[0], shift=MAX_SHIFT_EV,
        layers=", ".join(map(str, recipe["hidden_units"])), sets=f"{recipe['sets']:,}",
        materials=f"{recipe['materials_per_class']:,}", epochs=recipe["epochs"], seeds=about["seeds"],
        mixtures=about["mixtures"], n=f"{about['seeds'] * about['mixtures']:,}", rows=_simulated(rows),
        measured=_measured(rows), command=made["command"],
    )  # fmt: skip


def write_card(element: str = "Mn") -> Path:
    """Write the card anew; returns its path."""
    path, text = card_path(element), render(element)
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def _simulated(rows: list[dict[str, Any]]) -> str:
    """The table's rows: all mixtures, then coverage of pure compounds, pairs and more, then names."""
    kinds = ("held_out", "foreign")
    by_bin = {(kind, r["bin"]): r for kind in kinds for r in rows if r["benchmark"] == f"posterior/{kind}"}
    lines = [
        f"| {words} | {' | '.join(f'{by_bin[kind, bin_][key]:.{n}f}' for kind in kinds)} |"
        for words, bin_, key, n in _ROWS
    ]
    parts = [b for kind, b in by_bin if kind == kinds[0] and b.startswith(("pure", "three"))]
    parts += [b for kind, b in by_bin if kind == kinds[0] and " with " in b]
    for part in parts:
        error = " | ".join(
            f"{by_bin[kind, part]['rmse']:.3f}; {by_bin[kind, part]['coverage']:.2f}" for kind in kinds
        )
        lines.append(f"| {part}: error; coverage | {error} |")
    thickness = [
        next(r for r in rows if r["benchmark"] == f"posterior/{kind}/t_over_lambda") for kind in kinds
    ]
    said = " | ".join(f"{t['rmse']:.2f}; {t['coverage']:.2f}" for t in thickness)
    lines.append(f"| t/lambda from the edge alone: error; coverage | {said} |")
    names = [next(r for r in rows if r["benchmark"] == f"posterior/{kind}/names") for kind in kinds]
    for words, key in (
        ("pure compounds that get a class", "named_where_pure"),
        ("of these, the right one", "right_where_pure_and_named"),
        ("one class where the largest share is below 60 %", "one_class_where_mixed"),
    ):
        lines.append(f"| {words} | {' | '.join(f'{100 * found[key]:.1f} %' for found in names)} |")
    return "\n".join(lines)


def _measured(rows: list[dict[str, Any]]) -> str:
    """What was found on measured spectra of pure compounds, if the benchmark had any."""
    found = [r for r in rows if r["benchmark"] == "posterior/measured" and r.get("low") is not None]
    pure = [r for r in found if r["low"] == r["high"]]
    if not pure:
        return ""
    lines = [
        f"| {r['low']:g} | {r['mean_valence']:.2f} | {100 * r['in_interval']:.0f} % of {r.get('spectra', 1)} |"
        for r in sorted(pure, key=lambda r: float(r["low"]))
    ]
    return (
        "\nMeasured spectra of pure compounds, as a check only:\n\n"
        "| valence | mean valence found | in their interval |\n|---|---|---|\n" + "\n".join(lines) + "\n"
    )

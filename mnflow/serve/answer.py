"""From raw spectra of a request to answers; a spectrum that cannot be read gets its own error."""

from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np

from mnflow.opinions.oxygen import dispersion_note
from mnflow.opinions.white_lines import WhiteLines
from mnflow.preprocess.crops import normalise
from mnflow.preprocess.detector.gain_steps import STEP_NOTE
from mnflow.preprocess.detector.spikes import spikes_note
from mnflow.preprocess.locate import Background
from mnflow.serve.decision import MIXED, labels
from mnflow.serve.novelty import Novelty
from mnflow.serve.predictor import Outcome, Predictor
from mnflow.serve.request import Cut, cut
from mnflow.spectra.arrays import Bools, Ints

FLAGS = (*Novelty.REASONS, "no_edge", "second_opinion", "interval_unreliable", "uncertain", "unreadable")
"""Everything that a spectrum may be flagged with. The first five are reasons for `out_of_distribution`.

`no_edge`: no pair of white lines rises over what lies around it. `second_opinion`: the champion's nets, the
white lines' ratio or distance, or the user's own references contradict the answer. `interval_unreliable`: the
interval's coverage was not measured for such a spectrum (out of distribution, or an element without a
posterior). `uncertain`: the class is null, since the spectrum allows several.
"""

OPINIONS = (*WhiteLines._fields, "o_k_distance_ev")
"""What `second_opinions` of an answer holds."""

_N_REASONS = FLAGS.index("no_edge") + 1
_DECIMALS = 6  # float32 holds no more


def answer(predictor: Predictor, spectra: Sequence[Any]) -> list[dict[str, Any]]:
    """Read spectra of any lengths and axes together.

    Parameters
    ----------
    predictor : Predictor
    spectra : sequence of mapping
        Each with `energy_ev` (eV) and `intensity` (arbitrary units), lists of one length; background on or
        removed.

    Returns
    -------
    list of dict
        In the order of the spectra: `class` (a class, "mixed", or null where the spectrum allows several; the
        rules are in `mnflow.serve.decision`), `probabilities` (of every class to have the largest share),
        `fractions` (expected share of every class's atoms), `mean_valence`, `interval` ([low, high] of the
        mean valence, which hold it in 90 % of cases), `t_over_lambda` ([mean, low, high] of the relative
        thickness that plural scattering in the edge shows; null without a posterior), `disagreement` (share
        of fold models that vote for another class than most of them; null without several), `moved_ev` (how
        far the window had to move), `second_opinions` (L3/L2 ratio, L2-L3 distance, and O K-L3 distance where
        O K is to be seen, each with its `value` and the range of `mean_valence` that goes with it, if known),
        `flags` (`FLAGS`, and `out_of_distribution` before its reasons), `notes` (what was done to the
        spectrum), and `error`, which is null, or says why the others are.
    """
    cuts, errors = cut(spectra, predictor.edge)
    answers = {i: _refusal(message) for i, message in errors.items()}
    if cuts:
        outcome = predictor(normalise(np.stack([c.crop for c in cuts.values()])))
        answers |= zip(cuts, _answers(outcome, list(cuts.values()), predictor), strict=True)
    return [answers[i] for i in range(len(spectra))]


def flagged(outcome: Outcome, saturated: Bools, edge_seen: Bools) -> Bools:
    """Which of `FLAGS` N readable spectra get: (N, 9).

    Those that are saturated by their counts (`saturated`), and those whose lines look like it.
    """
    strange = outcome.strange.copy()
    strange[:, Novelty.REASONS.index("saturated")] |= saturated
    undecided = outcome.reading.label > outcome.reading.fractions.shape[1]
    unreliable = strange.any(axis=1) | ~edge_seen | (not outcome.calibrated)
    readable = np.zeros(len(undecided), dtype=bool)
    return np.column_stack([strange, ~edge_seen, outcome.contradicted, unreliable, undecided, readable])


def in_words(found: dict[str, Any]) -> str:
    """An answer as one line: "Mn3+ (probability 0.97), mean valence 3.02 [2.90, 3.14]".

    Examples
    --------
    >>> in_words({"class": None, "probabilities": {"Mn2+": 0.0, "Mn3+": 0.6, "Mn4+": 0.4}, "mean_valence":
    3.4,
    ...           "interval": [3.0, 3.9], "fractions": {"Mn2+": 0.0, "Mn3+": 0.6, "Mn4+": 0.4}, "error":
    None})
    'cannot tell Mn3+ (0.60) from Mn4+ (0.40), mean valence 3.40 [3.00, 3.90]'
    """
    if found["error"] is not None:
        return str(found["error"])
    low, high = found["interval"]
    number = f"mean valence {found['mean_valence']:.2f} [{low:.2f}, {high:.2f}]"
    if found["class"] == MIXED:
        shares = ", ".join(f"{100 * x:.0f} % {name}" for name, x in found["fractions"].items() if x >= 0.05)
        return f"mixed ({shares}), {number}"
    if found["class"] is not None:
        return f"{found['class']} (probability {found['probabilities'][found['class']]:.2f}), {number}"
    likely = [f"{name} ({p:.2f})" for name, p in found["probabilities"].items() if p >= 0.1]
    if len(likely) < 2:
        return f"cannot tell {likely[0].split()[0]} from a mixture with it, {number}"
    return f"cannot tell {', '.join(likely[:-1])} from {likely[-1]}, {number}"


def _refusal(message: str) -> dict[str, Any]:
    nothing = ("class", "probabilities", "fractions", "mean_valence", "interval", "t_over_lambda",
               "disagreement", "moved_ev", "second_opinions")  # fmt: skip
    return {**dict.fromkeys(nothing), "flags": ["unreadable"], "notes": [], "error": message}


def notes(background: Background, spikes: Ints, gain_step: bool) -> list[str]:
    """What was done to spectra with `spikes` (N,) in each, and a step of gain in all, for their reader."""
    said = [
        {
            "power law": "background: power law",
            "level": "background: level, since too little lies before the edge for a power law",
            "removed": "background: removed before",
        }[background]
    ]
    mended = np.count_nonzero(spikes)
    if mended:
        where = f" in {mended} of {len(spikes)} spectra" if len(spikes) > 1 else ""
        said.append(spikes_note(spikes.sum()) + where)
    if gain_step:
        said.append(STEP_NOTE)
    return said


def _answers(outcome: Outcome, cuts: Sequence[Cut], predictor: Predictor) -> list[dict[str, Any]]:
    """The answers to N spectra; numbers are rounded and turned into Python's for all together."""
    edge, reading = predictor.edge, outcome.reading
    names = labels(edge.classes)
    saturated, seen = (np.array([getattr(one, name) for one in cuts]) for name in ("saturated", "edge_seen"))
    flags = flagged(outcome, saturated, seen).tolist()
    numbers = (reading.probabilities, reading.fractions, reading.mean_valence, reading.interval)
    probabilities, fractions, mean_valence, interval = (a.round(_DECIMALS).tolist() for a in numbers)
    thickness, voted = reading.t_over_lambda.round(_DECIMALS).tolist(), outcome.disagreement.tolist()
    columns: dict[str, list[Any]] = {
        "class": [names[label] for label in reading.label.tolist()],
        "probabilities": [dict(zip(edge.classes, row, strict=True)) for row in probabilities],
        "fractions": [dict(zip(edge.classes, row, strict=True)) for row in fractions],
        "mean_valence": mean_valence,
        "interval": interval,
        "t_over_lambda": [None if np.isnan(row[0]) else row for row in thickness],
        "disagreement": [None if np.isnan(x) else round(x, _DECIMALS) for x in voted],
        "moved_ev": [round(one.moved_bins * edge.dispersion_ev, _DECIMALS) for one in cuts],
        "second_opinions": _second_opinions(outcome, cuts),
        "flags": [["out_of_distribution"] * any(f[:_N_REASONS]) + list(compress(FLAGS, f)) for f in flags],
        "notes": [
            notes(one.background, np.array([one.spikes]), one.gain_step)
            + dispersion_note(one.o_k_distance_ev, edge)
            for one in cuts
        ],
        "error": [None] * len(cuts),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _second_opinions(outcome: Outcome, cuts: Sequence[Cut]) -> list[dict[str, Any] | None]:
    """Every opinion's value and the range of the mean valence that goes with it; None without an edge."""
    ranges, lines = outcome.implied, outcome.white_lines._asdict()
    found: list[dict[str, Any] | None] = []
    for i, one in enumerate(cuts):
        opinions: dict[str, Any] = {}
        for name, values in lines.items():
            implied = ranges[name][i].round(3).tolist() if ranges else None
            opinions[name] = {"value": round(float(values[i]), 3), "mean_valence": implied}
        distance = one.o_k_distance_ev
        opinions[OPINIONS[-1]] = distance and {"value": round(distance, 3), "mean_valence": None}
        found.append(opinions if one.edge_seen else None)
    return found

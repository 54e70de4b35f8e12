"""From raw spectra, as a request brings them, to answers; a spectrum that cannot be read gets its own
error.
"""

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any

import numpy as np

from mnflow.preprocess.window import normalise
from mnflow.serve.novelty import Novelty
from mnflow.serve.predictor import Outcome, Predictor
from mnflow.serve.request import Cut, cut

MIN_AGREEMENT = 0.8
"""Share of the fold models that must vote alike; below, an answer is flagged `folds_disagree`."""

MIN_PROBABILITY = 0.8
"""Below this probability of the favourite class an answer is flagged `uncertain` (often a mixture of
valences).
"""

DOUBTS = ("folds_disagree", "uncertain")

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
        In the order of the spectra: `class`, `probabilities` (by class), `fractions` (share of every class's
        atoms, if the spectrum is of a mixture; null where nothing was fitted for the element),
        `mean_valence`, `disagreement` (share of fold models that voted for another class; null for a single
        net), `moved_ev` (how far the window had to move),
        `flags`, and `error`, which is null, or the sentence that says why the others are. Flags:
        `out_of_distribution` with what is strange (`noise`, `unknown_shape`, `other_element`, `saturated`),
        `folds_disagree`, `uncertain`,
        `unreadable`.
    """
    cuts, errors = cut(spectra, predictor.edge)
    answers = {i: _refusal(sentence) for i, sentence in errors.items()}
    if cuts:
        outcome = predictor(normalise(np.stack([c.crop for c in cuts.values()])))
        answers |= zip(cuts, _readings(outcome, list(cuts.values()), predictor), strict=True)
    return [answers[i] for i in range(len(spectra))]


def _refusal(sentence: str) -> dict[str, Any]:
    nothing = ("class", "probabilities", "fractions", "mean_valence", "disagreement", "moved_ev")
    return {**dict.fromkeys(nothing), "flags": ["unreadable"], "error": sentence}


def _readings(outcome: Outcome, cuts: Sequence[Cut], predictor: Predictor) -> Iterator[dict[str, Any]]:
    """The answers to N spectra; numbers are rounded and turned into Python's for all together."""
    classes, step_ev = predictor.edge.classes, predictor.edge.dispersion_ev
    favourite = outcome.probabilities.argmax(axis=1)
    rows = np.arange(len(favourite))
    agreement = outcome.votes[rows, favourite]
    doubts = np.column_stack(
        [agreement < MIN_AGREEMENT, outcome.probabilities[rows, favourite] < MIN_PROBABILITY]
    )
    numbers = (outcome.probabilities, outcome.fractions, outcome.mean_valence, 1 - agreement)
    columns = [array.round(_DECIMALS).tolist() for array in numbers]
    lists = (cuts, favourite.tolist(), *columns, outcome.strange.tolist(), doubts.tolist())
    for one, label, probabilities, fractions, mean_valence, disagreement, strange, doubted in zip(
        *lists, strict=True
    ):
        reasons = [*compress(Novelty.REASONS, strange), *(["saturated"] if one.saturated else [])]
        yield {
            "class": classes[label],
            "probabilities": dict(zip(classes, probabilities, strict=True)),
            "fractions": dict(zip(classes, fractions, strict=True)) if predictor.unmixer else None,
            "mean_valence": mean_valence,
            "disagreement": disagreement if predictor.net.n_folds > 1 else None,
            "moved_ev": round(one.moved_bins * step_ev, _DECIMALS),
            "flags": [*(["out_of_distribution", *reasons] if reasons else []), *compress(DOUBTS, doubted)],
            "error": None,
        }

"""From raw spectra, as a request brings them, to answers; a spectrum that cannot be read gets its own error."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.preprocess.window import normalise
from mnflow.serve.novelty import Novelty
from mnflow.serve.predictor import Outcome, Predictor
from mnflow.serve.request import Spectrum, place, read_spectrum

MIN_AGREEMENT = 0.8
"""Share of the fold models that must vote alike; below, an answer is flagged `folds_disagree`."""

MIN_PROBABILITY = 0.8
"""Below this probability of the favourite class an answer is flagged `uncertain` (often a mixture of valences)."""

_DECIMALS = 6  # float32 holds no more


def answer(predictor: Predictor, spectra: Sequence[Any]) -> list[dict[str, Any]]:
    """Read spectra of any lengths and axes together.

    Parameters
    ----------
    predictor : Predictor
    spectra : sequence of mapping
        Each with `energy_ev` (eV) and `intensity` (arbitrary units), lists of one length; background on or removed.

    Returns
    -------
    list of dict
        In the order of the spectra: `class`, `probabilities` (by class), `mean_valence`, `disagreement` (share of fold
        models that voted for another class), `moved_ev` (how far the window had to move), `flags`, and `error`, which
        is null, or the sentence that says why the others are. Flags: `out_of_distribution` with what is strange (`noise`,
        `unknown_shape`, `line_distance`, `saturated`), `folds_disagree`, `uncertain`, `unreadable`.
    """
    readable: dict[int, Spectrum] = {}
    errors: dict[int, str] = {}
    for i, spectrum in enumerate(spectra):
        try:
            readable[i] = read_spectrum(spectrum, predictor.edge, f"Spectrum {i}")
        except InputError as error:
            errors[i] = str(error)
    cuts, unplaced = place(readable, predictor.edge)
    errors |= {i: f"Spectrum {i}: {sentence}" for i, sentence in unplaced.items()}
    answers = {i: _refusal(sentence) for i, sentence in errors.items()}
    if cuts:
        outcome = predictor(normalise(np.stack([cut.crop for cut in cuts.values()])))
        for row, (i, cut) in enumerate(cuts.items()):
            moved_ev = round(cut.moved_bins * predictor.edge.dispersion_ev, _DECIMALS)
            answers[i] = _reading(outcome, row, predictor, moved_ev, cut.saturated)
    return [answers[i] for i in range(len(spectra))]


def _refusal(sentence: str) -> dict[str, Any]:
    nothing = ("class", "probabilities", "mean_valence", "disagreement", "moved_ev")
    return {**dict.fromkeys(nothing), "flags": ["unreadable"], "error": sentence}


def _reading(outcome: Outcome, row: int, predictor: Predictor, moved_ev: float, saturated: bool) -> dict[str, Any]:
    probabilities = outcome.probabilities[row].round(_DECIMALS)
    favourite = int(probabilities.argmax())
    disagreement = round(1 - float(outcome.votes[row, favourite]), _DECIMALS)
    reasons = [r for r, beyond in zip(Novelty.REASONS, outcome.strange[row], strict=True) if beyond]
    reasons += ["saturated"] if saturated else []
    flags = ["out_of_distribution", *reasons] if reasons else []
    if 1 - disagreement < MIN_AGREEMENT:
        flags.append("folds_disagree")
    if probabilities[favourite] < MIN_PROBABILITY:
        flags.append("uncertain")
    return {
        "class": predictor.edge.classes[favourite],
        "probabilities": dict(zip(predictor.edge.classes, probabilities.tolist(), strict=True)),
        "mean_valence": round(float(outcome.mean_valence[row]), _DECIMALS),
        "disagreement": disagreement,
        "moved_ev": moved_ev,
        "flags": flags,
        "error": None,
    }

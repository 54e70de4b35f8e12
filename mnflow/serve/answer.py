"""From raw spectra, as a request brings them, to answers; a spectrum that cannot be read gets its own error."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.preprocess.scan import REASONS, bad_pixels
from mnflow.preprocess.window import normalise, place_window
from mnflow.serve.novelty import Novelty
from mnflow.serve.predictor import Outcome, Predictor

MIN_AGREEMENT = 0.8
"""Share of the fold models that must vote alike; below, an answer is flagged `folds_disagree`."""

MIN_PROBABILITY = 0.8
"""Below this probability of the favourite class an answer is flagged `uncertain` (often a mixture of valences)."""

_DECIMALS = 6  # float32 holds no more

FIELDS = ("energy_ev", "intensity")
"""What every spectrum of a request holds: two lists of numbers of one length."""


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
    crops: list[NDArray[np.float32]] = []
    places: list[int] = []
    answers: list[dict[str, Any]] = []
    for i, spectrum in enumerate(spectra):
        try:
            crop, moved_ev, cut_off = prepare(spectrum, predictor, f"Spectrum {i}")
        except InputError as error:
            answers.append(_refusal(str(error)))
        else:
            answers.append({"moved_ev": moved_ev, "saturated": cut_off})
            crops.append(crop)
            places.append(i)
    if crops:
        outcome = predictor(np.stack(crops))
        for row, i in enumerate(places):
            answers[i] = _reading(outcome, row, predictor, **answers[i])
    return answers


def prepare(spectrum: Any, predictor: Predictor, where: str) -> tuple[NDArray[np.float32], float, bool]:
    """The normalised crop (n_crop,) of one raw spectrum, by how many eV its window was moved, and if the raw one is cut off.

    Raises
    ------
    InputError
        If the spectrum is not one, or cannot be read.
    """
    energy_ev, intensity = (_numbers(spectrum, name, where) for name in FIELDS)
    if len(energy_ev) != len(intensity) or len(energy_ev) < 2:
        raise InputError(
            f"{where}: expected as many intensities as energies and two or more, got {len(intensity)} and {len(energy_ev)}."
        )
    largest = np.abs(intensity).max()
    placed = place_window(energy_ev, intensity / (largest or 1.0), predictor.edge, where)
    if np.ptp(placed.intensity) == 0:
        raise InputError(f"{where}: expected an edge, got a flat line between {predictor.edge.crop_ev} eV.")
    moved_ev = round(placed.moved_bins * predictor.edge.dispersion_ev, _DECIMALS)
    cut_off = REASONS[bad_pixels(intensity[None])[0]] == "saturated"
    return normalise(placed.intensity), moved_ev, cut_off


def _numbers(spectrum: Any, name: str, where: str) -> NDArray[np.float64]:
    """One list of a spectrum as an array; nothing is guessed from words or booleans."""
    values = spectrum.get(name) if isinstance(spectrum, Mapping) else getattr(spectrum, name, None)
    if values is None:
        raise InputError(f"{where}: expected an object with the lists {' and '.join(FIELDS)}, got no {name}.")
    try:
        array = np.asarray(values)
        if array.ndim != 1 or array.dtype.kind not in "iuf":
            raise ValueError
        array = array.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"{where}: expected a list of numbers for {name}, got {_describe(values)}.") from None
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise InputError(f"{where}: expected finite numbers for {name}, got {len(bad)} that are not, the first at {bad[0]}.")
    return array


def _describe(values: Any) -> str:
    """The first thing that is no number, in a few words."""
    if not isinstance(values, list | tuple | np.ndarray):
        return f"{type(values).__name__}"
    for i, value in enumerate(values):
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
            return f"{'null' if value is None else type(value).__name__} at {i}"
    return "numbers that are too large, or lists within the list"


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

"""The model card of a version: purpose, training data, accuracy and limits in words."""

from collections.abc import Mapping

import numpy as np

from mnflow.promote.candidates import rivals, verdict
from mnflow.promote.gate import CALIBRATION_ERROR, Comparison
from mnflow.promote.registration import MODEL
from mnflow.track import names
from mnflow.track.cross_validation import FinishedCv

_CITATION = (
    "Chatzidakis & Botton, *Towards calibration-invariant spectroscopy using deep learning*, Sci. Rep. 9, "
    "2126 (2019), https://doi.org/10.1038/s41598-019-38482-1; this software: CITATION.cff"
)

_ACCURACIES = {
    names.CV_ACCURACY: "as measured",
    names.SHIFT_ACCURACY: "with the energy axis off by -5 to +5 eV, on average",
    names.WORST_SHIFT_ACCURACY: "at the worst of these shifts",
    names.NOISE_5X_ACCURACY: "with five times the noise",
}

_SHOWN_RIVALS = 8


def card(
    finished: FinishedCv, metrics: Mapping[str, float], strategy: str, comparison: Comparison | None
) -> str:
    """The card of a promoted cross-validation, as Markdown.

    Parameters
    ----------
    metrics : mapping of str to float
        All that `promote` measured.
    strategy : str
        What is served, in words.
    comparison : Comparison, optional
        With the champion before.
    """
    edge, n = finished.spectra.edge, len(finished.spectra)
    counts = ", ".join(f"{count} {name}" for name, count in finished.spectra.counts().items())
    classes = ", ".join(edge.classes)
    before = f" {comparison}." if comparison else ""
    sections = {
        f"{finished.label}: the valence of {edge.element} from its L2,3 edge": (
            f"Reads {classes}, mixtures of them and the mean valence, with a 90 % interval and flags, from "
            f"electron energy-loss spectra ({strategy}; {len(finished.models)} {finished.tags[names.FOLDS]} "
            "folds)."
        ),
        "How to call it": (
            f"`mnflow predict FILE`; in Python `mnflow.predict(signal)`; `mlflow models serve -m "
            f"models:/{MODEL}@champion` and POST `/invocations` with `energy_ev` and `intensity`. Any "
            "dispersion up to 1 eV per channel, calibration off by up to 30 eV, background on or removed."
        ),
        "Trained on": (
            f"Trained on {n} spectra ({counts}; {finished.spectra.source}; digest "
            f"{finished.tags[names.DATASET_DIGEST]}), simulated unless their source says otherwise."
        ),
        "How well": _numbers(metrics, n),
        "Rivals on the same data and folds": f"{verdict(finished.record)}{before}\n\n{_rivals(finished)}",
        "Limits": (
            f"Not for other elements nor for spectra without the {edge.element} edge. What is flagged "
            "`out_of_distribution` is not to be believed; an interval flagged `interval_unreliable` was "
            "not measured to hold. Materials unlike those simulated, and specimens thicker than t/lambda "
            "1.5, are read with larger errors than these numbers say."
        ),
        "Intended use": (
            "Valence maps and single spectra in research. No decision should rest on it alone: look at the "
            "spectra, their intervals and flags."
        ),
        "Figures": (
            f"Shift, noise, confusion: run `{finished.run.id}`; reliability and saliency: the run of this "
            "promotion."
        ),
        "Licence and citation": f"GPL-3.0-or-later. To cite: {_CITATION}.",
    }
    return "\n\n".join(f"### {title}\n{text}" for title, text in sections.items())


def _numbers(metrics: Mapping[str, float], n: int) -> str:
    """What was measured, in words, with intervals where they follow from counts."""
    lines = []
    for key, when in _ACCURACIES.items():
        low, high = wilson(metrics[key], n)
        lines.append(f"- {metrics[key]:.1%} ({low:.1%} to {high:.1%}) {when}.")
    known = {
        names.REFERENCE_VOTE_ACCURACY: "{:.1%} of other laboratories' reference spectra, by majority vote.",
        "mixture/rmse": "{:.2f} error of mean valences (r.m.s.) of simulated mixtures of other materials.",
        "mixture/coverage": "{:.0%} of their true mean valences lie in the 90 % interval.",
        CALIBRATION_ERROR: "{:.1%} expected error of the nets' probabilities.",
    }
    lines += [f"- {text.format(metrics[key])}" for key, text in known.items() if key in metrics]
    head = (
        "Correct, on spectra that the judged model has not trained on (in parentheses 95 % intervals of "
        "counts; pixels of one image are alike, so true ones are wider):"
    )
    return f"{head}\n\n" + "\n".join(lines)


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share that was counted in `n` cases (https://doi.org/10.2307/2276774).

    Examples
    --------
    >>> [round(x, 3) for x in wilson(0.95, 1000)]
    [0.935, 0.962]
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return max(0.0, centre - half), min(1.0, centre + half)


def _rivals(finished: FinishedCv) -> str:
    head = "| model | " + " | ".join(_ACCURACIES.values()) + " |\n|---" + "|---" * len(_ACCURACIES) + "|"
    records = [finished.record, *rivals(finished.record)[:_SHOWN_RIVALS]]
    rows = [
        f"| {r.info.run_name} | " + " | ".join(f"{r.data.metrics[k]:.4f}" for k in _ACCURACIES) + " |"
        for r in records
    ]
    return "\n".join([head, *rows])

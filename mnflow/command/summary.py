"""One answer for a file: that of its spectrum, or of the mean spectrum of an image's unflagged pixels."""

from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.maps.pixels import FLAGS, mean_spectra, place_image, read_pixels
from mnflow.maps.valence_maps import UNCOUNTED
from mnflow.opinions.oxygen import dispersion_note
from mnflow.preprocess.low_loss import single_scattering
from mnflow.preprocess.window import placement
from mnflow.serve.answer import OPINIONS, answer, notes
from mnflow.serve.predictor import Predictor
from mnflow.spectra import Edge, RawSpectra
from mnflow.spectra.arrays import Array

FIELDS = (
    "class", "probabilities", "fractions", "mean_valence", "interval", "t_over_lambda", "second_opinions",
    "flags", "moved_ev", "notes", "error",
)  # fmt: skip
"""What a summary takes over from an answer to one spectrum; see `mnflow.serve.answer.answer`."""


def summarise(file: str, raw: RawSpectra, predictor: Predictor) -> dict[str, Any]:
    """Sum up one file.

    The pixels of an image are read one by one only to find those that are flagged. The mean spectrum of the
    others is then answered like any spectrum: with its low noise, what is left of the interval is the
    systematic part, which the mean of many pixels does not average out either.

    Parameters
    ----------
    file : str
        What the summary calls the file.
    raw : RawSpectra
        N spectra.
    predictor : Predictor

    Returns
    -------
    dict
        `file`, `element`, `n`, `n_flagged`, and of the answer to the mean spectrum `FIELDS`. If every pixel
        is flagged, the numbers are None, and `flags` names what flags half of the pixels or more.

    Raises
    ------
    InputError
        If the spectra do not cover the edge, or none is usable.
    """
    raw = single_scattering(raw, predictor.edge)
    if len(raw) == 1:
        found = _answer(raw, np.asarray(raw.counts[0:1])[0], predictor)
        found["notes"] = [*raw.notes, *found["notes"]]
        return _row(file, predictor.edge, 1, int(any(name in UNCOUNTED for name in found["flags"])), found)
    where = place_image(raw, predictor)
    pixels = read_pixels(raw, predictor, where)
    flags = pixels.flags  # (N, F)
    said = [*raw.notes, *notes(where.position.background, pixels.spikes, where.gain_step is not None)]
    good = np.logical_not(flags[:, [FLAGS.index(name) for name in UNCOUNTED]].any(axis=1))
    n_flagged = int(np.count_nonzero(~good))
    if not good.any():
        often = [name for name, share in zip(FLAGS, flags.mean(axis=0), strict=True) if share >= 0.5]
        return _row(file, predictor.edge, len(raw), n_flagged, {"flags": often, "notes": said})
    found = _answer(raw, mean_spectra(raw, good[None], where, pixels.spikes)[0], predictor)
    distance = (found["second_opinions"] or {}).get(OPINIONS[-1])
    found["notes"] = said + dispersion_note(distance and distance["value"], predictor.edge)
    return _row(file, predictor.edge, len(raw), n_flagged, found)


def failure(file: str, edge: Edge, message: str) -> dict[str, Any]:
    """The summary of a file that cannot be read."""
    return _row(file, edge, 0, 0, {"error": message})


def _row(file: str, edge: Edge, n: int, n_flagged: int, found: dict[str, Any]) -> dict[str, Any]:
    head = {"file": file, "element": edge.element, "n": n, "n_flagged": n_flagged}
    return head | {k: found.get(k, [] if k in ("flags", "notes") else None) for k in FIELDS}


def _answer(raw: RawSpectra, intensity: Array, predictor: Predictor) -> dict[str, Any]:
    energy_ev, known = raw.energy_ev, np.isfinite(intensity)
    if not known.all():
        placement(energy_ev, intensity, predictor.edge, str(raw.path))  # refuses it if that is at the edge
        energy_ev, intensity = energy_ev[known], intensity[known]
    found = answer(predictor, [{"energy_ev": energy_ev, "intensity": intensity}])[0]
    if found["error"] is not None:
        raise InputError(str(found["error"]).replace("Spectrum 0:", f"{raw.path}:"))
    if raw.thickness is not None:  # its plural scattering was taken out, and a note says of what thickness
        found["t_over_lambda"] = None
    return found

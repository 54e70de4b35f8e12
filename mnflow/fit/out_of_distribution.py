"""Out-of-distribution (OOD) spectra: to fit the novelty score, and to measure its detection rate."""

from typing import Any

import numpy as np

from mnflow.fit.mixtures import Materials, mix, parted
from mnflow.serve.answer import answer
from mnflow.serve.predictor import Predictor
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import is_shipped, settings_of
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Array, Floats, Floats32

DRAWN = 100
"""Spectra of each kind that the detection rate is measured on."""

LEARNT = 3000
"""Spectra of each element that the novelty score is fitted to."""

ELEMENTS = ("Fe", "Mn", "Ti")
"""Those with shipped settings and sticks."""

_NOISE = 0.01  # of the peak, as acquired spectra have it
_BACKGROUND = 5.0  # height of the background where the edge is, in peaks


def flagged(predictor: Predictor, seed: int) -> dict[str, float]:
    """Share of each kind that is flagged out of distribution or refused: `novelty/flagged_KIND`."""
    energy_ev = predictor.edge.wide_axis_ev.tolist()
    found = {}
    for kind, intensity in draw(predictor.edge, np.random.default_rng([seed, 2])).items():
        answers = answer(
            predictor, [{"energy_ev": energy_ev, "intensity": row.tolist()} for row in intensity]
        )
        said = [a["error"] is not None or "out_of_distribution" in a["flags"] for a in answers]
        found[f"novelty/flagged_{kind}"] = float(np.mean(said))
    return found


def draw(edge: Edge, rng: np.random.Generator) -> dict[str, Floats]:
    """Raw spectra (`DRAWN`, n_wide) of every kind on the edge's wide window.

    `noise`; a `flat` line; a `background` without an edge; `carbon`, the two peaks and the slow decay of its
    K edge; another element's L2,3 edge (`iron`, or manganese for other elements); and ours, if there are
    shipped settings for it, cut off at 30 to 70 % of its height (`saturated`).
    """
    x = edge.wide_axis_ev
    onset = edge.crop_ev[0] + rng.uniform(3, 10, (DRAWN, 1))
    background = _BACKGROUND * (x / x[0]) ** -rng.uniform(2.5, 4.5, (DRAWN, 1))
    beyond = np.clip(x - onset - 6, 0, None)
    carbon = np.exp(-(((x - onset) / 1.0) ** 2)) + 1.5 * (1 - np.exp(-beyond / 3)) * np.exp(-beyond / 20)
    other, its_name = ("Fe", "iron") if edge.element == "Mn" else ("Mn", "manganese")
    kinds: dict[str, Any] = {
        "noise": np.zeros((DRAWN, 1)),
        "background": background,
        "carbon": carbon + background,
        its_name: _white_lines(other, x, onset, rng) + background,
    }
    noisy = {kind: clean + _NOISE * rng.standard_normal((DRAWN, len(x))) for kind, clean in kinds.items()}
    noisy["flat"] = np.ones((DRAWN, len(x)))
    if is_shipped(edge.element):
        noisy["saturated"] = np.minimum(
            _white_lines(edge.element, x, onset, rng), rng.uniform(0.3, 0.7, (DRAWN, 1))
        )
    return noisy


def other_elements(edge: Edge, rng: np.random.Generator) -> list[Floats32]:
    """Crops (`LEARNT`, n_crop) of the other shipped elements, for `mnflow.fit.novelty.fit_novelty`.

    They are of other materials than those of `draw`. An edge of another window or dispersion gets none.
    """
    shipped = [settings_of(name) for name in ELEMENTS if name != edge.element]
    others = [
        s for s in shipped if (s.edge.n_crop, s.edge.dispersion_ev) == (edge.n_crop, edge.dispersion_ev)
    ]
    drawn = [Materials.draw(s, parted(library_of(s))[0], LEARNT // 8, rng) for s in others]
    return [mix(materials.sets(LEARNT, rng).pure, rng).crops for materials in drawn]


def _white_lines(name: str, energy_ev: Floats, onset_ev: Array, rng: np.random.Generator) -> Any:
    """Pure L2,3 edges (`DRAWN`, C) of a shipped element with L3 a little above `onset_ev`, maximum 1."""
    settings = settings_of(name)
    materials = Materials.draw(settings, parted(library_of(settings))[2], DRAWN // 4, rng)
    pure = materials.sets(DRAWN, rng).pure.astype(np.float64)
    rows = pure[np.arange(DRAWN), rng.integers(0, pure.shape[1], DRAWN)]  # (DRAWN, n_crop)
    step = settings.edge.dispersion_ev
    place = (energy_ev - onset_ev) / step + rows.argmax(axis=1)[:, None] - 2 / step
    spectra = np.array(
        [np.interp(p, np.arange(len(r)), r - r.min()) for p, r in zip(place, rows, strict=True)]
    )
    return spectra / spectra.max(axis=1, keepdims=True)

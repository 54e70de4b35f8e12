"""Out-of-distribution (OOD) spectra: the fit of the novelty score, its detection rate and false alarms."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.augment.pca_noise import principal_components
from mnflow.errors import InputError
from mnflow.fit.mixtures import Materials, mix, parted
from mnflow.preprocess.crops import normalise
from mnflow.preprocess.resample import moving_average
from mnflow.serve.answer import answer
from mnflow.serve.novelty import SMOOTHING, Novelty, Scores, aligned, beyond, locate
from mnflow.serve.predictor import Predictor
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import is_shipped, settings_of
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Array, Bools, Floats, Floats32

DRAWN = 100
"""Spectra of each kind that the detection rate is measured on."""

LEARNT = 3000
"""Spectra of each element that the novelty score is fitted to."""

ELEMENTS = ("Fe", "Mn", "Ti")
"""Those with shipped settings and sticks."""

_NOISE = 0.01  # of the peak, as acquired spectra have it
_BACKGROUND = 5.0  # height of the background where the edge is, in peaks

COMPONENTS = 8
"""Principal components of known spectra."""

STRETCHES = (0.78, 0.81, 0.84, 0.88, 1.15, 1.19, 1.23, 1.28)
"""What makes an unknown element's edge of ours, roughly: its L3 and L2 are closer together or further apart.
"""

PLANES, RIDGE = 512, 20.0
"""Random planes whose sums tell other edges and saturated lines from ours; the penalty on their coefficients,
which weighs as much as the mean variance of so many known spectra.
"""

CUT_OFF, RIPPLE = (0.4, 0.9), (0.003, 0.03)
"""Where lines are cut off that stand for saturated ones, and how much their plateaus ripple, as shares of the
height: 0.5 % of what was counted, on backgrounds of up to four times the edge.
"""

MAX_CROPS = 10_000
"""Most crops that the planes are fitted to."""

_BLOCK = 4096  # spectra; all of them would take some 500 MB

FALSE_ALARMS = 0.007
"""Target false-alarm rate of each limit."""

PARTS = 5
"""Parts of the groups: what is held out is scored by what the others made."""


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
    shipped settings for it, cut off at 30 to 70 % of its height on a background (`saturated`), where the
    plateau ripples by 0.5 % of what was counted.
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
        lines, below = _white_lines(edge.element, x, onset, rng), rng.uniform(0.3, 4, (DRAWN, 1))
        counted = lines + below + _NOISE * rng.standard_normal(lines.shape)
        plateau = (rng.uniform(0.3, 0.7, (DRAWN, 1)) + below) * (1 + 0.005 * rng.uniform(-1, 1, lines.shape))
        noisy["saturated"] = np.minimum(counted, plateau)
    return noisy


def other_elements(edge: Edge, rng: np.random.Generator) -> list[Floats32]:
    """Crops (`LEARNT`, n_crop) of the other shipped elements, for `fit_novelty`.

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


def fit_novelty(
    crops: Floats32,
    group: NDArray[np.str_],
    rng: np.random.Generator,
    others: Sequence[Floats32] = (),
) -> Novelty:
    """Fit the novelty score to known crops (M, n_crop).

    No spectrum image (group) sets the limits that are then measured on it.

    Parameters
    ----------
    crops : ndarray, shape (M, n_crop)
        Normalised.
    group : ndarray of str, shape (M,)
        Their spectrum images.
    rng : Generator
        Parts the groups.
    others : sequence of ndarray, shapes (m, n_crop)
        Crops of other elements' edges, an array per element; others are imitated by stretching ours.

    Raises
    ------
    InputError
        If there are fewer groups than two.
    """
    names = rng.permutation(np.unique(group))
    if len(names) < 2:
        raise InputError(
            f"Expected spectra of two spectrum images or more, to see what is common to them; got "
            f"{len(names)}."
        )
    parts = [np.isin(group, names[i::PARTS]) for i in range(min(PARTS, len(names)))]
    foreign = [aligned(locate(one))[0] for one in others]
    held_out = _held_out_scores(crops, parts, foreign)
    alarms = [exceeds(held_out, _limits([s[~part] for s in held_out]))[part] for part in parts]
    known = _learnt(crops, foreign)
    return replace(known, limits=_limits(held_out), false_alarm_rate=float(np.concatenate(alarms).mean()))


def _held_out_scores(crops: Floats32, parts: Sequence[Bools], foreign: Sequence[Floats32]) -> Scores:
    """Scores of all crops, each part's by what the other parts made."""
    scores = [np.empty(len(crops), dtype=np.float32) for _ in Scores._fields]
    for part in parts:
        known = _learnt(crops[~part], foreign)
        for all_scores, mine in zip(scores, known.scores(locate(crops[part])), strict=True):
            all_scores[part] = mine
    return Scores(*scores)


def _learnt(crops: Floats32, foreign: Sequence[Floats32]) -> Novelty:
    """What crops (M, n_crop) look like beside aligned spectra (m, P) of other elements; without limits."""
    located = locate(crops)
    spectra = aligned(located)[0]
    mean = spectra.mean(axis=0)
    centred = spectra - mean
    components = principal_components(centred, COMPONENTS)
    some = locate(crops[:: -(-len(crops) // MAX_CROPS)])
    stretched = aligned(some, STRETCHES).reshape(-1, spectra.shape[1])
    cut_off = aligned(locate(saturated(some.crops, np.random.default_rng(0))))[0]
    known = Novelty(mean, components, *_planes(aligned(some)[0], [*foreign, stretched], cut_off))
    return replace(known, noise_slope=_noise_slope(known.scores(located)))


def saturated(crops: Floats32, rng: np.random.Generator) -> Floats32:
    """Normalised crops (N, n_crop) with their lines cut off at `CUT_OFF`, in a plateau with a `RIPPLE`."""
    smooth = moving_average(crops, SMOOTHING)
    level = smooth.min(axis=1, keepdims=True)
    height = smooth.max(axis=1, keepdims=True) - level
    share, ripple = (rng.uniform(*limits, (len(crops), 1)) for limits in (CUT_OFF, RIPPLE))
    plateau = share + ripple * rng.uniform(-1, 1, crops.shape)
    return normalise(np.minimum(crops, level + height * plateau)).astype(np.float32)


def _planes(
    known: Floats32, foreign: Sequence[Floats32], cut_off: Floats32
) -> tuple[Floats32, Floats32, Floats32]:
    """Planes (P, H), offsets (H,) and coefficients (H, 2): regressions for other elements, saturated lines.

    They give 0 for known and 1 for OOD spectra. The planes are drawn at random, as in extreme learning
    machines (https://doi.org/10.1016/j.neucom.2005.12.126): what is left is a linear problem, whose answer
    does not depend on an order or on the machine's rounding.
    """
    rng = np.random.default_rng(0)
    mean, scale = known.mean(axis=0), known.std(axis=0)
    planes = rng.standard_normal((len(mean), PLANES)) / np.sqrt(len(mean)) / np.maximum(scale, 1e-6)[:, None]
    offsets = 0.5 * rng.standard_normal(PLANES) - mean @ planes
    planes, offsets = planes.astype(np.float32), offsets.astype(np.float32)
    ours, flat, *others = (_moments(x, planes, offsets) for x in (known, cut_off, *foreign))
    ridge = RIDGE / len(known)
    coefficients = np.column_stack([_regression(ours, kinds, ridge) for kinds in (others, [flat])])
    return planes, offsets, coefficients.astype(np.float32)


def _regression(ours: tuple[Floats, Floats], others: Sequence[tuple[Floats, Floats]], ridge: float) -> Floats:
    """Coefficients (H,) from moments: every kind of other spectra counts alike, and all as much as ours."""
    theirs, their_squares = (sum(moments) / len(others) for moments in zip(*others, strict=True))
    middle = (ours[0] + theirs) / 2
    covariance = (ours[1] + their_squares) / 2 - np.outer(middle, middle)
    covariance += ridge * np.trace(covariance) / PLANES * np.eye(PLANES)
    return np.asarray(np.linalg.solve(covariance, (theirs - middle) / 2))


def _moments(spectra: Floats32, planes: Floats32, offsets: Floats32) -> tuple[Floats, Floats]:
    """How far spectra (N, P) are beyond the planes: means (H,), and means of products (H, H)."""
    total, squares = np.zeros(len(offsets)), np.zeros((len(offsets),) * 2)
    for first in range(0, len(spectra), _BLOCK):
        values = beyond(spectra[first : first + _BLOCK], planes, offsets).astype(np.float64)
        total += values.sum(axis=0)
        squares += values.T @ values
    return total / len(spectra), squares / len(spectra)


def _noise_slope(scores: Scores) -> float:
    """Slope of the residual that noise explains: a line through its upper ends in bins of noise."""
    order = np.argsort(scores.noise)
    bins = np.array_split(order, 12)
    noise = [float(np.median(scores.noise[b])) for b in bins]
    upper = [float(np.quantile(scores.residual[b], 0.97)) for b in bins]
    return max(0.0, float(np.polyfit(noise, upper, 1)[0]))


def _limits(scores: Sequence[Floats32]) -> tuple[float, float, float, float]:
    noise, residual, other_element, saturated = (float(np.quantile(s, 1 - FALSE_ALARMS)) for s in scores)
    return noise, residual, other_element, saturated


def exceeds(scores: Scores, limits: tuple[float, float, float, float]) -> Bools:
    return np.asarray((np.stack(scores, axis=1) > np.array(limits)).any(axis=1))

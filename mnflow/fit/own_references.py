"""A predictor for one instrument: its posterior conditioned on pure spectra that were measured there."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mnflow.augment.degrade import Degradation, degrade
from mnflow.errors import InputError
from mnflow.fit.intervals import calibrate
from mnflow.fit.mixtures import Materials, Sets, mix, parted
from mnflow.fit.posterior import fit_to_sets
from mnflow.preprocess.crops import normalise
from mnflow.preprocess.detector.faults import REASONS, find_faults
from mnflow.references import References
from mnflow.serve.novelty import Novelty
from mnflow.serve.posterior import SPAN, ReferenceMixtures
from mnflow.serve.predictor import Predictor
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import Settings, is_shipped, settings_of
from mnflow.spectra import Edge, SpectrumSet
from mnflow.spectra.arrays import Bools, Floats, Floats32, Ints

SETS, MATERIALS, EPOCHS, CALIBRATED = 4000, 150, 20, 6000
"""Sets that the posterior is fitted to, materials per class in them, how often each set is mixed anew, and
mixtures that the intervals are calibrated on.
"""

COPIES = 400
"""Copies of the measured spectra of a class, each as another specimen would give it (`DIFFERENCE`)."""

PEAK_LEARNING_RATE = 3e-4
"""Below that of a fit from scratch: what holds for all materials should not be forgotten."""

OWN_SHARE = 0.8
"""Share of the sets with measured spectra for their classes; a specimen may differ from the reference."""

DIFFERENCE = Degradation(
    thickness=(0.0, 0.6), blur_ev=(0.0, 0.4), tail_share=(0.0, 0.1), stretch=(-0.005, 0.005)
)
"""What a specimen may differ in from the references of the same instrument."""

AMOUNT = (0.9, 1.1)
"""Relative strength per atom: a measured spectrum does not say how many atoms it is of."""


def conditioned(predictor: Predictor, references: References, seed: int = 0) -> Predictor:
    """Condition a predictor on measured pure spectra of one instrument, as few as one of one class.

    The posterior's layers are fitted on, from where they are, to mixtures of the measured spectra (a little
    thicker and more blurred), with simulated materials for the classes that have none; then its intervals are
    calibrated anew. With references of two classes or more, their nearest mixture becomes a second opinion.
    Takes some 15 seconds of one core.

    Parameters
    ----------
    predictor : Predictor
        With a posterior.
    references : References
        Pure spectra carry one of the edge's classes; others are left out. Energy axes must be of one
        calibration: how far the classes lie apart is taken from them.
    seed : int
        Of all draws.

    Raises
    ------
    InputError
        If the predictor has no posterior, its edge no simulator, or no spectrum is of a class; if a spectrum
        is spoilt, or a label cannot be right.
    """
    edge, posterior = predictor.edge, predictor.posterior
    if posterior is None or not is_shipped(edge.element) or settings_of(edge.element).edge != edge:
        raise InputError(
            f"Own references need a model with a posterior, of an edge that can be simulated; got one for "
            f"{edge.element} ({', '.join(edge.classes)})."
        )
    pure = pure_crops(_sound(predictor, references))
    if not pure:
        raise InputError(
            f"Own references: expected pure spectra of {', '.join(edge.classes)} in the manifest's column "
            f"valence, got {', '.join(sorted(set(references.valence_text.tolist())))}."
        )
    settings, rng = settings_of(edge.element), np.random.default_rng([seed, 3])
    known, unseen, _ = parted(library_of(settings))
    sets = _own_sets(Materials.draw(settings, known, MATERIALS, rng), SETS, pure, settings, rng)
    fitted = fit_to_sets(
        sets, EPOCHS, posterior.charges, rng, start=posterior, peak_learning_rate=PEAK_LEARNING_RATE
    )
    sets = _own_sets(Materials.draw(settings, unseen, MATERIALS, rng), CALIBRATED, pure, settings, rng)
    calibrated = calibrate(fitted, mix(sets.pure, rng))
    names = ", ".join(f"{len(rows)} of {edge.classes[k]}" for k, rows in pure.items())
    mixtures = ReferenceMixtures.of_pure(
        {k: _per_atom(rows, k, sets).mean(axis=0) for k, rows in pure.items()}, posterior.charges
    )
    return replace(
        predictor, posterior=calibrated, own_references=mixtures,
        facts={**predictor.facts, "own_references": names},
    )  # fmt: skip


def _sound(predictor: Predictor, references: References) -> References:
    """Pure references without noise and cut-off lines; refuses labels that the predictor rules out."""
    spectra = references.spectra
    index = np.flatnonzero((spectra.valence >= 0) & (np.ptp(spectra.intensity, axis=1) > 0))
    _check_classes(spectra, index)
    if len(index) == 0:
        return references
    outcome = predictor(normalise(spectra.intensity[index]))
    noise = outcome.strange[:, Novelty.REASONS.index("noise")]
    kept = ~noise & ~_cut_off(spectra.select(index))
    index, intervals = index[kept], outcome.reading.interval[kept]
    _check_classes(spectra, index)
    labels = spectra.valence[index]
    medians = {k: np.median(intervals[labels == k], axis=0) for k in np.unique(labels).tolist()}
    _check_labels(medians, spectra.edge)
    return replace(
        references, spectra=spectra.select(index), valence_text=references.valence_text[index],
        moved_bins=references.moved_bins[index],
    )  # fmt: skip


def _check_classes(spectra: SpectrumSet, index: Ints) -> None:
    """Refuse that of a class none of the spectra at `index` is left."""
    labels = spectra.valence
    for k in np.setdiff1d(labels[labels >= 0], labels[index]).tolist():
        raise InputError(
            f"Own references of {spectra.edge.classes[k]}: expected a spectrum of it, got noise, lines that "
            "are cut off, or a flat one only: leave them out, or measure them again."
        )


def _cut_off(spectra: SpectrumSet) -> Bools:
    """Which spectra (N,) end in a plateau."""
    axis, saturated = spectra.energy_ev, REASONS.index("saturated")
    rows = spectra.intensity.astype(np.float64)
    found = [find_faults(axis, row[None], axis[row.argmax()], spectra.edge)[0] == saturated for row in rows]
    return np.array(found, dtype=bool)


def _check_labels(intervals: Mapping[int, Floats], edge: Edge) -> None:
    """Refuse labels that the intervals (2,) of the mean valence, one per class, rule out.

    An instrument's intervals may miss them, for which there are references, but not by a whole oxidation
    state; and of two classes the one of the higher valence may not have the lower interval.
    """
    for k, (low, high) in intervals.items():
        said = f"Own references of {edge.classes[k]} read as a valence of {low:.2f} to {high:.2f}"
        if low - edge.charges[k] >= 1 or edge.charges[k] - high >= 1:
            raise InputError(f"{said}: correct their valence in the manifest.")
        for other, (its_low, its_high) in intervals.items():
            if edge.charges[k] < edge.charges[other] and low > its_high:
                raise InputError(
                    f"{said}, those of {edge.classes[other]} as {its_low:.2f} to {its_high:.2f}: they seem "
                    "exchanged, correct their valences in the manifest."
                )


def pure_crops(references: References) -> dict[int, Floats32]:
    """Crops (R, n_crop) of each class that has some, on one energy axis, from 0 to 1."""
    spectra, moved = references.spectra, references.moved_bins
    usual = int(np.median(moved[spectra.valence >= 0])) if (spectra.valence >= 0).any() else 0
    found = {}
    for k in range(len(spectra.edge.classes)):
        rows = np.flatnonzero(spectra.valence == k)
        if len(rows):
            place = np.arange(spectra.edge.n_crop) + usual - moved[rows, None]
            crops = np.take_along_axis(
                spectra.intensity[rows], np.clip(place, 0, spectra.edge.n_crop - 1), axis=1
            )
            low = crops.min(axis=1, keepdims=True)
            found[k] = ((crops - low) / np.ptp(crops, axis=1)[:, None]).astype(np.float32)
    return found


def _own_sets(
    materials: Materials,
    n: int,
    pure: dict[int, Floats32],
    settings: Settings,
    rng: np.random.Generator,
) -> Sets:
    """`n` sets, in `OWN_SHARE` of which measured spectra stand for their classes."""
    sets = materials.sets(n, rng)
    own = np.flatnonzero(rng.random(n) < OWN_SHARE)
    found, thickness = sets.pure.astype(np.float32), sets.thickness.copy()
    thickness[own] = np.nan  # that of measured spectra is not known
    for k, rows in pure.items():
        copied = rows[rng.integers(0, len(rows), COPIES)]
        copies = _per_atom(degrade(copied, settings.edge.dispersion_ev, rng, DIFFERENCE), k, sets)
        found[own, k] = copies[rng.integers(0, COPIES, len(own))] * rng.uniform(*AMOUNT, (len(own), 1))
    return replace(sets, pure=found.astype(np.float16), thickness=thickness)


def _per_atom(crops: Floats32, k: int, sets: Sets) -> Floats32:
    """Crops (R, n_crop) with the area around L3 that an atom of class k has in simulated sets."""
    usual = np.median(_area(sets.pure[:, k].astype(np.float32)))
    return np.asarray(crops * (usual / _area(crops))[:, None], dtype=np.float32)


def _area(crops: Floats32) -> Floats32:
    """Area (R,) of crops in the window that the posterior sees."""
    n_crop = crops.shape[1]
    low, high = (round(share * n_crop) for share in SPAN)
    place = np.clip(crops.argmax(axis=1)[:, None] + np.arange(low, high), 0, n_crop - 1)
    return np.asarray(np.take_along_axis(crops, place, axis=1).sum(axis=1))

"""Every pixel's answer, read from raw spectra block by block."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mnflow.preprocess.crops import normalise
from mnflow.preprocess.locate import MIN_CONTRAST
from mnflow.preprocess.scan import typical_spectrum
from mnflow.preprocess.window import Placement, placement
from mnflow.runtime.parallel import ahead, usable_cores
from mnflow.serve.answer import FLAGS, flagged
from mnflow.serve.predictor import Predictor
from mnflow.spectra import RawSpectra
from mnflow.spectra.arrays import Array, Bools, Floats, Floats32, Ints

NO_CLASS = -1
"""Label of a pixel without an answer. A label K, the number of classes, is a mixture."""

EDGE_SPAN = (-0.1, 0.47)
"""What of the window counts as the edge's intensity, from L3 on as shares of the crop: -3 to +14 eV for Mn.
"""

_PIECE = 1024  # spectra that one thread takes at a time
_BLOCK_BYTES = 64_000_000
_SAMPLED_BLOCKS = 8


@dataclass(frozen=True)
class Pixels:
    """The answers to N spectra; NaN where a spectrum cannot be read.

    Attributes
    ----------
    label : ndarray of int8, shape (N,)
        Index of a class; K for mixed, `NO_CLASS` where no class is sure or the spectrum cannot be read.
    mean_valence : ndarray, shape (N,)
    interval : ndarray, shape (N, 2)
        Low and high end of the 90 % interval of the mean valence.
    probabilities, fractions : ndarray, shape (N, K)
        That a class has the largest share of the atoms, and its expected share.
    flags : ndarray of bool, shape (N, F)
        In the order of `FLAGS`.
    intensity : ndarray, shape (N,)
        Counts of the white lines without their background.
    spikes : ndarray of int64, shape (N,)
        How many spikes and dead or hot channels were bridged.
    t_over_lambda : ndarray, shape (N, 3)
        Relative thickness that plural scattering in the edge shows: mean, and low and high end of its 90 %
        interval.
    """

    label: NDArray[np.int8]
    mean_valence: Floats32
    interval: Floats32
    probabilities: Floats32
    fractions: Floats32
    flags: Bools
    intensity: Floats32
    spikes: Ints
    t_over_lambda: Floats32

    def __len__(self) -> int:
        return len(self.label)

    def hidden(self, where: Bools) -> "Pixels":
        """The same with NaN (no class) where `where` (N,) is true; flags and intensity stay."""
        numbers = ("mean_valence", "interval", "probabilities", "fractions", "t_over_lambda")
        changed: dict[str, Any] = {name: getattr(self, name).copy() for name in (*numbers, "label")}
        for name in numbers:
            changed[name][where] = np.nan
        changed["label"][where] = NO_CLASS
        return replace(self, **changed)


def read_pixels(
    raw: RawSpectra, predictor: Predictor, where: Placement, progress: Callable[[int], None] = lambda n: None
) -> Pixels:
    """The answers to all spectra of a file, one block after the other.

    `progress` is called with the number of spectra that are done since its last call.
    """
    parts: list[Pixels] = []
    # matrix products take one thread each: the pieces are what runs in parallel
    with threadpool_limits(1), ThreadPoolExecutor(usable_cores()) as pool:
        for _, counts in ahead(raw.blocks(_BLOCK_BYTES)):
            read = partial(_read_piece, counts, columns=raw.columns, where=where, predictor=predictor)
            for part in pool.map(read, [slice(i, i + _PIECE) for i in range(0, len(counts), _PIECE)]):
                parts.append(part)
                progress(len(part))
    return Pixels(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Pixels)))


def place_image(raw: RawSpectra, predictor: Predictor) -> Placement:
    """Where the crop window goes, judged by what is typical of some blocks of pixels spread over the file."""
    typical = typical_spectrum(raw, _BLOCK_BYTES // _SAMPLED_BLOCKS)
    return placement(raw.energy_ev, typical, predictor.edge, str(raw.path), raw.background_removed)


def mean_spectra(
    raw: RawSpectra, masks: Bools, where: Placement | None = None, spikes: Ints | None = None
) -> Floats:
    """Mean raw spectra (R, C) of the pixels that each of R masks (R, N) selects; NaN for an empty mask.

    With `where`, and how many `spikes` each pixel has (N,), these are bridged first. A channel that is no
    number in one of a mask's pixels is none in their mean.
    """
    unknown = np.zeros((len(masks), len(raw.energy_ev)), dtype=bool)
    total = np.zeros((len(masks), len(raw.energy_ev)))
    used = np.asarray(masks.any(axis=0))
    reach = 0 if spikes is None else raw.columns + 1  # neighbours in the scan tell what a spike is
    for rows in raw.block_slices(_BLOCK_BYTES):
        needed = np.flatnonzero(used[rows])
        if len(needed) == 0:
            continue
        first, last = rows.start + int(needed[0]) - reach, rows.start + int(needed[-1]) + reach
        near = slice(max(first, rows.start), min(last + 1, rows.stop))
        block = np.asarray(raw.counts[near])
        counts = block[used[near]].astype(np.float32)
        if where is not None and spikes is not None:
            place = np.cumsum(used[near]) - 1
            for i in np.flatnonzero((spikes[near] > 0) & used[near]).tolist():
                counts[place[i], where.channels] = where.bridged(block, raw.columns, slice(i, i + 1))[0][0]
        mask = masks[:, near][:, used[near]].astype(np.float32)
        if not (known := np.isfinite(counts)).all():
            unknown |= mask @ ~known > 0
            counts[~known] = 0.0
        total += mask @ counts
    total[unknown] = np.nan
    n = masks.sum(axis=1)[:, None]
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def _read_piece(counts: Array, rows: slice, columns: int, where: Placement, predictor: Predictor) -> Pixels:
    """The answers to some rows of raw spectra (N, C), which are consecutive pixels of lines of `columns`."""
    bad = where.faults(counts[rows])
    unreadable = (bad == 1) | (bad == 2)
    crops, spikes = where.cut(counts, columns, rows)
    crops[unreadable] = 0
    step_ev = float(np.median(np.diff(where.energy_ev)))
    seen = np.full(len(bad), where.position.contrast >= MIN_CONTRAST)
    outcome = predictor(normalise(crops))
    reading = outcome.reading
    undecided = reading.label > reading.fractions.shape[1]
    found = Pixels(
        label=np.where(undecided, NO_CLASS, reading.label).astype(np.int8),
        mean_valence=reading.mean_valence.astype(np.float32),
        interval=reading.interval.astype(np.float32),
        probabilities=reading.probabilities.astype(np.float32),
        fractions=reading.fractions.astype(np.float32),
        flags=flagged(outcome, bad == 3, seen),
        intensity=_intensity(crops, where, step_ev),
        spikes=spikes,
        t_over_lambda=reading.t_over_lambda.astype(np.float32),
    )
    if not unreadable.any():
        return found
    found.flags[unreadable] = np.array(FLAGS) == "unreadable"
    found.intensity[unreadable] = np.nan
    return found.hidden(unreadable)


def _intensity(crops: Floats32, where: Placement, step_ev: float) -> Floats32:
    """Counts (n,) of the white lines in crops (n, n_crop) without background: within `EDGE_SPAN` of L3."""
    edge, step = where.edge, where.edge.dispersion_ev
    l3 = (where.position.l3_ev - edge.crop_ev[0]) / step - where.moved_bins
    low, high = (int(np.clip(round(l3 + share * edge.n_crop), 0, edge.n_crop)) for share in EDGE_SPAN)
    return np.asarray(crops[:, low:high].sum(axis=1) * np.float32(step / step_ev))

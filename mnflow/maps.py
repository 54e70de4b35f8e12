"""Valence maps of spectrum images: a HyperSpy signal in, a signal out; lazily, in bounded memory, without
Keras.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.evaluate.saliency import saliency
from mnflow.preprocess.scan import bad_pixels
from mnflow.preprocess.window import Placement, normalise, placement
from mnflow.runtime.files import whole_file
from mnflow.serve.answer import MIN_AGREEMENT, MIN_PROBABILITY
from mnflow.serve.novelty import Novelty
from mnflow.serve.predictor import Predictor
from mnflow.spectra import RawSpectra
from mnflow.spectra.axis import ev_per_unit, ordered
from mnflow.spectra.raw import NavAxis

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal

CHAMPION = "models:/mn-valence@champion"
"""The model that is asked unless another is given."""

FLAGS = (*Novelty.REASONS, "saturated", "folds_disagree", "uncertain", "unreadable")
"""What the bits of the flags map mean, the first for 1, the second for 2, ..."""

QUANTITIES = ("class", "mean_valence", "confidence", "disagreement", "flags")
"""What a map holds for every pixel, before the probability and then the fraction of every class."""

_PIECE = 1024  # spectra that one thread takes at a time
_BLOCK_BYTES = 64_000_000
_SAMPLED_BLOCKS = 8


def predict(
    signal: "BaseSignal", model: "str | Path | Predictor" = CHAMPION, progress: bool = False
) -> "BaseSignal":
    """Read the valence in every pixel of an EELS signal.

    Parameters
    ----------
    signal : hyperspy signal
        Any navigation dimensions, one signal axis in eV, keV or meV; lazy ones stay lazy. Background on or
        removed.
    model : str, Path or Predictor
        A model URI (default: the champion of the registry), a model's folder, or a predictor.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    hyperspy signal
        The same navigation axes and metadata; along the signal axis the quantities that
        `signal.metadata.Valence.quantities` names: `class` (index into `metadata.Valence.classes`),
        `mean_valence`,
        `confidence` (probability of that class), `disagreement` (share of fold models that voted otherwise;
        NaN for a single net), `flags` (sum of the bits in `metadata.Valence.flags`), every class's
        probability, and every class's share of the atoms (NaN where no fractions were fitted for the
        element). Pixels that cannot be read are NaN.

    Raises
    ------
    InputError
        If the signal has no usable energy axis, or the model cannot be read.

    Examples
    --------
    >>> import hyperspy.api as hs, mnflow
    >>> maps = mnflow.predict(hs.load("my_image.hspy", lazy=True))
    >>> maps.isig[1].T.plot()  # the mean valence
    """
    predictor = model if isinstance(model, Predictor) else load_predictor(model)
    values = read_valences(raw_of_signal(signal), predictor, progress)
    return maps_signal(values, signal, predictor)


def load_predictor(model: str | Path) -> Predictor:
    """The predictor of a registered model (a `models:/` URI), or of a model's folder; nothing is
    unpickled.
    """
    if "://" in str(model) or str(model).startswith("models:/"):
        from mnflow.promote import registry

        return registry.load_predictor(str(model))
    return Predictor.load(Path(model) / "artifacts" / "predictor.npz" if Path(model).is_dir() else model)


def raw_of_signal(signal: "BaseSignal") -> RawSpectra:
    """A HyperSpy signal's spectra (N, C) with their energy axis, without copying or computing them."""
    axes = signal.axes_manager.signal_axes
    if len(axes) != 1:
        raise InputError(f"Expected a signal with one energy axis, got one with {len(axes)} signal axes.")
    where = str(signal.metadata.get_item("General.title", "") or "The signal")
    energy_ev = np.asarray(axes[0].axis, dtype=np.float64) * ev_per_unit(axes[0].units, where)
    nav_shape = tuple(int(n) for n in signal.data.shape[:-1])
    counts = signal.data.reshape((int(np.prod(nav_shape)), len(energy_ev)))
    energy_ev, counts = ordered(energy_ev, counts, where)
    return RawSpectra(energy_ev, counts, nav_shape, None, where, Path(where))


def read_valences(raw: RawSpectra, predictor: Predictor, progress: bool = False) -> NDArray[np.float32]:
    """The quantities of every spectrum of a file: (N, 5 + 2 K), see `QUANTITIES`; blocks are read one after
    the other.
    """
    where = place_image(raw, predictor)
    values = np.empty((len(raw), len(QUANTITIES) + 2 * len(predictor.edge.classes)), dtype=np.float32)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for rows, counts in _shown(raw.blocks(_BLOCK_BYTES), len(raw), progress):
            pieces = [counts[i : i + _PIECE] for i in range(0, len(counts), _PIECE)]
            values[rows] = np.concatenate(
                list(pool.map(lambda piece: _read_piece(piece, where, predictor), pieces))
            )
    return values


def _shown(
    blocks: Iterator[tuple[slice, NDArray[Any]]], n: int, progress: bool
) -> Iterator[tuple[slice, NDArray[Any]]]:
    from tqdm import tqdm

    with tqdm(total=n, unit="spectra", desc="valence", disable=not progress) as bar:
        for rows, counts in blocks:
            yield rows, counts
            bar.update(len(counts))


def place_image(raw: RawSpectra, predictor: Predictor) -> Placement:
    """Where the crop window goes, judged by the mean of the good pixels of some blocks spread over the
    file.
    """
    slices = raw.block_slices(_BLOCK_BYTES // _SAMPLED_BLOCKS)
    total, n = np.zeros(len(raw.energy_ev)), 0
    for rows in slices[:: max(1, len(slices) // _SAMPLED_BLOCKS)]:
        counts = np.asarray(raw.counts[rows])
        good = counts[bad_pixels(counts) == 0]
        total, n = total + good.sum(axis=0, dtype=np.float64), n + len(good)
    if n == 0:
        raise InputError(
            f"{raw.path}: expected spectra, got none that is finite, not empty and not saturated."
        )
    return placement(raw.energy_ev, total / n, predictor.edge, str(raw.path))


def _read_piece(counts: NDArray[Any], where: Placement, predictor: Predictor) -> NDArray[np.float32]:
    """Quantities (n, 5 + 2 K) of raw spectra (n, C)."""
    bad = bad_pixels(counts)
    unreadable = (bad == 1) | (bad == 2)
    crops = normalise(where(np.where(unreadable[:, None], 0, counts)))
    outcome = predictor(crops)
    favourite = outcome.probabilities.argmax(axis=1)
    rows = np.arange(len(counts))
    confidence, agreement = outcome.probabilities[rows, favourite], outcome.votes[rows, favourite]
    bits = [*outcome.strange.T, bad == 3, agreement < MIN_AGREEMENT, confidence < MIN_PROBABILITY, unreadable]
    flags = sum(np.asarray(bit) * 2**i for i, bit in enumerate(bits))
    disagreement = 1 - agreement if predictor.net.n_folds > 1 else np.full(len(counts), np.nan)
    numbers = [favourite, outcome.mean_valence, confidence, disagreement, flags]
    values = np.column_stack([*numbers, outcome.probabilities, outcome.fractions])
    values[unreadable] = np.nan
    values[unreadable, QUANTITIES.index("flags")] = 2 ** FLAGS.index("unreadable")
    return values.astype(np.float32)


def where_the_nets_looked(
    raw: RawSpectra, predictor: Predictor
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float64], list[str]]:
    """What `plots.saliency` draws of one spectrum: energies (n_crop,) in eV, its crop and saliency (1,
    n_crop), its class.
    """
    where = place_image(raw, predictor)
    crops = np.asarray(normalise(where(np.asarray(raw.counts))), dtype=np.float32)
    energy_ev = predictor.edge.crop_axis_ev + where.moved_bins * predictor.edge.dispersion_ev
    favourite = predictor.edge.classes[int(predictor(crops).probabilities[0].argmax())]
    return energy_ev, crops, saliency(predictor.net, crops), [favourite]


def maps_signal(values: NDArray[np.float32], signal: "BaseSignal", predictor: Predictor) -> "BaseSignal":
    """The quantities (N, Q) as a signal with the navigation axes and the metadata of `signal`."""
    import hyperspy.api as hs

    nav_axes = [
        axis.get_axis_dictionary() for axis in signal.axes_manager.navigation_axes[::-1]
    ]  # in the order of the data
    nav_shape = tuple(int(axis["size"]) for axis in nav_axes)
    quantity = {
        "name": "Quantity",
        "units": "",
        "scale": 1.0,
        "offset": 0.0,
        "size": values.shape[1],
        "navigate": False,
    }
    maps = hs.signals.BaseSignal(values.reshape(*nav_shape, -1), axes=[*nav_axes, quantity]).as_signal1D(-1)
    for node in ("General", "Acquisition_instrument", "Sample"):
        if signal.metadata.has_item(node):
            maps.metadata.set_item(node, signal.metadata.get_item(node).deepcopy())
    classes = list(predictor.edge.classes)
    maps.metadata.set_item(
        "Valence.quantities", [*QUANTITIES, *(f"{x}({name})" for x in "px" for name in classes)]
    )
    maps.metadata.set_item("Valence.classes", classes)
    maps.metadata.set_item("Valence.flags", list(FLAGS))
    maps.metadata.set_item("Valence.model", dict(predictor.facts))
    return maps


_METADATA = {
    "title": "General.title",
    "beam_energy_kev": "Acquisition_instrument.TEM.beam_energy",
    "convergence_mrad": "Acquisition_instrument.TEM.convergence_angle",
    "collection_mrad": "Acquisition_instrument.TEM.Detector.EELS.collection_angle",
    "dwell_time_s": "Acquisition_instrument.TEM.Detector.EELS.dwell_time",
}
"""Where HyperSpy keeps what `RawSpectra.metadata` knows."""


def signal_of(raw: RawSpectra) -> "BaseSignal":
    """A signal with the navigation axes and the metadata of a file of any kind, and no counts."""
    import hyperspy.api as hs

    described = raw.nav_axes or tuple(NavAxis(f"axis {i}") for i in range(len(raw.nav_shape)))
    axes = [
        {"name": a.name, "units": a.units, "scale": a.scale, "offset": a.offset, "size": n, "navigate": True}
        for a, n in zip(described, raw.nav_shape, strict=True)
    ]
    axes.append({"name": "Energy", "units": "eV", "size": 1, "navigate": False})
    signal = hs.signals.Signal1D(np.empty((*raw.nav_shape, 1), dtype=np.float32), axes=axes)
    signal.metadata.set_item("General.title", raw.path.stem)
    for name, value in raw.metadata.items():
        signal.metadata.set_item(_METADATA[name], value)
    return signal


def as_images(maps: "BaseSignal") -> dict[str, NDArray[np.float32]]:
    """Quantities by name as images (Y, X), to be drawn; a line scan has Y = 1, further axes are put one below
    the other.
    """
    columns = maps.data.shape[-2] if maps.data.ndim > 1 else 1
    images = maps.data.reshape(-1, columns, maps.data.shape[-1])
    return {name: images[..., i] for i, name in enumerate(maps.metadata.Valence.quantities)}


def pixel_size(maps: "BaseSignal") -> tuple[float, str]:
    """Width of a pixel and its unit; (0, "") if the navigation axis has none."""
    axes = maps.axes_manager.navigation_axes
    if not axes or not isinstance(axes[0].units, str) or axes[0].units in ("", "<undefined>"):
        return 0.0, ""
    return float(axes[0].scale), axes[0].units


def summary(values: NDArray[np.float32], predictor: Predictor) -> tuple[dict[str, float], str]:
    """Numbers for the log, and a sentence: how many spectra of each class, their mean valence, how many are
    flagged.
    """
    readable = values[~np.isnan(values[:, 0])]
    counts = np.bincount(readable[:, 0].astype(int), minlength=len(predictor.edge.classes))
    flagged = float((values[:, QUANTITIES.index("flags")] > 0).mean())
    metrics = {"predict/spectra": len(values), "predict/flagged": flagged}
    if len(readable) == 0:
        return metrics, f"none of {len(values)} spectra can be read."
    mean = float(readable[:, QUANTITIES.index("mean_valence")].mean())
    classes = ", ".join(f"{n} {name}" for n, name in zip(counts, predictor.edge.classes, strict=True))
    return metrics | {
        "predict/mean_valence": mean
    }, f"{classes}; mean valence {mean:.2f}; {flagged:.1%} of {len(values)} flagged."


def save_maps(maps: "BaseSignal", path: Path) -> Path:
    """Write maps to a .hspy file, whole or not at all; returns the path."""
    with whole_file(path) as part:
        maps.save(part)
    return path

"""Between HyperSpy's signals and plain arrays: spectra in, images with the same axes and metadata out."""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnflow.errors import InputError
from mnflow.spectra import RawSpectra
from mnflow.spectra.arrays import Array, Bools
from mnflow.spectra.axis import ev_per_unit, ordered
from mnflow.spectra.raw import NavAxis

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal

_METADATA = {
    "title": "General.title",
    "beam_energy_kev": "Acquisition_instrument.TEM.beam_energy",
    "convergence_mrad": "Acquisition_instrument.TEM.convergence_angle",
    "collection_mrad": "Acquisition_instrument.TEM.Detector.EELS.collection_angle",
    "dwell_time_s": "Acquisition_instrument.TEM.Detector.EELS.dwell_time",
}
"""Where HyperSpy keeps what `RawSpectra.metadata` knows."""

_KEPT_METADATA = ("General", "Acquisition_instrument", "Sample")


def raw_of_signal(signal: "BaseSignal") -> RawSpectra:
    """A HyperSpy signal's spectra (N, C) with their energy axis, without copying or computing them."""
    axes = signal.axes_manager.signal_axes
    if len(axes) != 1:
        raise InputError(f"Expected a signal with one energy axis, got one with {len(axes)} signal axes.")
    where = str(signal.metadata.get_item("General.title") or "The signal")
    energy_ev = np.asarray(axes[0].axis, dtype=np.float64) * ev_per_unit(axes[0].units, where)
    nav_shape = tuple(int(n) for n in signal.data.shape[:-1])
    counts = signal.data.reshape((int(np.prod(nav_shape)), len(energy_ev)))
    energy_ev, counts = ordered(energy_ev, counts, where)
    nav_axes = tuple(
        NavAxis(str(a["name"]), a.get("scale", 1.0), a.get("offset", 0.0), str(a["units"]))
        for a in navigation_axes(signal)
    )
    return RawSpectra(energy_ev, counts, nav_shape, None, where, Path(where), nav_axes=nav_axes)


def axes_and_metadata(raw: RawSpectra) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The scan's axes and the metadata of a file of any kind, as HyperSpy's dictionaries."""
    described = raw.nav_axes or tuple(NavAxis(f"axis {i}") for i in range(len(raw.nav_shape)))
    axes = [
        {"name": a.name, "units": a.units, "scale": a.scale, "offset": a.offset, "size": n}
        for a, n in zip(described, raw.nav_shape, strict=True)
    ]
    metadata: dict[str, Any] = {"General": {"title": raw.path.stem}}
    for name, value in raw.metadata.items():
        *nodes, last = _METADATA[name].split(".")
        place = metadata
        for node in nodes:
            place = place.setdefault(node, {})
        place[last] = value
    return axes, metadata


def navigation_axes(signal: "BaseSignal") -> list[dict[str, Any]]:
    """The navigation axes of a signal in the order of its data, as HyperSpy's dictionaries."""
    # of an axis of any steps, HyperSpy does not give the size
    return [a.get_axis_dictionary() | {"size": a.size} for a in signal.axes_manager.navigation_axes[::-1]]


def kept_metadata(signal: "BaseSignal") -> dict[str, Any]:
    """What of a signal's metadata holds for its maps, too."""
    found = {
        node: signal.metadata.get_item(node) for node in _KEPT_METADATA if signal.metadata.has_item(node)
    }
    return {node: part.as_dictionary() for node, part in found.items()}


def map_signal(
    values: Array,
    axes: list[dict[str, Any]],
    metadata: dict[str, Any],
    title: str,
    unit: str = "",
    limits: tuple[float, float] | None = None,
    colours: Any = "gray",
) -> "BaseSignal":
    """One quantity (N,) as an image (a line, a number) on the navigation axes of the spectra.

    Its `plot()` uses `colours` and `limits`; both, the unit and the title are in its metadata, too.
    """
    logging.getLogger("hyperspy.decorators").addFilter(_is_not_about_numba)
    import hyperspy.api as hs

    shape = tuple(int(axis["size"]) for axis in axes)
    inner = min(len(shape), 2)
    kinds = (hs.signals.BaseSignal, hs.signals.Signal1D, hs.signals.Signal2D)
    signal = kinds[inner](values.reshape(shape or (1,)), **({"axes": axes} if axes else {}))
    for node, part in metadata.items():
        signal.metadata.set_item(node, part)
    original = signal.metadata.get_item("General.title")
    signal.metadata.set_item("General.title", f"{title} of {original}" if original else title)
    signal.metadata.set_item("Signal.quantity", f"{title} ({unit})" if unit else title)
    if limits is not None:
        signal.metadata.set_item("Valence.colour_limits", list(limits))
    if inner == 2:
        low, high = limits or (None, None)
        signal.plot = partial(signal.plot, cmap=colours, vmin=low, vmax=high)
    return signal


def _is_not_about_numba(record: logging.LogRecord) -> bool:
    """False for HyperSpy's warning that a function would be faster with numba: no map uses one."""
    return "Numba is not installed" not in record.getMessage()


def mask_of(where: Any, axes: list[dict[str, Any]]) -> Bools:
    """A region as a mask (N,): of a boolean array or signal of the map's shape, or of a HyperSpy ROI."""
    shape = tuple(int(axis["size"]) for axis in axes)
    if callable(where):  # a ROI, which is applied to an image of pixel indices
        numbers = map_signal(np.arange(np.prod(shape), dtype=np.float64), axes, {}, "pixels")
        inside = np.asarray(where(numbers, axes=numbers.axes_manager.signal_axes).data).ravel()
        mask = np.zeros(numbers.data.size, dtype=bool)
        mask[inside[np.isfinite(inside)].astype(int)] = True
        return mask
    mask = np.asarray(getattr(where, "data", where))
    if mask.dtype != bool or mask.shape not in (shape, (int(np.prod(shape)),)):
        raise InputError(
            f"Expected a region as a HyperSpy ROI or a boolean mask of shape {shape}, got {mask.dtype} of "
            f"shape {mask.shape}."
        )
    return mask.ravel()

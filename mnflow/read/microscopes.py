"""`read_file`: the spectra of one file of any kind, with their energy axis."""

from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.read import formats, msa
from mnflow.read.ondisk import OnDisk
from mnflow.read.pickles import read_published
from mnflow.read.tables import read_csv_spectrum
from mnflow.spectra import MN, Edge, RawSpectra
from mnflow.spectra.arrays import Floats
from mnflow.spectra.axis import energy_unit, ev_per_unit, names_no_unit, ordered, unit_from_numbers
from mnflow.spectra.raw import NavAxis

_TEXT_SUFFIXES = (".csv", ".txt", ".tsv", ".dat", ".asc", ".xy")
SUFFIXES = (*formats.SUFFIXES, *msa.SUFFIXES, *_TEXT_SUFFIXES, ".pkl")
"""What `read_file` reads; a file with another suffix is tried by its content."""

_ZERO_LOSS = Edge("zero loss", ("zero loss",), (0.0,), wide_ev=(-2.0, 20.0), crop_ev=(-1.0, 5.0))
"""Chooses a low loss among several spectra of one file."""

_NOT_LOSS = ("EDS", "EDX", "WDS", "CL", "Luminescence")
"""Beginnings of HyperSpy's names of signals whose energies are none of energy loss."""

_KILOVOLTS = 5000.0  # no microscope has more; a larger beam energy was written in V


LOW_LOSS_EV = (-1.0, 20.0)
"""What a low loss must cover."""


def read_file(
    path: str | Path,
    valence: str | None = None,
    group: str | None = None,
    edge: Edge = MN,
    low_loss: str | Path | None = None,
) -> RawSpectra:
    """Read spectrum images, line scans or single spectra of one file, with their energy axis.

    Parameters
    ----------
    path : path
        Any file that RosettaSciIO reads and that holds energy losses, text, EMSA, or one of the published
        .pkl files.
    valence, group : str, optional
        Label and group of its spectra; the group is the file's name unless given.
    edge : Edge
        Chooses among several spectra of one file (low loss and core loss): those that cover its window; and
        tells the unit of an axis without one.
    low_loss : path, optional
        A file with the low losses of the same places. Without it, they are looked for in the same file.

    Returns
    -------
    RawSpectra
        With its `low_loss`, if there is one. Lazy if the file is big: nothing but headers has been read then.

    Raises
    ------
    InputError
        If there is no such file, it is damaged or of another kind, or has no energy axis in eV, keV or meV.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if path.is_dir() and suffix not in formats.FOLDERS:
        raise InputError(
            f"{path}: expected a file, got a folder; the command `mnflow predict` takes folders."
        )
    if not path.exists():
        raise InputError(f"No file at {path}: expected one of {', '.join(SUFFIXES)}.")
    if suffix == ".pkl":
        raw = read_published(path, edge)
    elif formats.is_microscopes(path):
        raw = _choose(_loss_signals(path), edge, path)
    elif suffix in msa.SUFFIXES or _begins(path, msa.FIRST_WORDS):
        raw = msa.read_msa(path, edge)
    elif suffix in _TEXT_SUFFIXES or _looks_like_text(path):
        raw = read_csv_spectrum(path, edge)
    else:
        if _begins(path, "PK\x03\x04"):
            raise InputError(f"{path}: expected a file with spectra, got an archive; unpack it.")
        raise InputError(
            f"{path}: expected one of {', '.join(SUFFIXES)}, got {suffix or 'no suffix'!r}; save it as .hspy."
        )
    if len(raw) == 0:
        raise InputError(f"{path}: expected spectra, got an empty image of shape {raw.nav_shape}.")
    if low_loss is not None:
        raw = replace(raw, low_loss=read_low_loss(low_loss))
    return raw.labelled(valence, group)


def has_format(path: Path) -> bool:
    """Whether a file's content is that of a format of spectra, whatever its suffix; mere columns are none."""
    return formats.is_microscopes(path) or _begins(path, msa.FIRST_WORDS)


def read_low_loss(path: str | Path) -> RawSpectra:
    """The low-loss spectra of a file; core losses in the same file are passed over.

    Raises
    ------
    InputError
        As `read_file`, or if no spectra cover the zero-loss peak and 20 eV after it.
    """
    path = Path(path)
    raw = read_file(path, edge=_ZERO_LOSS)
    if not _is_low_loss(raw):
        raise InputError(
            f"{path}: expected a low loss from before the zero-loss peak to 20 eV or more, got "
            f"{raw.energy_ev[0]:.1f} ... {raw.energy_ev[-1]:.1f} eV."
        )
    return raw


def _is_low_loss(raw: RawSpectra) -> bool:
    return bool(raw.energy_ev[0] <= LOW_LOSS_EV[0] and raw.energy_ev[-1] >= LOW_LOSS_EV[1])


def _begins(path: Path, words: str) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").upper().startswith(words.encode())


def _looks_like_text(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    return len(head) > 0 and not any(byte in head for byte in (b"\0", b"\x01", b"\x02", b"\x03", b"PK"))


def _loss_signals(path: Path) -> list[dict[str, Any]]:
    """The signals of a file that may be of energy loss: those with an axis in eV, or all if none has one."""
    found = formats.signals(path)
    loss = [s for s in found if not _signal_type(s).startswith(_NOT_LOSS)]
    if not loss:
        raise InputError(f"{path}: expected energy-loss spectra, got {_signal_type(found[0])} only.")
    return [s for s in loss if _energy_axes(s)] or loss


def _signal_type(signal: dict[str, Any]) -> str:
    return str(_get(signal, "Signal", "signal_type") or "")


def _get(signal: dict[str, Any], *keys: str) -> Any:
    """A value of a signal's metadata, or None."""
    node: Any = signal.get("metadata")
    for key in keys:
        node = node.get(key) if hasattr(node, "get") else None
    return node


def _energy_axes(signal: dict[str, Any]) -> list[int]:
    return [
        i
        for i, axis in enumerate(signal["axes"])
        if isinstance(axis, dict) and energy_unit(axis.get("units")) is not None
    ]


def _in_array_order(axes: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """The axes in the order of the array's dimensions: by `index_in_array`, where it fits the sizes."""
    try:
        index = [int(a["index_in_array"]) for a in axes]
        placed = sorted(range(len(axes)), key=index.__getitem__)
        fits = all(int(axes[i].get("size", shape[n])) == shape[n] for n, i in enumerate(placed))
    except (KeyError, TypeError, ValueError):
        return axes
    return [axes[i] for i in placed] if fits and sorted(index) == list(range(len(shape))) else axes


def _raw(signal: dict[str, Any], path: Path, edge: Edge) -> RawSpectra:
    """One signal as `RawSpectra`: the energy axis, found by its unit, last; scan axes flattened."""
    data = signal["data"]
    dtype = np.dtype(getattr(data, "dtype", object))
    if dtype.kind not in "iuf" or data.ndim == 0 or len(signal["axes"]) != data.ndim:
        raise InputError(
            f"{path}: expected real numbers on {data.ndim} axes, got {dtype} on {len(signal['axes'])} axes."
        )
    axes = _in_array_order(list(signal["axes"]), data.shape)
    try:
        at, energy, notes = _find_energy(axes, data.shape, edge, str(path))
    except InputError:
        raise
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise InputError(f"{path}: its energy axis is damaged ({error}).") from error
    order = [*(i for i in range(data.ndim) if i != at), at]
    nav_shape = tuple(int(data.shape[i]) for i in order[:-1])
    if OnDisk.suits(signal.get("dataset"), at) and energy[-1] > energy[0]:
        counts: Any = OnDisk(signal["dataset"])
    else:
        counts = data.transpose(order).reshape((int(np.prod(nav_shape)), len(energy)))  # (*scan, C) -> (N, C)
    energy, counts = ordered(energy, counts, str(path))
    n = len(nav_shape)
    names = ["y", "x"][2 - n :] if n < 3 else [f"axis {i}" for i in range(n)]
    nav_axes = tuple(_nav_axis(axes[i], name) for i, name in zip(order[:-1], names, strict=True))
    while nav_shape and nav_shape[0] == 1:
        nav_shape, nav_axes = nav_shape[1:], nav_axes[1:]
    said: dict[str, Any] = {"metadata": _metadata(signal), "notes": notes, "nav_axes": nav_axes}
    return RawSpectra(energy, counts, nav_shape, None, path.stem, path, **said)


def _find_energy(
    axes: list[Any], shape: tuple[int, ...], edge: Edge, where: str
) -> tuple[int, Floats, tuple[str, ...]]:
    """Which axis the energies lie on, by its unit or else its numbers; they in eV; and what to note."""
    found = _energy_axes({"axes": axes})
    inner = [i for i in found if not axes[i].get("navigate", True)]
    if found:
        at = (inner or found)[-1]
        return at, _axis_values(axes[at], shape[at], where), ()
    at = _signal_axis(axes)
    for i in [at, *range(len(axes))]:
        if isinstance(axes[i], dict) and names_no_unit(axes[i].get("units")):
            values = _axis_values(axes[i] | {"units": "eV"}, shape[i], where)
            unit = unit_from_numbers(values, edge.crop_ev)
            if unit is not None:
                note = f"the axis names no unit: the energies are read as {unit[1]}, by their numbers"
                return i, values * unit[0], (note,)
    return at, _axis_values(axes[at], shape[at], where), ()


def _signal_axis(axes: list[Any]) -> int:
    """The axis to blame when no unit is an energy: the one signal axis, or the last."""
    signal = [i for i, a in enumerate(axes) if isinstance(a, dict) and not a.get("navigate", True)]
    return signal[0] if len(signal) == 1 else len(axes) - 1


def _axis_values(axis: Any, size: int, where: str) -> Floats:
    if not isinstance(axis, dict):
        raise InputError(f"{where}: expected a described energy axis, got none.")
    factor = ev_per_unit(axis.get("units"), where)
    if axis.get("axis") is not None:
        values: Floats = np.asarray(axis["axis"], dtype=np.float64)
    elif "scale" in axis:
        # what is not finite is refused where energies are ordered
        with np.errstate(invalid="ignore", over="ignore"):
            values = np.float64(axis.get("offset", 0)) + float(axis["scale"]) * np.arange(size)
    elif "expression" in axis:
        raise InputError(
            f"{where}: its energy axis is a function; convert it to a uniform axis and save it again."
        )
    else:
        raise InputError(f"{where}: expected energies, got an axis without any; save it as .hspy.")
    if values.shape != (size,):
        raise InputError(f"{where}: expected {size} energies, got an axis of shape {values.shape}.")
    with np.errstate(over="ignore"):
        return values * factor


def _nav_axis(axis: Any, name: str) -> NavAxis:
    """An axis of the scan as far as it is described."""
    described = axis if isinstance(axis, dict) else {}

    def number(key: str, default: float) -> float:
        value = described.get(key)
        good = isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(float(value))
        return float(value) if good else default  # type: ignore[arg-type]

    units, given = described.get("units"), described.get("name")
    named = str(given) if given and not names_no_unit(given) else name
    return NavAxis(
        named, number("scale", 1.0), number("offset", 0.0), "" if names_no_unit(units) else str(units)
    )


def _metadata(signal: dict[str, Any]) -> dict[str, Any]:
    def get(*keys: str) -> Any:
        node = _get(signal, *keys)
        # also numpy's numbers, as which HDF5 gives them
        if isinstance(node, Real) and not isinstance(node, bool):
            return float(node)
        return node if isinstance(node, str) else None

    tem = ("Acquisition_instrument", "TEM")
    beam = get(*tem, "beam_energy")
    found = {
        "title": get("General", "title"),
        "beam_energy_kev": beam / 1e3 if isinstance(beam, float) and beam > _KILOVOLTS else beam,
        "convergence_mrad": get(*tem, "convergence_angle"),
        "collection_mrad": get(*tem, "Detector", "EELS", "collection_angle"),
        "dwell_time_s": get(*tem, "Detector", "EELS", "dwell_time"),
    }
    return {k: v for k, v in found.items() if v is not None}


def _choose(signals: list[dict[str, Any]], edge: Edge, path: Path) -> RawSpectra:
    """The one among several signals of a file that covers the edge's crop window, or most of it; with the
    low losses of the same places, if one other signal holds them (dual EELS).
    """
    if len(signals) == 1:
        return _raw(signals[0], path, edge)
    raws, refused = [], InputError(f"{path}: expected spectra.")
    for signal in signals:
        try:
            raws.append(_raw(signal, path, edge))
        except InputError as error:
            refused = error
    if not raws:
        raise refused
    raws = [r for r in raws if not _is_its_axis(r)] or raws
    low, high = edge.crop_ev
    covered = [min(high, r.energy_ev[-1]) - max(low, r.energy_ev[0]) for r in raws]
    covering = [r for r, c in zip(raws, covered, strict=True) if c >= (high - low) / 2]
    least = high - low - 1.5 * edge.dispersion_ev  # the last channel begins one before the end
    whole = [r for r, c in zip(raws, covered, strict=True) if c >= least]
    covering = whole if len(whole) == 1 else covering
    if len(covering) != 1:
        ranges = ", ".join(f"{r.energy_ev[0]:.0f}-{r.energy_ev[-1]:.0f} eV" for r in raws[:6])
        raise InputError(
            f"{path}: expected one signal that covers {low:g}-{high:g} eV, got {len(covering)} among "
            f"{len(raws)} ({ranges}); save the one to use in a file of its own."
        )
    (chosen,) = covering
    low_losses = [r for r in raws if r is not chosen and _is_low_loss(r) and r.nav_shape == chosen.nav_shape]
    return replace(chosen, low_loss=low_losses[0]) if len(low_losses) == 1 else chosen


def _is_its_axis(raw: RawSpectra) -> bool:
    """Whether a spectrum's counts are its energies: in NeXus, an axis may look like a signal."""
    return len(raw) == 1 and bool(np.allclose(raw.counts[0], raw.energy_ev, rtol=1e-4, atol=0))

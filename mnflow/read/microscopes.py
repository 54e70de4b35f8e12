"""Files of electron microscopes (.hspy, .dm3, .dm4, .emd, .msa) through RosettaSciIO, HyperSpy's reader,
lazily when big.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.read.hdf5 import survey
from mnflow.read.ondisk import OnDisk, h5py_file
from mnflow.read.pickles import read_published
from mnflow.read.tables import MAX_TEXT_BYTES, read_csv_spectrum
from mnflow.spectra import MN, Edge, RawSpectra
from mnflow.spectra.axis import ev_per_unit, is_energy_unit, ordered

LAZY_BYTES = 200_000_000
"""An HDF5 file that holds more than this stays on disk and is read block by block."""

_MAX_COMPRESSION = 200
_MAX_CHUNK_BYTES = 500_000_000


def read_file(
    path: str | Path, valence: str | None = None, group: str | None = None, edge: Edge = MN
) -> RawSpectra:
    """Read spectrum images, line scans or single spectra of one file, with their energy axis.

    Parameters
    ----------
    path : path
        A .hspy, .emd, .dm3, .dm4, .msa or .csv/.txt file, or one of the published .pkl files.
    valence, group : str, optional
        Label and group of its spectra; the group is the file's name unless given.
    edge : Edge
        Chooses among several spectra of one file (low loss and core loss): those that cover its window.

    Returns
    -------
    RawSpectra
        Lazy if the file is big: nothing but headers has been read then.

    Raises
    ------
    InputError
        If there is no such file, it is damaged or of another kind, or has no energy axis in eV, keV or meV.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise InputError(f"No file at {path}: expected one of {', '.join(SUFFIXES)}.")
    if suffix in (".csv", ".txt"):
        raw = read_csv_spectrum(path)
    elif suffix == ".pkl":
        raw = read_published(path, edge)
    elif suffix in _READERS:
        raw = _choose([_raw(s, path) for s in _signals(path)], edge, path)
    else:
        raise InputError(
            f"{path}: expected one of {', '.join(SUFFIXES)}, got {suffix or 'no suffix'!r}; save it as .hspy."
        )
    if len(raw) == 0:
        raise InputError(f"{path}: expected spectra, got an empty image of shape {raw.nav_shape}.")
    return raw.labelled(valence, group)


def _signals(path: Path) -> list[dict[str, Any]]:
    """RosettaSciIO's dictionaries of all signals in a file that have an energy axis, or all of them if none
    has.
    """
    suffix = path.suffix.lower()
    try:
        with warnings.catch_warnings(), _quiet(logging.getLogger("rsciio")):
            warnings.simplefilter(
                "ignore"
            )  # a reader's remarks on dates and versions: what matters is checked below
            signals = [
                s for s in _READERS[suffix](path) if isinstance(s, dict) and "data" in s and "axes" in s
            ]
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes a reader stumble over
        raise InputError(
            f"{path} cannot be read as {suffix} ({type(error).__name__}: {str(error)[:120]}): it is damaged, "
            f"cut short or of "
            "another kind; copy it again or save it as .hspy."
        ) from error
    if not signals:
        raise InputError(f"{path}: expected spectra, got a file without any data.")
    return [s for s in signals if _energy_axes(s)] or signals


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Let a library log nothing: it would show a traceback for a date that it does not understand."""
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _read_hspy(path: Path) -> Any:
    from rsciio.hspy import file_reader

    lazy = _check_hdf5(path) > LAZY_BYTES
    signals = file_reader(str(path), lazy=lazy)
    if lazy:
        groups = h5py_file(path)["Experiments"].values()
        for signal, group in zip(signals, (g for g in groups if "data" in g), strict=False):
            signal["dataset"] = group["data"]
    return signals


def _read_emd(path: Path) -> Any:
    from rsciio.emd import file_reader

    return file_reader(str(path), lazy=_check_hdf5(path) > LAZY_BYTES)


def _read_msa(path: Path) -> Any:
    from rsciio.msa import file_reader

    if path.stat().st_size > MAX_TEXT_BYTES:
        raise InputError(f"{path}: expected a text file below {MAX_TEXT_BYTES / 1e6:g} MB.")
    return file_reader(str(path))


def _read_dm(path: Path) -> Any:
    from mnflow.read.gatan import read_gatan

    return read_gatan(path)


_READERS = {".hspy": _read_hspy, ".emd": _read_emd, ".dm3": _read_dm, ".dm4": _read_dm, ".msa": _read_msa}
SUFFIXES = (*_READERS, ".csv", ".txt", ".pkl")
"""What `read_file` reads."""


def _check_hdf5(path: Path) -> int:
    """Bytes that an HDF5 file promises; refuses links out of the file and promises that its size cannot
    keep.
    """
    found = survey(str(path))
    if "error" in found:
        raise OSError(found["error"])
    if found["outward"]:
        raise InputError(f"{path}: {found['outward'][0]} lies in another file; copy all data into one file.")
    if found["chunk_bytes"] > _MAX_CHUNK_BYTES:
        raise InputError(
            f"{path}: it is stored in chunks of {found['chunk_bytes'] / 1e9:.1f} GB; save it with smaller "
            f"ones."
        )
    promised, size = int(found["bytes"]), max(path.stat().st_size, 1_000_000)
    if promised > _MAX_COMPRESSION * size:
        raise InputError(
            f"{path}: {size / 1e6:.0f} MB that promise {promised / 1e9:.1f} GB of data hold no measurement; "
            f"refused."
        )
    return promised


def _energy_axes(signal: dict[str, Any]) -> list[int]:
    return [
        i
        for i, axis in enumerate(signal["axes"])
        if isinstance(axis, dict) and is_energy_unit(axis.get("units"))
    ]


def _raw(signal: dict[str, Any], path: Path) -> RawSpectra:
    """One signal as `RawSpectra`: its energy axis found by its unit and moved last, the scan made one
    axis.
    """
    data, axes = signal["data"], signal["axes"]
    dtype = np.dtype(getattr(data, "dtype", object))
    if dtype.kind not in "iuf" or data.ndim == 0 or len(axes) != data.ndim:
        raise InputError(
            f"{path}: expected real numbers on {data.ndim} axes, got {dtype} on {len(axes)} axes."
        )
    found = _energy_axes(signal)
    at = found[-1] if found else _signal_axis(axes)
    try:
        energy = _axis_values(axes[at], data.shape[at], str(path))
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise (
            error
            if isinstance(error, InputError)
            else InputError(f"{path}: its energy axis is damaged ({error}).")
        ) from error
    order = [*(i for i in range(data.ndim) if i != at), at]
    nav_shape = tuple(int(data.shape[i]) for i in order[:-1])
    if OnDisk.suits(signal.get("dataset"), at) and energy[-1] > energy[0]:
        counts: Any = OnDisk(signal["dataset"])
    else:
        counts = data.transpose(order).reshape((int(np.prod(nav_shape)), len(energy)))  # (*scan, C) -> (N, C)
    energy, counts = ordered(energy, counts, str(path))
    while nav_shape and nav_shape[0] == 1:
        nav_shape = nav_shape[1:]
    return RawSpectra(energy, counts, nav_shape, None, path.stem, path, metadata=_metadata(signal))


def _signal_axis(axes: list[Any]) -> int:
    """The axis to blame when no unit is an energy: the one signal axis, or the last."""
    signal = [i for i, a in enumerate(axes) if isinstance(a, dict) and not a.get("navigate", True)]
    return signal[0] if len(signal) == 1 else len(axes) - 1


def _axis_values(axis: Any, size: int, where: str) -> NDArray[np.float64]:
    if not isinstance(axis, dict):
        raise InputError(f"{where}: expected a described energy axis, got none.")
    factor = ev_per_unit(axis.get("units"), where)
    if axis.get("axis") is not None:
        values: NDArray[np.float64] = np.asarray(axis["axis"], dtype=np.float64)
    elif "scale" in axis:
        with np.errstate(
            invalid="ignore", over="ignore"
        ):  # what is not finite is refused where energies are ordered
            values = np.float64(axis.get("offset", 0)) + float(axis["scale"]) * np.arange(
                size, dtype=np.float64
            )
    else:
        raise InputError(
            f"{where}: its energy axis is a function; convert it to a uniform axis and save it again."
        )
    if values.shape != (size,):
        raise InputError(f"{where}: expected {size} energies, got an axis of shape {values.shape}.")
    with np.errstate(over="ignore"):
        return values * factor


def _metadata(signal: dict[str, Any]) -> dict[str, Any]:
    def get(*keys: str) -> Any:
        node: Any = signal.get("metadata") or {}
        for key in keys:
            node = node.get(key) if hasattr(node, "get") else None
        if isinstance(node, Real) and not isinstance(
            node, bool
        ):  # also numpy's numbers, as which HDF5 gives them
            return float(node)
        return node if isinstance(node, str) else None

    tem = ("Acquisition_instrument", "TEM")
    found = {
        "title": get("General", "title"),
        "beam_energy_kev": get(*tem, "beam_energy"),
        "convergence_mrad": get(*tem, "convergence_angle"),
        "collection_mrad": get(*tem, "Detector", "EELS", "collection_angle"),
        "dwell_time_s": get(*tem, "Detector", "EELS", "dwell_time"),
    }
    return {k: v for k, v in found.items() if v is not None}


def _choose(raws: list[RawSpectra], edge: Edge, path: Path) -> RawSpectra:
    """The one among several spectra of a file that covers the edge's crop window."""
    if len(raws) == 1:
        return raws[0]
    low, high = edge.crop_ev
    covering = [r for r in raws if r.energy_ev[0] <= low and r.energy_ev[-1] >= high - edge.dispersion_ev]
    if len(covering) != 1:
        ranges = ", ".join(f"{r.energy_ev[0]:.0f}-{r.energy_ev[-1]:.0f} eV" for r in raws[:6])
        raise InputError(
            f"{path}: expected one signal that covers {low:g}-{high:g} eV, got {len(covering)} among "
            f"{len(raws)} ({ranges}); "
            "save the one to use in a file of its own."
        )
    return covering[0]

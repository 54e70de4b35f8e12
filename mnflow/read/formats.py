"""Which reader reads a file: by its first bytes, then by its suffix in RosettaSciIO's registry.

HDF5 files are surveyed by another process first, Digital Micrograph's are parsed under guard, and nothing is
unpickled.
"""

import importlib
import json
import logging
import math
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from rsciio import IO_PLUGINS

from mnflow.errors import InputError
from mnflow.read.hdf5 import survey
from mnflow.read.ondisk import h5py_file

LAZY_BYTES = 200_000_000
"""A file that holds more than this stays on disk and is read block by block."""

_MAX_COMPRESSION = 200
_MAX_CHUNK_BYTES = 500_000_000

_NO_LOSS = frozenset(
    """
    EDAX QuantumDetector Topspin DENS Tofwerk MRCZ MRC Arina Delmic Quadstar DigitalSurf JobinYvon Image
    TriVista Renishaw
    TVIPS JEOL Phenom Impulse EMPAD Protochips Bruker Blockfile Hamamatsu numpy MSA
    """.split()  # noqa: SIM905
)
"""Formats of the registry that hold no energy loss: X-rays, light, pictures, surfaces, logs. Our own reads
MSA.
"""

_BY_SUFFIX: dict[str, list[dict[str, Any]]] = {}
for _plugin in IO_PLUGINS:
    if _plugin["name"] not in _NO_LOSS:
        for _extension in {str(e).lower() for e in _plugin["file_extensions"]}:
            _BY_SUFFIX.setdefault(f".{_extension}", []).append(_plugin)

_USUAL = (".hspy", ".dm3", ".dm4", ".emd")
SUFFIXES = (*_USUAL, *sorted(set(_BY_SUFFIX) - set(_USUAL)))
"""Suffixes of microscopes' formats that hold energy losses, the usual ones first."""

FOLDERS = (".zspy",)
"""Suffixes of formats that are a folder each."""

_NEEDED = {".zspy": "zarr of version 2 (pip install 'mnflow[zspy]')"}  # RosettaSciIO knows no newer one

_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_SUFFIXES = (".hspy", ".emd", ".de5", ".h5", ".hdf5", ".nxs")


def signals(path: Path) -> list[dict[str, Any]]:
    """RosettaSciIO's dictionaries (data, axes, metadata) of all signals in a microscope's file.

    Raises
    ------
    InputError
        If the file is damaged or of another kind, needs a package that is not there, or could do harm.
    """
    suffix = path.suffix.lower()
    try:
        # a reader's remarks on dates and versions: what matters is checked afterwards
        with warnings.catch_warnings(), _quiet(logging.getLogger("rsciio")):
            warnings.simplefilter("ignore")
            found = _reader(path)(path)
    except InputError:
        raise
    except ImportError as error:
        missing = _NEEDED.get(suffix) or error.name or str(error)[:120]
        raise InputError(
            f"{path}: to read {suffix} files the Python package {missing} is needed; install it, or save the "
            f"file as .hspy."
        ) from error
    except Exception as error:  # whatever a damaged file makes a reader stumble over
        raise InputError(
            f"{path} cannot be read as {suffix} ({type(error).__name__}: {str(error)[:120]}): it is damaged, "
            f"cut short or of another kind; copy it again or save it as .hspy."
        ) from error
    good = [s for s in found if isinstance(s, dict) and "data" in s and "axes" in s]
    if not good:
        raise InputError(f"{path}: expected spectra, got a file without any data.")
    return good


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Let a library log nothing: it would show a traceback for a date that it does not understand."""
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def is_microscopes(path: Path) -> bool:
    """Whether a file is a microscope's, by its suffix or its first bytes."""
    return path.suffix.lower() in _BY_SUFFIX or _first_bytes(path, 8) == _HDF5 or _is_gatan(path)


def _first_bytes(path: Path, n: int) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(n)


def _is_gatan(path: Path) -> bool:
    """Whether a file begins as Digital Micrograph's: version 3 or 4, its own size, the order of bytes."""
    head = _first_bytes(path, 16)
    if len(head) < 16 or head[:4] not in (b"\0\0\0\3", b"\0\0\0\4"):
        return False
    wide = 8 if head[3] == 4 else 4
    size, order = int.from_bytes(head[4 : 4 + wide], "big"), int.from_bytes(head[4 + wide : 8 + wide], "big")
    return order in (0, 1) and abs(path.stat().st_size - size) < 64


def _reader(path: Path) -> Callable[[Path], list[dict[str, Any]]]:
    suffix = path.suffix.lower()
    if suffix in (".dm3", ".dm4") or _is_gatan(path):
        from mnflow.read.gatan import read_gatan

        return read_gatan
    if suffix in _HDF5_SUFFIXES or _first_bytes(path, 8) == _HDF5:
        return _read_hdf5
    return _read_registered


def _read_registered(path: Path) -> list[dict[str, Any]]:
    """By the registry: the first of a suffix' formats that finds something."""
    suffix = path.suffix.lower()
    if suffix in FOLDERS:
        _check_zarr(path)
    if suffix == ".prz":  # an archive of arrays
        with zipfile.ZipFile(path) as archive:
            _check_promise(path, path.stat().st_size, sum(e.file_size for e in archive.infolist()))
    failed: Exception | None = None
    for plugin in _BY_SUFFIX[suffix]:
        try:
            lazy = _bytes(path) > LAZY_BYTES or suffix == ".rpl"
            reader = importlib.import_module(plugin["api"])
            found: list[dict[str, Any]] = reader.file_reader(str(path), lazy=lazy)
        except Exception as error:
            failed = failed or error
            continue
        if found:
            return found
    if failed is not None:
        raise failed
    return []


def _bytes(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    return sum(p.stat().st_size for p in path.rglob("*")) if path.is_dir() else path.stat().st_size


def _check_zarr(path: Path) -> None:
    """Refuse a store that asks for an unpickler, holds links, promises far too much, or is no folder.

    Its descriptions are parsed, since JSON can spell a word in several ways.
    """
    if not path.is_dir():
        raise InputError(f"{path}: expected a folder, as .zspy files are; unpack it.")
    refused = InputError(f"{path}: refused: it asks for an unpickler, or points out of its folder.")
    promised = chunk_bytes = 0
    for part in path.rglob("*"):
        if part.is_symlink():
            raise refused
        if part.name in (".zarray", ".zmetadata", ".zattrs", ".zgroup", "zarr.json") and part.is_file():
            if part.stat().st_size > 50_000_000:
                raise InputError(f"{path}: {part.name} is too large for a description of data.")
            description = json.loads(part.read_bytes())
            if "pickle" in json.dumps(description).lower():
                raise refused
            if part.name == ".zarray":
                item = np.dtype(description["dtype"]).itemsize
                promised += math.prod(description["shape"], start=item)
                chunk_bytes = max(chunk_bytes, math.prod(description["chunks"], start=item))
    _check_promise(path, _bytes(path), promised, chunk_bytes)
    with suppress(PackageNotFoundError):
        if not version("zarr").startswith("2."):
            raise ModuleNotFoundError


def _read_hdf5(path: Path) -> list[dict[str, Any]]:
    """An HDF5 file by what is in it: HyperSpy's, EMD, NeXus, or what the registry has for its suffix."""
    lazy = _check_hdf5(path) > LAZY_BYTES
    with h5py_file(path) as file:
        names = set(file)
        nexus = any("NX_class" in item.attrs for item in file.values()) or "NX_class" in file.attrs
    if "Experiments" in names:
        return _read_hspy(path, lazy)
    if path.suffix.lower() in (".emd", ".de5") or "Version" in names:
        from mnflow.read.emd import read_emd

        return read_emd(path, lazy)
    if nexus:
        from rsciio.nexus import file_reader as read_nexus

        found: list[dict[str, Any]] = read_nexus(str(path), lazy=lazy)
        return found
    if path.suffix.lower() in (".hspy", ".nxs") or path.suffix.lower() not in _BY_SUFFIX:
        raise OSError("it is an HDF5 file, but none of HyperSpy, EMD or NeXus")
    return _read_registered(path)


def _read_hspy(path: Path, lazy: bool) -> list[dict[str, Any]]:
    from rsciio.hspy import file_reader

    found: list[dict[str, Any]] = file_reader(str(path), lazy=lazy)
    if lazy:
        groups = h5py_file(path)["Experiments"].values()
        for signal, group in zip(found, (g for g in groups if "data" in g), strict=False):
            signal["dataset"] = group["data"]
    return found


def _check_hdf5(path: Path) -> int:
    """Number of bytes that an HDF5 file declares; refuses external links and impossible sizes."""
    found = survey(str(path))
    if "error" in found:
        raise OSError(found["error"])
    if found["outward"]:
        raise InputError(f"{path}: {found['outward'][0]} lies in another file; copy all data into one file.")
    promised = int(found["bytes"])
    _check_promise(path, path.stat().st_size, promised, found["chunk_bytes"])
    return promised


def _check_promise(path: Path, held: int, promised: int, chunk_bytes: int = 0) -> None:
    """Refuse what promises far more bytes than it holds, or has to be unpacked in giant chunks."""
    if chunk_bytes > _MAX_CHUNK_BYTES:
        raise InputError(
            f"{path}: it is stored in chunks of {chunk_bytes / 1e9:.1f} GB; save it with smaller ones."
        )
    size = max(held, 1_000_000)
    if promised > _MAX_COMPRESSION * size:
        raise InputError(
            f"{path}: {size / 1e6:.0f} MB that promise {promised / 1e9:.1f} GB of data hold no measurement; "
            f"refused."
        )

"""Files that are written whole or not at all, and archives of arrays that are read without trusting them."""

import glob
import hashlib
import io
import math
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.runtime.process import is_gone, this_process

MAX_EXPANSION = 500
"""Greatest factor by which an archive may grow: datasets grow by less than 20, a bomb by 1,000."""

_LONG_NAME = 150  # bytes: a part file's name is up to 100 longer, and most file systems allow 255

_BLOCK_BYTES = 1_000_000

HDF5_BYTES = 200_000
"""More than what axes and metadata take in an HDF5 file."""

_SMALL_BYTES = 50_000_000  # a small archive may grow as it likes to this size


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path that replaces `path` if the block succeeds, and is removed otherwise.

    What a process that was killed (kill -9, power cut) has left of the same file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    is_long = len(path.name.encode()) >= _LONG_NAME
    stem = hashlib.sha256(path.stem.encode()).hexdigest()[:32] if is_long else path.stem
    for left in path.parent.glob(f".{glob.escape(stem)}.*{glob.escape(path.suffix)}"):
        if is_gone(left.name[len(stem) + 2 :].rpartition("~")[0].replace("~", " ")):
            with suppress(OSError):
                left.unlink()
    writer = f"{this_process()} {secrets.token_hex(4)}".replace(" ", "~")
    part = path.with_name(f".{stem}.{writer}{path.suffix}")  # readers of folders pass over hidden files
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def check_room(path: Path, n_bytes: int) -> None:
    """Write `n_bytes` of zeros to `path`, which the real content then replaces.

    The HDF5 library ends the process with a segmentation fault where a disk is full, a quota or the limit
    of a file's size is reached; Python raises `OSError`.
    """
    with path.open("wb") as file:
        for start in range(0, n_bytes, _BLOCK_BYTES):
            file.write(bytes(min(_BLOCK_BYTES, n_bytes - start)))


def plain_cell(value: Any) -> Any:
    """A table cell, behind an apostrophe if a spreadsheet would take its text for a formula.

    Names of files and regions come from other people.
    """
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def plain_cells(table: Any) -> Any:
    """A pandas table with all text as `plain_cell` has it."""
    columns = table.select_dtypes(exclude=["number", "bool"]).columns
    return table.assign(**{name: table[name].map(plain_cell) for name in columns})


def read_arrays(source: Path | bytes) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz archive by name, without unpickling; decompression bombs are refused.

    Raises `ValueError` if it is no such archive, is damaged, or promises far more than it holds.
    """
    try:
        held = len(source) if isinstance(source, bytes) else source.stat().st_size
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            entries = archive.infolist()
            promised = sum(e.file_size for e in entries)
            if promised > max(MAX_EXPANSION * held, _SMALL_BYTES):
                raise ValueError(f"{held / 1e6:.1f} MB that would unpack to {promised / 1e9:.1f} GB")
            return {e.filename.removesuffix(".npy"): _array(archive, e) for e in entries}
    except ValueError:
        raise
    except Exception as error:  # whatever a damaged archive makes zipfile, zlib or numpy stumble over
        raise ValueError(
            f"no whole archive of arrays ({type(error).__name__}: {str(error)[:120]})"
        ) from error


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """One array; its header is compared with the entry's size before numpy makes room for it."""
    form = np.lib.format
    with archive.open(entry) as file:
        old = form.read_magic(file) == (1, 0)
        shape, _, dtype = (form.read_array_header_1_0 if old else form.read_array_header_2_0)(file)
        if dtype.hasobject:
            raise ValueError(f"{entry.filename} holds objects, which would have to be unpickled")
        promised, held = math.prod(shape, start=dtype.itemsize), entry.file_size - file.tell()
        if promised != held:
            raise ValueError(f"{entry.filename} promises {promised} bytes and holds {held}")
        file.seek(0)
        array: NDArray[Any] = form.read_array(file, allow_pickle=False)
        return array

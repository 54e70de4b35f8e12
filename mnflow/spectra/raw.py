"""`RawSpectra`: what one file holds, before any processing, and the checks on its energy axis."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mnflow.spectra.arrays import Array, Floats

BLOCK_BYTES = 8_000_000
"""Bytes of one block of spectra in a pass over a file: what is made of it stays in the cache."""


@dataclass(frozen=True)
class NavAxis:
    """An axis of the scan: its name, and position = offset + scale x index in `units`."""

    name: str
    scale: float = 1.0
    offset: float = 0.0
    units: str = ""


class CountsOnDemand(ABC):
    """Lazy counts (N, C) for `RawSpectra.counts`: rows are read or computed when they are sliced."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, key: Any) -> Array:
        """Rows as slice or integer, or (rows, channels as slice)."""
        rows, channels = key if isinstance(key, tuple) else (key, slice(None))
        if not isinstance(rows, slice):
            return self[int(rows) : int(rows) + 1, channels][0]
        return self._rows(rows, channels)

    @abstractmethod
    def _rows(self, rows: slice, channels: slice) -> Array: ...


@dataclass(frozen=True)
class RawSpectra:
    """The N spectra of one file on their own energy axis.

    Attributes
    ----------
    energy_ev : ndarray of float64, shape (C,)
        Strictly increasing energy loss in eV; need not be uniform.
    counts : array, shape (N, C)
        Intensities: a numpy array (perhaps a memory map), a lazy dask array or `CountsOnDemand`. Read it with
        `blocks`.
    nav_shape : tuple of int
        Shape of the scan: (rows, columns), (positions,) or () for a single spectrum; its product is N.
    valence : str or None
        Class name, mixed text such as "Mn2+/Mn3+", or None if unknown.
    group : str
        The spectrum image or the publication: what belongs together when data are split.
    path : Path
        Where it was read from.
    background_removed : bool or None
        Whether the file's background is known to be removed; None leaves it to be seen from the spectra.
    metadata : dict
        What the file says of its acquisition (title, beam energy in keV, ...), as far as known.
    notes : tuple of str
        What was assumed or mended in reading, one sentence each; a user is shown them.
    nav_axes : tuple of NavAxis
        The scan's axes in the order of `nav_shape`; empty where the file describes none.
    low_loss : RawSpectra, optional
        The low losses of the same places (N of them, or one for all): dual EELS.
    thickness : ndarray, shape (N,), optional
        t/lambda, once it was measured.
    """

    energy_ev: Floats
    counts: Any
    nav_shape: tuple[int, ...]
    valence: str | None
    group: str
    path: Path
    background_removed: bool | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    nav_axes: tuple[NavAxis, ...] = ()
    low_loss: "RawSpectra | None" = None
    thickness: Floats | None = None

    def __len__(self) -> int:
        return int(self.counts.shape[0])

    @property
    def columns(self) -> int:
        """Pixels in a line of the scan, 1 for a line scan; 0 where the spectra are no scan."""
        if not self.nav_axes:
            return 0
        return self.nav_shape[-1] if len(self.nav_shape) > 1 else 1

    def labelled(self, valence: str | None, group: str | None) -> "RawSpectra":
        """The same spectra with another label and group (None keeps what is there)."""
        return replace(self, valence=valence or self.valence, group=group or self.group)

    def noted(self, *notes: str) -> "RawSpectra":
        """The same spectra with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def blocks(self, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[slice, Array]]:
        """Walk through all spectra in bounded memory: yields (rows, counts[rows] as numpy, shape (n, C))."""
        for rows in self.block_slices(block_bytes):
            yield rows, np.asarray(self.counts[rows])

    def block_slices(self, block_bytes: int = BLOCK_BYTES) -> list[slice]:
        """Row slices of about `block_bytes` each, in whole chunks of a lazy file."""
        per_block = max(1, block_bytes // max(1, self.counts.shape[1] * self.counts.dtype.itemsize))
        chunks = getattr(self.counts, "chunks", None)
        if chunks is None:
            edges = list(range(0, len(self), per_block))
        else:
            edges, last = [0], 0
            for stop in np.cumsum(chunks[0])[:-1].tolist():
                if stop - last >= per_block:
                    edges, last = [*edges, stop], stop
        return [slice(a, b) for a, b in zip(edges, [*edges[1:], len(self)], strict=True) if b > a]

"""A dataset of a big HDF5 file as an array of spectra that stays on disk."""

from pathlib import Path
from typing import Any

import numpy as np

from mnflow.spectra.arrays import Array
from mnflow.spectra.raw import CountsOnDemand

_MAX_LINE_BYTES = 200_000_000


def h5py_file(path: Path) -> Any:
    """An open HDF5 file; it stays open as long as a dataset of it is in use."""
    import h5py

    return h5py.File(path, "r")


class OnDisk(CountsOnDemand):
    """An h5py dataset with the energy last, seen as (N, C); row slices read whole lines of the scan.

    Attributes
    ----------
    shape : tuple of int
        (N, C).
    dtype : dtype
        Of the dataset.
    chunks : tuple
        For `RawSpectra.block_slices`, as in dask: how many spectra each row of the file's chunks holds.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.line = int(np.prod(dataset.shape[1:-1]))  # spectra in one index of the first axis
        self.shape = (dataset.shape[0] * self.line, dataset.shape[-1])
        self.dtype = dataset.dtype
        per_chunk, lines = (dataset.chunks or (1,))[0], dataset.shape[0]
        heights = [per_chunk] * (lines // per_chunk) + [lines % per_chunk] * (lines % per_chunk > 0)
        self.chunks = (tuple(h * self.line for h in heights), (self.shape[1],))

    @staticmethod
    def suits(dataset: Any, energy_axis: int) -> bool:
        """Whether a dataset (or None) has its energy last and lines of the scan that fit into memory."""
        if dataset is None or dataset.ndim < 2 or energy_axis != dataset.ndim - 1 or 0 in dataset.shape:
            return False
        return bool(dataset.nbytes / dataset.shape[0] <= _MAX_LINE_BYTES)

    @property
    def nbytes(self) -> int:
        """Bytes of all counts."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def _rows(self, rows: slice, channels: slice) -> Array:
        start, stop, step = rows.indices(self.shape[0])
        first, last = start // self.line, -(-stop // self.line)
        block = self.dataset[first:last, ..., channels]  # (lines, ..., channels)
        return block.reshape(-1, block.shape[-1])[start - first * self.line : stop - first * self.line : step]

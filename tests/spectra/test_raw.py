"""`RawSpectra`: what is asked of it, and blocks of its spectra."""

from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np

from mnflow.spectra import RawSpectra
from mnflow.spectra.arrays import Array
from mnflow.spectra.raw import CountsOnDemand, NavAxis


def test_columns_of_a_scan() -> None:
    raw = RawSpectra(np.array([1.0, 2.0]), np.ones((6, 2)), (2, 3), None, "g", Path("x"))
    assert (len(raw), raw.columns) == (6, 0)
    axes = (NavAxis("y"), NavAxis("x", 2.0, 1.0, "nm"))
    assert (axes[0].scale, axes[0].offset, axes[0].units) == (1.0, 0.0, "")
    assert replace(raw, nav_axes=axes).columns == 3
    assert replace(raw, nav_axes=axes[:1], nav_shape=(6,)).columns == 1


def test_labels_and_notes() -> None:
    raw = RawSpectra(np.array([1.0, 2.0]), np.ones((6, 2)), (6,), "Mn2+", "g", Path("x"), notes=("one",))
    assert (raw.labelled(None, None).valence, raw.labelled(None, None).group) == ("Mn2+", "g")
    assert (raw.labelled("Mn3+", "h").valence, raw.labelled("Mn3+", "h").group) == ("Mn3+", "h")
    assert raw.noted("two", "three").notes == ("one", "two", "three")


def test_counts_on_demand_are_sliced_as_arrays() -> None:
    counts = np.arange(30.0).reshape(6, 5)

    read: list[int] = []

    class Stored(CountsOnDemand):
        def _rows(self, rows: slice, channels: slice) -> Array:
            read.append(len(counts[rows]))
            return counts[rows, channels]

    stored = Stored()
    np.testing.assert_array_equal(stored, counts)
    np.testing.assert_array_equal(stored[1:3], counts[1:3])
    np.testing.assert_array_equal(stored[4], counts[4])
    np.testing.assert_array_equal(stored[4, 1:3], counts[4, 1:3])
    np.testing.assert_array_equal(stored[::2, 1:3], counts[::2, 1:3])
    assert np.asarray(stored, dtype=np.float32).dtype == np.float32
    assert read == [6, 2, 1, 1, 3, 6]  # no row more than was asked for


def test_blocks_cover_every_spectrum_once() -> None:
    counts = np.arange(70.0).reshape(35, 2)
    raw = RawSpectra(np.array([1.0, 2.0]), counts, (5, 7), None, "g", Path("x"))
    blocks = list(raw.blocks(block_bytes=64))
    assert max(len(b) for _, b in blocks) == 4
    np.testing.assert_array_equal(np.concatenate([b for _, b in blocks]), counts)
    assert [len(b) for _, b in raw.blocks(block_bytes=1)] == [1] * len(raw)


def test_blocks_of_lazy_files_are_whole_chunks() -> None:
    lazy = da.zeros((20, 2), chunks=((3, 3, 3, 3, 8), 2))
    raw = RawSpectra(np.array([1.0, 2.0]), lazy, (20,), None, "g", Path("x"))
    assert [(s.start, s.stop) for s in raw.block_slices(5 * 16)] == [(0, 6), (6, 12), (12, 20)]
    assert [(s.start, s.stop) for s in raw.block_slices(6 * 16)] == [(0, 6), (6, 12), (12, 20)]
    assert [(s.start, s.stop) for s in raw.block_slices(1)] == [(0, 3), (3, 6), (6, 9), (9, 12), (12, 20)]
    assert [(s.start, s.stop) for s in replace(raw, counts=np.zeros((20, 2))).block_slices(7 * 16)] == [
        (0, 7),
        (7, 14),
        (14, 20),
    ]

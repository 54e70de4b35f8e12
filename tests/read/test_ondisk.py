"""Datasets that stay on disk give what they would in memory, and read no more than they must."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mnflow.read.ondisk import OnDisk, h5py_file


@pytest.mark.parametrize("shape", [(7, 20), (5, 3, 20), (4, 2, 3, 20)])
def test_any_slice_is_that_of_the_array(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = values
    counts, flat = OnDisk(h5py_file(tmp_path / "a.h5")["x"]), values.reshape(-1, 20)
    n = len(flat)
    assert (counts.shape, counts.dtype, counts.nbytes) == (flat.shape, np.uint16, flat.nbytes)
    for rows in (
        slice(None),
        slice(1, 4),
        slice(n - 2, None),
        slice(0, n, 3),
        slice(2, n - 1, 2),
        slice(3, 3),
    ):
        np.testing.assert_array_equal(counts[rows], flat[rows])
        np.testing.assert_array_equal(counts[rows, 2:9], flat[rows, 2:9])
    for row in range(n):
        np.testing.assert_array_equal(counts[row], flat[row])
    np.testing.assert_array_equal(np.asarray(counts), flat)


def test_only_the_lines_that_are_asked_for_are_read() -> None:
    class Watched:
        def __init__(self) -> None:
            self.values = np.arange(6 * 4 * 10).reshape(6, 4, 10)
            self.shape, self.ndim, self.dtype = self.values.shape, 3, self.values.dtype
            self.chunks, self.asked = None, []  # type: ignore[var-annotated]

        def __getitem__(self, key: Any) -> np.ndarray:
            self.asked.append(key)
            return self.values[key]

    watched = Watched()
    counts = OnDisk(watched)
    assert counts.chunks == ((4,) * 6, (10,))
    for rows, lines in ((slice(4, 8), (1, 2)), (slice(3, 9), (0, 3)), (slice(20, 24), (5, 6))):
        watched.asked.clear()
        counts[rows, 1:5]
        assert watched.asked == [(slice(*lines), Ellipsis, slice(1, 5))]

"""The shipped example is what its command makes."""

from pathlib import Path

import numpy as np
import pytest

from mnflow.pretrained.example import SHAPE, make_example
from mnflow.pretrained.shipped import EXAMPLE
from mnflow.read import read_file
from mnflow.spectra import MN


@pytest.mark.slow
def test_the_command_makes_the_image_that_ships(tmp_path: Path) -> None:
    made, ships = (read_file(path, edge=MN) for path in (make_example(tmp_path / "example.hspy"), EXAMPLE))
    assert made.nav_shape == ships.nav_shape == SHAPE == (24, 32)
    assert made.nav_axes == ships.nav_axes
    assert made.metadata == ships.metadata
    np.testing.assert_allclose(made.energy_ev, ships.energy_ev, atol=1e-9)
    counts, expected = (np.asarray(image.counts).reshape(*SHAPE, -1) for image in (made, ships))
    assert counts.dtype == expected.dtype == np.int32
    assert counts.shape == expected.shape
    blocks = [c[..., :380].reshape(6, 4, 8, 4, 38, 10).sum(axis=(1, 3, 5)) for c in (counts, expected)]
    np.testing.assert_allclose(*blocks, rtol=0.02)  # a library that rounds differently may draw other noise

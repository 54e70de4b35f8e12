"""Mixtures that nothing was fitted to."""

import numpy as np
import pytest

from mnflow.fit.mixtures import Materials, Mixtures, mix, parted
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import load


@pytest.fixture(scope="session")
def unseen() -> Mixtures:
    settings = load()
    materials = Materials.draw(settings, parted(library_of(settings))[1], 60, np.random.default_rng(3))
    rng = np.random.default_rng(4)
    return mix(materials.sets(4000, rng).pure, rng)

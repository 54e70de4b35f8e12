"""The predictor of the maps' tests, and maps of an image whose pixels are 3 nm wide and 2 nm high."""

from pathlib import Path

import numpy as np
import pytest

from mnflow.maps import ValenceMaps, maps_of
from mnflow.serve.predictor import Predictor
from mnflow.spectra import RawSpectra
from mnflow.spectra.raw import NavAxis
from tests.maps.conftest import ENERGY_EV, image, predictor

__all__ = ["predictor"]


@pytest.fixture(scope="session")
def raw() -> RawSpectra:
    """3 x 4 spectra, whose file says something of them."""
    axes = (NavAxis("y", 2.0, 0.0, "nm"), NavAxis("x", 3.0, 0.0, "nm"))
    counts = image().reshape(12, -1)
    return RawSpectra(
        ENERGY_EV, counts, (3, 4), None, "a", Path("grain <1>.hspy"), notes=("Axis x < y.",), nav_axes=axes
    )


@pytest.fixture
def maps(raw: RawSpectra, predictor: Predictor) -> ValenceMaps:
    """The two pixels at the left of the first row are flagged, and nothing else is."""
    found = maps_of(raw, predictor)
    found.pixels.flags[:] = False
    found.pixels.flags[:2] = np.arange(found.pixels.flags.shape[1]) == 0
    return found

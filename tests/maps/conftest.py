"""A predictor that needs no training, and images of a particle whose core differs from its rim."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnflow.serve.predictor import Predictor
from mnflow.spectra import MN, Edge
from tests.helpers.nets import made_up_net
from tests.helpers.posterior import made_up_posterior
from tests.helpers.spectra import edge_shape

ENERGY_EV = 600 + 0.25 * np.arange(400)

HIGHER = Edge("Mn", MN.classes, MN.charges, wide_ev=(715.0, 785.0), crop_ev=(735.0, 765.0))
"""The same edge 100 eV higher: a file without a unit is understood only by who asks for it."""


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    return Predictor(MN, made_up_posterior(seed=8, sure=True), made_up_net())


def image(rows: int = 3, columns: int = 4) -> np.ndarray:
    """Counts (rows, columns, 400) on a background, with Poisson noise; the valence changes with the
    column.
    """
    valence = np.broadcast_to(np.arange(columns) % 3, (rows, columns))
    counts = 1e4 * (edge_shape(ENERGY_EV, valence) + 20 * (ENERGY_EV / 640) ** -3.0)
    return np.random.default_rng(0).poisson(counts).astype(np.float32)


def in_kev(path: Path) -> Path:
    """A spectrum of the edge `HIGHER` as a file that names no unit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = np.stack([(ENERGY_EV + 100) / 1e3, image()[0, 0]], axis=1)
    np.savetxt(path, table, delimiter=",", header="x,y", comments="")
    return path


def signal(data: np.ndarray, lazy: bool = False) -> Any:
    import hyperspy.api as hs

    made = hs.signals.Signal1D(data)
    made.metadata.General.title = "a test"
    energy = made.axes_manager.signal_axes[0]
    energy.offset, energy.scale, energy.units, energy.name = 600.0, 0.25, "eV", "Energy loss"
    for axis, scale in zip(made.axes_manager.navigation_axes, (2.0, 3.0), strict=False):
        axis.scale, axis.units, axis.name = scale, "nm", f"axis {scale:g}"
    return made.as_lazy() if lazy else made


@pytest.fixture
def flag_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[np.ndarray], None]:
    """Makes `read_pixels` flag exactly the pixels of a mask (rows, columns)."""
    from mnflow.maps import prediction
    from mnflow.maps.pixels import FLAGS

    read = prediction.read_pixels

    def use(mask: np.ndarray) -> None:
        def flagged(*arguments: Any) -> Any:
            pixels = read(*arguments)
            pixels.flags[:] = False
            pixels.flags[:, FLAGS.index("noise")] = mask.ravel()
            return pixels

        monkeypatch.setattr(prediction, "read_pixels", flagged)

    return use

"""Numbers of the whole folder, held: sticks, lines, continua, losses, images, references."""

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import pytest

from mnflow.simulate.foreign_laboratory import reference, simulate_references
from mnflow.simulate.image import detect, image_shapes, material_edge, point_spread, simulate_image
from mnflow.simulate.library import binned, draw, library_of
from mnflow.simulate.physics.atom import ion
from mnflow.simulate.physics.lineshape import (
    STICK_EV,
    LineShape,
    above_onset_ev,
    continuum,
    split_ev,
    white_lines,
    widths,
)
from mnflow.simulate.physics.multiplet import ChargeTransfer, Field, absorption
from mnflow.simulate.physics.scattering import (
    Oscillators,
    Scattering,
    convolve,
    oscillator_loss,
    plural_factor,
    response_factor,
    single_scattering,
)
from mnflow.simulate.settings import settings_of
from mnflow.simulate.write import write_hspy
from tests.helpers.kept_numbers import check, keep

KEPT = Path(__file__).parent / "kept_numbers.json"
STICKS_TOLERANCE = 5e-3  # Lanczos leaves other rounding on other processors
ENERGY_EV = np.arange(630.0, 680.0, 0.1)


def _sticks(name: str, field: Field, transfer: ChargeTransfer | None = None) -> dict[str, Any]:
    found = absorption(ion(name), field, transfer)
    strength = binned(found).astype(float)
    moments = [strength @ STICK_EV**k for k in range(4)]
    return {"strength": found.strength.sum(), "moments": moments, "split_ev": split_ev(strength)}


def _lines() -> dict[str, Any]:
    strength = library_of(settings_of("Mn")).of(1)[:3].astype(float)
    found = {}
    for i, shape in enumerate(
        (
            LineShape(0.3),
            LineShape(0.4, 0.5, 0.15, 3.0, 0.6, 0.1, 0.7, 1.2),
            LineShape(0.2, 1.0, 0.5, 1.0, 0.3, 0.4, -0.4, 0.8),
        )
    ):
        lines, l2_ev = white_lines(ENERGY_EV, strength[i], 641.3 + i, shape)
        is_l2 = split_ev(strength[i]) <= STICK_EV
        above = above_onset_ev(strength[i], is_l2)
        found |= {f"lines {i}": lines, f"l2_ev {i}": l2_ev, f"above_ev {i}": above[::20]}
        found |= {
            f"width {kind} {i}": w[::20] for kind, w in zip("lg", widths(above, is_l2, shape), strict=True)
        }
    return found


def _losses() -> dict[str, Any]:
    loss_ev, rng = np.arange(600) * 0.1, np.random.default_rng(0)
    thickness, n_fft = np.array([0.0, 0.4, 1.3]), 1200
    single = single_scattering(loss_ev, 2.0, 22.0, 15.0, 0.3)
    factor = response_factor(0.1, n_fft, np.array([0.3, 1.0, 2.0]), 0.2, 1.5, np.array([0.0, 0.4, -0.7]))
    edges = np.exp(-(((loss_ev - 20) / 1.5) ** 2))[None] * np.ones((3, 1))
    return {
        "single": single, "tail": single[100:],
        "oscillators": oscillator_loss(loss_ev, 1.5, np.array([4.0, 10.0, 20.0]), np.array([3.0, 6.0, 12.0]),
                                       np.array([30.0, 150.0, 200.0])),
        "drawn": Scattering().draw(600, 0.1, rng), "drawn oscillators": Oscillators().draw(600, 0.1, rng),
        "plural": convolve(edges, plural_factor(single, thickness, n_fft), n_fft)[:, ::30],
        "response": convolve(edges, factor, n_fft)[:, ::30],
    }  # fmt: skip


def _edges(index: int, foreign: bool) -> dict[str, Any]:
    settings = settings_of("Mn")
    rng, library = np.random.default_rng(index), library_of(settings)
    edges = [material_edge(ENERGY_EV, settings, library, index, rng, foreign) for _ in range(3)]
    return {str(i): edge for i, edge in enumerate(edges)}


def _image(element: str, index: int) -> dict[str, Any]:
    settings = settings_of(element)
    image = simulate_image(
        settings, library_of(settings), index, (5, 6), 0.7, np.random.default_rng([1, index])
    )
    lines = image.counts.mean(axis=(0, 1))
    return {
        "axis": image.energy_ev[[0, 1, -1]], "mean": lines, "thickness": image.thickness,
        "pixels": image.counts.mean(axis=-1), "dwell_s": image.dwell_s,
    }  # fmt: skip


def _detected() -> dict[str, Any]:
    rng = np.random.default_rng(4)
    expected = 200 + 100 * np.sin(np.arange(300) / 20) * np.ones((2, 3, 1))
    counts = rng.poisson(20, (2, 100)).astype(float)
    return {
        "counts": detect(expected, settings_of("Mn"), rng), "spread": point_spread(counts, 0.35),
        "none": point_spread(counts, 0.0),
        "shapes": [image_shapes(v, size, rng) for v in settings_of("Mn").valence[:1] for size in ("quick",)],
    }  # fmt: skip


def _reference(index: int) -> dict[str, Any]:
    settings = settings_of("Mn")
    energy_ev, intensity = reference(
        settings, library_of(settings), index, 1.3, np.random.default_rng([7, index])
    )
    return {"energy_ev": energy_ev, "intensity": intensity}


def _references_folder() -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        manifest = simulate_references(Path(folder), seed=1)
        rows = list(csv.reader(manifest.read_text().splitlines()))
        last = np.loadtxt(manifest.with_name(rows[-1][0]), delimiter=",", skiprows=1)
        first = np.loadtxt(manifest.with_name(rows[1][0]), delimiter=",", skiprows=1)
    return {
        "manifest": [manifest.name, *np.ravel(rows)],
        "first": first.mean(axis=0),
        "last": last.mean(axis=0),
    }


def _written() -> dict[str, Any]:
    """Names, texts and numbers in an .hspy file."""
    found: dict[str, Any] = {}

    def add(name: str, node: Any) -> None:
        found.update({f"{name} {k}": str(v) for k, v in sorted(node.attrs.items())})
        if getattr(node, "ndim", 0):
            found[name] = node[()] if node.dtype.kind == "f" else str(node.shape)

    counts = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    with TemporaryDirectory() as folder:
        write_hspy(Path(folder) / "a.hspy", counts, np.arange(4) * 0.1 + 640, "a name", 200.0, 0.05)
        with h5py.File(Path(folder) / "a.hspy") as file:
            file.visititems(add)
    return found


def _drawn_sites() -> dict[str, Any]:
    found = {}
    for valence in settings_of("Mn").valence:
        for i, site in enumerate((*valence.site, *valence.foreign_site)):
            field, transfer = draw(site, np.random.default_rng([2, i]))
            numbers = [*vars(field).values(), *(vars(transfer).values() if transfer else ())]
            found[f"{valence.name} {i}"] = numbers
    return found


CASES: dict[str, Callable[[], Any]] = {
    "sticks of Mn2+": partial(_sticks, "Mn2+", Field(1.0)),
    "sticks of Mn3+, distorted": partial(_sticks, "Mn3+", Field(1.5, 0.3, 0.05, 0.7, 0.75, 600.0)),
    "sticks of Mn4+": partial(_sticks, "Mn4+", Field(2.2, slater_dd=0.65)),
    "sticks of Ti4+ with charge transfer": partial(
        _sticks, "Ti4+", Field(1.8), ChargeTransfer(3.0, -1.5, 2.2, 1.1, 0.9)
    ),
    "sticks of Ni2+ with charge transfer": partial(_sticks, "Ni2+", Field(0.9), ChargeTransfer()),
    "white lines": _lines,
    "continuum": lambda: continuum(ENERGY_EV, 642.0, 653.0, 1.5, 2.0, 0.01),
    "losses": _losses,
    **{
        f"edges of class {index}{', foreign' if foreign else ''}": partial(_edges, index, foreign)
        for index in range(3)
        for foreign in (False, True)
    },
    "image of Mn": partial(_image, "Mn", 1),
    "image of Fe": partial(_image, "Fe", 0),
    "detected": _detected,
    **{f"reference {index}": partial(_reference, index) for index in range(3)},
    "folder of references": _references_folder,
    "an image's file": _written,
    "drawn sites": _drawn_sites,
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_what_they_were_when_they_were_looked_at(name: str) -> None:
    check(CASES, name, KEPT, STICKS_TOLERANCE if name.startswith("sticks") else 1e-5)


if __name__ == "__main__":
    keep(CASES, KEPT)

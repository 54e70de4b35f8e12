"""Spectrum images as a microscope writes them: .hspy files with counts, axes and metadata, and a manifest."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from mnflow.errors import InputError
from mnflow.simulate.library import Library, library_for
from mnflow.simulate.physics.lineshape import LineShape, continuum, white_lines
from mnflow.simulate.physics.scattering import convolve, plural_factor, response_factor
from mnflow.simulate.settings import Settings, Specimen, Valence, load
from mnflow.simulate.write import write_hspy, write_table
from mnflow.spectra.arrays import Array, Floats32, Ints

SIZES = {"quick": (0.5, 0.25), "paper": (1.0, 1.0)}
"""Share of the settings' images and of their pixels."""

_FAR = 20
"""Channels beyond which the point spread is nothing."""


@dataclass(frozen=True)
class Image:
    """One spectrum image: counts (Y, X, C) on energy_ev (C,), t/lambda (Y, X) (0 on the substrate)."""

    energy_ev: Array
    counts: Floats32
    thickness: Array
    dwell_s: float


def simulate_images(
    out: Path,
    seed: int,
    size: str = "paper",
    settings: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Write spectrum images `<out>/<class>/<image>.hspy` and `<out>/manifest.csv`.

    The manifest's columns are file, valence, group.

    Parameters
    ----------
    out : Path
        Folder; made if needed.
    seed : int
        The same seed and settings give the same counts.
    size : {"paper", "quick"}
        All of the settings' images and pixels, or a fraction of them.
    settings : Path, optional
        A TOML file, or the name of a shipped one ("mn", "fe"); manganese by default.
    progress : callable
        Gets a line of text now and then.

    Returns
    -------
    list of Path
        The .hspy files.

    Raises
    ------
    InputError
        For an unknown size or settings that cannot be used.
    """
    if size not in SIZES:
        raise InputError(f"Size of the simulation: expected one of {', '.join(SIZES)}, got {size!r}.")
    s, out = load(settings), Path(out)
    library = library_for(s, out / "sticks", progress)
    session_rng = np.random.default_rng([seed, 0])
    calibration_ev = session_rng.uniform(*s.instrument.calibration_ev)
    files, rows = [], []
    for index, valence in enumerate(s.valence):
        for number, shape in enumerate(image_shapes(valence, size, session_rng)):
            rng = np.random.default_rng([seed, 1 + index, number])
            image = simulate_image(s, library, index, shape, calibration_ev, rng)
            name = f"{valence.name.rstrip('+')}_{number + 1:02d}"
            path = out / valence.name / f"{name}.hspy"
            write_hspy(path, image.counts, image.energy_ev, name, s.instrument.beam_energy_kev, image.dwell_s)
            files.append(path)
            rows.append((path.relative_to(out).as_posix(), valence.name, name))
        progress(f"{valence.name}: {number + 1} spectrum images")
    write_table(("file", "valence", "group"), rows, out / "manifest.csv")
    return files


def image_shapes(valence: Valence, size: str, rng: np.random.Generator) -> list[tuple[int, int]]:
    """(rows, columns) of a class's images; their pixels add up to about what the settings ask for."""
    image_share, pixel_share = SIZES[size]
    n = max(2, round(valence.images * image_share))
    pixels = valence.pixels * pixel_share / n * rng.uniform(0.7, 1.3, n)
    pixels *= valence.pixels * pixel_share / pixels.sum()
    columns = np.maximum(4, np.round(np.sqrt(pixels) * rng.uniform(0.8, 1.3, n))).astype(int)
    return [(max(3, round(p / c)), int(c)) for p, c in zip(pixels, columns, strict=True)]


def simulate_image(
    s: Settings,
    library: Library,
    index: int,
    shape: tuple[int, int],
    calibration_ev: float,
    rng: np.random.Generator,
) -> Image:
    """One spectrum image of class `index` with `shape` (rows, columns) pixels."""
    instrument, specimen, valence = s.instrument, s.specimen, s.valence[index]
    step = s.edge.dispersion_ev
    low_ev, high_ev = instrument.axis_ev
    energy_ev = np.arange(round((high_ev - low_ev) / step)) * step + low_ev
    centre_ev = float(np.mean(valence.l3_ev))
    offset_ev = calibration_ev + rng.uniform(*instrument.offset_ev)
    dispersion = 1 + rng.uniform(*instrument.dispersion_error)
    # what the channel labelled energy_ev really holds
    true_ev = centre_ev + (energy_ev - centre_ev - offset_ev) * dispersion
    thickness, grain = wedge(shape, valence, rng), grains(shape, round(rng.uniform(*specimen.grains)), rng)
    edges = np.array([grain_edge(true_ev, s, library, index, rng) for _ in range(grain.max() + 1)])
    edges = scattered(edges[grain.ravel()], thickness, s, rng).reshape(*shape, -1)  # (Y, X, C)
    dose = np.exp(rng.uniform(*np.log(specimen.edge_counts)))
    carbon = rng.uniform(*specimen.substrate_thickness)
    below = background(true_ev, centre_ev, thickness + carbon, specimen, rng)
    expected = dose * (thickness[..., None] * edges + below)
    return Image(energy_ev, detect(expected, s, rng), thickness, rng.uniform(*instrument.dwell_s))


def grain_edge(
    energy_ev: Array, s: Settings, library: Library, index: int, rng: np.random.Generator
) -> Array:
    """The edge (C,) of one grain, maximum 1: its phase, and some of a neighbouring valence by atoms.

    Air and the beam oxidise or reduce surfaces: hardly a specimen is of one valence throughout.
    """
    share = rng.uniform(*s.valence[index].second_phase)
    neighbours = [i for i in (index - 1, index + 1) if 0 <= i < len(s.valence)]
    phases = [(index, 1 - share), (int(rng.choice(neighbours)), share)]
    edge = np.sum([a * material_edge(energy_ev, s, library, i, rng) for i, a in phases], axis=0)
    return np.asarray(edge / edge.max())


def material_edge(
    energy_ev: Array,
    s: Settings,
    library: Library,
    index: int,
    rng: np.random.Generator,
    foreign: bool = False,
) -> Array:
    """The edge of one atom in some material of class `index`: edges may be added up by atoms.

    White lines have the area of the ion's 3d holes (sum rule, Thole & van der Laan 1988,
    https://doi.org/10.1103/PhysRevB.38.3158), the continuum belongs to the atom whatever its valence.

    Parameters
    ----------
    energy_ev : ndarray, shape (C,)
        Energies of the channels in eV, uniform.
    s, library
        Settings and their sticks.
    index : int
        Class.
    rng : Generator
        Source of all draws: two sites, line shape, strength, continuum.
    foreign : bool
        Of the foreign laboratory: its sticks, its law of broadening, its continuum.

    Returns
    -------
    ndarray, shape (C,)
        In units of one 3d hole's strength, per eV.
    """
    p, valence, sticks = s.spectrum, s.valence[index], library.of(index, foreign)
    first, second = sticks[rng.choice(len(sticks), 2)]
    share = rng.uniform(*p.second_site)
    strength = ((1 - share) * first + share * second).astype(float)
    l3_ev = rng.uniform(*valence.l3_ev)
    ranges = valence.foreign_lines if foreign else valence.lines
    drawn = {name: rng.uniform(*r) for name, r in vars(ranges).items()}
    shape = LineShape(**drawn, l2_shift_ev=rng.uniform(*p.l2_shift_ev), l2_factor=rng.uniform(*p.l2_factor))
    lines, l2_ev = white_lines(energy_ev, strength, l3_ev, shape)
    height = rng.uniform(*(s.foreign.continuum_per_atom if foreign else p.continuum_per_atom))
    steps = (rng.uniform(*r) for r in (p.continuum_delay_ev, p.continuum_width_ev, p.continuum_decay))
    area = valence.holes * rng.uniform(*p.strength_per_hole)
    return area * lines + height * continuum(energy_ev, l3_ev, l2_ev, *steps)


def scattered(edges: Array, thickness: Array, s: Settings, rng: np.random.Generator) -> Array:
    """Edges (P, C) after plural scattering, blur and drift, at `thickness` (Y, X), with Y * X = P."""
    instrument, step, t = s.instrument, s.edge.dispersion_ev, thickness.ravel()
    n_fft = 2 * edges.shape[1]
    single = s.scattering.draw(edges.shape[1], step, rng)
    sharp, blur = rng.uniform(*instrument.resolution_ev), rng.uniform(*instrument.thick_blur_ev)
    tail = rng.uniform(*instrument.tail_share), rng.uniform(*instrument.tail_ev)
    rows, columns = thickness.shape
    drift_ev = rng.uniform(*instrument.drift_ev) * np.linspace(0, 1, rows).repeat(columns)
    factor = response_factor(step, n_fft, np.hypot(sharp, blur * t), *tail, shift_ev=drift_ev)
    return convolve(edges, factor * plural_factor(single, t, n_fft), n_fft)


def wedge(shape: tuple[int, int], valence: Valence, rng: np.random.Generator) -> Array:
    """Thickness t/lambda (Y, X) of a wedge in a random direction; 0 where only the substrate is."""
    y, x = np.mgrid[: shape[0], : shape[1]] / np.maximum(np.array(shape) - 1, 1)[:, None, None]
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y + 0.05 * rng.standard_normal(shape)
    rank = along.ravel().argsort().argsort().reshape(shape) / along.size  # 0 ... 1 from the thin end
    bare = rng.uniform(*valence.substrate_share)
    low, high = valence.thickness
    high = rng.uniform(0.7, 1.0) * high
    inside = np.clip((rank - bare) / (1 - bare), 0, None)
    return np.where(rank < bare, 0.0, low + (high - low) * inside ** rng.uniform(0.8, 1.6))


def grains(shape: tuple[int, int], n: int, rng: np.random.Generator) -> Ints:
    """Which of n grains a pixel belongs to (Y, X): the nearest of n random seeds."""
    seeds = rng.uniform(0, 1, (n, 2)) * shape
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2).argmin(axis=-1)


def background(
    energy_ev: Array, edge_ev: float, thickness: Array, specimen: Specimen, rng: np.random.Generator
) -> Array:
    """Background counts (Y, X, C) relative to the edge's dose: a power law of the energy."""
    ratio, power = rng.uniform(*specimen.background_ratio), rng.uniform(*specimen.background_power)
    # plural scattering piles up more background than edge
    height = ratio * thickness * (1 + 0.5 * thickness)
    return height[..., None] * (energy_ev / edge_ev) ** -power


def detect(expected: Array, s: Settings, rng: np.random.Generator) -> Floats32:
    """Detected counts (Y, X, C): Poisson noise, point spread, read-out noise, and a few X-ray spikes."""
    counts = point_spread(rng.poisson(np.clip(expected, 0, None)), rng.uniform(*s.instrument.spread))
    counts += rng.uniform(*s.instrument.readout_counts) * rng.standard_normal(counts.shape)
    for _ in range(rng.poisson(s.instrument.spikes_per_image)):
        counts[tuple(rng.integers(counts.shape))] += 5 * np.sqrt(expected.max()) * rng.uniform(1, 4)
    return counts.astype(np.float32)


def point_spread(counts: NDArray, spread: float) -> Array:
    """Every count shared with its neighbours k channels away as spread^k (both sides), total kept.

    Poisson noise so becomes correlated: at lag k by (1 + k (1 - s^2) / (1 + s^2)) s^k, which for s = 0.35 is
    0.62, 0.31, 0.14 (measured on a real spectrometer: 0.61, 0.33).
    """
    # light from beyond the ends
    padded = np.pad(counts, [(0, 0)] * (counts.ndim - 1) + [(_FAR, _FAR)], mode="reflect")
    forward = lfilter([1.0], [1.0, -spread], padded, axis=-1)
    backward = lfilter([0.0, spread], [1.0, -spread], padded[..., ::-1], axis=-1)[..., ::-1]
    return (1 - spread) / (1 + spread) * (forward + backward)[..., _FAR:-_FAR]

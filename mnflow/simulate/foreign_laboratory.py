"""The foreign laboratory: clean spectra of other instruments, from other physics than the images.

Charge transfer, another law of broadening and another shape of the low loss.
"""

from pathlib import Path

import numpy as np

from mnflow.simulate.image import material_edge
from mnflow.simulate.library import Library, library_for
from mnflow.simulate.physics.scattering import convolve, plural_factor, response_factor
from mnflow.simulate.settings import Settings, load
from mnflow.simulate.write import write_table
from mnflow.spectra.arrays import Floats


def simulate_references(out: Path, seed: int, settings: Path | None = None) -> Path:
    """Write clean reference spectra and their `manifest.csv`; returns the manifest's path.

    Each is `<out>/<name>.csv` with columns energy_ev and intensity.

    As many of every class as the settings ask for (10, 9 and 12 for Mn), in groups (publications) that share
    an offset of the energy axis. Raises `InputError` for settings that cannot be used.
    """
    s, out = load(settings), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    library = library_for(s, out / "sticks")
    rng = np.random.default_rng([seed, 1000])
    rows = []
    for index, valence in enumerate(s.valence):
        for number in range(valence.references):
            group = f"laboratory {number % 4 + 1}"
            offset_ev = np.random.default_rng([seed, 1001, number % 4]).uniform(*s.foreign.offset_ev)
            name = f"{valence.name.rstrip('+')}_{number + 1:02d}.csv"
            energy_ev, intensity = reference(s, library, index, offset_ev, rng)
            channels = zip(energy_ev.round(3), intensity.round(6), strict=True)
            write_table(("energy_ev", "intensity"), channels, out / name)
            rows.append((name, valence.name, group))
    return write_table(("file", "valence", "group"), rows, out / "manifest.csv")


def reference(
    s: Settings, library: Library, index: int, offset_ev: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """One spectrum of class `index`: energy_ev (C,) and intensity (C,) from 0 to 1."""
    foreign, valence = s.foreign, s.valence[index]
    fine = np.arange(0, 90, 0.05) + np.mean(valence.l3_ev) - 30
    edge = material_edge(fine, s, library, index, rng, foreign=True)
    thickness, n_fft = np.array([rng.uniform(*foreign.thickness)]), 2 * len(fine)
    single = foreign.scattering.draw(len(fine), fine[1] - fine[0], rng)
    factor = response_factor(fine[1] - fine[0], n_fft, np.array([rng.uniform(*foreign.resolution_ev)]))
    edge = convolve(edge[None], factor * plural_factor(single, thickness, n_fft), n_fft)[0]
    step = rng.uniform(*foreign.step_ev)
    start = np.mean(valence.l3_ev) + offset_ev - rng.uniform(*foreign.pre_edge_ev)
    energy_ev = np.arange(start, start + rng.uniform(*foreign.length_ev), step)
    dispersion = 1 + rng.uniform(*s.instrument.dispersion_error)
    true_ev = np.mean(valence.l3_ev) + (energy_ev - offset_ev - np.mean(valence.l3_ev)) * dispersion
    intensity = np.interp(true_ev, fine, edge)
    intensity += rng.uniform(*foreign.noise_share) * rng.standard_normal(len(intensity)) * intensity.max()
    return energy_ev, (intensity - intensity.min()) / np.ptp(intensity)

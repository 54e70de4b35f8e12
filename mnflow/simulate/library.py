"""A library of stick spectra over a settings file's ranges: computed once, then mixed and broadened.

`python -m mnflow.simulate mn` makes the shipped one anew.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mnflow.runtime.files import read_arrays, whole_file
from mnflow.simulate.physics.atom import ion
from mnflow.simulate.physics.lineshape import STICK_EV, shared
from mnflow.simulate.physics.multiplet import ChargeTransfer, Field, Sticks, absorption
from mnflow.simulate.physics.scattering import Range
from mnflow.simulate.settings import Settings, Site
from mnflow.spectra.arrays import Bools, Floats32, Ints

SHIPPED = Path(__file__).with_name("sticks")
Progress = Callable[[str], None]

PARAMETERS = ("ten_dq", "ds", "dt", "slater", "delta")
"""What a stick spectrum depends on, in eV, but `slater` (reduction of the Slater integrals)."""

_VERSION = 2
"""Of `draw` and of the multiplets: a library that was made by other code is not taken."""


@dataclass(frozen=True)
class Library:
    """N stick spectra and what they were calculated from.

    Attributes
    ----------
    strength : ndarray, shape (N, B)
        On `STICK_EV`; rows sum to 1.
    valence : ndarray, shape (N,)
        Index of the class.
    foreign : ndarray of bool, shape (N,)
        Of the foreign laboratory.
    parameters : ndarray, shape (N, P)
        `PARAMETERS` of each; `delta` is NaN without charge transfer.
    """

    strength: Floats32
    valence: Ints
    foreign: Bools
    parameters: Floats32

    def of(self, valence: int, foreign: bool = False) -> Floats32:
        """The stick spectra (n, B) of one class."""
        return self.strength[(self.valence == valence) & (self.foreign == foreign)]


def draw(site: Site, rng: np.random.Generator) -> tuple[Field, ChargeTransfer | None]:
    """One parameter set of a site."""
    slater, distortion = rng.uniform(*site.slater), rng.random()
    field = Field(
        ten_dq=rng.uniform(*site.ten_dq),
        # one distortion moves Ds and Dt together
        ds=_between(site.ds, distortion),
        dt=_between(site.dt, np.clip(distortion + rng.uniform(-0.3, 0.3), 0, 1)),
        slater_dd=slater, slater_pd=slater + rng.uniform(-0.08, 0.08),
    )  # fmt: skip
    if site.delta is None:
        return field, None
    v_eg = rng.uniform(*site.v_eg)
    transfer = ChargeTransfer(
        delta=rng.uniform(*site.delta), u_dd_minus_u_pd=rng.uniform(*site.u_dd_minus_u_pd),
        v_eg=v_eg, v_t2g=v_eg * rng.uniform(*site.v_t2g_share),
    )  # fmt: skip
    return field, transfer


def _between(low_high: Range, share: float) -> float:
    low, high = low_high
    return float(low + (high - low) * share)


def binned(sticks: Sticks) -> Floats32:
    """Sticks on `STICK_EV`, each shared by two neighbours; sums are 1 and centroids are kept."""
    step = STICK_EV[1] - STICK_EV[0]
    position = np.clip((sticks.energy_ev - STICK_EV[0]) / step, 0, len(STICK_EV) - 1.001)
    (out,) = shared(position, sticks.strength, 0, (1, len(STICK_EV)))
    return (out / out.sum()).astype(np.float32)


def compute(settings: Settings, progress: Progress = lambda line: None, limit: int | None = None) -> Library:
    """The library of a settings file, at most `limit` entries per site; the same settings give the same."""
    strength, valence, foreign, parameters = [], [], [], []
    for index, v in enumerate(settings.valence):
        sites = [(s, False) for s in v.site] + [(s, True) for s in v.foreign_site]
        for j, (site, is_foreign) in enumerate(sites):
            progress(f"sticks of {v.name}, {'foreign ' if is_foreign else ''}{site.kind}: {site.entries}")
            rng = np.random.default_rng([settings.library_seed, index, j])
            for _ in range(min(site.entries, limit or site.entries)):
                field, transfer = draw(site, rng)
                strength.append(binned(absorption(ion(v.ion), field, transfer)))
                valence.append(index)
                foreign.append(is_foreign)
                delta = transfer.delta if transfer else np.nan
                parameters.append((field.ten_dq, field.ds, field.dt, field.slater_dd, delta))
    return Library(np.array(strength), np.array(valence), np.array(foreign), np.array(parameters, np.float32))


def save(library: Library, path: Path) -> Path:
    """Write a library; in half precision, three digits of a stick that is broadened later."""
    with whole_file(path) as part:
        strength = library.strength.astype(np.float16)
        np.savez_compressed(
            part, strength=strength, valence=library.valence.astype(np.int8), foreign=library.foreign,
            parameters=library.parameters,
        )  # fmt: skip
    return path


def read(path: Path) -> Library:
    """Read what `save` wrote."""
    z = read_arrays(path)
    return Library(
        z["strength"].astype(np.float32), z["valence"].astype(np.int64), z["foreign"], z["parameters"]
    )


def file_name(settings: Settings) -> str:
    """File name of a library: the element and a digest of everything that the sticks depend on."""
    parts = (_VERSION, settings.library_seed, [(v.ion, v.site, v.foreign_site) for v in settings.valence])
    return f"{settings.edge.element.lower()}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}.npz"


def library_for(settings: Settings, cache: Path, progress: Progress = lambda line: None) -> Library:
    """The library of these settings: shipped, or in the folder `cache`, where it is computed if missing."""
    name = file_name(settings)
    for folder in (SHIPPED, cache):
        if (folder / name).is_file():
            return read(folder / name)
    progress(f"computing the sticks of {settings.edge.element} once, into {cache / name}")
    return read(save(compute(settings, progress), cache / name))


def library_of(settings: Settings) -> Library:
    """The shipped stick spectra of these settings; computed if there are none."""
    with TemporaryDirectory() as folder:
        return library_for(settings, Path(folder))

"""The one readable settings file of a simulation (TOML): which ion, which surroundings, which instrument.

Every pair of numbers is a range that is drawn from uniformly. `settings/mn.toml` is the default.
"""

import tomllib
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import GenericAlias, UnionType
from typing import Any, get_args, get_type_hints

from mnflow.errors import InputError
from mnflow.simulate.physics.atom import ion
from mnflow.simulate.physics.scattering import Oscillators, Range, Scattering
from mnflow.spectra import Edge

_TOO_LARGE = 1e300
SETTINGS = Path(__file__).with_name("settings")


@dataclass(frozen=True)
class Site:
    """Surroundings of an ion, as `Range`s; see `multiplet.Field`.

    All are in eV but `slater`, the reduction of the Slater integrals.

    `entries` counts its parameter sets in the stick library. A site with `delta` has charge transfer.
    """

    kind: str
    entries: int
    slater: Range
    ten_dq: Range
    ds: Range = (0.0, 0.0)
    dt: Range = (0.0, 0.0)
    delta: Range | None = None
    u_dd_minus_u_pd: Range = (-1.5, -0.5)
    v_eg: Range = (1.5, 2.5)
    v_t2g_share: Range = (0.45, 0.6)


@dataclass(frozen=True)
class Lines:
    """Ranges of a `LineShape`'s parameters; where L2 lies is a property of the element (`Spectrum`)."""

    l3_width_ev: Range
    l2_extra_ev: Range
    growth: Range
    max_width_ev: Range
    disorder_ev: Range
    disorder_growth: Range = (0.0, 0.0)


@dataclass(frozen=True)
class Valence:
    """One class: its ion, sites, L3 centroid, line widths (FWHM, eV), and share of the images."""

    name: str
    ion: str
    l3_ev: Range
    images: int
    pixels: int
    references: int
    substrate_share: Range
    thickness: Range
    second_phase: Range
    lines: Lines
    foreign_lines: Lines
    site: tuple[Site, ...]
    foreign_site: tuple[Site, ...]

    @property
    def holes(self) -> int:
        """3d holes of the ion: white-line area per atom, in units of one hole's (sum rule)."""
        return 10 - ion(self.ion).n_d


@dataclass(frozen=True)
class Spectrum:
    """What happens to a stick spectrum on the way to a loss spectrum (see `image.material_edge`)."""

    second_site: Range
    l2_shift_ev: Range
    l2_factor: Range
    strength_per_hole: Range
    continuum_per_atom: Range
    continuum_delay_ev: Range
    continuum_width_ev: Range
    continuum_decay: Range


@dataclass(frozen=True)
class Instrument:
    """The spectrometer. `calibration_ev` is common to one session, `offset_ev` differs between its images."""

    beam_energy_kev: float
    dwell_s: Range
    axis_ev: Range
    calibration_ev: Range
    offset_ev: Range
    drift_ev: Range
    dispersion_error: Range
    resolution_ev: Range
    thick_blur_ev: Range
    tail_share: Range
    tail_ev: Range
    spread: Range
    readout_counts: Range
    spikes_per_image: float


@dataclass(frozen=True)
class Specimen:
    """A spectrum image: grains, dose, and background (counts per channel at the edge, per lambda)."""

    grains: Range
    edge_counts: Range
    background_ratio: Range
    substrate_thickness: Range
    background_power: Range


@dataclass(frozen=True)
class Foreign:
    """What differs in the foreign laboratory, which makes the references."""

    offset_ev: Range
    pre_edge_ev: Range
    length_ev: Range
    step_ev: Range
    resolution_ev: Range
    thickness: Range
    continuum_per_atom: Range
    noise_share: Range
    scattering: Oscillators = field(default_factory=Oscillators)


@dataclass(frozen=True)
class Settings:
    """All of a settings file."""

    library_seed: int
    edge: Edge
    valence: tuple[Valence, ...]
    spectrum: Spectrum
    instrument: Instrument
    specimen: Specimen
    foreign: Foreign
    scattering: Scattering = field(default_factory=Scattering)


def load(path: Path | None = None) -> Settings:
    """Read a settings file; without a path, the shipped default for manganese.

    A bare name such as "fe" means a shipped file. Raises `InputError` for a missing file, a key that is
    missing, unknown or of the wrong kind.
    """
    path = SETTINGS / "mn.toml" if path is None else Path(path)
    if not path.exists() and (SETTINGS / f"{path.name}.toml").exists():
        path = SETTINGS / f"{path.name}.toml"
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        shipped = ", ".join(p.stem for p in sorted(SETTINGS.glob("*.toml")))
        raise InputError(
            f"Settings: expected a TOML file, {path} cannot be read ({error}); shipped: {shipped}."
        ) from error
    settings: Settings = _fill(Settings, table, path.name)
    if tuple(v.name for v in settings.valence) != settings.edge.classes:
        raise InputError(
            f"{path.name}: the [[valence]] tables must be named {settings.edge.classes}, in this order."
        )
    return settings


def _fill(kind: Any, table: Any, where: str) -> Any:
    """A dataclass from a table, all keys checked.

    By hand, in some forty lines: pydantic is no part of what `pip install mnflow` needs.
    """
    if not isinstance(table, dict):
        raise InputError(f"{where}: expected a table, got {table!r}.")
    types = get_type_hints(kind)
    required = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    if (wrong := set(table) - set(types)) or (wrong := required - set(table)):
        raise InputError(
            f"{where}: {', '.join(sorted(wrong))} is unknown or missing; expected the keys "
            f"{', '.join(types)}."
        )
    return kind(**{key: _value(types[key], value, f"{where}: {key}") for key, value in table.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    if isinstance(kind, UnionType):
        kind = next(k for k in get_args(kind) if k is not type(None))
    if is_dataclass(kind):
        return _fill(kind, value, where)
    if isinstance(kind, GenericAlias):
        return _sequence(get_args(kind), value, where)
    number = kind in (int, float) and isinstance(value, int | float) and not isinstance(value, bool)
    if not number and not isinstance(value, kind):
        raise InputError(f"{where}: expected {kind.__name__}, got {value!r}.")
    if number and not abs(value) < _TOO_LARGE:  # NaN, too
        raise InputError(f"{where}: expected a finite number, got {str(value)[:20]}.")
    return kind(value)


def _sequence(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    open_ended = kinds[-1] is Ellipsis
    if not isinstance(value, list) or (not open_ended and len(value) != len(kinds)):
        raise InputError(
            f"{where}: expected {'a list' if open_ended else 'a range [low, high]'}, got {value!r}."
        )
    items = tuple(_value(kinds[0], v, where) for v in value)
    if kinds == (float, float) and items[0] > items[1]:
        raise InputError(f"{where}: expected a range [low, high] with low <= high, got {value!r}.")
    return items


def is_shipped(element: str) -> bool:
    """Whether there are shipped settings to simulate an element by."""
    return (SETTINGS / f"{element.lower()}.toml").exists()


def settings_of(element: str) -> Settings:
    """The shipped settings of an element."""
    return load(SETTINGS / f"{element.lower()}.toml")

"""An element's L2,3 edge: names and order of the classes, energy windows, splitting."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.spectra.arrays import Floats

SPLITTING_EV = {
    "Ti": 6.4, "V": 7.7, "Cr": 9.7, "Mn": 11.2, "Fe": 13.1, "Co": 15.1, "Ni": 17.3, "Cu": 19.6,
}  # fmt: skip
"""Difference of the 2p1/2 and 2p3/2 binding energies in eV (Fuggle & Martensson 1980,
doi:10.1016/0368-2048(80)85056-0).
"""


def is_plain_name(name: str) -> bool:
    """Whether a class may be a folder's name and a table's cell: no path, no hidden file, no formula."""
    return (
        0 < len(name) <= 40
        and name.isprintable()
        and name[0] not in ".~=+-@"
        and not set(name) & set('/\\:*?"<>|')
    )


@dataclass(frozen=True)
class Edge:
    """An element's L2,3 edge and how it is looked at. It travels with every dataset and every model.

    Attributes
    ----------
    element : str
        Chemical symbol.
    classes : tuple of str
        Names of the valences; their order is the order of labels and of the nets' outputs.
    charges : tuple of float
        Formal valence of every class, for a mean valence.
    wide_ev : tuple of float
        First and last-but-one-step energy [start, stop) that a dataset keeps, in eV: the crop and every shift
        fit in.
    crop_ev : tuple of float
        The window [start, stop) that a net sees at shift 0, in eV.
    dispersion_ev : float
        Width of a channel in eV.
    """

    element: str
    classes: tuple[str, ...]
    charges: tuple[float, ...]
    wide_ev: tuple[float, float]
    crop_ev: tuple[float, float]
    dispersion_ev: float = 0.1

    def __post_init__(self) -> None:
        for name in (self.element, *self.classes):
            if not is_plain_name(name):
                raise InputError(
                    f"Edge {self.element!r}: expected a name of letters, digits and signs such as Mn2+, got "
                    f"{name!r}: it becomes the name of a folder and a cell of tables."
                )
        if len(self.classes) != len(self.charges) or len(set(self.classes)) != len(self.classes):
            raise InputError(
                f"Edge {self.element}: expected one charge for each of several distinct classes, "
                f"got classes {self.classes} and charges {self.charges}."
            )
        if not (
            self.wide_ev[0] <= self.crop_ev[0] < self.crop_ev[1] <= self.wide_ev[1] and self.dispersion_ev > 0
        ):
            raise InputError(
                f"Edge {self.element}: the crop {self.crop_ev} eV must lie inside the wide window "
                f"{self.wide_ev} eV, and the dispersion ({self.dispersion_ev} eV) must be positive."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Edge":
        """The inverse of `dataclasses.asdict`, also from JSON (which turns tuples into lists)."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**fields)

    @property
    def n_wide(self) -> int:
        """Channels of the wide window (700 for Mn)."""
        return round((self.wide_ev[1] - self.wide_ev[0]) / self.dispersion_ev)

    @property
    def n_crop(self) -> int:
        """Channels of the crop (300 for Mn)."""
        return round((self.crop_ev[1] - self.crop_ev[0]) / self.dispersion_ev)

    @property
    def crop_start(self) -> int:
        """Channel of the wide window at which the unshifted crop begins (200 for Mn)."""
        return round((self.crop_ev[0] - self.wide_ev[0]) / self.dispersion_ev)

    @property
    def wide_axis_ev(self) -> Floats:
        """Energies of the wide window, (n_wide,), in eV."""
        return np.asarray(self.wide_ev[0] + self.dispersion_ev * np.arange(self.n_wide))

    @property
    def crop_axis_ev(self) -> Floats:
        """Energies of the unshifted crop, (n_crop,), in eV."""
        return np.asarray(self.crop_ev[0] + self.dispersion_ev * np.arange(self.n_crop))

    @property
    def splitting_ev(self) -> float:
        """Energy from L3 to L2 in eV: the spin-orbit splitting of the element's 2p level (11.2 for Mn).

        Raises
        ------
        InputError
            For an element that is not in `SPLITTING_EV`.
        """
        if self.element not in SPLITTING_EV:
            raise InputError(
                f"The L2,3 splitting of {self.element} is unknown: expected one of {', '.join(SPLITTING_EV)}."
            )
        return SPLITTING_EV[self.element]

    @property
    def guard_ev(self) -> float:
        """How far the lines' tails reach below the onset, in eV (3 for Mn); the background fit ends there."""
        return 3.0 * self.splitting_ev / SPLITTING_EV["Mn"]

    @property
    def feature_ev(self) -> Floats:
        """Left ends (F,), from L3, of the bins of 1 eV by which pixels are clustered (-8 ... 29 for Mn).

        They begin before the onset. They end 30 eV above L3 for every element, since bins that the wide
        window does not hold would move all of them away from L3.
        """
        return np.arange(-round(8 * self.splitting_ev / SPLITTING_EV["Mn"]), 30.0)

    def features(self, low_ev: float, high_ev: float) -> slice:
        """The bins of `feature_ev` between two energies from L3, in eV."""
        first, last = np.searchsorted(self.feature_ev, [low_ev - 0.5, high_ev - 0.5])
        return slice(int(first), int(last))

    @property
    def l3_features(self) -> slice:
        """Bins of L3: -2 ... +3 eV."""
        return self.features(-2.0, 3.0)

    @property
    def line_features(self) -> slice:
        """Bins of both white lines: -3 ... +16 eV for Mn."""
        return self.features(-3.0, self.splitting_ev + 4.8)

    @property
    def above_features(self) -> slice:
        """Bins above the white lines, where plural scattering shows: +14 ... +28 eV for Mn."""
        return self.features(self.splitting_ev + 2.8, self.splitting_ev + 16.8)

    @property
    def l3_ev(self) -> float:
        """Where L3 is expected, in eV: at three tenths of the crop window (644 for Mn)."""
        return self.crop_ev[0] + 0.3 * (self.crop_ev[1] - self.crop_ev[0])

    def label(self, name: str) -> int:
        """Index of a class name; raises `InputError` for an unknown one."""
        if name not in self.classes:
            raise InputError(f"Unknown valence {name!r}: expected one of {', '.join(self.classes)}.")
        return self.classes.index(name)


MN = Edge("Mn", ("Mn2+", "Mn3+", "Mn4+"), (2.0, 3.0, 4.0), wide_ev=(615.0, 685.0), crop_ev=(635.0, 665.0))

"""Atomic Hartree-Fock integrals of the 3d ions (atomic.csv).

Values in eV, 100 % (no reduction), as calculated with Cowan's RCN and shipped by Crispy (MIT licence, M.
Retegan, https://doi.org/10.5281/zenodo.1008184). "final" is the configuration 2p5 3d^(n+1).
"""

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mnflow.errors import InputError

TABLE = Path(__file__).with_name("atomic.csv")


@dataclass(frozen=True)
class Ion:
    """Name, number of 3d electrons, and integrals (eV) of 3d^n (`initial`) and of 2p5 3d^(n+1) (`final`)."""

    name: str
    n_d: int
    initial: dict[str, float]
    final: dict[str, float]


@lru_cache(maxsize=1)
def _table() -> dict[str, Ion]:
    with TABLE.open(newline="") as f:
        return {row["ion"]: _ion(row) for row in csv.DictReader(f)}


def _ion(row: dict[str, str]) -> Ion:
    initial = {name.lower(): float(row[name]) for name in ("F2dd", "F4dd", "zeta3d")}
    final = {name.lower(): float(row[f"final_{name}"]) for name in ("F2dd", "F4dd", "zeta3d")}
    final |= {name.lower(): float(row[name]) for name in ("F2pd", "G1pd", "G3pd", "zeta2p")}
    return Ion(row["ion"], int(row["n_d"]), initial, final)


def ion(name: str) -> Ion:
    """The integrals of an ion such as "Mn2+"; raises `InputError` for one that is not in the table."""
    if name not in _table():
        raise InputError(
            f"No atomic data for the ion {name!r}: expected one of {', '.join(_table())}; add a row to "
            f"{TABLE.name}."
        )
    return _table()[name]

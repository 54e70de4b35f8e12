"""EMSA/MAS spectra (ISO 22029): values follow the header, and a header that contradicts itself is refused."""

from pathlib import Path

import numpy as np

from mnflow.errors import InputError
from mnflow.read.tables import columns, read_text
from mnflow.spectra import Edge, RawSpectra
from mnflow.spectra.arrays import Floats
from mnflow.spectra.axis import energy_unit, ev_per_unit, names_no_unit, ordered, unit_from_numbers

SUFFIXES = (".msa", ".emsa", ".ems", ".mas")
"""Names of such files; others are known by their first line."""

FIRST_WORDS = "#FORMAT"
_X_RAY = ("EDS", "EDX", "WDS", "XEDS")
_KILOVOLTS = 5000.0  # no microscope has more; a larger BEAMKV was written in V


def read_msa(path: Path, edge: Edge) -> RawSpectra:
    """Read a spectrum with its energy axis in eV.

    Of type XY, its energies are those of its X column, and a note says where the header disagrees. Of type Y,
    they are OFFSET + i XPERCHAN.

    Raises
    ------
    InputError
        If it is no such file, NPOINTS and the data disagree, it holds X-rays, or its axis is no energy.
    """
    lines = read_text(path).splitlines()
    head, start = _header(lines, path)
    if head.get("SIGNALTYPE", "").upper() in _X_RAY:
        raise InputError(f"{path}: expected an energy-loss spectrum, got X-rays ({head['SIGNALTYPE']}).")
    stop = next((i for i in range(start, len(lines)) if lines[i].lstrip().startswith("#")), len(lines))
    xy = head.get("DATATYPE", "Y").upper() == "XY"
    table = (
        columns(lines[start:stop], start + 1, str(path), ragged=not xy) if start < stop else np.empty((0, 2))
    )
    if xy and table.shape[1] != 2:
        raise InputError(f"{path}: expected two columns for DATATYPE XY, got {table.shape[1]}.")
    notes: list[str] = []
    _check_points(_number(head, "NPOINTS", path), table, xy, path, notes)
    step, offset = _number(head, "XPERCHAN", path), _number(head, "OFFSET", path)
    if xy:
        values = table[:, 0]
        if (
            step
            and offset is not None
            and np.abs(values - offset - step * np.arange(len(values))).max() > abs(step)
        ):
            notes.append("the energies are those of the X column; OFFSET and XPERCHAN say otherwise")
    elif step is None or offset is None:
        raise InputError(f"{path}: expected XPERCHAN and OFFSET in its header.")
    else:
        values = np.asarray(offset + step * np.arange(len(table)), dtype=np.float64)
    factor = _factor(head, values, edge, path, notes)
    with np.errstate(over="ignore"):
        energy_ev, counts = ordered(values * factor, table[None, :, -1], str(path))
    beam, convergence, collection, dwell_ms = (
        _number(head, name, path, strict=False) for name in ("BEAMKV", "CONVANGLE", "COLLANGLE", "INTEGTIME")
    )
    metadata = {
        "title": head.get("TITLE") or None,
        "beam_energy_kev": beam / 1e3 if beam and beam > _KILOVOLTS else beam or None,
        "convergence_mrad": convergence,
        "collection_mrad": collection,
        "dwell_time_s": dwell_ms * 1e-3 if dwell_ms else None,
    }
    known = {k: v for k, v in metadata.items() if v is not None}
    return RawSpectra(energy_ev, counts, (), None, path.stem, path, metadata=known, notes=tuple(notes))


def _check_points(promised: float | None, table: Floats, xy: bool, path: Path, notes: list[str]) -> None:
    """Refuse data (C, columns) whose number differs from NPOINTS.

    For irregular energies NPOINTS is the number of uniform ones; the difference is noted.
    """
    if promised == len(table) > 0:
        return
    came = "no NPOINTS" if promised is None else f"NPOINTS {promised:g}"
    steps = np.diff(table[:, 0])
    if xy and len(steps) > 1 and np.ptp(steps) > 0.01 * np.abs(steps).max():
        notes.append(f"its header says {came}, the irregular energies of {len(table)} channels are believed")
        return
    raise InputError(f"{path}: {came} but {len(table)} values: it is cut short or damaged; copy it again.")


def _header(lines: list[str], path: Path) -> tuple[dict[str, str], int]:
    """The header's words by keyword, and the index of the first line of data."""
    head: dict[str, str] = {}
    for i, line in enumerate(lines):
        if not line.strip():
            continue
        if not line.lstrip().startswith("#"):
            break
        keyword, _, value = line.lstrip().lstrip("#").partition(":")
        name = keyword.split("-")[0].strip().upper()  # "#XPERCHAN-eV : 0.1" is allowed
        if name == "SPECTRUM":
            if "FORMAT" in head:
                return head, i + 1
            break
        head.setdefault(name, value.strip())
    raise InputError(
        f"{path} cannot be read as .msa: expected a header from #FORMAT to #SPECTRUM; it is damaged, cut "
        "short or of another kind."
    )


def _factor(head: dict[str, str], values: Floats, edge: Edge, path: Path, notes: list[str]) -> float:
    """eV per unit of the X axis, by XUNITS or XLABEL, else by the numbers."""
    units = head.get("XUNITS", "")
    for words in (units, head.get("XLABEL", "")):
        factor = energy_unit(words)
        if factor is not None and (words is units or names_no_unit(units)):
            return factor
    found = unit_from_numbers(values, edge.crop_ev) if names_no_unit(units) else None
    if found is None:
        return ev_per_unit(units, str(path))
    notes.append(f"no unit is named: the energies are read as {found[1]}, by their numbers")
    return found[0]


def _number(head: dict[str, str], name: str, path: Path, strict: bool = True) -> float | None:
    text = head.get(name, "").split("[")[0].strip()
    try:
        return float(text.replace(",", ".")) if text else None
    except ValueError:
        if not strict:
            return None
        raise InputError(f"{path}: expected a number for {name}, got {text[:40]!r}.") from None

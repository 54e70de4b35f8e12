"""Two-column text files and manifests."""

import csv
import io
import re
from pathlib import Path

import numpy as np

from mnflow.errors import InputError
from mnflow.spectra import RawSpectra
from mnflow.spectra.axis import ev_per_unit, ordered

MAX_TEXT_BYTES = 256_000_000
"""A text file beyond this size is refused: it is no table of one spectrum, and no manifest."""

_ENERGY_UNIT = re.compile(r"(?<![A-Za-z])([kKm]-?)?[eE][vV](?![A-Za-z])")


def read_text(path: Path) -> str:
    """Content of a text file of bounded size; raises `InputError`, also for bytes that are no text."""
    if not path.is_file():
        raise InputError(f"No file at {path}.")
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise InputError(
            f"{path}: expected a text file below {MAX_TEXT_BYTES / 1e6:g} MB, got "
            f"{path.stat().st_size / 1e6:g} MB."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: expected text in UTF-8 ({error}).") from error
    if "\0" in text:
        raise InputError(f"{path}: expected a text file, got binary data.")
    return text


def read_csv_spectrum(path: Path) -> RawSpectra:
    """Read a spectrum from text with two columns, energy and intensity, with or without a header.

    Columns are separated by comma, semicolon, tab or blanks; lines that start with # are skipped. The header
    may name the unit of the energy ("energy_ev", "Energy loss (keV)"); without a header the energies are
    taken as eV.

    Raises
    ------
    InputError
        If there is no file, a row is not two numbers, the header's unit is no energy, or the energies are no
        axis.
    """
    lines = [
        (i, s)
        for i, line in enumerate(read_text(path).splitlines(), 1)
        if (s := line.strip()) and not s.startswith("#")
    ]
    if not lines:
        raise InputError(f"{path}: expected two columns, energy and intensity, got an empty file.")
    factor = 1.0
    if re.match(r"[A-Za-z_\"']", lines[0][1]) and not lines[0][1].lower().startswith(("nan", "inf")):
        factor = _header_factor(lines.pop(0)[1], path)
    rows = np.array([_row(text, number, path) for number, text in lines], dtype=np.float64).reshape(
        -1, 2
    )  # (C, 2)
    energy_ev, counts = ordered(rows[:, 0] * factor, rows[None, :, 1], str(path))
    return RawSpectra(energy_ev, counts, (), None, path.stem, path)


def _header_factor(header: str, path: Path) -> float:
    first = re.split(r"[,;\t]", header)[0]
    unit = _ENERGY_UNIT.search(first.replace("_", " "))
    return ev_per_unit(unit.group() if unit else first.strip(), str(path))


def _row(text: str, number: int, path: Path) -> tuple[float, float]:
    cells = [c for c in re.split(r"[,;\s]+", text) if c]
    try:
        energy, intensity = (float(c) for c in cells)
    except ValueError:
        raise InputError(
            f"{path}, line {number}: expected two numbers, energy and intensity, got {text[:60]!r}."
        ) from None
    return energy, intensity


def read_manifest(folder: Path) -> list[tuple[Path, str, str]]:
    """Rows (file, valence, group) of folder/manifest.csv; a file that lies outside the folder is refused.

    Without a column `group` every file is a group of its own.

    Raises
    ------
    InputError
        If a column is missing, a row is incomplete or named twice, a file does not exist or is outside the
        folder.
    """
    path = folder / "manifest.csv"
    try:
        rows = csv.DictReader(io.StringIO(read_text(path)), strict=True)
        names = [(n or "").strip() for n in rows.fieldnames or []]
        rows.fieldnames = names
        if not {"file", "valence"} <= set(names):
            raise InputError(
                f"{path}: expected the columns file, valence and group, got "
                f"{', '.join(names)[:80] or 'none'}."
            )
        entries = [_entry(folder, row, rows.line_num) for row in rows]
    except csv.Error as error:
        raise InputError(f"{path}: expected comma-separated values ({error}).") from error
    if not entries:
        raise InputError(f"{path}: expected at least one row under the header, got none.")
    twice = (
        {str(e[0]) for i, e in enumerate(entries) if e[0] in {x[0] for x in entries[:i]}}
        if len(entries) < 10_000
        else set()
    )
    if twice:
        raise InputError(f"{path}: expected every file once, got {min(twice)} more than once.")
    return entries


def _entry(folder: Path, row: dict[str, str | None], line: int) -> tuple[Path, str, str]:
    where = f"{folder / 'manifest.csv'}, line {line}"
    cells = {k: (v or "").strip() for k, v in row.items() if isinstance(k, str) and not isinstance(v, list)}
    if None in row or not cells.get("file") or not cells.get("valence"):
        raise InputError(f"{where}: expected a file, a valence and a group in every row.")
    try:
        file = (folder / cells["file"]).resolve()
        inside = file.is_relative_to(folder.resolve())
        exists = inside and file.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: {cells['file'][:80]!r} is no path ({error}).") from error
    if not inside:
        raise InputError(
            f"{where}: expected a file inside {folder}, got {cells['file'][:80]!r}, which leads out of it."
        )
    if not exists:
        raise InputError(f"{where}: no file at {file}.")
    return file, cells["valence"], cells.get("group") or file.stem

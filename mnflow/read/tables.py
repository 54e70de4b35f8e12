"""Spectra in text files: columns of numbers under any header or none, fast and in bounded memory."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnflow.errors import InputError
from mnflow.spectra import MN, Edge, RawSpectra
from mnflow.spectra.arrays import Floats
from mnflow.spectra.axis import energy_unit, ev_per_unit, names_other_axis, ordered, unit_from_numbers

MAX_TEXT_BYTES = 100_000_000
"""A text file beyond this size is refused: it is no table of one spectrum, and no manifest."""

MAX_LINE = 1_000_000
"""Characters of a line of columns: a hundred thousand spectra beside one another. Longer ones are refused,
since a cell takes thirty times its size in memory.
"""

_DECIMAL_COMMA = re.compile(r"^[+-]?\d*,\d+([eE][+-]?\d+)?$")


def read_text(path: Path) -> str:
    """Content of a text file of bounded size, in UTF-8, UTF-16 with its mark, or Windows' Latin alphabet.

    Raises
    ------
    InputError
        If there is no file, it is too large, or its bytes are no text.
    """
    content = read_bytes(path, MAX_TEXT_BYTES, "a text file")
    try:
        text = _decode(content)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} cannot be read as text: expected text in UTF-8 ({error}).") from error
    if "\0" in text:
        raise InputError(f"{path}: expected a text file, got binary data.")
    return text


def read_bytes(path: Path, most_bytes: int, what: str) -> bytes:
    """Content of a file of bounded size; an `InputError` says `what` was expected."""
    if not path.is_file():
        raise InputError(f"No file at {path}.")
    held = path.stat().st_size
    if held > most_bytes:
        raise InputError(f"{path}: expected {what} below {most_bytes / 1e6:g} MB, got {held / 1e6:g} MB.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: expected {what} ({error}).") from error


def _decode(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = content.decode("utf-16")
        if not text.isascii() and sum(map(str.isascii, text)) < len(text) / 2:
            raise UnicodeDecodeError("utf-16", content[:20], 0, 2, "no text")
        return text
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if any(byte in content for byte in (b"\0", b"\x01", b"\x02", b"\x03", b"\x04")):
            raise
        return content.decode("cp1252")


@dataclass(frozen=True)
class Dialect:
    """How the numbers of a line are written: their separator (None: blanks), and if a comma is a point."""

    delimiter: str | None
    decimal_comma: bool

    def cells(self, line: str) -> list[str]:
        """A line's cells, without what surrounds them; a separator at its end makes none."""
        return [c.strip().strip("\"'") for c in self.clean(line).split(self.delimiter)]

    def clean(self, line: str) -> str:
        """A line with points for commas, without quotes and the separator some programs put at its end."""
        line = line.replace('"', "")
        line = line.replace(",", ".") if self.decimal_comma else line
        line = line.strip()
        return line.rstrip(self.delimiter).rstrip() if self.delimiter else line


def dialect_of(line: str) -> Dialect:
    """How the numbers of a line of data are written."""
    line = line.replace('"', "")
    for delimiter in (";", "\t"):
        if delimiter in line.strip():
            cells = [c.strip() for c in line.strip().split(delimiter)]
            return Dialect(delimiter, any(_DECIMAL_COMMA.match(c) for c in cells))
    blanks = line.split()
    if len(blanks) > 1 and all(_DECIMAL_COMMA.match(c) or c.isdigit() for c in blanks) and "," in line:
        return Dialect(None, True)
    return Dialect("," if "," in line else None, False)


def numbers_in(line: str) -> list[float] | None:
    """The two or more numbers of a line, or None if it holds anything else."""
    try:
        found = [float(c) for c in dialect_of(line).cells(line) if c]
    except ValueError:
        return None
    return found if len(found) > 1 else None


def columns(lines: list[str], first_line: int, where: str, ragged: bool = False) -> Floats:
    """Numbers of lines of data as an array (rows, columns).

    Parameters
    ----------
    lines : list of str
        All written as the first one; empty lines and lines that start with # are passed over.
    first_line : int
        The first one's number in its file, for an error.
    where : str
        What to call the file in an error.
    ragged : bool
        Whether lines may differ in length: their numbers then follow one another in one column (EMSA).

    Raises
    ------
    InputError
        That names the first line that is not as the first.
    """
    first = next((line for line in lines if line.strip()), "")
    dialect = dialect_of(first)
    try:
        if ragged:
            blank = " ".join(_data(lines, dialect)).replace(dialect.delimiter or " ", " ")
            return np.array(blank.split(), dtype=np.float64)[:, None]
        return np.loadtxt(_data(lines, dialect), delimiter=dialect.delimiter, ndmin=2, comments=None)
    except ValueError as error:
        width = len(dialect.cells(first))
        expected = "two numbers, energy and intensity" if width < 3 else f"{width} numbers"
        for number, line in enumerate(lines, first_line):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            cells = dialect.cells(line)
            if (len(cells) != width and not ragged) or not all(_is_number(c) for c in cells):
                got = line.strip()[:60]
                raise InputError(f"{where}, line {number}: expected {expected}, got {got!r}.") from None
        raise InputError(f"{where}: expected columns of numbers ({str(error)[:120]}).") from None


def _data(lines: Iterable[str], dialect: Dialect) -> Iterator[str]:
    for line in lines:
        cleaned = dialect.clean(line)
        if cleaned and not cleaned.startswith("#"):
            yield cleaned


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


_HEADER_LINES = 1000
"""Numbers must begin within so many lines."""

_ENERGY = re.compile(r"energy|e[ -]?loss|(?<![a-z])loss|(?<![a-z])k?e_?v(?![a-z])|(?<![a-z])x(?![a-z])", re.I)
_NO_SPECTRUM = re.compile(
    r"err|std|sigma|uncert|(?<![a-z])d[iy](?![a-z])|index|chan|pixel|background|fit|resid", re.I
)
_INTENSITY = re.compile(r"intens|count|signal|(?<![a-z])[iy](?![a-z])|absor|mu(?![a-z])", re.I)


def read_csv_spectrum(path: Path, edge: Edge = MN) -> RawSpectra:
    """Read one spectrum, or several beside one another, from columns of text.

    Columns are separated by comma, semicolon, tab or blanks, the decimal sign is a point or (unless commas
    separate) a comma; lines that start with # are skipped. Of two columns the first is the energy. Of more,
    the header says which: all others but errors, fits and channel numbers are spectra. The energy's unit is
    the header's ("energy_ev", "Energy loss (keV)"); without one the numbers decide, and a note says so.

    Parameters
    ----------
    path : path
        The file.
    edge : Edge
        Its window tells what unit numbers without one have.

    Raises
    ------
    InputError
        If there is no file, a line is not as the others, the energies are no axis or their unit is in doubt.
    """
    lines = read_text(path).splitlines()
    if (longest := max(map(len, lines), default=0)) > MAX_LINE:
        raise InputError(
            f"{path}: expected lines of {MAX_LINE:,} characters at most, got one of {longest:,}."
        )
    start = next((i for i, line in enumerate(lines[:_HEADER_LINES]) if _is_data(line)), None)
    if start is None:
        raise _no_numbers(lines, path)
    table = columns(lines[start:], start + 1, str(path))  # (C, columns)
    explicit, header = _header(lines[:start], table.shape[1])
    at, spectra = _roles(header, table.shape[1], path)
    energy, notes = _energies(table[:, at], header[at] if header else "", explicit, edge, path)
    counts = np.ascontiguousarray(table[:, spectra].T)  # (N, C)
    energy_ev, counts = ordered(energy, counts, str(path))
    if table.shape[1] > 2:
        names = ", ".join(header[i] for i in spectra)
        notes.append(f"of {table.shape[1]} columns, {header[at]} is the energy and {names} the intensity")
    nav_shape = (len(spectra),) if len(spectra) > 1 else ()
    return RawSpectra(energy_ev, counts, nav_shape, None, path.stem, path, notes=tuple(notes))


def _is_data(line: str) -> bool:
    return not line.lstrip().startswith("#") and numbers_in(line) is not None


def _no_numbers(lines: list[str], path: Path) -> InputError:
    """What to say of a file without a line of two numbers."""
    some = [(i, s) for i, line in enumerate(lines, 1) if (s := line.strip()) and not s.startswith("#")]
    if not some:
        return InputError(f"{path}: expected two columns, energy and intensity, got an empty file.")
    number, text = some[0] if len(some) == 1 or not re.match(r"[A-Za-z_\"']", some[0][1]) else some[1]
    if len(some) == 1 and len(re.split(r"[,;\t]", text)) > 1:
        return InputError(f"{path}: expected two channels or more, got a header alone.")
    return InputError(
        f"{path}, line {number}: expected two numbers, energy and intensity, got {text[:60]!r}."
    )


def _header(lines: list[str], width: int) -> tuple[bool, list[str]]:
    """Whether a line of names stands above the numbers, and the names of the columns, or none.

    A comment counts if it names as many columns, as numpy and Origin write them.
    """
    above = [s for line in lines if (s := line.strip())]
    if not above:
        return False, []
    explicit = not above[-1].startswith("#")
    line = above[-1].lstrip("#! ").strip()
    for delimiter in (*(d for d in (";", "\t", ",") if d in line), None):
        cells = [c.strip().strip("\"'") for c in line.split(delimiter)]
        if len(cells) == width:
            return explicit, cells
    # words without separators between the columns: the whole line speaks of the energy
    return (True, [line] + [""] * (width - 1)) if explicit and width == 2 else (False, [])


def _roles(header: list[str], width: int, path: Path) -> tuple[int, list[int]]:
    """The column of the energies, and those of the intensities."""
    if width == 2:
        swapped = header and not _ENERGY.search(header[0]) and _INTENSITY.search(header[0])
        return (1, [0]) if swapped and _ENERGY.search(header[1]) else (0, [1])
    energies = [i for i, name in enumerate(header) if energy_unit(name) is not None]
    energies = energies or [i for i, name in enumerate(header) if _ENERGY.search(name)]
    others = [i for i, name in enumerate(header) if name and i not in energies[:1]]
    rest = [i for i in others if not _NO_SPECTRUM.search(header[i])]
    named = [i for i in rest if _INTENSITY.search(header[i])]
    if len(energies) != 1 or not rest:
        raise InputError(
            f"{path}: expected two columns, energy and intensity, or a header that names one column of "
            f"{width} as the energy, got {', '.join(header)[:80] or 'no header'}."
        )
    return energies[0], named if len(named) == 1 else rest


def _energies(values: Floats, name: str, explicit: bool, edge: Edge, path: Path) -> tuple[Floats, list[str]]:
    """Energies in eV by the unit in their column's name, else by their numbers, and what to note of it."""
    factor = energy_unit(name)
    if factor is not None:
        return values * factor, []
    found = None if explicit and names_other_axis(name) else unit_from_numbers(values, edge.crop_ev)
    if found is not None:
        return values * found[0], [f"no unit is named: the energies are read as {found[1]}, by their numbers"]
    if explicit:
        ev_per_unit(name, str(path))  # raises: neither words nor numbers say it
    return values, ["no unit is named: the energies are read as eV"]

"""Many files: a folder per valence, a manifest, or published pickles; and folders of reference spectra."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from mnflow.errors import InputError
from mnflow.read.formats import FOLDERS
from mnflow.read.microscopes import SUFFIXES, has_format, read_file
from mnflow.read.tables import read_text
from mnflow.spectra import Edge, RawSpectra


def list_source(source: str | Path, edge: Edge) -> list[tuple[Path, str | None, str | None]]:
    """Files of a source with valence and group: from a manifest, a folder per valence, or one file.

    Raises
    ------
    InputError
        If there is nothing at the path, nothing to read in it, or a folder's name is no valence.
    """
    source = Path(source)
    if source.is_file() and source.name != "manifest.csv":
        return [(source, None, None)]
    folder = source.parent if source.is_file() else source
    if not folder.is_dir():
        raise InputError(
            f"No folder or file at {source}: expected a folder per valence ({', '.join(edge.classes)}) or a "
            f"manifest.csv."
        )
    if (folder / "manifest.csv").is_file():
        return [*read_manifest(folder)]
    files = files_in(folder)
    if not files:
        raise InputError(
            f"{folder}: expected a manifest.csv or a folder per valence with files of {', '.join(SUFFIXES)}, "
            f"found none."
        )
    return [(p, _folder_valence(p, folder, edge), _group(p, folder)) for p in files]


def is_folder(path: Path) -> bool:
    """Whether a path is a folder of files, not one of the formats that are a folder each."""
    return path.is_dir() and path.suffix.lower() not in FOLDERS


def files_in(folder: Path) -> list[Path]:
    """All files in a folder and its subfolders that may hold spectra, by suffix or content, sorted by name.

    Hidden files and manifests are left out.
    """
    return [p for p in _all_in(folder) if p.suffix.lower() in SUFFIXES or (p.is_file() and has_format(p))]


def not_read(folder: Path) -> list[Path]:
    """The other files in a folder: what is of no format of spectra, as far as its suffix and content say."""
    spectra = set(files_in(folder))
    beside = {p.with_suffix(".raw") for p in spectra if p.suffix.lower() == ".rpl"}  # its numbers
    return [p for p in _all_in(folder) if p.is_file() and p not in spectra | beside]


def _all_in(folder: Path) -> list[Path]:
    """Files, and folders that are one format's file, without manifests and what is hidden or within these."""
    return sorted(
        p
        for p in folder.rglob("*")
        if (p.is_file() or p.suffix.lower() in FOLDERS)
        and p.name != "manifest.csv"
        and not any(parent.suffix.lower() in FOLDERS for parent in p.relative_to(folder).parents)
        and not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )


def read_all(
    paths: Iterable[str | Path], edge: Edge, low_loss: str | Path | None = None
) -> Iterator[tuple[Path, RawSpectra | InputError]]:
    """Read many files and folders of files; one that cannot be read costs no other.

    Parameters
    ----------
    paths : iterable of path
        Files, and folders whose files are all meant (`files_in`).
    edge, low_loss
        As for `read_file`.

    Yields
    ------
    tuple
        A file's path, and its spectra or why it was refused. A folder without any file that can be read is
        a row of its own.
    """
    for given in map(Path, paths):
        files = files_in(given) if is_folder(given) else [given]
        if not files:
            yield given, InputError(f"{given}: expected files of {', '.join(SUFFIXES)}, found none.")
        for path in files:
            try:
                yield path, read_file(path, edge=edge, low_loss=low_loss)
            except InputError as error:
                yield path, error


def _group(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _folder_valence(path: Path, folder: Path, edge: Edge) -> str | None:
    """A file's class from the folder it lies in; files in `folder` itself must state it (pickles)."""
    parts = path.relative_to(folder).parts
    if len(parts) == 1:
        return None
    if parts[0] not in edge.classes:
        raise InputError(
            f"{folder / parts[0]}: expected a folder named {' or '.join(edge.classes)}, got {parts[0]!r}; or "
            f"add a manifest."
        )
    return parts[0]


def _low_loss_of(path: Path, source: Path, low_loss: str | Path | None) -> str | Path | None:
    """The low losses of a source's file: in a folder, those of the same place."""
    if low_loss is None or not is_folder(Path(low_loss)):
        return low_loss
    folder = source if source.is_dir() else source.parent
    return Path(low_loss) / path.resolve().relative_to(folder.resolve())


def read_source(source: str | Path, edge: Edge, low_loss: str | Path | None = None) -> Iterator[RawSpectra]:
    """Read training data file by file; every one comes with its valence.

    Parameters
    ----------
    source : path
        A folder, a manifest or a file: `list_source`.
    edge : Edge
        Classes and windows.
    low_loss : path, optional
        A file for all, or a folder that has low losses for each of the source's files, in files of the same
        names.

    Raises
    ------
    InputError
        If a file cannot be read, or its valence is unknown or none of the edge's classes.
    """
    for path, valence, group in list_source(source, edge):
        raw = read_file(path, valence, group, edge, _low_loss_of(path, Path(source), low_loss))
        if raw.valence is None:
            raise InputError(
                f"{path}: its valence is unknown; put it in a folder named {' or '.join(edge.classes)}, or "
                f"add a manifest.csv."
            )
        edge.label(raw.valence)
        yield raw


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
    twice = [str(file) for file, n in Counter(e[0] for e in entries).items() if n > 1]
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

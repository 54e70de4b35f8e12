"""Many files: a folder per valence, a manifest, or published pickles; and folders of reference spectra."""

from collections.abc import Iterator
from pathlib import Path

from mnflow.errors import InputError
from mnflow.read.microscopes import SUFFIXES, read_file
from mnflow.read.tables import read_manifest
from mnflow.spectra import Edge, RawSpectra


def list_source(source: str | Path, edge: Edge) -> list[tuple[Path, str | None, str | None]]:
    """Files of a source with valence and group: the manifest's if there is one, else a folder per valence,
    else one file.

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
    files = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in SUFFIXES and p.is_file() and not _hidden(p, folder)
    )
    if not files:
        raise InputError(
            f"{folder}: expected a manifest.csv or a folder per valence with files of {', '.join(SUFFIXES)}, "
            f"found none."
        )
    return [(p, _folder_valence(p, folder, edge), _group(p, folder)) for p in files]


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _group(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _folder_valence(path: Path, folder: Path, edge: Edge) -> str | None:
    """Class of a file by the folder that it lies in; files that lie in `folder` itself must tell it
    themselves (pickles).
    """
    parts = path.relative_to(folder).parts
    if len(parts) == 1:
        return None
    if parts[0] not in edge.classes:
        raise InputError(
            f"{folder / parts[0]}: expected a folder named {' or '.join(edge.classes)}, got {parts[0]!r}; or "
            f"add a manifest."
        )
    return parts[0]


def read_source(source: str | Path, edge: Edge) -> Iterator[RawSpectra]:
    """Read training data file by file; every one comes with its valence.

    Raises
    ------
    InputError
        If a file cannot be read, or its valence is unknown or none of the edge's classes.
    """
    for path, valence, group in list_source(source, edge):
        raw = read_file(path, valence, group, edge)
        if raw.valence is None:
            raise InputError(
                f"{path}: its valence is unknown; put it in a folder named {' or '.join(edge.classes)}, or "
                f"add a manifest.csv."
            )
        edge.label(raw.valence)
        yield raw

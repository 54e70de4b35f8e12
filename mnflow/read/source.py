"""Many files: a folder per valence, a manifest, or published pickles; and folders of reference spectra."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.preprocess.window import check_spectrum, place_windows
from mnflow.read.files import SUFFIXES, read_file
from mnflow.read.raw import RawSpectra
from mnflow.read.tables import read_manifest
from mnflow.spectra import UNLABELLED, SpectrumSet
from mnflow.valence import Edge


@dataclass(frozen=True)
class References:
    """Spectra of other laboratories, cut to what a net takes.

    Attributes
    ----------
    spectra : SpectrumSet
        N spectra on the crop window (N, n_crop), not normalised; mixed valences are `UNLABELLED`.
    valence_text : ndarray of str, shape (N,)
        The manifest's own words, e.g. "Mn2+/Mn3+".
    moved_bins : ndarray of int64, shape (N,)
        By how many channels each window was moved from the nominal one to meet the spectrum.
    raws : list of RawSpectra
        The files as they were read, of one spectrum or more each.
    """

    spectra: SpectrumSet
    valence_text: NDArray[np.str_]
    moved_bins: NDArray[np.int64]
    raws: list[RawSpectra]


def list_source(source: str | Path, edge: Edge) -> list[tuple[Path, str | None, str | None]]:
    """Files of a source with valence and group: the manifest's if there is one, else a folder per valence, else one file.

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
            f"No folder or file at {source}: expected a folder per valence ({', '.join(edge.classes)}) or a manifest.csv."
        )
    if (folder / "manifest.csv").is_file():
        return [*read_manifest(folder)]
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and not _hidden(p, folder))
    if not files:
        raise InputError(
            f"{folder}: expected a manifest.csv or a folder per valence with files of {', '.join(SUFFIXES)}, found none."
        )
    return [(p, _folder_valence(p, folder, edge), _group(p, folder)) for p in files]


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _group(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _folder_valence(path: Path, folder: Path, edge: Edge) -> str | None:
    """Class of a file by the folder that it lies in; files that lie in `folder` itself must tell it themselves (pickles)."""
    parts = path.relative_to(folder).parts
    if len(parts) == 1:
        return None
    if parts[0] not in edge.classes:
        raise InputError(
            f"{folder / parts[0]}: expected a folder named {' or '.join(edge.classes)}, got {parts[0]!r}; or add a manifest."
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
                f"{path}: its valence is unknown; put it in a folder named {' or '.join(edge.classes)}, or add a manifest.csv."
            )
        edge.label(raw.valence)
        yield raw


def read_references(source: str | Path, edge: Edge) -> References:
    """Read reference spectra from any source that `list_source` knows, background removed or not.

    Each is resampled in eV onto the edge's dispersion and cut as `place_window` does, never stretched. A valence that is
    none of the edge's classes, such as "Mn2+/Mn3+", leaves its spectra unlabelled; its text is kept.

    Raises
    ------
    InputError
        If there is nothing to read, a file cannot be read, or a spectrum does not hold the edge.
    """
    parts = [_placed(read_file(path, valence, group, edge), edge) for path, valence, group in list_source(source, edge)]
    crops, moved, names, raws = zip(*parts, strict=True)
    sizes = [len(raw) for raw in raws]
    text = np.repeat([raw.valence or "unknown" for raw in raws], sizes)
    labels = np.array([edge.classes.index(t) if t in edge.classes else UNLABELLED for t in text])
    groups = np.repeat([raw.group for raw in raws], sizes)
    where = f"references {Path(source).name}"
    spectra = SpectrumSet(edge.crop_axis_ev, np.concatenate(crops), labels, groups, edge, where, np.concatenate(names))
    return References(spectra, text, np.concatenate(moved), list(raws))


def _placed(raw: RawSpectra, edge: Edge) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_], RawSpectra]:
    """Crops (N, n_crop) of one file's spectra, by how many channels their windows moved, their names, and the file."""
    several = len(raw) > 1
    names = np.array([f"{raw.path.name} [{i}]" if several else raw.path.name for i in range(len(raw))])
    counts = np.asarray(raw.counts)
    for name, spectrum in zip(names, counts, strict=True):
        check_spectrum(raw.energy_ev, spectrum, edge, str(raw.path.parent / name))
    return *place_windows(raw.energy_ev, counts, edge, raw.background_removed), names, raw

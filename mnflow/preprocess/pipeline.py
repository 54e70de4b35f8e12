"""`preprocess`: raw files -> one `SpectrumSet`, and a report of what was kept, what was not, and why."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.preprocess.background import BACKGROUND_BINS
from mnflow.preprocess.clusters import Clusters, edge_features, reject_substrate, reject_thick, shape_features
from mnflow.preprocess.detector.faults import REASONS
from mnflow.preprocess.detector.gain_steps import STEP_NOTE
from mnflow.preprocess.locate import EdgePosition
from mnflow.preprocess.low_loss import single_scattering
from mnflow.preprocess.scan import Processor, Scan, scan
from mnflow.preprocess.window import Placement
from mnflow.spectra import Edge, RawSpectra, SpectrumSet
from mnflow.spectra.arrays import Floats32
from mnflow.spectra.axis import axis_ev

_CACHE_BYTES = 100_000_000  # spectra of one file that stay in memory between the two passes

KEPT, SUBSTRATE, THICK, BAD, SPARE = range(5)
"""Values of an image's map of what became of its pixels; `FATES` names them."""

FATES = ("kept", "substrate", "thick", "unusable", "not needed")


@dataclass(frozen=True)
class PreprocessOptions:
    """How raw spectra become training data.

    Attributes
    ----------
    substrate : str
        "auto" (clusters of small edge jump go), "keep", or the number of clusters of least jump that go.
    substrate_clusters : int
        Clusters of a class's pixels.
    substrate_jump : float
        A cluster is substrate if its edge jump is below this share of the greatest.
    thick : str
        "auto" (again and again, clusters that scatter much more than the thinnest go), "keep", or a number of
        clusters.
    thick_clusters : int
        Clusters of a split.
    thick_excess : float
        A cluster is thick if it has this much more intensity above the white lines than the thinnest, in
        units of L3.
    background_bins : int
        Channels before the onset that the background is fitted to.
    max_bad : float
        Share of a file's pixels that may be unusable (not finite, empty, saturated) before the file is
        refused.
    saturation_counts : float
        Counts at which the detector saturates; 0 finds plateaus and the integer type's maximum only.
    max_per_image : int
        Most spectra of one file that are kept, evenly spread over it: the dataset has to fit into memory.
    """

    substrate: str = "auto"
    substrate_clusters: int = 4
    substrate_jump: float = 0.25
    thick: str = "auto"
    thick_clusters: int = 3
    thick_excess: float = 0.15
    background_bins: int = BACKGROUND_BINS
    max_bad: float = 0.1
    saturation_counts: float = 0.0
    max_per_image: int = 20_000

    def __post_init__(self) -> None:
        if self.substrate_clusters < 2 or self.thick_clusters < 2:
            raise InputError("Options substrate_clusters and thick_clusters: expected 2 or more.")
        if not 0 <= self.max_bad <= 1 or self.max_per_image < 1 or self.background_bins < 10:
            raise InputError(
                "Expected max_bad in 0 ... 1, max_per_image of 1 or more and background_bins of 10 or more."
            )
        for name in ("substrate", "thick"):
            value = getattr(self, name)
            if value not in ("auto", "keep") and not value.isdigit():
                raise InputError(
                    f"Option {name}: expected auto, keep or a number of clusters, got {value!r}."
                )


@dataclass(frozen=True)
class ImageReport:
    """What became of one file.

    Attributes
    ----------
    group, valence, path : str
        As in the dataset.
    position : EdgePosition
        Where its edge was found.
    fate : ndarray of uint8, shape of the scan
        What became of each pixel: `KEPT`, `SUBSTRATE`, `THICK`, `BAD` or `SPARE`.
    counts : dict
        Number of pixels by fate, by the reason for which they were unusable, and `mended`: with spikes
        bridged.
    spikes : int
        Spikes, dead and hot channels that were bridged.
    notes : tuple of str
        What was assumed in reading.
    """

    group: str
    valence: str
    path: str
    position: EdgePosition
    fate: NDArray[np.uint8]
    counts: dict[str, int]
    spikes: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Preprocessed:
    """`spectra` on the wide window, a report per file (`images`), and k-means `clusters` by class."""

    spectra: SpectrumSet
    images: list[ImageReport]
    clusters: dict[str, list[Clusters]] = field(default_factory=dict)


def preprocess(
    raws: Iterable[RawSpectra],
    edge: Edge,
    options: PreprocessOptions | None = None,
    source: str = "unknown",
    progress: Callable[[str], None] = lambda line: None,
) -> Preprocessed:
    """Remove background, substrate and thick pixels; resample in eV onto the edge's wide window.

    Files are walked through in blocks, twice if they are big: first for the features that clusters are made
    of, then for the spectra that are kept. A file whose background was removed before (as it says, or because
    next to nothing is left before the edge) gets no second fit. A low loss removes plural scattering.

    Parameters
    ----------
    raws : iterable of RawSpectra
        Files with their valence (of `edge.classes`) and group; lazy ones stay on disk. If there are files of
        two classes or more but not of all, the dataset's edge has these only.
    edge : Edge
        Classes and windows.
    options : PreprocessOptions, optional
        Rules and limits.
    source : str
        Kept in the dataset.
    progress : callable
        Gets a line of text for every file.

    Returns
    -------
    Preprocessed

    Raises
    ------
    InputError
        If a file does not cover the window, is too coarse or has too many bad pixels, or a class is empty.
    """
    options = options or PreprocessOptions()
    processors: dict[int, Processor] = {}
    scans: dict[str, list[Scan]] = {}
    for one in raws:
        edge.label(one.valence or "unknown")
        raw = single_scattering(one, edge)
        processors[id(raw)] = Processor(raw, edge, options.background_bins)
        small = len(raw) * edge.n_wide * 4 <= _CACHE_BYTES
        one_scan = scan(processors[id(raw)], options.saturation_counts, keep_wide=small)
        scans.setdefault(raw.valence or "", []).append(one_scan)
        _check_bad(one_scan, options.max_bad)
        l3_ev = one_scan.position.l3_ev
        progress(f"{raw.group} ({raw.valence}): {len(raw)} spectra, L3 at {l3_ev:.1f} eV")
    if not scans:
        raise InputError("Expected spectrum images to preprocess, got none.")
    fates, clusters = {}, {}
    for valence in (name for name in edge.classes if name in scans):
        found, clusters[valence] = _class_fates(scans[valence], options, edge)
        fates.update({id(s): f for s, f in zip(scans[valence], found, strict=True)})
        kept = sum(int((f == KEPT).sum()) for f in found)
        progress(f"{valence}: {kept} of {sum(len(f) for f in found)} spectra kept")
        if kept == 0:
            raise InputError(
                f"{valence}: no spectrum is left after rejection; relax it with substrate=keep or thick=keep."
            )
    ordered = [s for name in edge.classes for s in scans.get(name, [])]
    images = [_report(s, fates[id(s)], processors[id(s.raw)].placed) for s in ordered]
    spectra = _assemble([(processors[id(s.raw)], s, fates[id(s)]) for s in ordered], edge, source).present()
    if words := missing_classes(edge, spectra):
        progress(words)
    return Preprocessed(spectra, images, clusters)


def missing_classes(edge: Edge, spectra: SpectrumSet) -> str:
    """What it means that a dataset has no spectra of some of the edge's classes; empty if it has all."""
    there = [name for name, n in spectra.counts().items() if n]
    missing = [name for name in edge.classes if name not in there]
    if not missing:
        return ""
    if len(there) < 2:
        return f"There are spectra of {there[0]} only: training needs two classes or more."
    return (
        f"There are no spectra of {', '.join(missing)}: models that train on this dataset know "
        f"{', '.join(there)} only, and will call every spectrum one of these."
    )


def _check_bad(found: Scan, limit: float) -> None:
    by_reason = np.bincount(found.bad, minlength=len(REASONS))[1:].tolist()
    n, total = sum(by_reason), len(found.bad)
    if n == total or n > limit * total:
        why = ", ".join(f"{k} {reason}" for k, reason in zip(by_reason, REASONS[1:], strict=True) if k)
        raise InputError(
            f"{found.raw.path}: expected at most {limit:.0%} unusable pixels, got {n} of {total} ({why}); "
            "mend the file, leave it out, or raise max_bad."
        )


def _class_fates(
    scans: list[Scan], options: PreprocessOptions, edge: Edge
) -> tuple[list[NDArray[np.uint8]], list[Clusters]]:
    """What becomes of each pixel of each file (N,) of one class, and the clusters behind it."""
    good = np.concatenate([s.bad == 0 for s in scans])
    fate = np.where(good, KEPT, BAD).astype(np.uint8)
    # (good pixels of the class, F)
    points = np.concatenate([edge_features(s, edge)[s.bad == 0] for s in scans])
    index = np.flatnonzero(good)
    substrate, first = reject_substrate(
        points, options.substrate, options.substrate_clusters, options.substrate_jump, edge
    )
    fate[index[substrate]] = SUBSTRATE
    index, points = index[~substrate], shape_features(points[~substrate], edge)
    thick, rest = reject_thick(points, options.thick, options.thick_clusters, options.thick_excess, edge)
    fate[index[thick]] = THICK
    parts = np.split(fate, np.cumsum([len(s.bad) for s in scans])[:-1])
    for part in parts:
        kept = np.flatnonzero(part == KEPT)
        if len(kept) > options.max_per_image:
            part[kept] = SPARE
            part[kept[np.linspace(0, len(kept) - 1, options.max_per_image).round().astype(int)]] = KEPT
    return parts, [*first, *rest]


def _report(found: Scan, fate: NDArray[np.uint8], placed: Placement) -> ImageReport:
    raw = found.raw
    counts = {name: int((fate == i).sum()) for i, name in enumerate(FATES)}
    counts |= {name: int((found.bad == i).sum()) for i, name in enumerate(REASONS) if i}
    counts["mended"] = int((found.spikes > 0).sum())
    valence, image, spikes = raw.valence or "", fate.reshape(raw.nav_shape), int(found.spikes.sum())
    notes = raw.notes if placed.gain_step is None else (*raw.notes, STEP_NOTE)
    return ImageReport(raw.group, valence, str(raw.path), found.position, image, counts, spikes, notes)


def _kept_spectra(processor: Processor, found: Scan, fate: NDArray[np.uint8]) -> Floats32:
    """Background-free spectra (kept, n_wide) of one file: from memory, or by a second pass."""
    if found.wide is not None:
        return found.wide[fate == KEPT]
    parts = [
        processor(processor.resample(processor.mended(c)[0][fate[rows] == KEPT]))
        for rows, c in processor.blocks()
        if (fate[rows] == KEPT).any()
    ]
    return np.concatenate(parts) if parts else np.empty((0, processor.edge.n_wide), dtype=np.float32)


def _assemble(files: list[tuple[Processor, Scan, NDArray[np.uint8]]], edge: Edge, source: str) -> SpectrumSet:
    spectra, labels, groups, names = [], [], [], []
    for processor, found, fate in files:
        kept = np.flatnonzero(fate == KEPT)
        spectra.append(_kept_spectra(processor, found, fate))
        labels.append(np.full(len(kept), edge.label(found.raw.valence or "")))
        groups.append(np.full(len(kept), found.raw.group))
        for i in kept.tolist():
            pixel = ",".join(str(int(place)) for place in np.unravel_index(i, found.raw.nav_shape))
            names.append(f"{found.raw.group} {pixel}".strip())
    energy_ev = axis_ev(edge.wide_ev[0], edge.n_wide, edge.dispersion_ev)
    every = np.concatenate
    return SpectrumSet(energy_ev, every(spectra), every(labels), every(groups), edge, source, np.array(names))

"""The figures of valence maps: the data of each panel."""

import numpy as np
from matplotlib.figure import Figure

from mnflow import plots
from mnflow.evaluate.saliency import occlusion
from mnflow.maps.export import pixel_size
from mnflow.maps.regions import Region
from mnflow.maps.valence_maps import ValenceMaps
from mnflow.plots.panels import Line
from mnflow.plots.valence import Answers
from mnflow.preprocess.background import subtract_background
from mnflow.preprocess.crops import normalise
from mnflow.preprocess.window import Placement
from mnflow.spectra.arrays import Array, Floats


def figure_of(maps: ValenceMaps) -> Figure:
    """An image's, a line scan's or a single spectrum's figure; further axes are put one below the other."""
    if len(maps.pixels) == 1:
        return spectrum_figure(maps, maps.region())
    if len(maps.shape) == 1:
        axis, (pixel, unit) = maps.axes[0], pixel_size(maps)
        position = axis["offset"] + pixel * np.arange(axis["size"]) if unit else np.arange(axis["size"])
        return plots.valence_profile(_answers(maps, maps.shape), position)
    return plots.valence_image(_answers(maps, (-1, maps.shape[-1])))


def spectrum_figure(maps: ValenceMaps, region: Region) -> Figure:
    """The mean spectrum of a region with background, window, saliency and its answer."""
    energy_ev, where = region.energy_ev, maps.where
    low, high = maps.predictor.edge.wide_ev
    shift_ev = where.moved_bins * where.edge.dispersion_ev
    inside = (energy_ev >= low + shift_ev) & (energy_ev < high + shift_ev)
    background = background_of(where, region)
    crop = where(region.spectrum[None])[0]
    flags = f"\nflags: {', '.join(region.flags).replace('_', ' ')}" if region.flags else ""
    words = str(region).replace("; ", "\n") + flags
    line = Line(crop_energies(where), crop, region.valence_class or "", words)
    shown = None if background is None else background[inside]
    recorded = energy_ev[inside], region.spectrum[inside], shown
    return plots.valence_spectrum(line, recorded, saliency_of(maps, region), maps.classes)


def saliency_of(maps: ValenceMaps, region: Region) -> Floats:
    """How much a region's answer depends on each energy of the window: (n_crop,)."""
    crops = normalise(maps.where(region.spectrum[None]))
    return occlusion(lambda x: maps.predictor.probabilities(x)[None], crops)[0]


def crop_energies(where: Placement) -> Floats:
    """Energies of the window's channels on the spectrum's own axis, in eV."""
    return where.edge.crop_axis_ev + where.moved_bins * where.edge.dispersion_ev


def background_of(where: Placement, region: Region) -> Floats | None:
    """What `where` subtracts from a spectrum, on its own axis; None if it is no power law."""
    if where.position.background != "power law":
        return None
    resampled = where.resample(region.spectrum[None])
    free = subtract_background(where.grid_ev, resampled, where.position.onset_ev, where.edge)[0]
    return np.interp(region.energy_ev, where.grid_ev, (resampled - free)[0], left=np.nan, right=np.nan)


def _answers(maps: ValenceMaps, shape: tuple[int, ...]) -> Answers:
    p, edge = maps.pixels, maps.predictor.edge
    pixel, unit = pixel_size(maps)
    fractions = p.probabilities if np.isnan(p.fractions).all() else p.fractions

    def image(values: Array) -> Array:
        return values.reshape(*shape, *values.shape[1:])

    return Answers(
        element=edge.element,
        classes=edge.classes,
        charges=edge.charges,
        intensity=image(p.intensity),
        mean_valence=image(p.mean_valence),
        interval=image(p.interval),
        fractions=image(fractions),
        flagged=image(maps.flagged),
        lines=[_line(maps, name, region) for name, region in maps.by_class().items()],
        note=note(maps),
        pixel=pixel,
        unit=unit,
        thickness=None if maps.thickness_ratio is None else image(maps.thickness_ratio),
    )


def _line(maps: ValenceMaps, name: str, region: Region) -> Line:
    low, high = region.interval
    ends = f" ± {region.spread:.2f}" if np.isnan(low) else f" [{low:.2f}, {high:.2f}]"
    words = f"{name}: {region.n - region.n_flagged} px\nmean valence {region.mean_valence:.2f}{ends}"
    return Line(crop_energies(maps.where), maps.where(region.spectrum[None])[0], name, words)


def note(maps: ValenceMaps) -> str:
    """How many spectra are flagged, and the most frequent reasons."""
    flagged, n = int(maps.flagged.sum()), len(maps.pixels)
    if not flagged:
        return f"none of {n} spectra is flagged"
    why = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in list(maps.reasons().items())[:3])
    return f"grey: {flagged} of {n} spectra are flagged and not counted ({why or 'wide intervals'})"

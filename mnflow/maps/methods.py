"""What a paper's methods section needs to say about valence maps."""

import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np

import mnflow
from mnflow.maps.valence_maps import ValenceMaps

_NAMED = ("numpy", "scipy", "hyperspy", "exspy", "rosettasciio")


def methods(maps: ValenceMaps) -> str:
    """One paragraph: what was done with the spectra, which of them were left out, the model, and versions."""
    edge, raw, where = maps.predictor.edge, maps.raw, maps.where
    step = float(np.median(np.diff(raw.energy_ev)))
    size = " x ".join(str(axis["size"]) for axis in maps.axes[::-1])
    done = "".join(f" {x[0].upper()}{x[1:]}." for x in maps.notes)
    low, high = (end + where.moved_bins * edge.dispersion_ev for end in edge.crop_ev)
    flagged = maps.flagged
    reasons = ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in maps.reasons().items())
    left_out = (
        f"{int(flagged.sum())} of {len(flagged)} spectra were flagged and excluded from all means"
        + (f" ({reasons}; a spectrum can have several flags)" if reasons else "")
        + (
            f", among them those with an interval wider than {maps.max_width:g}"
            if np.isfinite(maps.max_width)
            else ""
        )
    )
    facts = ", ".join(f"{name} {value}" for name, value in sorted(maps.predictor.facts.items()))
    versions = ", ".join(f"{name} {found}" for name in _NAMED if (found := _version(name)))
    return (
        f"The oxidation state of {edge.element} was determined from the L2,3 edge with mnflow "
        f"{mnflow.__version__}. {len(raw)} {'spectra' if len(raw) > 1 else 'spectrum'} of "
        f"{maps.title}{f' ({size})' if size else ''} with {step:.3g} eV per channel were used. "
        f"The edge onset was found at {where.position.onset_ev:.1f} eV.{done} "
        f"Spectra were resampled to {edge.dispersion_ev:g} eV per channel, cut to "
        f"{low:.1f}-{high:.1f} eV and normalised. Classes are {', '.join(edge.classes)}; the interval of the "
        f"mean valence is the 90 % interval. {left_out}. The valence of a region is that of the mean "
        f"spectrum of its unflagged pixels. Model: {facts or 'no record'}. Software: Python "
        f"{platform.python_version()}, {versions}. Method: Chatzidakis and Botton, Sci. Rep. 9, 2126 (2019), "
        "https://doi.org/10.1038/s41598-019-38482-1."
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""

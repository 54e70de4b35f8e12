"""Maps as files (HyperSpy's, a table, TIFF for ImageJ), and in words for a paper's methods section."""

import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import mnflow
from mnflow.errors import InputError
from mnflow.maps.valence_maps import ValenceMaps
from mnflow.runtime.files import HDF5_BYTES, check_room, plain_cells, whole_file

_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 270, 282, 283, 296
_LABEL_SIZES, _LABELS = 50838, 50839  # ImageJ's own tags

_NAMED = ("numpy", "scipy", "hyperspy", "exspy", "rosettasciio")  # whose versions the paragraph names


def save(maps: ValenceMaps, path: Path) -> Path:
    """Write all quantities to one file by its suffix; see `ValenceMaps.save`."""
    writers = {".hspy": _hspy, ".csv": _csv, ".tif": _tiff, ".tiff": _tiff}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise InputError(
            f"{path}: expected a name that ends in {', '.join(writers)}, got {path.suffix or 'none'}."
        )
    with whole_file(path) as part:
        writer(maps, part)
    return path


def _csv(maps: ValenceMaps, path: Path) -> None:
    plain_cells(maps.to_dataframe()).to_csv(path, index=False, float_format="%.6g")


def _hspy(maps: ValenceMaps, path: Path) -> None:
    """All signals in one file: HyperSpy writes one each, and reads as many as there are."""
    import h5py

    signals = maps.signals()
    # a part and the whole at a time
    check_room(path, 2 * sum(signal.data.nbytes + HDF5_BYTES for signal in signals.values()))
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, h5py.File(path, "w") as file:
        experiments = file.create_group("Experiments", track_order=True)
        for name, signal in signals.items():
            part = Path(folder) / f"{name}.hspy"
            signal.save(part)
            with h5py.File(part) as one:
                for key, value in one.attrs.items():
                    file.attrs[key] = value
                group = next(iter(one["Experiments"].values()))
                one.copy(group, experiments, name=name)


def _tiff(maps: ValenceMaps, path: Path) -> None:
    """One 32-bit page per quantity, with labels and pixel size as ImageJ writes them; NaN where flagged."""
    from PIL import Image, TiffImagePlugin, TiffTags

    signals = maps.masked().signals()
    columns = maps.shape[-1] if maps.shape else 1
    pages = [Image.fromarray(s.data.reshape(-1, columns).astype(np.float32)) for s in signals.values()]
    pixel, unit = pixel_size(maps)
    labels = [name.encode("utf-16-le") for name in signals]
    header = b"JIJI" + b"lbal" + len(labels).to_bytes(4, "little")  # "IJIJ", "labl", how many: little-endian
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[_DESCRIPTION] = f"ImageJ=1.54f\nimages={len(pages)}\nslices={len(pages)}\nunit={unit or 'pixel'}\n"
    tags.tagtype[_LABEL_SIZES], tags.tagtype[_LABELS] = TiffTags.LONG, TiffTags.UNDEFINED
    tags[_LABEL_SIZES], tags[_LABELS] = (len(header), *map(len, labels)), header + b"".join(labels)
    resolution = 1 / pixel if pixel > 0 else 1.0
    tags[_X_RESOLUTION], tags[_Y_RESOLUTION], tags[_RESOLUTION_UNIT] = resolution, resolution, 1
    pages[0].save(path, format="TIFF", save_all=True, append_images=pages[1:], tiffinfo=tags)


def pixel_size(maps: ValenceMaps) -> tuple[float, str]:
    """Width of a pixel and its unit; (0, "") if the navigation axis has none."""
    axis = maps.axes[-1] if maps.axes else {}
    unit = axis.get("units")
    if not isinstance(unit, str) or unit in ("", "<undefined>") or "scale" not in axis:
        return 0.0, ""
    return abs(float(axis["scale"])), unit


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

"""Small files of every format, made on the spot."""

import struct
from pathlib import Path
from typing import Any

import numpy as np


def counts_image(
    rng: np.random.Generator, shape: tuple[int, ...] = (3, 4), channels: int = 1200
) -> np.ndarray:
    """Counts (*shape, channels) on 580 + 0.1 n eV: background, white lines at 643 and 654 eV, noise."""
    energy_ev = 580 + 0.1 * np.arange(channels)
    lines = np.exp(-0.5 * ((energy_ev - 643) / 0.8) ** 2) + 0.5 * np.exp(
        -0.5 * ((energy_ev - 654) / 1.0) ** 2
    )
    mean = 5000 * (energy_ev / 640) ** -3.0 + 2000 * lines + 200 / (1 + np.exp(645 - energy_ev))
    return (mean + rng.normal(0, 20, (*shape, channels))).astype(np.float32)


def axis(name: str, size: int, scale: float, offset: float, units: str, navigate: bool) -> dict[str, Any]:
    return {
        "_type": "UniformDataAxis", "name": name, "size": size, "scale": scale, "offset": offset,
        "units": units,
        "navigate": navigate, "is_binned": False,
    }  # fmt: skip


def signal(
    data: np.ndarray, units: str = "eV", scale: float = 0.1, offset: float = 580.0, **changes: Any
) -> dict[str, Any]:
    """RosettaSciIO's dictionary of an EELS signal whose last axis is the energy."""
    axes = [axis(n, s, 2.0, 0.0, "nm", True) for n, s in zip("yxz", data.shape[:-1], strict=False)]
    axes.append(axis("Energy loss", data.shape[-1], scale, offset, units, False) | changes)
    return {
        "data": data, "axes": axes, "original_metadata": {}, "learning_results": {}, "models": {},
        "tmp_parameters": {},
        "metadata": {
            "General": {"title": "a title"}, "Signal": {"signal_type": "EELS"},
            "Acquisition_instrument": {"TEM": {"beam_energy": 80.0}},
        },
        "attributes": {"_lazy": False}, "package_info": {"package": "", "package_version": ""},
    }  # fmt: skip


def write(path: Path, made: dict[str, Any]) -> Path:
    """Write a signal as .hspy, .emd, .nxs or .msa."""
    import importlib

    path.parent.mkdir(parents=True, exist_ok=True)
    module = {".nxs": "nexus"}.get(path.suffix, path.suffix[1:])
    importlib.import_module(f"rsciio.{module}").file_writer(str(path), made)
    return path


def write_dm3(
    path: Path,
    data: np.ndarray,
    scale: float = 0.1,
    offset: float = 580.0,
    promised: int | None = None,
    kind: int = 2,
    title: str = "made",
) -> Path:
    """Write a spectrum (C,) or an image (C, Y, X) as .dm3; `promised` and `kind` falsify it."""

    def tag(name: str, payload: bytes, group: bool) -> bytes:
        return struct.pack(">Bh", 20 if group else 21, len(name)) + name.encode() + payload

    def group(name: str, *tags: bytes) -> bytes:
        return tag(name, struct.pack(">BBi", 1, 0, len(tags)) + b"".join(tags), True)

    def number(name: str, value: float, kind: int) -> bytes:
        return tag(
            name,
            b"%%%%" + struct.pack(">ii", 1, kind) + struct.pack("<f" if kind == 6 else "<i", value),
            False,
        )

    def array(name: str, code: int, values: bytes, size: int) -> bytes:
        return tag(name, b"%%%%" + struct.pack(">iiii", 3, 20, code, size) + values, False)

    def rectangle(name: str) -> bytes:  # a structure of two integers, as in "Area"
        return tag(
            name,
            b"%%%%"
            + struct.pack(">7i", 7, 15, 0, 2, 0, 3, 0)
            + struct.pack(">i", 3)
            + struct.pack("<ii", 1, 2),
            False,
        )

    def rectangles(name: str) -> bytes:  # an array of three structures of two short integers
        kinds = struct.pack(">10i", 9, 20, 15, 0, 2, 0, 2, 0, 2, 3)
        return tag(name, b"%%%%" + kinds + struct.pack("<6h", *range(6)), False)

    def text(name: str, value: str) -> bytes:
        return array(name, 4, value.encode("utf-16-le"), len(value))

    sizes = list(data.shape[::-1])
    if promised:
        sizes[-1] = promised
    calibrated = [(0.0, 1.0, "nm")] * (data.ndim - 1) + [(-offset / scale, scale, "eV")]
    dimensions = [
        group("", number("Origin", o, 6), number("Scale", s, 6), *([text("Units", u)] if u else [])) for o, s,
        u in calibrated
    ]  # fmt: skip
    brightness = group("Brightness", number("Origin", 0, 6), number("Scale", 1, 6), text("Units", "e-"))
    image = group(
        "",
        group(
            "ImageData",
            group("Calibrations", brightness, group("Dimension", *dimensions)),
            array("Data", 6, data.astype("<f4").tobytes(), data.size),
            number("DataType", kind, 3),
            group("Dimensions", *(number("", n, 3) for n in sizes)),
        ),
        group(
            "ImageTags",
            rectangle("Area"),
            rectangles("Areas"),
            group("Microscope Info", number("Voltage", 200e3, 6)),
            group("Meta Data", text("Format", "Spectrum image"), text("Signal", "EELS")),
        ),
        text("Name", title),
    )
    body = struct.pack(">BBi", 1, 0, 1) + group("ImageList", image)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(">iii", 3, len(body), 1) + body + b"\0" * 8)
    return path

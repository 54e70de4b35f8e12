"""One open page: which file it shows, what is chosen on it, and what it exports."""

import io
import tempfile
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.maps import Region, ValenceMaps, maps_of
from mnflow.maps.comparison import Reference, read_reference
from mnflow.maps.export import methods
from mnflow.maps.figures import spectrum_figure
from mnflow.read import read_file, read_low_loss
from mnflow.spectra import RawSpectra
from mnflow.view.panels import Panels
from mnflow.view.shared import Shared

EXPORTS = {
    "figure.png": "image/png",
    "figure.pdf": "application/pdf",
    "figure.svg": "image/svg+xml",
    "spectrum.pdf": "application/pdf",
    "maps.hspy": "application/x-hdf5",
    "maps.tif": "image/tiff",
    "table.csv": "text/csv",
    "methods.txt": "text/plain; charset=utf-8",
    "all.zip": "application/zip",
}
"""What the page exports, and as what."""

_KEPT_BYTES = 10**9  # spectra that stay in memory: packed files would be unpacked again for every region


class Session:
    """The state of one page. Work runs in a thread; whatever the page shows changes in Bokeh's own."""

    def __init__(self, document: Any, shared: Shared) -> None:
        self.document, self.shared = document, shared
        self.number = str(max(map(int, shared.sessions), default=0) + 1)
        shared.sessions[self.number] = self
        self.maps: ValenceMaps | None = None
        self.region: Region | None = None
        self.title = ""
        self.raw: RawSpectra | None = None
        self.references: list[Reference] = []
        self.panels = Panels(document, self.choose_pixel, self.choose_region, self.limit)
        document.on_session_destroyed(lambda context: shared.sessions.pop(self.number, None))
        if shared.file is not None:
            self.open_file(shared.file, "spectra")

    def open_file(self, path: Path, use: str) -> None:
        """Read a file and show its maps; called from any thread."""
        self._soon(lambda: self.panels.progress(0.0, f"reading {path.name}"))
        work = {
            "low_loss": self._read_low_loss,
            "references": self._read_reference,
            "spectra": self._read_spectra,
        }[use]
        threading.Thread(target=self._reported, args=(work, path), daemon=True).start()

    def _reported(self, work: Callable[[Path], None], path: Path) -> None:
        """Do work on a file; whatever goes wrong, the page says it."""
        try:
            work(path)
        except InputError as error:
            message = str(error)
            self._soon(lambda: self.panels.failed(message))
        except Exception as error:
            message = f"{path.name} could not be read ({type(error).__name__}: {error})"
            self._soon(lambda: self.panels.failed(message))

    def _read_spectra(self, path: Path) -> None:
        raw = read_file(path, edge=self.shared.load().edge)
        if np.prod(raw.counts.shape) * raw.counts.dtype.itemsize <= _KEPT_BYTES:
            raw = replace(raw, counts=np.asarray(raw.counts))
        self._predict(raw)
        self.raw = raw
        self.forget_references()  # they are of another image's axis

    def _read_low_loss(self, path: Path) -> None:
        if self.raw is None:
            raise InputError("Open the core-loss spectra first, then their low loss.")
        self._predict(replace(self.raw, low_loss=read_low_loss(path)))

    def _predict(self, raw: RawSpectra) -> None:
        name, done = raw.path.name, 0

        def progress(n: int) -> None:
            nonlocal done
            done += n
            share = done / len(raw)
            self._soon(lambda: self.panels.progress(share, f"{name}: {share:.0%} of {len(raw)} spectra"))

        maps = maps_of(raw, self.shared.load(), progress=progress)
        region = maps.region()
        self._soon(lambda: self._show(maps, region))

    def _read_reference(self, path: Path) -> None:
        if self.maps is None:
            raise InputError("Open the spectra first, then references of the same instrument.")
        found = read_reference(path, self.maps.where)
        self._soon(lambda: self._show_references([*self.references, found]))

    def forget_references(self) -> None:
        """Take the references off the page; called from any thread."""
        self._soon(lambda: self._show_references([]))

    def _show_references(self, references: list[Reference]) -> None:
        self.references = references
        self.panels.show_references(references)
        if self.maps is not None and self.region is not None:
            self.panels.show_region(self.maps, self.region, self.title)
            self.panels.show_status(self.maps)

    def _show(self, maps: ValenceMaps, region: Region) -> None:
        self.maps = maps
        self.panels.show_maps(maps)
        self._show_region(region, "all unflagged pixels" if len(maps.pixels) > 1 else "")

    def limit(self, max_width: float) -> None:
        """Flag pixels whose interval is wider."""
        if self.maps is not None:
            self.maps = self.maps.limited(max_width)
            self.panels.show_values(self.maps)

    def choose_pixel(self, row: int, column: int) -> None:
        """Show a pixel's spectrum and answer."""
        if self.maps is None:
            return
        rows, columns = self.panels.image_shape
        if 0 <= row < rows and 0 <= column < columns:
            mask = np.zeros((rows, columns), dtype=bool)
            mask[row, column] = True
            self._choose(mask, f"pixel {column}, {row}")

    def choose_region(self, mask: np.ndarray) -> None:
        """Show the mean spectrum of a region's unflagged pixels, and its answer."""
        if self.maps is not None and mask.any():
            self._choose(mask, f"region of {int(mask.sum())} pixels")

    def _choose(self, mask: np.ndarray, title: str) -> None:
        assert self.maps is not None
        self._show_region(self.maps.region(mask.ravel()), title)

    def _show_region(self, region: Region, title: str) -> None:
        assert self.maps is not None
        self.region, self.title = region, title
        self.panels.show_region(self.maps, region, title)

    def export(self, name: str) -> tuple[bytes, str, str]:
        """An export's content, media type and file name; raises `InputError` if there is none yet."""
        if name not in EXPORTS or self.maps is None or (name.startswith("spectrum") and self.region is None):
            raise InputError(f"There is no {name} to export: open a file first.")
        maps, stem = self.maps, Path(self.maps.raw.path).stem
        what, suffix = name.split(".")
        if what == "methods":
            return methods(maps).encode(), EXPORTS[name], f"{stem}_methods.txt"
        if what == "all":
            return self._all(), EXPORTS[name], f"{stem}_valence.zip"
        with tempfile.TemporaryDirectory(dir=self.shared.folder) as folder:
            path = Path(folder) / f"out.{suffix}"
            if what in ("maps", "table"):
                maps.save(path)
            else:
                figure = (
                    spectrum_figure(maps, self.region) if what == "spectrum" and self.region else maps.plot()
                )
                figure.savefig(path, dpi=300)
            return path.read_bytes(), EXPORTS[name], f"{stem}_{what}.{suffix}"

    def _all(self) -> bytes:
        """Every other export in one archive."""
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in EXPORTS:
                if name != "all.zip":
                    content, _, filename = self.export(name)
                    archive.writestr(filename, content)
        return whole.getvalue()

    def _soon(self, change: Callable[[], None]) -> None:
        try:
            self.document.add_next_tick_callback(change)
        except RuntimeError:  # the page has been closed
            return

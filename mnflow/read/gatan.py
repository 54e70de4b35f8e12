"""Digital Micrograph files: RosettaSciIO parses the tags, guarded; the data stay on disk as a memory map."""

from pathlib import Path
from typing import Any

import numpy as np
from rsciio.digitalmicrograph._api import DigitalMicrographReader, ImageObject

from mnflow.errors import InputError

_MAX_TAG_ITEMS = 20_000_000


class _GuardedReader(DigitalMicrographReader):
    """A .dm reader that refuses forged files: tags that point behind one another, giant lists."""

    reached = 0

    def parse_tag_header(self) -> Any:
        if self.f.tell() < self.reached:
            raise OSError("tags that point backwards")
        self.reached = self.f.tell()
        return super().parse_tag_header()

    def read_array(self, size: int, enc_eltype: int, extra: Any = None, skip: bool = False) -> Any:
        if size < 0 or (not skip and size > _MAX_TAG_ITEMS):
            raise OSError(f"a tag of {size} items")
        return super().read_array(size, enc_eltype, extra, skip)

    def parse_struct_definition(self) -> Any:
        here = self.f.tell()
        self.read_l_or_q(self.f, "big")
        fields = self.read_l_or_q(self.f, "big")
        if not 0 <= fields <= 10_000:
            raise OSError(f"a structure of {fields} fields")
        self.f.seek(here)
        return super().parse_struct_definition()


def read_gatan(path: Path) -> list[dict[str, Any]]:
    """All images of a .dm3 or .dm4 file but its thumbnails, as dictionaries with data, axes and metadata.

    Raises
    ------
    InputError
        If the header promises more data than the file holds.
    Exception
        Whatever a damaged file makes the parser stumble over.
    """
    with path.open("rb") as file:
        reader = _GuardedReader(file)
        reader.parse_file()
        images = [ImageObject(tags, file) for tags in reader.get_image_dictionaries() or []]
    signals = [
        _signal(image, path) for image in images if image.imdict.ImageData.DataType not in (8, 23)
    ]  # no colour pictures
    return [s for s in signals if s is not None]


def _signal(image: Any, path: Path) -> dict[str, Any]:
    shape, dtype = tuple(int(n) for n in image.shape), np.dtype(image.dtype)
    promised = float(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    offset, held = int(image.imdict.ImageData.Data.offset), path.stat().st_size
    if min(shape, default=0) < 1 or not 0 <= offset <= held - promised:
        raise InputError(
            f"{path}: its header promises {promised / 1e6:.6g} MB of data, and the file has {held / 1e6:.6g} "
            f"MB; copy it again."
        )
    voltage = image.imdict.get("ImageTags.Microscope Info.Voltage")
    tem = {"beam_energy": voltage / 1e3} if isinstance(voltage, int | float) else {}
    return {
        "data": np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape),
        "axes": image.get_axes_dict(),
        "metadata": {"General": {"title": image.title}, "Acquisition_instrument": {"TEM": tem}},
    }

"""EMD files of NCEM and Velox, through RosettaSciIO's readers, with what these leave out.

Velox keeps X-rays as streams, which take long to unfold and hold no energy loss: they are passed over. NCEM's
energies may have any steps, and are kept as they are.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from rsciio.emd._api import is_EMD_NCEM, is_EMD_Velox
from rsciio.emd._emd_ncem import EMD_NCEM
from rsciio.emd._emd_velox import FeiEMDReader


class _EnergyLoss(FeiEMDReader):
    """Velox' energy losses alone."""

    def _read_data(self, select_type: Any) -> None:
        if "EelsSpectrumImage" in self.d_grp:
            self._read_eels_spectrum_images()


class _AnySteps(EMD_NCEM):
    """NCEM with its axes: energies that are not uniform come as the offset, in place of a number."""

    @staticmethod
    def _parse_axis(axis_data: Any) -> tuple[Any, Any]:
        if axis_data.ndim == 1 and len(axis_data) > 2 and np.issubdtype(axis_data.dtype, np.number):
            values = np.asarray(axis_data[:], dtype=np.float64)
            if not np.isfinite(values).all():
                return values, np.nan  # of the scan: no number; energies are refused where they are ordered
            steps = np.diff(values)
            if np.ptp(steps) > 1e-3 * abs(steps.mean()):
                return values, float(steps.mean())
        found: tuple[Any, Any] = EMD_NCEM._parse_axis(axis_data)
        return found


def read_emd(path: Path, lazy: bool) -> list[dict[str, Any]]:
    """All signals of an EMD file; of one of Velox, those of energy loss.

    Raises
    ------
    OSError
        If it is neither of the two kinds.
    Exception
        Whatever a damaged file makes a reader stumble over.
    """
    file = h5py.File(path, "r")
    try:
        if is_EMD_Velox(file):
            reader: Any = _EnergyLoss()
            reader.read_file(file)
            return [_without(s, "index_in_array") for s in reader.dictionaries]  # they name x and y exchanged
        if not is_EMD_NCEM(file):
            raise OSError("it is no EMD file of NCEM or Velox")
        reader = _AnySteps()
        reader.read_file(file, lazy=lazy)
        return [_any_steps(s) for s in reader.dictionaries]
    finally:
        if not lazy:
            file.close()


def _without(signal: dict[str, Any], key: str) -> dict[str, Any]:
    return signal | {"axes": [{k: v for k, v in a.items() if k != key} for a in signal["axes"]]}


def _any_steps(signal: dict[str, Any]) -> dict[str, Any]:
    axes = [
        a | {"axis": a["offset"]} if isinstance(a.get("offset"), np.ndarray) else a for a in signal["axes"]
    ]
    return signal | {"axes": axes}

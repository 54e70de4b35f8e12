"""`SpectrumSet`: spectra with their energy axis, labels and groups."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.runtime.files import read_arrays, whole_file
from mnflow.spectra.arrays import Floats, Floats32, Ints
from mnflow.spectra.edge import MN, Edge

UNLABELLED = -1
"""Label of a spectrum whose valence is unknown or mixed."""

_FORMAT = "mnflow-spectra-1"


@dataclass(frozen=True)
class SpectrumSet:
    """N spectra on one energy axis.

    Attributes
    ----------
    energy_ev : ndarray of float64, shape (C,)
        Uniform, increasing energy axis in eV.
    intensity : ndarray of float32, shape (N, C)
        Background-free intensity in arbitrary units; finite.
    valence : ndarray of int64, shape (N,)
        Index into `edge.classes`, or `UNLABELLED`.
    group : ndarray of str, shape (N,)
        What belongs together when data are split: the spectrum image, or the publication.
    edge : Edge
        Classes and windows.
    source : str
        Where the spectra came from, for the tracking UI.
    name : ndarray of str, shape (N,)
        A name for every spectrum (file, or file and pixel). May be left out.

    Raises
    ------
    InputError
        If shapes disagree, the axis is not uniform, or a value is not finite.
    """

    energy_ev: Floats
    intensity: Floats32
    valence: Ints
    group: NDArray[np.str_]
    edge: Edge = MN
    source: str = "unknown"
    name: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, dtype="<U1"))

    def __post_init__(self) -> None:
        def put(key: str, value: Any, dtype: Any) -> None:
            object.__setattr__(self, key, np.ascontiguousarray(value, dtype=dtype))

        put("energy_ev", self.energy_ev, np.float64)
        put("intensity", self.intensity, np.float32)
        put("valence", self.valence, np.int64)
        put("group", self.group, np.str_)
        n = len(self.valence)
        put("name", self.name if len(self.name) else [f"spectrum {i}" for i in range(n)], np.str_)
        if self.intensity.shape != (n, len(self.energy_ev)) or len(self.group) != n or len(self.name) != n:
            raise InputError(
                "A SpectrumSet needs intensity (N, C), energy_ev (C,), valence, group and name (N,); got "
                f"{self.intensity.shape}, {self.energy_ev.shape}, {self.valence.shape}, {self.group.shape}, "
                f"{self.name.shape}."
            )
        step = np.diff(self.energy_ev)
        if len(step) == 0 or not np.allclose(step, step[0], rtol=0, atol=1e-6) or step[0] <= 0:
            raise InputError(
                "A SpectrumSet needs a uniform, increasing energy axis of two channels or more; resample "
                "first."
            )
        if not np.isfinite(self.intensity).all():
            raise InputError(
                "A SpectrumSet holds finite intensities only; drop or mend the spectra with NaN or infinity "
                "first."
            )
        if n and (self.valence.min() < UNLABELLED or self.valence.max() >= len(self.edge.classes)):
            raise InputError(
                f"Labels must lie in 0 ... {len(self.edge.classes) - 1} (or {UNLABELLED} for none)."
            )

    def __len__(self) -> int:
        return len(self.valence)

    def select(self, index: Any) -> "SpectrumSet":
        """The spectra at `index` (integers or a mask), with everything that belongs to them."""
        return SpectrumSet(
            self.energy_ev,
            self.intensity[index],
            self.valence[index],
            self.group[index],
            self.edge,
            self.source,
            self.name[index],
        )

    def present(self) -> "SpectrumSet":
        """The same spectra with an edge of those classes only that they have, if these are two or more."""
        kept = [i for i in range(len(self.edge.classes)) if (self.valence == i).any()]
        if len(kept) < 2 or len(kept) == len(self.edge.classes):
            return self
        new = np.full(len(self.edge.classes) + 1, UNLABELLED)  # the last one is that of UNLABELLED itself
        new[kept] = np.arange(len(kept))
        edge = replace(
            self.edge,
            classes=tuple(self.edge.classes[i] for i in kept),
            charges=tuple(self.edge.charges[i] for i in kept),
        )
        return replace(self, valence=new[self.valence], edge=edge)

    def counts(self) -> dict[str, int]:
        """Number of spectra of every class."""
        return {name: int((self.valence == i).sum()) for i, name in enumerate(self.edge.classes)}

    def digest(self) -> str:
        """SHA-256 over everything that training can see, as 16 hexadecimal digits."""
        h = hashlib.sha256(json.dumps(asdict(self.edge), sort_keys=True).encode())
        for a in (self.energy_ev, self.intensity, self.valence):
            h.update(str(a.shape).encode() + a.tobytes())
        h.update("\0".join(self.group).encode())
        return h.hexdigest()[:16]

    def save(self, path: str | Path) -> Path:
        """Write to one compressed .npz, whole or not at all; returns the path."""
        path = Path(path)
        header = {"format": _FORMAT, "edge": asdict(self.edge), "source": self.source}
        arrays = {k: getattr(self, k) for k in ("energy_ev", "intensity", "valence", "group", "name")}
        with whole_file(path) as part, part.open("wb") as f:
            np.savez_compressed(f, header=np.array(json.dumps(header)), **arrays)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "SpectrumSet":
        """Read what `save` wrote, without unpickling; raises `InputError` for anything else."""
        path = Path(path)
        if not path.is_file():
            raise InputError(f"No dataset at {path}: expected a .npz file written by the preprocess step.")
        try:
            z = read_arrays(path)
            header = json.loads(str(z["header"]))
            if header.get("format") != _FORMAT:
                raise ValueError(f"format {header.get('format')!r}")
            edge = Edge.from_dict(header["edge"])
            return cls(
                z["energy_ev"], z["intensity"], z["valence"], z["group"], edge, header["source"], z["name"]
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{path} is not a dataset of mnflow ({error}): run the preprocess step to make one."
            ) from error

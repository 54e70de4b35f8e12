"""`Predictor`: the nets with all that turns their outputs into an answer, in one .npz that is read without
unpickling.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.runtime.files import read_arrays, whole_file
from mnflow.serve.novelty import Novelty, locate
from mnflow.serve.numpy_nets import NumpyNet, Step, softmax
from mnflow.serve.unmix import Unmixer
from mnflow.spectra import Edge

_FORMAT = "mnflow-predictor-3"
_NOVELTY_ARRAYS = ("mean", "components", "planes", "offsets", "coefficients")
_NOVELTY_NUMBERS = ("noise_slope", "limits", "false_alarm_rate")


@dataclass(frozen=True)
class Outcome:
    """What the nets say of N crops.

    Attributes
    ----------
    probabilities : ndarray, shape (N, K)
        Calibrated, mean over the fold models.
    votes : ndarray, shape (N, K)
        Share of the fold models whose favourite a class is.
    fractions : ndarray, shape (N, K)
        Shares of the atoms of every class; NaN without an `Unmixer`.
    mean_valence : ndarray, shape (N,)
        Charges weighted by the fractions, or without these by the probabilities.
    strange : ndarray of bool, shape (N, 3)
        Which limits of known spectra a crop is beyond, in the order of `Novelty.REASONS`.
    """

    probabilities: NDArray[np.float64]
    votes: NDArray[np.float64]
    fractions: NDArray[np.float64]
    mean_valence: NDArray[np.float64]
    strange: NDArray[np.bool_]


@dataclass(frozen=True)
class Predictor:
    """Fold models, the edge they know, and how sure they may be.

    Attributes
    ----------
    net : Net
        The fold models.
    edge : Edge
        Classes in the order of the outputs, and windows.
    temperature : float
        What logits are divided by, from held-out spectra.
    novelty : Novelty, optional
        What known spectra look like; without it nothing is strange.
    unmixer : Unmixer, optional
        Fractions of mixtures.
    facts : dict
        Where the model comes from (run, dataset digest, ...), for the answer's reader.
    """

    net: NumpyNet
    edge: Edge
    temperature: float = 1.0
    novelty: Novelty | None = None
    unmixer: Unmixer | None = None
    facts: dict[str, str] = field(default_factory=dict)

    def __call__(self, crops: Any) -> Outcome:
        """Read normalised crops (N, n_crop)."""
        each = softmax(self.net.logits(crops).astype(np.float64) / self.temperature)  # (F, N, K)
        probabilities = each.mean(axis=0)
        votes = (each.argmax(axis=2)[:, :, None] == np.arange(each.shape[2])).mean(axis=0)
        located = locate(np.asarray(crops, dtype=np.float32))
        known = self.novelty.reasons(located) if self.novelty else np.zeros((len(votes), 3), bool)
        fractions = self.unmixer(located) if self.unmixer else np.full_like(probabilities, np.nan)
        mean_valence = (fractions if self.unmixer else probabilities) @ np.array(self.edge.charges)
        return Outcome(probabilities, votes, fractions, mean_valence, known)

    def save(self, path: Path) -> Path:
        """Write to one .npz, whole or not at all; returns the path."""
        steps = [
            {"relu": s.relu, "taps": s.taps, "stride": s.stride, "before": s.before} for s in self.net.steps
        ]
        header = {
            "format": _FORMAT,
            "edge": asdict(self.edge),
            "steps": steps,
            "n_channels": self.net.n_channels,
            "temperature": self.temperature,
            "facts": self.facts,
            "novelty": None
            if self.novelty is None
            else {k: getattr(self.novelty, k) for k in _NOVELTY_NUMBERS},
        }
        arrays = {
            f"{kind}{i}": getattr(s, kind)
            for i, s in enumerate(self.net.steps)
            for kind in ("weight", "bias")
        }
        if self.novelty is not None:
            arrays |= {f"novelty_{k}": getattr(self.novelty, k) for k in _NOVELTY_ARRAYS}
        if self.unmixer is not None:
            arrays |= self.unmixer.arrays()
        with whole_file(path) as part, part.open("wb") as f:
            np.savez(f, header=np.array(json.dumps(header)), **arrays)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Predictor":
        """Read what `save` wrote, without unpickling; raises `InputError` for anything else."""
        try:
            z = read_arrays(Path(path))
            header = json.loads(str(z["header"]))
            if header.get("format") != _FORMAT:
                raise ValueError(f"format {header.get('format')!r}")
            steps = tuple(
                Step(z[f"weight{i}"], z[f"bias{i}"], **{**s, "taps": tuple(s["taps"])})
                for i, s in enumerate(header["steps"])
            )
            net = NumpyNet(steps, header["n_channels"])
            learnt: dict[str, Any] = (
                {k: z[f"novelty_{k}"] for k in _NOVELTY_ARRAYS} if header["novelty"] else {}
            )
            novelty = Novelty(**learnt, **header["novelty"]) if learnt else None
            edge = Edge.from_dict(header["edge"])
            return cls(net, edge, header["temperature"], novelty, Unmixer.of_arrays(z), header["facts"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{path} is not a predictor of mnflow ({error}): promote a run to make one."
            ) from error

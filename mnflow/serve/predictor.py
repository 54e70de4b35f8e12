"""`Predictor`: posterior, models for a second opinion, and novelty score, in one .npz file.

It is read without unpickling.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.opinions.white_lines import WhiteLines, contradict, implied_valence, measure
from mnflow.runtime.files import read_arrays, whole_file
from mnflow.serve.decision import Reading, mean_valence_distribution, pure_cells, read
from mnflow.serve.novelty import Novelty, locate
from mnflow.serve.numpy_nets import NumpyNet, Step, softmax
from mnflow.serve.posterior import Posterior, ReferenceMixtures, compositions
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Bools, Floats, Floats32

_FORMAT = "mnflow-predictor-5"
_NOVELTY_ARRAYS = ("mean", "components", "planes", "offsets", "coefficients")
_NOVELTY_NUMBERS = ("noise_slope", "limits", "false_alarm_rate")

CONTRADICTION = (0.95, 0.05)
"""Nets that give a class at least the first probability contradict a posterior of at most the second."""


@dataclass(frozen=True)
class Outcome:
    """What a predictor says of N crops.

    Attributes
    ----------
    reading : Reading
        Class, probabilities, fractions, mean valence and its interval: all from one posterior.
    disagreement : ndarray, shape (N,)
        Share of the fold models that vote for another class than most of them; NaN without several.
    contradicted : ndarray of bool, shape (N,)
        Whether a second opinion contradicts the posterior: the nets' (`CONTRADICTION`), that of the white
        lines (`mnflow.opinions.white_lines`), or the nearest mixture of own references.
    strange : ndarray of bool, shape (N, 4)
        Which limits of known spectra a crop is beyond, in the order of `Novelty.REASONS`.
    calibrated : bool
        Whether the intervals' coverage was measured.
    white_lines : WhiteLines
        Ratio and distance of the white lines, (N,) each.
    implied : dict of str to ndarray, shape (N, 2)
        Ranges of the mean valence that go with them (`implied_valence`).
    """

    reading: Reading
    disagreement: Floats
    contradicted: Bools
    strange: Bools
    calibrated: bool
    white_lines: WhiteLines
    implied: dict[str, Floats]


@dataclass(frozen=True)
class Predictor:
    """Answers for one edge, from a posterior over compositions, or from nets alone where an element has none.

    Attributes
    ----------
    edge : Edge
        Classes in the order of all outputs, and windows.
    posterior : Posterior, optional
        Where every answer comes from. Without it, the nets' class probabilities are taken for a posterior on
        pure compounds.
    net : NumpyNet, optional
        The fold models of a cross-validation: a second opinion.
    temperature : float
        What the nets' logits are divided by, from held-out spectra.
    novelty : Novelty, optional
        What known spectra look like; without it nothing is out of distribution.
    facts : dict
        Where the model comes from (run, dataset digest, ...), for the answer's reader.
    own_references : ReferenceMixtures, optional
        Measured pure spectra that the posterior was conditioned on (`mnflow.fit.own_references`): another
        second opinion. It is not saved.
    """

    edge: Edge
    posterior: Posterior | None = None
    net: NumpyNet | None = None
    temperature: float = 1.0
    novelty: Novelty | None = None
    facts: dict[str, str] = field(default_factory=dict)
    own_references: ReferenceMixtures | None = None

    def __post_init__(self) -> None:
        if self.posterior is None and self.net is None:
            raise InputError("Expected a posterior or nets to predict with, got neither.")
        if self.posterior is not None and self.posterior.charges != tuple(map(float, self.edge.charges)):
            raise InputError(
                f"Expected a posterior for the charges {self.edge.charges}, got {self.posterior.charges}."
            )

    def __call__(self, crops: Any) -> Outcome:
        """Read normalised crops (N, n_crop)."""
        crops = np.asarray(crops, dtype=np.float32)
        located = locate(crops)
        nothing = np.zeros((len(crops), len(Novelty.REASONS)), bool)
        strange = self.novelty.reasons(located) if self.novelty else nothing
        lines = measure(located.smooth, located.l3, self.edge)
        implied = implied_valence(lines, self.edge)
        disagreement, contradicted = np.full(len(crops), np.nan), np.zeros(len(crops), bool)
        opinion = None
        if self.net is not None:
            each = self.second_opinion(crops)  # (F, N, K)
            opinion = each.mean(axis=0)
            votes = (each.argmax(axis=2)[:, :, None] == np.arange(each.shape[2])).mean(axis=0)  # (N, K)
            disagreement = 1 - votes.max(axis=1) if self.net.n_folds > 1 else disagreement
        if self.posterior is None:
            cells = compositions(len(self.edge.classes))
            posterior = pure_cells(opinion, cells)
            distribution = mean_valence_distribution(posterior, cells, self.edge.charges)
            reading = read(posterior, cells, distribution)
            return Outcome(reading, disagreement, contradicted, strange, False, lines, implied)
        reading = self.posterior(located)
        contradicted = contradict(implied, reading.interval)
        if opinion is not None:
            sure, impossible = CONTRADICTION
            contradicted |= ((opinion >= sure) & (reading.probabilities <= impossible)).any(axis=1)
        if self.own_references is not None:
            contradicted |= self.own_references.contradicts(located, reading)
        return Outcome(reading, disagreement, contradicted, strange, True, lines, implied)

    def second_opinion(self, crops: Floats32) -> Floats:
        """Calibrated class probabilities (F, N, K) of F fold models; raises `InputError` without any."""
        if self.net is None:
            raise InputError(
                "Expected a predictor with nets, got one with a posterior only: promote a run to make one."
            )
        return np.asarray(softmax(self.net.logits(crops).astype(np.float64) / self.temperature))

    def probabilities(self, crops: Floats32) -> Floats:
        """Probability that a class has the largest share, (N, K), of normalised crops (N, n_crop)."""
        return self(crops).reading.probabilities

    def save(self, path: Path) -> Path:
        """Write to one .npz, whole or not at all; returns the path."""
        steps = self.net.steps if self.net else ()
        header = {
            "format": _FORMAT,
            "edge": asdict(self.edge),
            "steps": [
                {"relu": s.relu, "taps": s.taps, "stride": s.stride, "before": s.before} for s in steps
            ],
            "l3_bin": self.net.l3_bin if self.net else 0,
            "n_channels": self.edge.n_crop,
            "temperature": self.temperature,
            "facts": self.facts,
            "novelty": self.novelty and {k: getattr(self.novelty, k) for k in _NOVELTY_NUMBERS},
        }
        arrays = {f"{kind}{i}": getattr(s, kind) for i, s in enumerate(steps) for kind in ("weight", "bias")}
        if self.novelty is not None:
            arrays |= {f"novelty_{k}": getattr(self.novelty, k) for k in _NOVELTY_ARRAYS}
        if self.posterior is not None:
            arrays |= self.posterior.arrays()
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
            if header.get("centred"):  # until 2026-11-27: cut and normalised otherwise
                raise ValueError("its net is of an older mnflow")
            net = NumpyNet(steps, header["n_channels"], header.get("l3_bin", 0)) if steps else None
            numbers = header["novelty"]
            learnt: dict[str, Any] = {k: z[f"novelty_{k}"] for k in _NOVELTY_ARRAYS if numbers}
            novelty = Novelty(**learnt, **numbers) if numbers else None
            edge = Edge.from_dict(header["edge"])
            posterior = Posterior.of_arrays(z)
            return cls(edge, posterior, net, header["temperature"], novelty, header["facts"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{path} is not a predictor of mnflow ({error}): promote a run to make one."
            ) from error

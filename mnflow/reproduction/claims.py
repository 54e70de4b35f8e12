"""The paper's claims, each with the rule by which our numbers confirm it or not.

Chatzidakis & Botton, Sci. Rep. 9, 2126 (2019), https://doi.org/10.1038/s41598-019-38482-1. What "little" or
"chance" means is fixed here in figures, before looking.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from mnflow.models.architectures import count_weights, design
from mnflow.reproduction.evidence import FAR_EV, Evidence, interval

HIGH = 0.99
"""What the paper's "> 99 %" asks for."""
LITTLE = 0.05
"""A loss up to this share counts as little."""
NO_SWING = 0.002
"""An amplitude of accuracy, over the background of its neighbours, that counts as none."""
NEAR_CHANCE = 0.5
"""Below this, three classes are taken for "chance" (one third)."""

NAMES = {
    "dense": "dense",
    "conv_dense": "conv + dense",
    "fcn": "FCN",
    "fcn_antialiased": "anti-aliased FCN",
    "fcn_wide": "fcn_wide",
}


@dataclass(frozen=True)
class Finding:
    """What we measured, and whether that is what the claim says."""

    measured: str
    holds: bool
    exact: bool = False
    """True for what does not depend on data, such as numbers of weights."""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper: where, what, and how our evidence is held against it (None: not measured yet)."""

    where: str
    says: str
    check: Callable[[Evidence], Finding | None]


def _each(parts: dict[str, "pd.Series[float]"], holds: Callable[[float], bool]) -> Finding | None:
    """Intervals of several settings; the claim holds if every mean passes."""
    if any(values.empty for values in parts.values()):
        return None
    found = {name: interval(values) for name, values in parts.items()}
    text = "; ".join(f"{name} {i}" for name, i in found.items())
    return Finding(text, all(holds(i.mean) for i in found.values()))


def _better(
    evidence: Evidence, quantity: str, first: tuple[str, str], others: list[tuple[str, str]]
) -> Finding | None:
    """Whether `first` beats all other settings: the intervals of the fold-wise differences lie above zero."""
    parts = {f"{NAMES[a]} {k}": evidence.difference(quantity, first, (a, k)) for a, k in others}
    if any(values.empty for values in parts.values()):
        return None
    found = {name: interval(values) for name, values in parts.items()}
    text = f"{NAMES[first[0]]} {first[1]} less " + "; less ".join(
        f"{name}: {i.signed()}" for name, i in found.items()
    )
    return Finding(text, all(i.low > 0 for i in found.values()))


def weights(arch: str, said: int, tolerance: float) -> Callable[[Evidence], Finding]:
    """Trainable weights of a net against the number that the paper gives."""

    def check(evidence: Evidence) -> Finding:
        n = count_weights(design(arch))
        return Finding(f"{n:,}", abs(n / said - 1) <= tolerance, exact=True)

    return check


def _weight_ratio(evidence: Evidence) -> Finding:
    dense, fcn = (count_weights(design(arch)) for arch in ("dense", "fcn"))
    return Finding(f"{dense / fcn:.1f} times fewer than the dense net", dense / fcn > 15, exact=True)


def _counts(evidence: Evidence) -> Finding | None:
    total = sum(evidence.counts.values())
    text = " / ".join(f"{n} {name}" for name, n in sorted(evidence.counts.items())) + f" = {total}"
    return Finding(text, abs(total / 2001 - 1) < 0.25) if total else None


def _unshifted(folds: str) -> Callable[[Evidence], Finding | None]:
    nets = ("dense", "conv_dense", "fcn")
    return lambda e: _each({NAMES[a]: e.pick("accuracy", a, folds=folds) for a in nets}, lambda m: m > HIGH)


def _loses_little(e: Evidence) -> Finding | None:
    lost = e.pick("accuracy", "fcn") - e.pick("shift/integrated", "fcn")
    return _each({"loss of the FCN, mean over all shifts": lost.dropna()}, lambda m: m <= LITTLE)


def _falls_to_chance(e: Evidence) -> Finding | None:
    parts = {NAMES[a]: e.pick("shift/far", a) for a in ("dense", "conv_dense")}
    return _each(parts, lambda m: m < NEAR_CHANCE)


def _noise(e: Evidence) -> Finding | None:
    return _each(
        {"FCN 10x with noise augmentation": e.pick("noise/5x", "fcn", "10x", noise=True)}, lambda m: m > 0.93
    )


def _noise_without(e: Evidence) -> Finding | None:
    found = _each({"FCN 10x without": e.pick("noise/5x", "fcn", "10x")}, lambda m: 0.70 < m < 0.86)
    return found


def _references(e: Evidence) -> Finding | None:
    parts = {a: e.pick("reference/accuracy_fold", a) for a in ("fcn", "dense", "conv_dense")}
    found = _each({f"{NAMES[a]} none": v for a, v in parts.items()}, bool)
    if found is None:
        return None
    mean = {a: float(v.mean()) for a, v in parts.items()}
    return Finding(found.measured, mean["fcn"] > 0.95 and max(mean["dense"], mean["conv_dense"]) < 0.95)


def _embedding(e: Evidence) -> Finding | None:
    inputs, features = (
        e.pick(f"tsne/reference_agreement_{space}", "fcn", "10x") for space in ("input", "features")
    )
    found = _each({"inputs": inputs, "features": features}, bool)
    return None if found is None else Finding(found.measured, float(features.mean()) > float(inputs.mean()))


def _activations(e: Evidence) -> Finding | None:
    same, other = (e.pick(f"activations/correlation_{which}", "fcn", "10x") for which in ("same", "other"))
    if same.empty or other.empty:
        return None
    text = (
        f"correlation in the last block: {same.mean():.2f} with the same valence, "
        f"{other.mean():.2f} with the nearest other"
    )
    return Finding(text, float(same.mean()) > float(other.mean()))


def _speed(e: Evidence) -> Finding | None:
    seconds = e.pick("seconds_per_100k", "fcn", "10x")
    if seconds.empty:
        return None
    return Finding(
        f"{seconds.mean():.1f} s for 100,000 spectra, one fold on one CPU core",
        bool(seconds.mean() <= 3),
        exact=True,
    )


def _best_epoch(e: Evidence) -> Finding | None:
    parts = {f"{NAMES[a]} none": e.pick("best_epoch_gain", a) for a in ("dense", "conv_dense", "fcn")}
    return _each(parts, lambda m: m < 0.001)


def _swings(period: int) -> Callable[[Evidence], Finding | None]:
    def check(e: Evidence) -> Finding | None:
        parts = {f"FCN {k}": e.pick(f"shift/swing_{period}", "fcn", k) for k in ("none", "1x", "10x")}
        measured = {name: values for name, values in parts.items() if not values.empty}
        if not measured:
            return None
        found = {name: interval(values) for name, values in measured.items()}
        text = "; ".join(f"{name} {i.signed(2)}" for name, i in found.items())
        return Finding(text, all(i.mean < NO_SWING for i in found.values()))

    return check


def _antialiased(e: Evidence) -> Finding | None:
    a = ("fcn_antialiased", "10x"), ("fcn", "10x")
    less, accuracy = e.difference("shift/swing_8", *a), e.difference("accuracy", *a)
    if less.empty or accuracy.empty:
        return None
    swing, acc = interval(less), interval(accuracy)
    text = (
        f"at 10x, swing with 8 channels {swing.mean:+.2%} ({swing.low:+.2%} to {swing.high:+.2%}); "
        f"accuracy {acc.signed(2)}"
    )
    return Finding(text, swing.high < 0 and acc.high >= 0)


CLAIMS = (
    Claim(
        "Fig. 1",
        "mean activations tell the valences apart, and are alike for spectra of other laboratories",
        _activations,
    ),
    Claim("Methods", "448 + 765 + 788 = 2001 spectra remain after preprocessing", _counts),
    Claim("Methods", "the dense net has about 11,000 weights", weights("dense", 11_000, 0.02)),
    Claim(
        "Methods",
        "convolutions + dense net: about 1,100 weights (the authors' code: 1,293)",
        weights("conv_dense", 1_100, 0.05),
    ),
    Claim("Methods", "the FCN has about 650 weights", weights("fcn", 650, 0.05)),
    Claim("Methods", "the FCN needs far fewer weights than the dense net", _weight_ratio),
    Claim(
        "Fig. 3",
        "no shift, no augmentation: all three nets are right in more than 99 %",
        _unshifted("stratified"),
    ),
    Claim("Fig. 3", "shifted, no augmentation: the FCN loses little", _loses_little),
    Claim(
        "Fig. 3",
        f"shifted (by {FAR_EV:g} eV and more), no augmentation: the two others fall to chance",
        _falls_to_chance,
    ),
    Claim(
        "Fig. 3",
        "the FCN without augmentation beats both others at 1x (mean over all shifts)",
        lambda e: _better(e, "shift/integrated", ("fcn", "none"), [("dense", "1x"), ("conv_dense", "1x")]),
    ),
    Claim(
        "Fig. 3",
        "the FCN at 10x beats convolutions + dense net at 10x",
        lambda e: _better(e, "shift/integrated", ("fcn", "10x"), [("conv_dense", "10x")]),
    ),
    Claim("Fig. 4", "five times the noise, trained with noise augmentation: more than 93 %", _noise),
    Claim("Fig. 4", "the same without noise augmentation: 78 %", _noise_without),
    Claim(
        "Table 1",
        "of spectra from other laboratories the FCN alone is right without augmentation",
        _references,
    ),
    Claim(
        "Fig. 5",
        "references lie among spectra of their valence in feature space, not in input space",
        _embedding,
    ),
    Claim("Methods", "3 s for an epoch of 100,000 augmented spectra (GTX 1060)", _speed),
)
"""What the paper says."""

QUESTIONS = (
    Claim(
        "authors' code",
        "reporting the best epoch of the scored fold flatters by less than 0.1 %",
        _best_epoch,
    ),
    Claim(
        "folds",
        "all three nets stay above 99 % when no spectrum image is on both sides",
        _unshifted("grouped"),
    ),
    Claim(
        "published weights", "accuracy under shift does not swing with a period of 16 channels", _swings(16)
    ),
    Claim("pooling by 2", "nor with a period of 8 channels", _swings(8)),
    Claim("anti-aliasing", "a low-pass filter before pooling takes the swing away at no loss", _antialiased),
)
"""What the paper does not say, and a reader would ask."""

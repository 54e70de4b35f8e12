"""A request's spectra: bounded before they are parsed, checked number by number, and cut together by axis."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from mnflow.errors import InputError
from mnflow.opinions.oxygen import o_k_distance_ev
from mnflow.preprocess.detector.faults import REASONS
from mnflow.preprocess.locate import MIN_CONTRAST, Background
from mnflow.preprocess.window import place_windows
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Floats, Floats32
from mnflow.spectra.axis import ordered

_IT = "it"  # what errors call a spectrum before its place is known

FIELDS = ("energy_ev", "intensity")
"""What every spectrum of a request holds: two lists of numbers of one length."""

MAX_BODY_BYTES = 100_000_000
"""Some 5,000 spectra of 1,000 channels."""

MAX_SPECTRA = 10_000
"""In one request."""

MAX_CHANNELS = 100_000
"""Of one spectrum."""

MAX_SPECTRUM_BYTES = 64 * MAX_CHANNELS
"""Of one spectrum: two numbers of 31 characters a channel. Python reads so much in a tenth of a second or
less, in which no other client gets a turn.
"""

LEAST_SPECTRUM_BYTES = 300
"""What spectra take on average where there are more than `SOME_SPECTRA`: an answer takes some 2 kB of memory,
an error no less, and a request of ten thousand empty spectra would take hundreds of times its own size.
"""

SOME_SPECTRA = 100
_PIECE_BYTES = 1_000_000  # is counted at a time; other clients get a turn between two

FEW_BYTES = 50_000
FEW_SPECTRA = 2
"""So few are answered at once, since to hand them to a thread takes longer; all other clients wait meanwhile,
so that eight spectra, each with an axis of its own, are too many.
"""


class Cut(NamedTuple):
    """A crop (n_crop,), not yet normalised, and how it was cut.

    The channels by which its window was moved, whether the spectrum is cut off, the background treatment, the
    number of bridged spikes, whether a step of gain was repaired, whether an edge is to be seen, and how far
    L3 is from O K in eV (None where O K is not to be seen).
    """

    crop: Floats32
    moved_bins: int
    saturated: bool
    background: Background
    spikes: int
    gain_step: bool
    edge_seen: bool
    o_k_distance_ev: float | None


def parse(body: bytes | bytearray) -> list[Any]:
    """The spectra of a request, {"inputs": [...]}, as they are; lists of numbers become arrays one by one.

    The number of elements is bounded before anything is parsed, so that a body takes a few times its own size
    in memory.

    Raises
    ------
    InputError
        If it is no such JSON, or holds too much.
    """
    _check_counts(body)
    try:
        request = json.loads(body, object_hook=_with_arrays)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The request cannot be read ({type(error).__name__}): expected JSON in UTF-8."
        ) from None
    spectra = request.get("inputs") if isinstance(request, dict) and len(request) == 1 else None
    if not isinstance(spectra, list):
        raise InputError(
            'Expected {"inputs": [{"energy_ev": [...], "intensity": [...]}, ...]}, a list of spectra.'
        )
    if (n := len(spectra)) > MAX_SPECTRA:
        raise _too_many(n)
    if n > SOME_SPECTRA and len(body) < LEAST_SPECTRUM_BYTES * n:
        raise InputError(
            f"Expected spectra, got {n:,} elements of {len(body) / n:.0f} bytes on average, which hold none: "
            f"send {SOME_SPECTRA} at most, and each gets its own error."
        )
    return spectra


def _check_counts(body: bytes | bytearray) -> None:
    """Bound objects, lists, the numbers of each list and a spectrum's length, without reading any."""
    if (n := _count(body, b"{")) > MAX_SPECTRA + 1:
        raise _too_many(n - 1)
    if _count(body, b"[") > 2 * MAX_SPECTRA + 1:
        raise InputError("Expected two lists of numbers a spectrum, got more lists than that.")
    for start, end in _parts(body, b"}"):
        if end - start > MAX_SPECTRUM_BYTES:
            raise InputError(
                f"Expected at most {MAX_SPECTRUM_BYTES / 1e6:g} MB a spectrum, got {(end - start) / 1e6:.1f}."
            )
    for start, end in _parts(body, b"]"):
        if (n := body.count(b",", start, end)) > MAX_CHANNELS + 2:
            raise InputError(
                f"Expected at most {MAX_CHANNELS:,} channels a spectrum, got a list of {n:,} elements."
            )


def _count(body: bytes | bytearray, sign: bytes) -> int:
    return sum(body.count(sign, i, i + _PIECE_BYTES) for i in range(0, len(body), _PIECE_BYTES))


def _parts(body: bytes | bytearray, sign: bytes) -> Iterator[tuple[int, int]]:
    """Where what lies between two signs begins and ends."""
    start = 0
    while start <= len(body):
        end = body.find(sign, start)
        end = len(body) if end < 0 else end
        yield start, end
        start = end + 1


def _too_many(n: int) -> InputError:
    return InputError(
        f"Expected at most {MAX_SPECTRA:,} spectra in one request, got {n:,}: send fewer at a time."
    )


def _with_arrays(spectrum: dict[str, Any]) -> dict[str, Any]:
    """Lists of numbers as arrays, which take a fifth of the memory; all else unchanged, refused by name."""
    for name in FIELDS:
        values = spectrum.get(name)
        if isinstance(values, list) and set(map(type, values)) <= {int, float}:
            with suppress(OverflowError):  # an integer of hundreds of digits
                spectrum[name] = np.array(values, dtype=np.float64)
    return spectrum


def cut(spectra: Sequence[Any], edge: Edge) -> tuple[dict[int, Cut], dict[int, str]]:
    """Cut the crop windows out of the spectra of a request; spectra that share an axis go together.

    Returns
    -------
    tuple of dict
        By their places in the request: what was cut, and what was wrong.
    """
    same_axis: dict[bytes, tuple[Floats, dict[int, Floats]]] = {}
    cuts: dict[int, Cut] = {}
    errors: dict[int, str] = {}
    for i, spectrum in enumerate(spectra):
        try:
            energy_ev, intensity = (_numbers(spectrum, name) for name in FIELDS)
            if len(energy_ev) != len(intensity) or len(energy_ev) < 2:
                got = f"{len(intensity)} and {len(energy_ev)}"
                raise InputError(f"expected as many intensities as energies and two or more, got {got}.")
            same_axis.setdefault(energy_ev.tobytes(), (energy_ev, {}))[1][i] = intensity
        except InputError as error:
            errors[i] = str(error)
    for energy_ev, rows in same_axis.values():
        _cut_together(energy_ev, rows, edge, cuts, errors)
    return cuts, {i: f"Spectrum {i}: {sentence}" for i, sentence in errors.items()}


def _cut_together(
    energy_ev: Floats, rows: Mapping[int, Floats], edge: Edge, cuts: dict[int, Cut], errors: dict[int, str]
) -> None:
    """Add what was cut out of spectra (C,) that share an axis (C,), or what is wrong with it or with them."""
    try:
        intensity = np.stack(list(rows.values()))
        intensity /= np.maximum(np.abs(intensity).max(axis=1, keepdims=True), np.finfo(float).tiny)
        increasing_ev, intensity = ordered(energy_ev, intensity, _IT)
        placed = place_windows(increasing_ev, intensity, edge, where=_IT)
    except InputError as error:
        if len(rows) == 1:
            errors |= dict.fromkeys(rows, str(error).removeprefix(f"{_IT}: "))
        else:  # a bad one fails all: split in halves until it is alone
            places = list(rows)
            for half in (places[::2], places[1::2]):
                _cut_together(energy_ev, {i: rows[i] for i in half}, edge, cuts, errors)
        return
    for row, (i, fault) in enumerate(zip(rows, placed.faults.tolist(), strict=True)):
        crop = placed.intensity[row]
        if np.ptp(crop) == 0 or REASONS[fault] == "empty":
            near = f"{edge.crop_ev[0]:g} ... {edge.crop_ev[1]:g} eV"
            errors[i] = f"expected an edge, got the same intensity in every channel near {near}."
        else:
            position = placed.positions[row]
            cuts[i] = Cut(
                crop,
                int(placed.moved_bins[row]),
                REASONS[fault] == "saturated",
                position.background,
                int(placed.spikes[row]),
                placed.gain_steps[row] is not None,
                position.contrast >= MIN_CONTRAST,
                o_k_distance_ev(increasing_ev, intensity[row], position.l3_ev, edge),
            )


def _numbers(spectrum: Any, name: str) -> Floats:
    """One list of a spectrum as an array."""
    values = spectrum.get(name) if isinstance(spectrum, Mapping) else getattr(spectrum, name, None)
    if values is None:
        raise InputError(f"expected an object with the lists {' and '.join(FIELDS)}, got no {name}.")
    try:
        # numpy would take true for 1
        if not isinstance(values, np.ndarray) and bool in set(map(type, values)):
            raise ValueError
        array = np.asarray(values)
        if array.ndim != 1 or array.dtype.kind not in "iuf":
            raise ValueError
        array = array.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"expected a list of numbers for {name}, got {_describe(values)}.") from None
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array))
        raise InputError(
            f"expected finite numbers for {name}, got {len(bad)} that are not, the first at {bad[0]}."
        )
    return array


def _describe(values: Any) -> str:
    """The first thing that is no number, in a few words."""
    if not isinstance(values, list | tuple | np.ndarray):
        return f"{type(values).__name__}"
    for i, value in enumerate(values):
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
            return f"{'null' if value is None else type(value).__name__} at {i}"
    return "numbers that are too large, or lists within the list"

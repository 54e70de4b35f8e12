"""What a request brings is bounded before it is parsed, in little memory."""

import re
import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.serve.request import MAX_CHANNELS, MAX_SPECTRA, cut, parse
from mnflow.spectra import MN
from tests.helpers.spectra import edge_shape
from tests.opinions.test_oxygen import spectrum as with_oxygen


def test_lists_of_numbers_become_arrays() -> None:
    (found, other) = parse(b'{"inputs": [{"energy_ev": [1, 2.5], "intensity": [1, true]}, null]}')
    assert found["energy_ev"].dtype == np.float64
    assert found["energy_ev"].tolist() == [1, 2.5]
    assert parse(b'{"inputs": [{"intensity": [1, %d]}]}' % 10**20)[0]["intensity"].tolist() == [1, 1e20]
    assert found["intensity"] == [1, True], "what is no list of numbers is left for the refusal to name"
    assert other is None


UNREADABLE = (
    r"The request cannot be read \((JSONDecode|UnicodeDecode|Recursion|Value)Error\): expected JSON in UTF-8"
)
NO_SPECTRA = re.escape(
    'Expected {"inputs": [{"energy_ev": [...], "intensity": [...]}, ...]}, a list of spectra'
)
TOO_MANY = "Expected at most 10,000 spectra in one request, got 10,001: send fewer at a time"
MORE_LISTS = "Expected two lists of numbers a spectrum, got more lists than that"
HOLD_NONE = "bytes on average, which hold none: send 100 at most, and each gets its own error"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"inputs": [' + b"0," * 3_000_000 + b"0]}",
         "Expected at most 100,000 channels a spectrum, got a list of 3,000,000 elements"),
        (b'{"inputs": [' + b"0," * 4_000_000 + b"0]}", r"Expected at most 6\.4 MB a spectrum, got 8\.0"),
        (b" " * 7_000_000, r"Expected at most 6\.4 MB a spectrum, got 7\.0"),
        (b" " * 6_400_001, r"Expected at most 6\.4 MB a spectrum, got 6\.4"),
        (b" " * 6_400_000, UNREADABLE),
        (b"}" + b" " * 6_400_001, r"Expected at most 6\.4 MB a spectrum, got 6\.4"),
        (b'{"inputs": [{}, {"a": "' + b"a" * 7_000_000 + b'"}, {}]}',
         r"Expected at most 6\.4 MB a spectrum, got 7\.0"),
        (b'{"inputs": [' + b"0," * 9_999 + b"0]}", f"Expected spectra, got 10,000 elements of 2 {HOLD_NONE}"),
        (b'{"inputs": [' + b"{}," * 100 + b"{}]}", f"Expected spectra, got 101 elements of 3 {HOLD_NONE}"),
        ((b'{"inputs": [' + b"{}," * 100 + b"{}]}").ljust(300 * 101 - 1),
         f"Expected spectra, got 101 elements of 300 {HOLD_NONE}"),
        (b'{"inputs": [' + b"{}," * MAX_SPECTRA + b"{}]}", TOO_MANY),
        (b'{"inputs": [' + b"0," * MAX_SPECTRA + b"0]}", TOO_MANY),
        (b"[" * 100_000, MORE_LISTS),
        (b"[" * 20_002, MORE_LISTS),
        (b"[" * 20_001, UNREADABLE),
        (b"[" * 5_000, UNREADABLE),
        (b"9" * 100_000, UNREADABLE),
        (b"\xff\xfe\x00", UNREADABLE),
        (b"{", UNREADABLE),
        (b"}" + b" " * 4_000_000 + b"}" + b" " * 4_000_000, UNREADABLE),
        (b'{"instances": []}', NO_SPECTRA),
        (b'{"inputs": [], "params": {}}', NO_SPECTRA),
        (b'{"inputs": {}}', NO_SPECTRA),
        (b"[]", NO_SPECTRA),
    ],
    ids=lambda x: repr(x[:20]),
)  # fmt: skip
def test_what_is_too_much_or_no_request_is_refused(body: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=rf"^{sentence}\.$"):
        parse(body)


def test_as_much_as_is_allowed_is_parsed() -> None:
    assert parse(b'{"inputs": [' + b"{}," * 99 + b"{}]}") == [{}] * 100
    assert parse((b'{"inputs": [' + b"{}," * 100 + b"{}]}").ljust(300 * 101)) == [{}] * 101
    short = b'{"energy_ev": [' + b"640.25," * 22 + b'650], "intensity": [' + b"640.25," * 22 + b"650]}"
    assert len(parse(b'{"inputs": [' + (short + b",") * (MAX_SPECTRA - 1) + short + b"]}")) == MAX_SPECTRA
    row = b"[" + b"1," * (MAX_CHANNELS - 1) + b"1]"
    (one,) = parse(b'{"inputs": [{"energy_ev": ' + row + b', "intensity": ' + row + b"}]}")
    assert one["energy_ev"].tolist() == one["intensity"].tolist() == [1.0] * MAX_CHANNELS
    with pytest.raises(InputError, match=f"got a list of {MAX_CHANNELS + 3:,} elements"):
        parse(b'{"inputs": [' + b"1," * (MAX_CHANNELS + 3) + b"1]}")


def test_a_body_takes_a_few_times_its_size_in_memory() -> None:
    """Numbers of two characters, where a Python object for each would take thirty times as much."""
    row = b"[" + b"1e3," * 20_000 + b"1e3]"
    one = b'{"energy_ev":' + row + b',"intensity":' + row + b"}"
    body = b'{"inputs":[' + b",".join([one] * 10) + b"]}"
    tracemalloc.start()
    try:
        assert len(parse(body)) == 10
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(body)
    assert MAX_CHANNELS >= 2**16, "an axis of a camera"


AXIS = np.arange(620.0, 680.0, 0.1).tolist()


def spectrum(valence: int = 0, l3_ev: float = 642.0, scale: float = 1e4) -> dict[str, Any]:
    """One raw spectrum on a background."""
    energy_ev = np.array(AXIS)
    intensity = edge_shape(energy_ev, valence, l3_ev) + 5 * (energy_ev / 642) ** -3
    return {"energy_ev": AXIS, "intensity": (scale * intensity).tolist()}


LONG = {"energy_ev": (600 + 0.25 * np.arange(400)).tolist()}
UNEVEN_BEFORE = np.append(np.random.default_rng(0).normal(10, 1, 80), np.full(320, 3.0))
CONSTANT = "expected an edge, got the same intensity in every channel near 635 ... 665 eV."


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"energy_ev": AXIS}, "expected an object with the lists energy_ev and intensity, got no intensity."),
        (None, "expected an object with the lists energy_ev and intensity, got no energy_ev."),
        (spectrum() | {"intensity": [1.0, 2.0]},
         "expected as many intensities as energies and two or more, got 2 and 600."),
        ({"energy_ev": [1.0], "intensity": [1.0]},
         "expected as many intensities as energies and two or more, got 1 and 1."),
        ({"energy_ev": [640.0, 641.0], "intensity": [1.0, 2.0]},
         "expected energies that cover 635 ... 665 eV or most of it, got 640.0 ... 641.0 eV; check the "
         "calibration and the units of the axis."),
        (spectrum() | {"intensity": [7.0] * 600}, CONSTANT),
        (spectrum() | {"intensity": [9.0, 8.0] * 25 + [7.0] * 550},
         "expected the whole edge, 618.3 ... 635.1 eV for an L3 line at 620.8 eV, got 620.0 ... 679.9 eV."),
        (LONG | {"intensity": UNEVEN_BEFORE}, CONSTANT),  # but for rounding in a fitted background
        (spectrum() | {"intensity": [-1.0] * 140 + [0.0] * 460}, CONSTANT),  # within the crop alone
        (spectrum() | {"intensity": [10**400] * 600},
         "expected a list of numbers for intensity, got numbers that are too large, or lists within the "
         "list."),
        (spectrum() | {"intensity": np.ones((2, 300))},
         "expected a list of numbers for intensity, got ndarray at 0."),
        (spectrum() | {"intensity": np.array([1.0, np.inf] * 300)},
         "expected finite numbers for intensity, got 300 that are not, the first at 1."),
        (spectrum() | {"intensity": [1.0, True] * 300},
         "expected a list of numbers for intensity, got bool at 1."),
        (spectrum() | {"intensity": [1.0, None] * 300},
         "expected a list of numbers for intensity, got null at 1."),
        (spectrum() | {"intensity": [1.0, float("nan")] * 300},
         "expected finite numbers for intensity, got 300 that are not, the first at 1."),
        (spectrum() | {"energy_ev": "620"}, "expected a list of numbers for energy_ev, got str."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_is_said_and_its_neighbours_are_cut(bad: Any, sentence: str) -> None:
    cuts, errors = cut([spectrum(), bad, spectrum(2)], MN)
    assert errors == {1: f"Spectrum 1: {sentence}"}
    alone = [cut([one], MN)[0][0] for one in (spectrum(), spectrum(2))]
    for place, one in zip((0, 2), alone, strict=True):
        np.testing.assert_array_equal(cuts[place].crop, one.crop)


def test_what_was_done_to_a_spectrum_comes_with_its_crop() -> None:
    """By its place in the request, whatever its neighbours on the same axis are."""
    spoilt, full = spectrum(1, 650.0), spectrum(2)
    spoilt["intensity"][100] *= 3  # a spike
    counts = np.array(full["intensity"])
    full["intensity"] = np.minimum(counts, counts[210:240].max() - 2000).tolist()
    arrays = {name: np.array(values) for name, values in spectrum().items()}
    cuts, errors = cut([arrays, spoilt, full], MN)
    assert not errors
    told = [(c.moved_bins, c.saturated, c.spikes, c.gain_step, c.edge_seen) for c in cuts.values()]
    assert told == [
        (0, False, 0, False, True),
        (told[1][0], False, 1, False, True),
        (0, True, 0, False, True),
    ]
    assert told[1][0] == cut([spectrum(1, 650.0)], MN)[0][0].moved_bins
    assert {c.background for c in cuts.values()} == {"power law"}


def test_objects_with_attributes_are_read_as_mappings_are() -> None:
    """As MLflow brings them: `mnflow.serve.model.Spectrum`."""
    whole, half = SimpleNamespace(**spectrum()), SimpleNamespace(energy_ev=AXIS)
    cuts, errors = cut([whole, spectrum(), half], MN)
    np.testing.assert_array_equal(cuts[0].crop, cuts[1].crop)
    assert errors == {
        2: "Spectrum 2: expected an object with the lists energy_ev and intensity, got no intensity."
    }


def test_where_o_k_is_on_the_axis_its_distance_comes_with_the_crop() -> None:
    energy_ev = np.arange(480, 700, 0.2)
    bare, oxide = edge_shape(energy_ev, 1), with_oxygen(energy_ev, 531.0)
    asked = [{"energy_ev": energy_ev, "intensity": counts} for counts in (bare, oxide)]
    cuts, errors = cut([*asked, spectrum()], MN)
    assert not errors
    assert [cuts[i].o_k_distance_ev for i in (0, 2)] == [None, None]
    assert cuts[1].o_k_distance_ev == pytest.approx(642 - 531, abs=1.5)

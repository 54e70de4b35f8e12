"""What a request brings is bounded before it is parsed, in little memory."""

import tracemalloc

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.serve.request import MAX_CHANNELS, MAX_SPECTRA, parse


def test_lists_of_numbers_become_arrays() -> None:
    (found, other) = parse(b'{"inputs": [{"energy_ev": [1, 2.5], "intensity": [1, true]}, null]}')
    assert found["energy_ev"].dtype == np.float64
    assert found["energy_ev"].tolist() == [1, 2.5]
    assert found["intensity"] == [1, True], "what is no list of numbers is left for the refusal to name"
    assert other is None


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"inputs": [' + b"0," * 3_000_000 + b"0]}", "a list of 3,000,000 elements"),
        (b'{"inputs": [' + b"0," * 4_000_000 + b"0]}", r"at most 6\.4 MB a spectrum, got 8\.0"),
        (b" " * 7_000_000, r"at most 6\.4 MB a spectrum, got 7\.0"),
        (b'{"inputs": [{}, {"a": "' + b"a" * 7_000_000 + b'"}, {}]}', r"at most 6\.4 MB a spectrum, got 7"),
        (b'{"inputs": [' + b"0," * 9_999 + b"0]}", "got 10,000 elements of 2 bytes on average"),
        (b'{"inputs": [' + b"{}," * 100 + b"{}]}", "got 101 elements of 3 bytes on average"),
        (
            b'{"inputs": [' + b"{}," * MAX_SPECTRA + b"{}]}",
            "at most 10,000 spectra in one request, got 10,001",
        ),
        (b'{"inputs": [' + b"0," * MAX_SPECTRA + b"0]}", "at most 10,000 spectra in one request, got 10,001"),
        (b"[" * 100_000, "more lists than that"),
        (b"[" * 5_000, "cannot be read"),
        (b"9" * 100_000, "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"{", "cannot be read"),
        (b'{"instances": []}', "Expected"),
        (b'{"inputs": {}}', "Expected"),
        (b"[]", "Expected"),
    ],
    ids=lambda x: repr(x[:20]),
)
def test_what_is_too_much_or_no_request_is_refused(body: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse(body)


def test_as_much_as_is_allowed_is_parsed() -> None:
    assert parse(b'{"inputs": [' + b"{}," * 99 + b"{}]}") == [{}] * 100
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

"""Energy axes: their order, and their unit by words or by numbers."""

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.spectra import MN
from mnflow.spectra.axis import (
    axis_ev,
    energy_unit,
    ev_per_unit,
    names_no_unit,
    names_other_axis,
    ordered,
    stacked_spectra,
    unit_from_numbers,
)

UP = np.arange(630.0, 650.0, 0.5)


def test_a_uniform_axis() -> None:
    np.testing.assert_allclose(axis_ev(615.0, 4, 0.5), [615.0, 615.5, 616.0, 616.5])
    assert axis_ev(615, 4, 1).dtype == np.float64


@pytest.mark.parametrize(
    ("energy_ev", "expected_ev", "expected"),
    [
        ([1, 2, 4], [1, 2, 4], [[0, 1, 2], [3, 4, 5]]),
        ([4, 2, 1], [1, 2, 4], [[2, 1, 0], [5, 4, 3]]),
        ([2, 1, 4], [1, 2, 4], [[1, 0, 2], [4, 3, 5]]),
        ([2, 1, 2], [1, 2], [[1, 1], [4, 4]]),
        ([1, 1, 2], [1, 2], [[0.5, 2], [3.5, 5]]),
    ],
)
def test_energies_are_put_in_order(
    energy_ev: list[float], expected_ev: list[float], expected: list[list[float]]
) -> None:
    energy, counts = ordered(np.array(energy_ev), np.arange(6).reshape(2, 3), "mine")
    assert energy.dtype == np.float64
    np.testing.assert_array_equal(energy, expected_ev)
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize(
    ("energy_ev", "sentence"),
    [
        (
            np.arange(4),
            "mine: expected one energy for every channel .* or more, got 4 channels",
        ),
        (np.arange(6).reshape(3, 2), "mine: expected one energy for every channel"),
        (np.array([1, np.nan, 2]), "mine: expected finite energies, got NaN or infinity"),
        (np.array([1, 2, np.inf]), "mine: expected finite energies, got NaN or infinity"),
        (
            np.array([5, 5, 5]),
            r"mine: expected an energy axis, got the same energy \(5 eV\) in every",
        ),
    ],
)
def test_what_is_no_axis(energy_ev: np.ndarray, sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{sentence}"):
        ordered(energy_ev, np.ones((2, 3)), "mine")


def test_one_channel_is_no_axis() -> None:
    with pytest.raises(InputError, match="two channels or more, got 1 channels"):
        ordered(np.array([1.0]), np.ones((2, 1)), "mine")
    assert ordered(np.array([1.0, 2.0]), np.ones((2, 2)), "mine")[0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("parts", "count"),
    [
        ([UP], 1),
        ([UP[::-1]], 1),
        ([UP, UP], 2),
        ([UP[::-1], UP[::-1]], 2),
        ([UP, UP, UP], 3),
        ([UP, UP[::-1]], 2),
        ([UP[::-1], UP], 2),
        ([UP[:8], UP[7::-1]], 2),
        ([UP, UP + 9], 2),
        ([UP, UP + 11], 1),  # less than half of the energies are the same
        ([UP[20:], UP[:20]], 1),  # halves in another order
        ([UP[:8], UP[:8]], 2),
        ([UP[:7], UP[:7]], 1),  # too short for spectra
        ([UP, UP[:7]], 1),
        ([UP[:1].repeat(20)], 1),
        ([UP[:20], UP[17:]], 1),  # a digitized curve that steps back a little
    ],
)
def test_spectra_one_below_the_other_are_counted(parts: list[np.ndarray], count: int) -> None:
    energy_ev = np.concatenate(parts)
    assert stacked_spectra(energy_ev) == count
    if count > 1:
        sentence = f"mine: expected one spectrum, got {count}, .* start again at {energy_ev[0]:g} eV"
        with pytest.raises(InputError, match=sentence):
            ordered(energy_ev, np.ones((1, len(energy_ev))), "mine")


def test_units_that_are_energies() -> None:
    names = {
        "eV": 1,
        "EV": 1,
        "[eV]": 1,
        " (keV) ": 1e3,
        "KEV": 1e3,
        "meV": 1e-3,
        "mev": 1e-3,
        "m-eV": 1e-3,
        "electronvolt": 1,
    }
    names |= {"electron_volt": 1, "kiloelectron_volt": 1e3}
    for name, factor in names.items():
        assert ev_per_unit(name, "a file") == factor
    for name in ("MeV", "MEV", "M-eV", "e", "nm", "ev/ch"):
        with pytest.raises(
            InputError,
            match=f"^a file: expected an energy axis in eV, keV or meV, got '{name}'; set the axis' units",
        ):
            ev_per_unit(name, "a file")
    for nothing in (None, "", "<undefined>", "[]"):
        with pytest.raises(InputError, match="got no units"):
            ev_per_unit(nothing, "a file")


@pytest.mark.parametrize(
    ("words", "factor"),
    [
        ("Energy Loss (eV)", 1.0), ("energy_keV", 1e3), ("meV", 1e-3), ("kilo electron volts", 1e3),
        ("milli electronvolt", 1e-3), ("electron_volts", 1.0), ("MeV", None), ("1/eV", None),
        ("Mega electron volt", None), ("megaelectronvolts", None), ("kilo-electron-volt", 1e3),
        ("per eV", None), ("eV/channel", None), ("eV^-1", None), ("level", None), ("eVent", None),
        (None, None), (7, None),
    ],
)  # fmt: skip
def test_the_unit_in_words(words: object, factor: float | None) -> None:
    assert energy_unit(words) == factor


def test_units_left_open() -> None:
    assert all(map(names_no_unit, (None, "", " - ", "<undefined>", "[None]", "Unknown", "NaN", "()")))
    assert not any(map(names_no_unit, ("eV", "nm", 0, "no")))


def test_words_of_other_axes() -> None:
    others = (
        "Channel",
        "pixels",
        "wavelength",
        "Time",
        "x / nm",
        "(um)",
        "position",
        "T (temp)",
        "s",
        "[px]",
    )
    assert all(map(names_other_axis, others))
    assert not any(map(names_other_axis, ("energy", "x", "loss", "E / eV", "", "columns", None)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.arange(630.0, 670.0), (1.0, "eV")),
        (np.arange(630.0, 670.0) / 1e3, (1e3, "keV")),
        (np.arange(630.0, 670.0) * 1e3, (1e-3, "meV")),
        (np.array([650.0, 700.0]), (1.0, "eV")),  # half of 635 ... 665 eV
        (np.array([650.1, 700.0]), None),
        (np.array([600.0, 650.0]), (1.0, "eV")),
        (np.array([600.0, 649.9]), None),
        (np.array([np.nan, 670.0, 630.0, np.inf]), (1.0, "eV")),
        (np.array([0.1, 700.0]), None),  # eV and keV
        (np.arange(1000.0), None),  # channels
        (np.arange(1.0, 1001.0), None),
        (np.arange(100.0, 1100.0), (1.0, "eV")),
        (np.array([640.0]), None),
        (np.array([1e306, 2e306]), None),
        (np.array([np.nan, np.nan]), None),
    ],
)
def test_the_unit_in_numbers(values: np.ndarray, expected: tuple[float, str] | None) -> None:
    assert unit_from_numbers(values, MN.crop_ev) == expected

"""The amplitude with which accuracy oscillates under shift."""

import numpy as np
import pytest

from mnflow.reproduction.swing import STRIDES, swing


def test_swing_is_the_amplitude_of_its_period_and_of_no_other() -> None:
    channel = np.arange(101)
    curve = 0.9 - 1e-5 * (channel - 50) ** 2
    for period in STRIDES:
        waves = np.stack(
            [
                0 * channel,
                0.03 * np.cos(2 * np.pi * channel / period),
                0.02 * np.sin(2 * np.pi * channel / period),
            ]
        )
        assert swing(curve + waves, period) == pytest.approx([0, 0.03, 0.02], abs=2e-3)
    assert swing(curve + 0.03 * np.cos(2 * np.pi * channel / 8), 16) == pytest.approx(0, abs=1e-3)


def test_what_falls_off_far_from_the_trained_place_is_no_swing() -> None:
    shift = np.linspace(-5, 5, 101)
    falls_off = 0.3 + 0.7 / (1 + np.exp((np.abs(shift - 0.3) - 3) / 0.4))
    assert swing(falls_off, 16) < 0.002
    assert swing(falls_off, 8) < 0.002

"""The library in Fourier space shows what the simulator shows."""

import numpy as np
import pytest

from mnflow.fit.stick_bank import GRID, STEP_EV, WINDOW_EV, bank_of, own_middle, screens_of
from mnflow.simulate.library import library_of
from mnflow.simulate.physics.lineshape import LineShape, white_lines
from mnflow.simulate.settings import settings_of


@pytest.fixture(scope="module")
def bank():
    return bank_of("Mn")


@pytest.mark.parametrize("row", [0, 130, 250])
def test_lines_are_those_of_the_simulator(bank, row):
    library = library_of(settings_of("Mn"))
    strength = library.strength[~library.foreign][row].astype(float)
    shape = LineShape(0.35, 0.3, growth=0.4, max_width_ev=2.0, l2_shift_ev=0.6, l2_factor=0.9)
    seen = bank.seen(bank.lines(np.array([row]), shape), 0.0, 0.6, np.array([1.0]))[0]
    axis = -22.0 + STEP_EV * np.arange(bank.n_fft)
    expected, _ = white_lines(axis, strength, 1.0, LineShape(**vars(shape) | {"disorder_ev": 0.6}))
    inside = (axis > -10) & (axis < 20)
    assert np.abs(seen - expected)[inside].max() < 0.02 * expected.max()


def test_thickness_lowers_the_lines_and_fills_what_follows(bank):
    lines = bank.lines(np.array([0]), LineShape(0.35))
    thin, thick = (bank.seen(lines, t, 0.5, np.array([0.0]))[0] for t in (0.0, 1.0))
    assert thick.max() == pytest.approx(np.exp(-1) * thin.max(), rel=0.05)
    assert thick.sum() == pytest.approx(thin.sum(), rel=1e-6)


def test_the_known_ones_lack_what_is_set_aside(bank):
    known = bank_of("Mn", known_only=True)
    assert 0.6 * len(bank.valence) < len(known.valence) < 0.72 * len(bank.valence)
    assert screens_of(known, 2)[0].aligned.shape[0] == (known.valence == 2).sum()


def test_screens_have_their_maxima_in_one_place(bank):
    screens = screens_of(bank, 2)
    assert len(screens) == len(GRID)
    for screen in screens:
        assert (screen.aligned.argmax(axis=1) == round(-WINDOW_EV[0] / STEP_EV)).all()
        assert len(screen.maximum_ev) == (bank.valence == 2).sum()


def test_spectra_are_read_between_channels(bank):
    ramp = np.arange(bank.n_fft, dtype=float)[None] ** 2
    channels = np.array([0.0, 3.25, 10.5, bank.n_fft - 2, bank.n_fft - 1])
    expected = [0, 9.0 + 0.25 * 7, 100 + 0.5 * 21, (bank.n_fft - 2) ** 2, (bank.n_fft - 1) ** 2]
    np.testing.assert_allclose(bank.on_window(ramp, -22.0 + STEP_EV * channels)[0], expected, rtol=1e-9)


def test_widths_part_of_the_way_through_their_ranges(bank):
    lines = bank.settings.valence[0].lines
    assert own_middle(lines, 0.0) == (lines.growth[0], lines.max_width_ev[0])
    assert own_middle(lines, 1.0) == pytest.approx((lines.growth[1], lines.max_width_ev[1]))
    quarter = [0.75 * low + 0.25 * high for low, high in (lines.growth, lines.max_width_ev)]
    assert own_middle(lines, 0.25) == pytest.approx(quarter)

"""Energy shifts are real crops of the wide window, each shift as likely."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnflow.augment.energy_shift import crops, draw_shifts, max_shift_bins
from mnflow.errors import InputError
from mnflow.preprocess import normalise
from tests.helpers.spectra import COARSE
from tests.helpers.spectra import spectra as made_up


@given(shift=st.integers(-25, 25))
@settings(max_examples=20, deadline=None)
def test_a_crop_of_the_shifted_is_a_shifted_crop(shift: int) -> None:
    wide = made_up(6, edge=COARSE).intensity
    start = COARSE.crop_start
    # what rolls in stays outside of the crop
    moved = np.roll(wide, shift, axis=1)[:, start : start + COARSE.n_crop]
    np.testing.assert_array_equal(crops(wide, np.full(6, shift), COARSE), normalise(moved))


def test_every_shift_is_drawn() -> None:
    shifts = draw_shifts(np.random.default_rng(0), 5000, 7)
    counts = np.bincount(shifts + 7)
    assert len(counts) == 15
    assert counts.min() > 250


def test_a_shift_that_leads_out_of_the_window_gives_a_clear_error() -> None:
    assert max_shift_bins(COARSE) == 25
    with pytest.raises(InputError, match=r"0 \.\.\. 8 eV"):
        max_shift_bins(COARSE, 9.0)
    # little room above its crop
    late = replace(COARSE, crop_ev=(638.0, 667.0))
    assert [max_shift_bins(late, ev) for ev in (0.0, 0.2, 3.0)] == [0, 1, 15]
    for shift_ev in (-0.2, 3.2):
        with pytest.raises(InputError, match=r"expected 0 \.\.\. 3 eV"):
            max_shift_bins(late, shift_ev)

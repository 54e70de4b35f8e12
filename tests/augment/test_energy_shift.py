"""Energy shifts are real crops of the wide window, each shift as likely."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mnflow.augment.energy_shift import crops, draw_shifts
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

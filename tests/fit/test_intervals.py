"""Calibrated intervals hold every valence as often as they should, whatever the posterior says."""

import numpy as np

from mnflow.fit import intervals
from mnflow.fit.intervals import calibrate
from mnflow.fit.mixtures import Mixtures
from mnflow.serve.novelty import locate
from mnflow.spectra import MN
from tests.helpers.posterior import made_up_posterior


def test_calibrated_intervals_hold_every_valence_as_often_whatever_the_posterior(unseen: Mixtures) -> None:
    half = [Mixtures(*(a[i::2] for a in vars(unseen).values())) for i in range(2)]
    nonsense = made_up_posterior()
    truth = half[1].fractions @ np.array(MN.charges)
    for posterior, calibrated in ((nonsense, False), (calibrate(nonsense, half[0]), True)):
        low, high = posterior(locate(half[1].crops)).interval.T
        covered = (low <= truth + 1e-6) & (truth <= high + 1e-6)
        if not calibrated:
            assert covered.mean() < 0.85, "these weights mean nothing"
            continue
        assert covered.mean() > intervals.AIM - 0.03
        for valence in (2.0, 4.0):
            assert covered[truth == valence].mean() > intervals.AIM_PURE - 0.05
        for least, most in ((2.01, 2.7), (2.7, 3.3), (3.3, 3.99)):
            there = (truth >= least) & (truth < most)
            assert covered[there].mean() > intervals.AIM - 0.05


def test_calibrating_again_starts_anew(unseen: Mixtures) -> None:
    once = calibrate(made_up_posterior(), unseen)
    twice = calibrate(once, unseen)
    assert once.calibration is not None
    assert twice.calibration is not None
    np.testing.assert_allclose(once.calibration.limits, twice.calibration.limits)

"""What is not linear in a spectrum is found again."""

import numpy as np
import pytest

from mnflow.fit.refinement import COMMON, Problem, State, standard_deviations
from mnflow.fit.stick_bank import bank_of


def test_least_squares_finds_the_line_shape_that_made_a_spectrum():
    bank, place = bank_of("Mn"), np.arange(-7.0, 17.0, 0.1)
    row = int(np.flatnonzero(bank.valence == 2)[0])
    true = np.array([3.0, 1.0, 0.4, 0.8, 0.5, 0.95, 0.4, 2.5, 0.0])
    made = Problem(bank, place, place, (2,)).columns(np.array([row]), true, np.array([0]))
    target = made[:, 0] / made[:, 0].max() + 0.1
    problem = Problem(bank, place, target, (2,))
    found = problem.refined(State((row,), true + np.array([0.3, 0.01, 0.2, 0.4, -0.2, -0.1, 0.1, -0.5, 0.0])))
    common, own = problem.split(found.z)
    assert list(common) == list(COMMON)
    assert common["thickness"] == pytest.approx(0.4, abs=0.1)
    assert common["resolution_ev"] == pytest.approx(0.8, abs=0.1)
    assert own[0, 0] == pytest.approx(0.4, abs=0.05)
    assert found.cost < 0.01
    assert (standard_deviations(problem, found, 1e-6) >= 0).all()

"""Everything that an answer says follows from one posterior, and so cannot contradict itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnflow.serve.decision import SURE, Reading, labels, mean_valence_distribution, pure_cells, quantile, read
from mnflow.serve.posterior import compositions

CELLS = compositions(3)
CHARGES = (2.0, 3.0, 4.0)
MIXED, UNDECIDED = 3, 4


def posterior(*weighted: tuple[float, tuple[float, ...]]) -> np.ndarray:
    """Cells (1, 66) with these weights on these compositions."""
    cells = np.zeros((1, len(CELLS)))
    for weight, composition in weighted:
        cells[0, np.abs(CELLS - composition).sum(axis=1).argmin()] += weight
    return cells


def read_cells(cells: np.ndarray) -> Reading:
    return read(cells, CELLS, mean_valence_distribution(cells, CELLS, CHARGES))


def said(*weighted: tuple[float, tuple[float, ...]]) -> Reading:
    return read_cells(posterior(*weighted))


@pytest.mark.parametrize(("n_classes", "n_cells"), [(2, 11), (3, 66), (4, 286)])
def test_compositions_are_all_that_add_up(n_classes: int, n_cells: int) -> None:
    found = compositions(n_classes)
    assert found.shape == (n_cells, n_classes)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert len({tuple(row) for row in found.round(3).tolist()}) == n_cells


@given(seed=st.integers(0, 10_000), sharpness=st.floats(0.01, 5))
def test_nothing_contradicts(seed: int, sharpness: float) -> None:
    cells = np.random.default_rng(seed).dirichlet(np.full(len(CELLS), sharpness), 5)
    found = read_cells(cells)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(found.fractions.sum(axis=1), 1)
    np.testing.assert_allclose(found.mean_valence, found.fractions @ CHARGES)
    low, high = found.interval.T
    assert ((low >= 2) & (low <= found.mean_valence) & (found.mean_valence <= high) & (high <= 4)).all()
    for label, probabilities in zip(found.label, found.probabilities, strict=True):
        if label < 3:
            assert probabilities[label] >= SURE, "a named class is the likeliest to have the largest share"


def test_a_pure_compound_gets_its_name() -> None:
    found = said((0.9, (0, 1, 0)), (0.1, (0, 0.9, 0.1)))
    assert found.label == [1]
    np.testing.assert_allclose(found.probabilities, [[0, 1, 0]])
    np.testing.assert_allclose(found.mean_valence, 3.01)


def test_half_and_half_is_mixed() -> None:
    found = said((0.5, (0.5, 0.5, 0)), (0.25, (0.4, 0.6, 0)), (0.25, (0.6, 0.4, 0)))
    assert found.label == [MIXED]
    np.testing.assert_allclose(found.probabilities, [[0.5, 0.5, 0]])


def test_the_spread_is_the_standard_deviation_of_the_mean_valence() -> None:
    np.testing.assert_allclose(said((0.5, (1, 0, 0)), (0.5, (0, 0, 1))).spread, 1.0)
    np.testing.assert_allclose(said((0.9, (0, 1, 0)), (0.1, (1, 0, 0))).spread, 0.3)
    np.testing.assert_allclose(said((1.0, (0.5, 0, 0.5))).spread, 0.0)


def test_three_quarters_have_a_name_and_are_never_undecided() -> None:
    assert said((0.5, (0.7, 0.3, 0)), (0.5, (0.8, 0.2, 0))).label == [0]
    assert said((0.5, (0.8, 0.2, 0)), (0.5, (0.6, 0.4, 0))).label == [MIXED]


def test_two_pure_compounds_that_look_alike_are_undecided() -> None:
    found = said((0.6, (0, 1, 0)), (0.4, (0, 0, 1)))
    assert found.label == [UNDECIDED]
    assert labels(("Mn2+", "Mn3+", "Mn4+"))[UNDECIDED] is None
    np.testing.assert_allclose(found.interval, [[3, 4]], atol=0.1)


def test_the_interval_holds_nine_tenths() -> None:
    cells = np.full((1, len(CELLS)), 1 / len(CELLS))
    values, mass = mean_valence_distribution(cells, CELLS, CHARGES)
    low, high = read_cells(cells).interval[0]
    assert mass[0, (values > low) & (values < high)].sum() == pytest.approx(0.9, abs=0.06)


def test_an_interval_leaves_five_percent_on_either_side() -> None:
    """All probability at 2.5 is spread over 2.45 to 2.55, and at a pure compound it is not."""
    np.testing.assert_allclose(said((1, (0.5, 0.5, 0))).interval, [[2.455, 2.545]], atol=1e-6)
    np.testing.assert_allclose(said((1, (0, 0, 1))).interval, [[4, 4]])


def test_many_are_read_as_each_alone() -> None:
    each = [
        posterior((1, (1, 0, 0))),
        posterior((1, (0, 0, 1))),
        posterior((1, (0.4, 0.6, 0))),
        posterior((0.6, (0, 1, 0)), (0.4, (0, 0, 1))),
    ]
    together = read_cells(np.concatenate(each))
    assert together.label.tolist() == [0, 2, MIXED, UNDECIDED]
    for row, one in enumerate(each):
        for name, value in vars(read_cells(one)).items():
            np.testing.assert_allclose(getattr(together, name)[row], value[0], err_msg=name)
    assert together.t_over_lambda.shape == (4, 3)
    assert np.isnan(together.t_over_lambda).all()


def test_the_thresholds_of_a_name_and_of_a_mixture_count_as_reached() -> None:
    assert said((0.85, (0.7, 0.3, 0)), (0.15, (0.1, 0.9, 0))).label == [0]
    assert said((0.84, (0.7, 0.3, 0)), (0.16, (0.1, 0.9, 0))).label == [UNDECIDED]
    assert said((0.85, (0.2, 0.8, 0)), (0.15, (1, 0, 0))).label == [1], "a name goes before a mixture"
    assert said((0.5, (0.2, 0.8, 0)), (0.35, (0.8, 0.2, 0)), (0.15, (1, 0, 0))).label == [MIXED]
    assert said((0.5, (0.2, 0.8, 0)), (0.34, (0.8, 0.2, 0)), (0.16, (1, 0, 0))).label == [UNDECIDED]


def test_quantiles_run_through_the_values_and_end_at_pure_compounds() -> None:
    values, mass = np.array([2.0, 3.0, 4.0]), np.array([[0.25, 0.5, 0.25]])
    found = [float(quantile(values, mass, q)[0]) for q in (0.0, 0.2, 0.25, 0.5, 0.75, 0.8, 1.0)]
    assert found == [2.0, 2.0, 2.0, 3.0, 3.5, 4.0, 4.0]
    short = np.array([[0.25, 0.5, 0.2499], [0.5, 0.4, 0.0]])  # sums that rounding left below 1
    assert quantile(values, short, 0.95).tolist() == [4.0, 4.0]


def test_a_quantile_stays_within_a_value_s_reach_whatever_rounding_does() -> None:
    values, least = np.array([2.0, 3.0, 4.0, 5.0]), float(np.nextafter(0.3, 0))
    mass = np.array([[least, 3e-17, 0.4, 0.3]])  # the second is next to nothing, and holds the quantile
    assert least < 0.3 == mass[0, :2].sum()
    assert 2.0 <= quantile(values, mass, 0.3)[0] <= 3.5


def test_an_interval_is_never_without_the_mean() -> None:
    found = said((1, (0.1, 0.9, 0)))  # 2.9
    cases = [((2.4, 3.1), (2.4, 3.1)), ((3.0, 3.1), (2.9, 3.1)), ((np.nan, np.nan), (2.9, 2.9))]
    for ends, expected in cases:
        np.testing.assert_allclose(found.with_interval(np.array([ends])).interval, [expected])


def test_a_classifier_is_a_posterior_on_pure_compounds() -> None:
    probabilities = np.array([[0.7, 0.3, 0.0]])
    found = read_cells(pure_cells(probabilities, CELLS))
    np.testing.assert_allclose(found.probabilities, probabilities)
    np.testing.assert_allclose(found.mean_valence, [2.3])
    np.testing.assert_allclose(found.interval, [[2, 3]], atol=0.06)

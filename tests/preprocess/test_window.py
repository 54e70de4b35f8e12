"""Where the crop window is placed on a foreign axis, and what is refused."""

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.preprocess.locate import EdgePosition
from mnflow.preprocess.window import check_place, least_move, place_windows, placement
from mnflow.spectra import MN
from tests.helpers.spectra import edge_shape
from tests.helpers.windows import place_window


@pytest.mark.parametrize(("level", "exponent"), [(0.3, 0.0), (3.0, 3.0), (10.0, 3.0)])
def test_a_spectrum_that_begins_at_its_edge_keeps_its_level_without_its_slope(
    level: float, exponent: float
) -> None:
    energy_ev = np.arange(637.0, 665.0, 0.1)
    background = level * (energy_ev / 637.0) ** -exponent
    placed = place_window(energy_ev, edge_shape(energy_ev, 0, l3_ev=640.0) + background, MN)
    assert np.median(placed.intensity[:3]) == pytest.approx(level, abs=0.15)
    expected = edge_shape(MN.crop_axis_ev + 0.1 * placed.moved_bins, 0, 640.0)
    assert np.corrcoef(placed.intensity[50:250], expected[50:250])[0, 1] > 0.99


@pytest.mark.parametrize(
    ("start_ev", "stop_ev", "is_held"), [(639.4, 656.5, True), (639.8, 657, False), (630, 654, False)]
)
def test_the_whole_edge_must_be_there(start_ev: float, stop_ev: float, is_held: bool) -> None:
    energy_ev = np.arange(start_ev, stop_ev, 0.1)
    if is_held:
        place_window(energy_ev, edge_shape(energy_ev), MN)
    else:
        said = r"expected the whole edge, 639\.\d \.\.\. 656\.\d eV for an L3 line at 642"
        with pytest.raises(InputError, match=said):
            place_window(energy_ev, edge_shape(energy_ev), MN)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e15, 0.0])
def test_only_the_window_is_judged(value: float) -> None:
    """A zero-loss peak, dead channels and what is no number cost nothing where no answer depends on them."""
    energy_ev = np.arange(-20, 720, 0.2)
    intensity = edge_shape(energy_ev) + 3 * (np.maximum(energy_ev, 1) / 640) ** -3
    expected = place_window(energy_ev, intensity, MN)
    spoilt = intensity.copy()
    spoilt[np.abs(energy_ev) < 3] = 1e9
    spoilt[(energy_ev < 560) & (energy_ev > 550) | (energy_ev > 690)] = value
    np.testing.assert_allclose(place_window(energy_ev, spoilt, MN).intensity, expected.intensity, atol=1e-3)
    spoilt[np.abs(energy_ev - 642) < 0.3] = np.nan
    with pytest.raises(InputError, match="got not finite where its edge is"):
        place_window(energy_ev, spoilt, MN)


@pytest.mark.parametrize("gap_ev", [0.45, 0.7, 1.2])
def test_gaps_of_a_digitized_curve(gap_ev: float) -> None:
    rng = np.random.default_rng(0)
    energy_ev = np.cumsum(rng.uniform(0.05, 0.3, 200)) + 630
    energy_ev = energy_ev[(energy_ev < 647) | (energy_ev > 647 + gap_ev)]
    assert np.diff(energy_ev).max() > 0.8 * gap_ev
    if gap_ev < 1:
        placed = place_window(energy_ev, edge_shape(energy_ev), MN)
        assert placed.intensity.argmax() == pytest.approx(72 - placed.moved_bins, abs=3)
    else:
        with pytest.raises(InputError, match="expected at most 1 eV per channel"):
            place_window(energy_ev, edge_shape(energy_ev), MN)


GRID_EV = 615 + 0.1 * np.arange(700)


def test_a_window_with_l3_in_the_range_of_training_is_not_moved() -> None:
    intensity = edge_shape(GRID_EV, 0)
    placed = place_window(GRID_EV, intensity, MN)
    assert placed.moved_bins == 0
    np.testing.assert_allclose(placed.intensity, intensity[200:500], atol=1e-6)


@pytest.mark.parametrize(
    ("l3_ev", "start_ev", "stop_ev", "moved"),
    [
        (638.0, 615, 685, 0),  # the range of L3 in training: 0.1 to 0.5 of the window
        (650.0, 615, 685, 0),
        (636.0, 615, 685, -20),
        (652.0, 615, 685, 20),
        (643.0, 637, 685, 20),  # what the spectrum covers
        (643.0, 615, 660, -50),
        (643.0, 637, 660, 0),  # more of it is covered nowhere
        (652.0, 649, 685, 140),  # L3 comes first
    ],
)
def test_the_window_moves_no_farther_than_it_must(
    l3_ev: float, start_ev: float, stop_ev: float, moved: int
) -> None:
    energy_ev = GRID_EV[round(10 * (start_ev - 615)) : round(10 * (stop_ev - 615))]
    intensity = edge_shape(energy_ev, 0, l3_ev)
    placed = place_window(energy_ev, intensity, MN)
    assert placed.moved_bins == moved
    expected = np.interp(MN.crop_axis_ev + 0.1 * moved, energy_ev, intensity)  # goes on with the end values
    np.testing.assert_allclose(placed.intensity, expected, atol=1e-5)


def test_a_background_is_removed_unless_it_is_declared_removed() -> None:
    edge = edge_shape(GRID_EV, [0, 1])
    spectra = edge + 5 * (GRID_EV / 640) ** -3
    for declared in (None, False):
        crops, moved, *_ = place_windows(GRID_EV, spectra, MN, declared)
        np.testing.assert_allclose(crops, edge[:, 200:500], atol=0.01)
        assert moved.tolist() == [0, 0]
    np.testing.assert_allclose(place_windows(GRID_EV, spectra, MN, True)[0], spectra[:, 200:500], rtol=1e-6)
    np.testing.assert_allclose(place_windows(GRID_EV, edge, MN, False)[0], edge[:, 200:500], atol=0.01)


@pytest.mark.parametrize(("l3_ev", "level"), [(642.0, 0.0), (642.0, 5.0), (652.0, 5.0)])
def test_a_placement_found_on_one_spectrum_cuts_all_on_its_axis(l3_ev: float, level: float) -> None:
    energy_ev = 610 + 0.07 * np.arange(1150)
    spectra = edge_shape(energy_ev, [0, 0], l3_ev) * np.array([[1], [3]]) + level * (energy_ev / 640) ** -3
    found = placement(energy_ev, spectra[0], MN, "an image")
    expected, moved, *_ = place_windows(energy_ev, spectra, MN)
    np.testing.assert_allclose(found(spectra), expected, atol=1e-5)
    assert found.moved_bins == moved[0] == round(max(0, l3_ev - 650) * 10)
    assert (found.edge, found.position.background_removed) == (MN, level == 0)


@pytest.mark.parametrize(
    ("energy_ev", "change", "sentence"),
    [
        (
            np.arange(610, 690, 1.2),
            {},
            r"mine: expected at most 1 eV per channel between 64\d and 65\d eV, got 1\.2 eV; .* Mn",
        ),
        (np.array([600.0, 640.0, 700.0]), {}, "expected at most 1 eV per channel .* got 60 eV"),
        (
            np.arange(650.1, 690, 0.1),
            {},
            r"cover 635 \.\.\. 665 eV or most of it, got 650\.1 \.\.\. 689\.9 eV",
        ),
        (
            np.arange(610, 649.9, 0.1),
            {},
            r"cover 635 \.\.\. 665 eV or most of it, got 610\.0 \.\.\. 649\.[89] eV",
        ),
        (GRID_EV, {300: np.nan}, "got not finite where its edge is"),
        (GRID_EV, {300: -2e15}, r"more than 1e\+15"),
        (
            GRID_EV,
            dict.fromkeys(range(700), 7.0),
            "got empty where its edge is: .* the same intensity in every channel",
        ),
    ],
)
def test_what_holds_no_edge_is_refused(
    energy_ev: np.ndarray, change: dict[int, float], sentence: str
) -> None:
    intensity = edge_shape(energy_ev, 0)
    for at, value in change.items():
        intensity[at] = value
    with pytest.raises(InputError, match=sentence):
        place_window(energy_ev, intensity, MN, "mine")


def test_what_just_suffices_is_taken() -> None:
    for energy_ev in (np.arange(610, 690, 1.0), np.arange(649.9, 690, 0.1), np.arange(610, 657.5, 0.1)):
        place_window(energy_ev, edge_shape(energy_ev, 0, l3_ev=655.0 if energy_ev[0] > 640 else 643.0), MN)
    intensity = edge_shape(np.arange(600, 700, 0.1), 0)
    intensity[[0, -1]] = np.nan  # outside of the wide window
    assert np.isfinite(place_window(np.arange(600, 700, 0.1), intensity, MN).intensity).all()


@pytest.mark.parametrize(("l3_ev", "bins"), [(644.0, 0), (650.0, 0), (651.0, 10), (638.0, 0), (630.0, -80)])
def test_the_least_move_brings_l3_into_the_range_of_training(l3_ev: float, bins: int) -> None:
    assert least_move(l3_ev, MN) == bins


def test_a_placement_judges_its_own_window() -> None:
    counts = np.tile(1000 * edge_shape(GRID_EV, 0), (4, 1))
    placed = placement(GRID_EV, counts[0], MN, "mine")
    counts[1, 250], counts[2], counts[3, 5] = np.nan, 7.0, np.nan
    assert placed.faults(counts).tolist() == [0, 1, 2, 0]
    assert placed.faults(counts, 900.0).tolist() == [3, 1, 2, 3]


@pytest.mark.parametrize(
    ("first_ev", "last_ev", "is_held"),
    # L3 at 642.0 eV needs 639.5 ... 656.28 eV; a channel of 1 eV reaches half of one beyond its middle
    [(639.98, 655.8, True), (640.02, 655.8, False), (639.98, 655.76, False)],
)
def test_channels_reach_to_their_borders(first_ev: float, last_ev: float, is_held: bool) -> None:
    position = EdgePosition(642.0, 640.0, "removed", 10.0, 0.0)
    energy_ev = np.append(np.arange(first_ev, last_ev - 1.2, 1.0), [last_ev - 1.0, last_ev])
    if is_held:
        check_place(energy_ev, position, MN, "mine")
    else:
        with pytest.raises(InputError, match="mine: expected the whole edge"):
            check_place(energy_ev, position, MN, "mine")


def test_a_bridged_spike_hides_no_missing_channel() -> None:
    spectra = 1000 * np.tile(edge_shape(GRID_EV, 0), (2, 1)) + np.random.default_rng(0).normal(0, 1, (2, 700))
    spectra[0, 520] += 1e5
    found = place_windows(GRID_EV, spectra, MN)
    assert (found.faults.tolist(), found.spikes.tolist()) == ([0, 0], [1, 0])
    np.testing.assert_allclose(found.intensity[0, :250], spectra[0, 200:450], atol=1)
    spectra[:, 265:275] = np.nan
    assert place_windows(GRID_EV, spectra, MN).faults.tolist() == [1, 1]


def test_of_several_spectra_only_the_one_with_a_step_of_gain_is_mended() -> None:
    clean = edge_shape(GRID_EV, [0, 1, 2]) + 2 * (GRID_EV / 642) ** -3
    clean = clean + 0.004 * np.random.default_rng(0).standard_normal(clean.shape)
    spoilt = clean.copy()
    spoilt[1, GRID_EV >= 634.0] *= 1.1
    good, found = (place_windows(GRID_EV, c, MN) for c in (clean, spoilt))
    assert [step is not None for step in found.gain_steps] == [False, True, False]
    np.testing.assert_array_equal(found.intensity[[0, 2]], good.intensity[[0, 2]])
    np.testing.assert_allclose(found.intensity[1], good.intensity[1], atol=0.06)

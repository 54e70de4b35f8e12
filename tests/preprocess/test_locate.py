"""Where the edge lies: any calibration, any window that holds both lines, coarse channels, noise."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mnflow.preprocess.locate import locate_edge, locate_edges
from mnflow.preprocess.resample import resampler
from mnflow.preprocess.window import MAX_STEP_EV
from mnflow.spectra import MN, Edge
from mnflow.spectra.axis import axis_ev
from tests.helpers.images import make
from tests.helpers.spectra import edge_shape
from tests.helpers.windows import place_window


@settings(max_examples=60, deadline=None)
@given(
    offset_ev=st.floats(-30, 30),
    stretch=st.floats(0.91, 1.09),
    step_ev=st.sampled_from([0.02, 0.05, 0.1, 0.2, 0.5, 1.0]),
    before_ev=st.floats(3.0, 60.0),
    after_ev=st.floats(5.0, 40.0),
    level=st.sampled_from([0.0, 0.3, 3.0]),
    valence=st.integers(0, 2),
    seed=st.integers(0, 99),
)
def test_both_lines_are_found_wherever_they_are(
    offset_ev: float, stretch: float, step_ev: float, before_ev: float, after_ev: float, level: float,
    valence: int,
    seed: int,
) -> None:  # fmt: skip
    """L3 of a wrongly calibrated spectrum is found to within 0.6 eV and a channel."""
    assume(stretch * step_ev <= MAX_STEP_EV)
    rng = np.random.default_rng(seed)
    true_ev = np.arange(642.0 - before_ev - step_ev, 642.0 + 11 + after_ev + step_ev, step_ev)
    counts = (
        edge_shape(true_ev, valence)
        + level * (true_ev / 642) ** -3 * (before_ev > 12)
        + level * (before_ev <= 12)
    )
    counts = counts + rng.normal(0, 0.01, len(true_ev))
    energy_ev = 642 + offset_ev + (true_ev - 642) * stretch
    placed = place_window(energy_ev, counts, MN)
    l3_ev = 642.0 + 0.2 + offset_ev
    window_ev = MN.crop_axis_ev + placed.moved_bins * MN.dispersion_ev
    smooth = np.convolve(placed.intensity, np.full(5, 0.2), mode="same")
    early = np.abs(window_ev - l3_ev) < 4
    assert early.any()
    assert window_ev[early][smooth[early].argmax()] == pytest.approx(l3_ev, abs=0.6 + step_ev)


@pytest.mark.parametrize(
    ("before_ev", "step_ev", "done"), [(30, 0.1, "power law"), (6, 0.1, "level"), (30, 1.0, "power law")]
)
@pytest.mark.parametrize("level", [0.0, 4.0])
def test_the_position_names_how_the_background_is_removed(
    before_ev: float, step_ev: float, done: str, level: float
) -> None:
    energy_ev = np.arange(642 - before_ev, 670, step_ev)
    grid = axis_ev(energy_ev[0], int(10 * (energy_ev[-1] - energy_ev[0])), 0.1)
    counts = edge_shape(energy_ev) + level * (energy_ev / 642) ** -3
    found = locate_edge(grid, resampler(energy_ev, grid)(counts[None])[0], MN)
    assert found.background == (done if level else "removed")
    assert found.declared(True).background == "removed"
    assert found.declared(False).background == done
    assert found.declared(None) is found


@pytest.mark.parametrize(
    ("element", "window", "l3_ev", "split"), [("Fe", (702, 732), 709.5, 13.1), ("Ti", (450, 480), 458.0, 5.6)]
)
def test_other_elements(element: str, window: tuple[float, float], l3_ev: float, split: float) -> None:
    low, high = window
    edge = Edge(element, ("2+", "3+"), (2.0, 3.0), wide_ev=(low - 20, high + 20), crop_ev=window)
    energy_ev = np.arange(low - 40, high + 40, 0.1)
    for offset_ev in (-20, 0, 15):
        x = energy_ev - l3_ev - offset_ev
        lines = sum(a / (1 + (2 * (x - at) / (0.25 * split)) ** 2) for a, at in ((1.0, 0.0), (0.6, split)))
        found = locate_edge(energy_ev, 100 * (lines + 2 * (energy_ev / low) ** -3), edge)
        assert found.l3_ev == pytest.approx(l3_ev + offset_ev, abs=0.3)


@pytest.mark.parametrize("l3_ev", [637.0, 640.5, 643.0, 646.0, 650.0])
@pytest.mark.parametrize("removed", [False, True])
def test_the_edge_is_found_whatever_the_calibration(l3_ev: float, removed: bool) -> None:
    made = make(np.random.default_rng(2), l3_ev=l3_ev)
    mean = (made.edge if removed else np.asarray(made.raw.counts).reshape(made.edge.shape)).mean(axis=(0, 1))
    wide = slice(150, 850)
    found = locate_edge(made.raw.energy_ev[wide], mean[wide], MN)
    assert found.l3_ev == pytest.approx(l3_ev, abs=0.31)
    assert l3_ev - 8 < found.onset_ev < l3_ev - 2.5
    assert found.background_removed is removed
    assert found.contrast > 8


def test_every_spectrum_has_an_edge_of_its_own() -> None:
    energy_ev = 615 + 0.1 * np.arange(700)
    spectra = edge_shape(energy_ev, [0, 1, 0, 0], l3_ev=642.0)
    spectra[1] = edge_shape(energy_ev, 1, l3_ev=648.0) + 3 * (energy_ev / 640) ** -3  # background on
    spectra[2] = np.random.default_rng(0).normal(0, 1, 700)  # no edge
    spectra[3] = np.where(energy_ev < 684, 0.0, 1.0)  # no lines, but a step
    found = locate_edges(energy_ev, spectra, MN)
    assert found == [locate_edge(energy_ev, spectrum, MN) for spectrum in spectra]
    assert [p.l3_ev for p in found[:3]] == pytest.approx([642.2, 648.2, 644.0], abs=0.31)
    assert [p.background_removed for p in found[:2]] == [True, False]
    assert found[2].contrast < 5
    assert found[2].onset_ev == 635


def test_noise_has_no_contrast() -> None:
    energy_ev = 615 + 0.1 * np.arange(700)
    noise = 1000 * (energy_ev / 640) ** -3 + np.random.default_rng(3).normal(0, 5, 700)
    assert locate_edge(energy_ev, noise, MN).contrast < 5


def test_the_published_spectra_need_no_background(real_data: object) -> None:
    from mnflow.read import read_file

    raw = read_file(real_data / "published" / "Mn2_615-685eV_thinnest_448.pkl")  # type: ignore[operator]
    found = locate_edge(raw.energy_ev, raw.counts.mean(axis=0), MN)
    assert found.background_removed
    assert found.l3_ev == pytest.approx(644.1, abs=0.3)

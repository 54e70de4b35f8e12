"""Ratio and distance of the white lines, and when they contradict an answer."""

from dataclasses import replace

import numpy as np
import pytest

from mnflow.fit.mixtures import Materials, mix, parted
from mnflow.opinions.white_lines import WhiteLines, contradict, implied_valence, measure
from mnflow.serve.novelty import locate
from mnflow.serve.pretrained import pretrained
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import settings_of
from mnflow.spectra import MN, Edge


def edges(ratio: np.ndarray, distance_ev: float = 11.0, step: float = 0.1, edge: Edge = MN) -> np.ndarray:
    """Gaussian lines of given ratio of areas on two arctangent steps, 2 : 1 in height."""
    x, scale = edge.crop_axis_ev - edge.l3_ev, edge.splitting_ev / MN.splitting_ev
    lines = np.exp(-((x / (0.8 * scale)) ** 2)) + np.exp(
        -(((x - distance_ev) / (0.8 * scale)) ** 2)
    ) / np.reshape(ratio, (-1, 1))
    continuum = 0.5 + (2 * np.arctan(2 * x / scale) + np.arctan(2 * (x - distance_ev) / scale)) / (3 * np.pi)
    return (lines + step * continuum).astype(np.float32)


def measured(crops: np.ndarray, edge: Edge = MN) -> WhiteLines:
    located = locate(crops)
    return measure(located.smooth, located.l3, edge)


@pytest.mark.parametrize("step", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("distance_ev", [9.6, 11.0, 12.7])
def test_areas_and_distance_are_those_of_the_lines(step: float, distance_ev: float) -> None:
    ratio = np.array([1.5, 2.5, 4.0])
    found = measured(edges(ratio, distance_ev, step))
    np.testing.assert_allclose(found.l3_l2_ratio, ratio, rtol=0.06)
    np.testing.assert_allclose(found.l2_l3_distance_ev, distance_ev, atol=0.1)


def test_gain_offset_and_the_place_of_l3_change_nothing() -> None:
    crops = edges(np.array([2.5]))
    moved = np.roll(crops, 30, axis=1)
    moved[:, :30] = crops[:, :1]
    for other in (7 * crops - 3, moved):
        np.testing.assert_allclose(np.array(measured(other)), np.array(measured(crops)), rtol=0.01)


def test_continuum_and_reach_go_with_the_splitting() -> None:
    iron = replace(MN, element="Fe", wide_ev=(680.0, 750.0), crop_ev=(700.0, 730.0))
    found = measured(edges(np.array([3.0]), 13.1, edge=iron), iron)
    assert found.l3_l2_ratio[0] == pytest.approx(3.0, rel=0.06)
    assert found.l2_l3_distance_ev[0] == pytest.approx(13.1, abs=0.06)


def test_flat_and_noise_give_numbers() -> None:
    noise = np.random.default_rng(0).normal(size=(20, 300))
    crops = np.concatenate([np.zeros((2, 300)), noise]).astype(np.float32)
    assert np.isfinite(np.array(measured(crops))).all()


def test_a_range_outside_the_interval_contradicts() -> None:
    lines = WhiteLines(np.array([1.4, 2.4, 4.5]), np.array([10.0, 10.9, 12.4]))
    ranges = implied_valence(lines, MN)
    ratio = ranges["l3_l2_ratio"]
    assert ratio[0, 0] > 3 > ratio[1, 0] > 2
    assert ratio[2, 1] < 3.5 < ratio[1, 1]
    low, middle = np.array([[2.0, 2.2]] * 3), np.array([[2.9, 3.1]] * 3)
    assert contradict(ranges, low).tolist() == [True, True, False]
    assert contradict(ranges, middle).tolist() == [True, False, False]
    assert not contradict({}, low).any()


def test_elements_and_charges_without_a_table_imply_nothing() -> None:
    lines = WhiteLines(np.array([2.4]), np.array([10.9]))
    assert implied_valence(lines, replace(MN, element="Fe")) == {}
    assert implied_valence(lines, replace(MN, charges=(2.0, 3.0, 5.0))) == {}


def test_few_good_answers_are_contradicted_and_many_swapped_ones() -> None:
    """On simulated materials that neither posterior nor table was fitted to."""
    settings, rng = settings_of("Mn"), np.random.default_rng(16)
    materials = Materials.draw(settings, parted(library_of(settings))[2], 60, rng)
    mixed = mix(materials.sets(1500, rng).pure, rng)
    predictor = pretrained("Mn")
    outcome = predictor(mixed.crops)
    assert outcome.contradicted.mean() < 0.01
    ranges = implied_valence(outcome.white_lines, predictor.edge)
    swapped = 6 - outcome.reading.interval[:, ::-1]
    ends = (mixed.fractions[:, [0, 2]] == 1).any(axis=1)
    assert contradict(ranges, swapped)[ends].mean() > 0.8

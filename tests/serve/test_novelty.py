"""Out-of-distribution spectra are detected, and known ones pass."""

from dataclasses import replace

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.fit.out_of_distribution import fit_novelty
from mnflow.preprocess import crop, normalise
from mnflow.serve.novelty import Novelty, aligned, locate
from mnflow.spectra import MN
from mnflow.spectra.axis import axis_ev
from tests.helpers.spectra import edge_shape, spectra

ENERGY_EV = axis_ev(MN.crop_ev[0], MN.n_crop, MN.dispersion_ev)


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    rng = np.random.default_rng(0)
    data = spectra(120, noise=0.02)
    return fit_novelty(crop(data, rng.integers(-50, 51, len(data))), data.group, rng)


def reasons(novelty: Novelty, intensity: np.ndarray) -> list[str]:
    beyond = novelty.reasons(locate(np.atleast_2d(normalise(intensity)).astype(np.float32)))[0]
    return [r for r, b in zip(Novelty.REASONS, beyond, strict=True) if b]


def noisy(intensity: np.ndarray, level: float = 0.02) -> np.ndarray:
    return intensity + level * np.random.default_rng(1).normal(size=intensity.shape)


def test_known_spectra_pass_at_any_shift(novelty: Novelty) -> None:
    data = spectra(60, noise=0.02, seed=3)
    found = novelty.reasons(locate(crop(data, np.random.default_rng(2).integers(-50, 51, 60))))
    assert found.any(axis=1).mean() < 0.15
    assert novelty.false_alarm_rate < 0.15


def test_noise_and_a_bare_background_are_noise(novelty: Novelty) -> None:
    assert "noise" in reasons(novelty, np.random.default_rng(0).normal(size=300))
    counts = np.random.default_rng(0).poisson(2000 * (ENERGY_EV / 640) ** -3.0)
    assert "noise" in reasons(novelty, counts - 2000 * (ENERGY_EV / 640) ** -3.0)


def test_a_step_and_a_carbon_edge_have_unknown_shapes(novelty: Novelty) -> None:
    assert "unknown_shape" in reasons(novelty, noisy(np.clip((ENERGY_EV - 640) / 2, 0, 1)))
    beyond = np.clip(ENERGY_EV - 648, 0, None)
    carbon = np.exp(-((ENERGY_EV - 643) ** 2)) + 1.5 * (1 - np.exp(-beyond / 3)) * np.exp(-beyond / 20)
    assert "unknown_shape" in reasons(novelty, noisy(carbon))


@pytest.mark.parametrize("distance_ev", [8.5, 13.1])
def test_another_element_has_its_lines_closer_together_or_further_apart(
    novelty: Novelty, distance_ev: float
) -> None:
    stretched = 641 + (ENERGY_EV - 641) * 11 / distance_ev
    assert "other_element" in reasons(novelty, noisy(edge_shape(stretched, 0)))


def test_what_was_shown_as_foreign_is_found_again() -> None:
    """A line between L3 and L2 is no stretch of ours."""
    rng = np.random.default_rng(0)
    data = spectra(120, noise=0.02)
    shifts = rng.integers(-50, 51, 2 * len(data))
    between = 0.05 * np.exp(-((axis_ev(MN.wide_ev[0], MN.n_wide, MN.dispersion_ev) - 648) ** 2))
    strange = crop(replace(data, intensity=data.intensity + between), shifts[: len(data)])
    made = fit_novelty(crop(data, shifts[len(data) :]), data.group, rng, [strange[::2]])
    column = Novelty.REASONS.index("other_element")
    assert made.reasons(locate(strange[1::2]))[:, column].mean() > 0.9
    plain = fit_novelty(crop(data, shifts[len(data) :]), data.group, rng)
    assert plain.reasons(locate(strange[1::2]))[:, column].mean() < 0.5


def test_alignment_forgets_shift_gain_and_offset() -> None:
    here, there = (edge_shape(ENERGY_EV, 1, l3_ev)[None].astype(np.float32) for l3_ev in (642.0, 644.5))
    windows = [aligned(locate(x))[0] for x in (here, 3 * there + 1)]
    np.testing.assert_allclose(windows[0], windows[1], atol=1e-3)


def test_one_image_cannot_say_what_is_common() -> None:
    with pytest.raises(InputError, match="two spectrum images or more"):
        fit_novelty(np.zeros((5, 300), np.float32), np.full(5, "a"), np.random.default_rng(0))

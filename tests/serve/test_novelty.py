"""Out-of-distribution spectra are detected, and known ones pass."""

from dataclasses import replace

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.fit.out_of_distribution import fit_novelty
from mnflow.preprocess import crop, normalise
from mnflow.serve.novelty import Novelty, aligned, beyond, l3_channel, locate, noise_level
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
    found = novelty.reasons(locate(np.atleast_2d(normalise(intensity)).astype(np.float32)))[0]
    return [r for r, b in zip(Novelty.REASONS, found, strict=True) if b]


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
    behind = np.clip(ENERGY_EV - 648, 0, None)
    carbon = np.exp(-((ENERGY_EV - 643) ** 2)) + 1.5 * (1 - np.exp(-behind / 3)) * np.exp(-behind / 20)
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


def test_lines_that_end_in_a_plateau_are_saturated(novelty: Novelty) -> None:
    """It ripples by a fortieth of the edge's height."""
    whole = np.repeat(edge_shape(ENERGY_EV, [0, 1, 2]), 20, axis=0)
    plateau = 0.6 * whole.max() + 0.025 * np.random.default_rng(0).uniform(-1, 1, whole.shape)
    column = Novelty.REASONS.index("saturated")
    seen = [
        novelty.reasons(locate(normalise(noisy(x)).astype(np.float32)))[:, column].mean()
        for x in (np.minimum(whole, plateau), whole)
    ]
    assert seen[0] > 0.9
    assert seen[1] == 0


def test_alignment_forgets_shift_gain_and_offset() -> None:
    here, there = (edge_shape(ENERGY_EV, 1, l3_ev)[None].astype(np.float32) for l3_ev in (642.0, 644.5))
    windows = [aligned(locate(x))[0] for x in (here, 3 * there + 1)]
    np.testing.assert_allclose(windows[0], windows[1], atol=1e-3)


def test_the_window_is_centred_and_of_unit_length_and_nothing_stays_nothing() -> None:
    crops = np.stack([edge_shape(ENERGY_EV, 1), np.zeros(300)]).astype(np.float32)
    window, nothing = aligned(locate(crops))[0]
    assert len(window) == 86, "-3 ... 14 eV in steps of 0.2"
    assert window.mean() == pytest.approx(0, abs=1e-6)
    assert np.linalg.norm(window) == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(nothing, 0)


def test_a_stretch_moves_what_lies_behind_l3() -> None:
    """At 0.8, 8 eV come to lie at 10 eV; point 15 is L3's own place, and a point is 0.2 eV."""
    lines = edge_at(640.0) + 0.5 * edge_at(648.0)
    plain, closer = aligned(locate(lines[None].astype(np.float32)), (1.0, 0.8))[:, 0]
    assert plain.argmax() == closer.argmax() == 15
    np.testing.assert_allclose([plain.mean(), closer.mean()], 0, atol=1e-6)
    np.testing.assert_allclose([np.linalg.norm(plain), np.linalg.norm(closer)], 1, rtol=1e-6)
    assert 15 + 30 + plain[45:].argmax() == 15 + 40
    assert 15 + 30 + closer[45:].argmax() == 15 + 50
    np.testing.assert_allclose(aligned(locate(lines[None].astype(np.float32)))[0, 0], plain, atol=1e-6)


def edge_at(energy_ev: float) -> np.ndarray:
    return np.exp(-(((ENERGY_EV - energy_ev) / 0.8) ** 2))


@pytest.mark.parametrize(
    ("lines", "expected_ev"),
    [
        ([(641.0, 1.0), (652.0, 0.6)], 641.0),
        ([(641.0, 0.8), (643.0, 1.0), (652.0, 0.6)], 643.0),  # within 3 eV from where it comes near
        ([(641.0, 0.8), (652.0, 1.0)], 641.0),  # L2 may be higher
        ([(641.0, 0.6), (652.0, 1.0)], 652.0),
        ([(664.5, 1.0)], 664.5),
    ],
)
def test_l3_is_the_first_line_that_is_high_enough(
    lines: list[tuple[float, float]], expected_ev: float
) -> None:
    crop_of_lines = 3 + sum(height * edge_at(energy_ev) for energy_ev, height in lines)
    (found,) = l3_channel(np.asarray(crop_of_lines, np.float32)[None])
    assert ENERGY_EV[found] == pytest.approx(expected_ev, abs=0.11)


def test_noise_is_told_as_a_share_of_the_standard_deviation() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(40, 3000)).astype(np.float32)
    assert noise_level(noise).mean() == pytest.approx(1, abs=0.01)
    wave = 10 * np.sin(np.linspace(0, 20 * np.pi, 3000))
    assert noise_level((wave + noise).astype(np.float32)).mean() == pytest.approx(2**0.5 / 10, abs=0.005)
    wide = np.array([np.interp(np.arange(1000), np.arange(0, 1002, 3), row[:334]) for row in noise])
    assert noise_level(wide.astype(np.float32)).mean() == pytest.approx(1, abs=0.05), "interpolated channels"
    np.testing.assert_array_equal(noise_level(np.ones((1, 300), np.float32)), 0)


def test_beyond_a_plane_counts_and_before_it_does_not() -> None:
    spectra_ = np.array([[1.0, 0.0], [0.0, 2.0]], np.float32)
    planes, offsets = np.array([[1.0, -1.0], [1.0, 0.25]], np.float32), np.array([-0.5, 0.0], np.float32)
    np.testing.assert_allclose(beyond(spectra_, planes, offsets), [[0.5, 0.0], [1.5, 0.5]])


def test_scores_are_noise_the_residual_without_what_noise_explains_and_what_is_beyond() -> None:
    located = locate(np.stack([edge_shape(ENERGY_EV, k) for k in range(3)]).astype(np.float32))
    first, second, third = aligned(located)[0].astype(np.float64)
    direction = (second - first) / np.linalg.norm(second - first)
    found = Novelty(
        first, direction[None], third[:, None], np.array([-0.5]), np.array([[2.0, 4.0]]),
        noise_slope=3.0, limits=(np.inf, -1.0, 0.9, np.inf),
    )  # fmt: skip
    scores = found.scores(located)
    off = third - first
    residual = [0, 0, np.linalg.norm(off - (off @ direction) * direction)]
    np.testing.assert_array_equal(scores.noise, located.noise)
    np.testing.assert_allclose(scores.residual, residual - 3.0 * located.noise, atol=1e-5)
    far = np.array([first, second, third]) @ third - 0.5
    np.testing.assert_allclose(scores.other_element, 2 * far, atol=1e-5)
    np.testing.assert_allclose(scores.saturated, 4 * far, atol=1e-5)
    other = [2 * (x @ third - 0.5) > 0.9 for x in (first, second, third)]
    assert found.reasons(located).tolist() == [[False, True, bool(x), False] for x in other]


def test_the_end_values_go_on_where_the_window_leaves_the_crop() -> None:
    ramp = np.arange(300, dtype=np.float32)[None]
    located = locate(ramp)._replace(smooth=ramp, l3=np.array([290]))
    np.testing.assert_array_equal(
        located.around_l3(np.array([-300, -290, -1, 0, 9, 10, 40])), [[0, 0, 289, 290, 299, 299, 299]]
    )


def test_one_image_cannot_say_what_is_common() -> None:
    with pytest.raises(InputError, match="two spectrum images or more"):
        fit_novelty(np.zeros((5, 300), np.float32), np.full(5, "a"), np.random.default_rng(0))

"""The measured rule that rejects thick pixels."""

from typing import Any

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.preprocess.clusters import (
    edge_features,
    plural_scattering,
    reject_substrate,
    reject_thick,
    shape_features,
)
from mnflow.preprocess.scan import Scan
from mnflow.spectra import MN

FEATURE_EV = MN.feature_ev


def _shapes(above: list[float], rng: np.random.Generator) -> np.ndarray:
    """One edge for each of `above`: white lines of height 1, that much above them, little noise."""
    lines = np.where((FEATURE_EV > -3) & (FEATURE_EV < 4), 1.0, 0.0)
    tail = np.where(FEATURE_EV >= 12, 1.0, 0.0)
    return (
        lines + np.array(above)[:, None] * tail + rng.normal(0, 0.005, (len(above), len(FEATURE_EV)))
    ).astype(np.float32)


def test_a_stray_pixel_does_not_set_the_measure_for_all_others() -> None:
    points = _shapes([-0.6] + [0.3] * 60 + [0.8] * 40, np.random.default_rng(0))
    thick, rounds = reject_thick(points, "auto", 3, 0.15, MN)
    assert plural_scattering(points[:1], MN)[0] < 0
    assert not thick[:61].any()
    assert thick[61:].all()
    assert rounds[0].sizes.tolist() == [1, 60, 40]


def test_shapes_do_not_depend_on_the_edges_height() -> None:
    points = np.abs(_shapes([0.3, 0.8], np.random.default_rng(0)))
    scaled = points * np.array([[0.01], [7]], np.float32)
    np.testing.assert_allclose(shape_features(scaled, MN), shape_features(points, MN), rtol=1e-5)
    assert np.isfinite(shape_features(np.zeros((1, len(FEATURE_EV)), np.float32), MN)).all()


def test_substrate_is_judged_beside_the_strongest_whatever_the_scale() -> None:
    heights = np.repeat([0.02, 0.2, 0.3, 1.0], 10)[:, None].astype(np.float32)
    points = heights * _shapes([0.1] * 40, np.random.default_rng(0))
    for scale in (0.1, 1, 10):
        substrate, (found,) = reject_substrate(scale * points, "auto", 4, 0.25, MN)
        assert substrate.tolist() == [True] * 20 + [False] * 20
        assert found.rejected.tolist() == [True, True, False, False]


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_strong_pixels_have_height_one_whatever_the_dose(scale: float) -> None:
    points = scale * _shapes([0.1] * 40, np.random.default_rng(0))
    n = len(points)
    bad = np.zeros(n, np.uint8)
    bad[0] = 3
    points[0] *= 1e6  # a bad one sets no scale
    nothing: Any = None
    level = np.linspace(1, 5, n, dtype=np.float32)  # the background: edges are relative to it
    points *= level[:, None]
    scan = Scan(nothing, nothing, bad, points, level, nothing, np.zeros(n, np.int64))
    found = edge_features(scan, MN)
    assert found[1:, 6:11].mean() == pytest.approx(1, abs=0.02)


def test_few_pixels_are_left_alone() -> None:
    points = _shapes([0.1, 0.1, 0.1, 0.9, 0.9, 0.9], np.random.default_rng(0))
    assert reject_thick(points[1:], "auto", 3, 0.15, MN)[1] == []
    assert reject_thick(points, "auto", 3, 0.15, MN)[0].tolist() == [False] * 3 + [True] * 3
    assert reject_substrate(points[:1], "auto", 2, 0.25, MN)[1] == []
    assert len(reject_substrate(points[:2], "auto", 2, 0.25, MN)[1]) == 1


def test_rules_by_hand() -> None:
    rng = np.random.default_rng(0)
    heights = np.repeat([0.02, 0.2, 0.3, 1.0], 10)[:, None].astype(np.float32)
    points, shapes = heights * _shapes([0.1] * 40, rng), _shapes([0.1] * 10 + [0.5] * 10 + [0.9] * 10, rng)
    for rule, n_rejected in (("0", 0), ("1", 10), ("3", 30)):
        substrate, (found,) = reject_substrate(points, rule, 4, 0.25, MN)
        assert substrate.tolist() == [True] * n_rejected + [False] * (40 - n_rejected)
    assert (found.step, found.measure_name) == ("substrate", "edge jump at L3, relative")
    for rule, n_rejected in (("0", 0), ("1", 10), ("2", 20)):
        thick, (found,) = reject_thick(shapes, rule, 3, 0.15, MN)
        assert thick.tolist() == [False] * (30 - n_rejected) + [True] * n_rejected
    assert (found.step, found.measure_name) == ("thick 1", "above the white lines over L3")
    for rejected, rounds in (
        reject_substrate(points, "keep", 4, 0.25, MN), reject_thick(shapes, "keep", 3, 0.15, MN),
    ):  # fmt: skip
        assert (rejected.any(), rounds) == (False, [])
    for rule in ("4", "5", "-1", "all"):
        with pytest.raises(InputError, match=f"substrate: .* a number of clusters below 4, got '{rule}'"):
            reject_substrate(points, rule, 4, 0.25, MN)
    with pytest.raises(InputError, match=r"thick: .* a number of clusters below 3, got '3'"):
        reject_thick(shapes, "3", 3, 0.15, MN)

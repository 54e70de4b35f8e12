"""Blocks, pieces, and pixels that cannot be read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import mnflow
from mnflow.errors import InputError
from mnflow.maps import pixels
from mnflow.maps.pixels import FLAGS, NO_CLASS, mean_spectra
from mnflow.maps.signals import raw_of_signal
from mnflow.serve.posterior import compositions
from mnflow.serve.predictor import Predictor
from tests.helpers.posterior import made_up_posterior
from tests.maps.conftest import ENERGY_EV, image, signal


def test_many_blocks_give_what_one_gives(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = raw_of_signal(signal(image(6, 5)))
    where = pixels.place_image(raw, predictor)
    whole = pixels.read_pixels(raw, predictor, where)
    monkeypatch.setattr(pixels, "_BLOCK_BYTES", 400 * 4 * 7)
    monkeypatch.setattr(pixels, "_PIECE", 3)
    parts = pixels.read_pixels(raw, predictor, where)
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=1e-4)
    np.testing.assert_array_equal(parts.flags, whole.flags)


def test_matrix_products_leave_the_cores_to_the_pieces(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, threads, read = raw_of_signal(signal(image())), [], pixels._read_piece

    def watched(*arguments: Any, **named: Any) -> Any:
        threads.extend(library["num_threads"] for library in threadpool_info())
        return read(*arguments, **named)

    monkeypatch.setattr(pixels, "_read_piece", watched)
    with threadpool_limits(2):
        pixels.read_pixels(raw, predictor)
    assert threads
    assert set(threads) == {1}


def test_a_pixel_that_cannot_be_read_is_nan_and_flagged(predictor: Predictor) -> None:
    data = image()
    data[0, 1] = np.nan
    data[2, 3] = 5
    found = mnflow.predict(signal(data), predictor).pixels
    bad = np.isin(np.arange(12), [1, 11])
    np.testing.assert_array_equal(np.isnan(found.mean_valence), bad)
    np.testing.assert_array_equal(found.flags[:, FLAGS.index("unreadable")], bad)
    assert found.label[bad].tolist() == [NO_CLASS, NO_CLASS]
    assert np.isnan(found.probabilities[bad]).all()
    assert not found.flags[bad][:, : FLAGS.index("unreadable")].any()
    assert not found.spikes[bad].any()


def test_a_low_spike_that_no_neighbour_in_the_scan_has_is_bridged(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever piece or block it lies in, by its neighbours there; not where the spectra are no scan."""
    clean = np.rint(1e3 * image(6, 5))
    spoilt = clean.copy()
    spoilt[2, 3, 130] += 0.8 * (clean[2, 3].max() - clean[2, 3].min())
    monkeypatch.setattr(pixels, "_PIECE", 7)
    for block_bytes in (64_000_000, clean[0].nbytes):
        monkeypatch.setattr(pixels, "_BLOCK_BYTES", block_bytes)
        found = mnflow.predict(signal(spoilt), predictor).pixels
        assert np.flatnonzero(found.spikes).tolist() == [13]
        before = mnflow.predict(signal(clean), predictor).pixels
        np.testing.assert_allclose(found.mean_valence, before.mean_valence, atol=0.02)
    no_scan = replace(raw_of_signal(signal(spoilt)), nav_axes=())
    assert not pixels.read_pixels(no_scan, predictor).spikes.any()


def test_where_no_class_is_sure_there_is_none(predictor: Predictor) -> None:
    posterior = made_up_posterior()
    either = np.where((compositions(3)[:, :2] == 1).any(axis=1), 50, 0).astype(np.float32)  # Mn2+ or Mn3+
    bias = np.concatenate([either, posterior.biases[1][len(either) :]])
    unsure = replace(
        posterior,
        weights=(posterior.weights[0], np.zeros_like(posterior.weights[1])),
        biases=(posterior.biases[0], bias),
    )
    found = mnflow.predict(signal(image()), replace(predictor, posterior=unsure)).pixels
    assert found.flags[:, FLAGS.index("uncertain")].all()
    assert (found.label == NO_CLASS).all()


def test_a_background_that_is_declared_removed_is_not_fitted(predictor: Predictor) -> None:
    raw = raw_of_signal(signal(image()))
    for declared, expected in ((None, "power law"), (True, "removed")):
        where = pixels.place_image(replace(raw, background_removed=declared), predictor)
        assert where.position.background == expected


def test_intensity_is_in_counts_and_follows_the_amount(predictor: Predictor) -> None:
    data = image(1, 6)
    found = mnflow.predict(signal(np.concatenate([data, data * 2])), predictor).pixels.intensity.reshape(2, 6)
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-3)
    assert 5e4 < found[0].mean() < 5e5  # 1e4 at the peak, in channels of 0.25 eV


def test_an_image_without_the_edge_is_named(predictor: Predictor) -> None:
    raw = replace(raw_of_signal(signal(image())), energy_ev=200 + ENERGY_EV, path=Path("mine.hspy"))
    with pytest.raises(InputError, match=r"^mine\.hspy: "):
        pixels.place_image(raw, predictor)


@pytest.mark.parametrize("block_bytes", [64_000_000, 400 * 4 * 2])
def test_mean_spectra_use_the_masks_pixels_only(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "_BLOCK_BYTES", block_bytes)
    data = image(2, 3)
    masks = np.zeros((3, 6), dtype=bool)
    masks[0, [0, 4]] = masks[2] = True
    found = mean_spectra(raw_of_signal(signal(data)), masks)
    np.testing.assert_allclose(found[2], data.reshape(6, -1).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found[0], (data[0, 0] + data[1, 1]) / 2, rtol=1e-5)
    assert np.isnan(found[1]).all()

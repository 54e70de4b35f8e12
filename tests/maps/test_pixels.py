"""Blocks, pieces, and pixels that cannot be read."""

from dataclasses import fields, replace
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
from tests.helpers.spectra import edge_shape
from tests.maps.conftest import ENERGY_EV, image, signal


def test_many_blocks_give_what_one_gives(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = raw_of_signal(signal(image(6, 5)))
    where = pixels.place_image(raw, predictor)
    whole = pixels.read_pixels(raw, predictor, where)
    monkeypatch.setattr(pixels, "_BLOCK_BYTES", 400 * 4 * 7)
    monkeypatch.setattr(pixels, "_PIECE", 3)
    parts = pixels.read_pixels(raw, predictor, where)
    for field in fields(pixels.Pixels):
        found, expected = getattr(parts, field.name), getattr(whole, field.name)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), field.name
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3, err_msg=field.name)
    # a million pixels stay small
    numbers = {f.name: getattr(whole, f.name).dtype for f in fields(pixels.Pixels)}
    assert numbers.pop("label") == np.int8
    assert (numbers.pop("flags"), numbers.pop("spikes")) == (np.bool_, np.int64)
    assert set(numbers.values()) == {np.dtype(np.float32)}


def test_matrix_products_leave_the_cores_to_the_pieces(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, threads, read = raw_of_signal(signal(image())), [], pixels._read_piece

    def watched(*arguments: Any, **named: Any) -> Any:
        threads.extend(library["num_threads"] for library in threadpool_info())
        return read(*arguments, **named)

    monkeypatch.setattr(pixels, "_read_piece", watched)
    with threadpool_limits(2):
        pixels.read_pixels(raw, predictor, pixels.place_image(raw, predictor))
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
    assert np.isnan(found.intensity[bad]).all()
    assert np.isfinite(found.intensity[~bad]).all()
    assert np.isnan(found.interval[bad]).all()
    assert np.isnan(found.fractions[bad]).all()
    assert np.isnan(found.t_over_lambda[bad]).all()


def test_hidden_pixels_lose_their_numbers_and_keep_flags_and_intensity(predictor: Predictor) -> None:
    found = mnflow.predict(signal(image()), predictor).pixels
    some = np.arange(12) % 3 == 0
    hidden = found.hidden(some)
    for name in ("mean_valence", "interval", "probabilities", "fractions", "t_over_lambda"):
        values = getattr(hidden, name)
        assert np.isnan(values[some]).all(), name
        np.testing.assert_array_equal(values[~some], getattr(found, name)[~some])
        assert np.isfinite(getattr(found, name)).all(), name
    assert hidden.label.tolist() == np.where(some, NO_CLASS, found.label).tolist()
    for name in ("flags", "intensity", "spikes"):
        assert getattr(hidden, name) is getattr(found, name), name


def test_a_saturated_pixel_and_an_image_without_lines_are_flagged(predictor: Predictor) -> None:
    data = np.rint(0.1 * image()).astype(np.uint16)
    data[1, 1, 168] = 65535
    raw = raw_of_signal(signal(data))
    where = pixels.place_image(raw, predictor)
    found = pixels.read_pixels(raw, predictor, where)
    assert np.flatnonzero(found.flags[:, FLAGS.index("saturated")]).tolist() == [5]
    assert not found.flags[:, FLAGS.index("no_edge")].any()
    for contrast, seen in ((pixels.MIN_CONTRAST, True), (0.99 * pixels.MIN_CONTRAST, False)):
        weak = replace(where, position=replace(where.position, contrast=contrast))
        said = pixels.read_pixels(raw, predictor, weak).flags[:, FLAGS.index("no_edge")]
        assert said.tolist() == [not seen] * 12


def test_progress_counts_spectra_piece_by_piece(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "_PIECE", 5)
    raw, done = raw_of_signal(signal(image())), []
    pixels.read_pixels(raw, predictor, pixels.place_image(raw, predictor), done.append)
    assert done == [5, 5, 2]


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
        # nor has the mean of some pixels it, even where the neighbours are none of them
        raw = raw_of_signal(signal(spoilt))
        masks = np.zeros((3, 30), dtype=bool)
        masks[0, 13] = masks[1, [12, 13]] = masks[2] = True
        means = mean_spectra(raw, masks, pixels.place_image(raw, predictor), found.spikes)
        expected = np.stack([clean.reshape(30, -1)[mask].mean(axis=0) for mask in masks])
        assert np.abs(means - expected)[:, 125:136].max() < 0.05 * np.ptp(clean[2, 3])
        np.testing.assert_allclose(means[:, :125], expected[:, :125], rtol=1e-5)
        alone = mean_spectra(raw, masks[:1], pixels.place_image(raw, predictor), found.spikes)
        np.testing.assert_allclose(alone[0], means[0], rtol=1e-5)
    no_scan = replace(raw_of_signal(signal(spoilt)), nav_axes=())
    where = pixels.place_image(no_scan, predictor)
    assert not pixels.read_pixels(no_scan, predictor, where).spikes.any()


def test_where_no_class_is_sure_there_is_none(predictor: Predictor) -> None:
    posterior = made_up_posterior()
    either = np.where((compositions(3)[:, :2] == 1).any(axis=1), 50, 0).astype(np.float32)  # Mn2+ or Mn3+
    bias = np.concatenate([either, posterior.biases[1][len(either) :]])
    weights = posterior.weights[0], np.zeros_like(posterior.weights[1])
    unsure = replace(posterior, weights=weights, biases=(posterior.biases[0], bias))
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


def test_intensity_is_of_the_lines_alone_wherever_the_edge_lies(predictor: Predictor) -> None:
    """From 3 eV before L3 to 14 eV after it, in channels of 0.25 eV."""
    lines = 1e4 * edge_shape(ENERGY_EV, np.arange(6) % 3)
    made = signal(lines + 2e5 * (ENERGY_EV / 640) ** -3.0)
    inside = (ENERGY_EV >= 639) & (ENERGY_EV < 656.1)
    here = mnflow.predict(made, predictor).pixels.intensity
    np.testing.assert_allclose(here, lines[:, inside].sum(axis=1), rtol=0.02)
    made.axes_manager.signal_axes[0].offset += 30
    there = mnflow.predict(made, predictor)
    assert there.where.moved_bins > 0
    np.testing.assert_allclose(there.pixels.intensity, lines[:, inside].sum(axis=1), rtol=0.02)


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
    assert found.dtype == np.float64


@pytest.mark.parametrize("block_bytes", [64_000_000, 400 * 4 * 4])
def test_spikes_do_not_get_into_mean_spectra(
    predictor: Predictor, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "_BLOCK_BYTES", block_bytes)
    clean = np.rint(1e3 * image(3, 4))
    spoilt = clean.copy()
    spoilt[0, 1, 150] = spoilt[2, 2, 170] = 20 * clean.max()
    raw = raw_of_signal(signal(spoilt))
    where = pixels.place_image(raw, predictor)
    spikes = pixels.read_pixels(raw, predictor, where).spikes
    assert np.flatnonzero(spikes).tolist() == [1, 10]
    masks = np.zeros((3, 12), dtype=bool)
    masks[0, [1, 2]] = masks[1, [0, 10, 11]] = masks[2, 3:6] = True
    flat = clean.reshape(12, -1)
    expected = np.stack([flat[mask].mean(axis=0) for mask in masks])
    np.testing.assert_allclose(mean_spectra(raw, masks, where, spikes), expected, rtol=0.01)
    assert not np.allclose(mean_spectra(raw, masks), expected, rtol=0.1)
    # a pixel is bridged if it is said to have spikes
    none = mean_spectra(raw, masks, where, np.where(np.arange(12) == 10, 0, spikes))
    np.testing.assert_allclose(none[0], expected[0], rtol=0.01)
    assert none[1, 170] > 5 * clean.max()


@pytest.mark.parametrize("block_bytes", [64_000_000, 400 * 4 * 2])
def test_a_channel_that_is_no_number_is_none_in_the_means_that_hold_it(
    block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "_BLOCK_BYTES", block_bytes)
    data = image(2, 3)
    data[0, 0, 7], data[1, 2, 9] = np.nan, np.inf
    masks = np.zeros((3, 6), dtype=bool)
    masks[0, [0, 4]] = masks[1, [1, 2, 5]] = masks[2, [3, 4]] = True
    found = mean_spectra(raw_of_signal(signal(data)), masks)
    assert [np.flatnonzero(np.isnan(row)).tolist() for row in found] == [[7], [9], []]
    for row, mask in zip(found, masks, strict=True):
        expected = data.reshape(6, -1)[mask].mean(axis=0)
        known = np.isfinite(row)
        np.testing.assert_allclose(row[known], expected[known], rtol=1e-5)

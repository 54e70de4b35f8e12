import tracemalloc
from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnflow.errors import InputError
from mnflow.preprocess import pipeline as module
from mnflow.preprocess.pipeline import BAD, KEPT, SPARE, SUBSTRATE, THICK, PreprocessOptions, preprocess
from mnflow.spectra import MN, RawSpectra
from mnflow.spectra.axis import axis_ev
from mnflow.spectra.raw import NavAxis
from tests.helpers.images import Made, make

KEEP = PreprocessOptions(substrate="keep", thick="keep")


@pytest.fixture(scope="module")
def made() -> list[Made]:
    rng = np.random.default_rng(0)
    places = [("Mn2+", "a", 643.0), ("Mn2+", "b", 645.5), ("Mn4+", "c", 641.0)]
    return [
        make(rng, valence, group, l3_ev=l3_ev, dose=2e4 * (1 + 3 * i))
        for i, (valence, group, l3_ev) in enumerate(places)
    ]


def _changed(raw: RawSpectra, counts: np.ndarray) -> RawSpectra:
    return replace(raw, counts=counts)


def test_substrate_is_found_exactly_and_thick_pixels_are_the_thick_ones(made: list[Made]) -> None:
    done = preprocess((m.raw for m in made), MN)
    for m, image in zip(made, done.images, strict=True):
        np.testing.assert_array_equal(image.fate == SUBSTRATE, m.thickness == 0)
        assert m.thickness[image.fate == THICK].mean() > 1.5 * m.thickness[image.fate == KEPT].mean()
        assert image.counts["kept"] == (image.fate == KEPT).sum() > 10
    assert [len(c) >= 2 for c in done.clusters.values()] == [True, True]


def test_the_result_is_one_dataset_with_the_image_as_group(made: list[Made]) -> None:
    done = preprocess((m.raw for m in made), MN, KEEP, source="made up")
    n = made[0].thickness.size
    assert done.spectra.intensity.shape == (3 * n, 700)
    np.testing.assert_allclose(done.spectra.energy_ev, 615 + 0.1 * np.arange(700))
    assert done.spectra.counts() == {"Mn2+": 2 * n, "Mn4+": n}
    assert done.spectra.group.tolist() == ["a"] * n + ["b"] * n + ["c"] * n
    assert done.spectra.name[15] == "a 1,1"
    assert done.spectra.source == "made up"


def test_what_is_kept_is_the_edge(made: list[Made]) -> None:
    done = preprocess(
        [m.raw for m in made[:1]], MN, PreprocessOptions(substrate="keep", thick="keep", background_bins=200)
    )
    specimen = made[0].thickness.ravel() > 0
    mean = done.spectra.intensity[specimen].mean(axis=0)
    truth = made[0].edge.reshape(-1, 950)[specimen].mean(axis=0)[150:850]
    assert np.abs(mean - truth).max() / truth.max() < 0.03


def test_the_order_of_files_changes_nothing(made: list[Made]) -> None:
    ahead, back = (preprocess([m.raw for m in order], MN) for order in (made, [made[2], made[0], made[1]]))
    np.testing.assert_array_equal(ahead.spectra.intensity, back.spectra.intensity)
    assert ahead.spectra.digest() == back.spectra.digest()


def test_overrides(made: list[Made]) -> None:
    raws = [m.raw for m in made]
    assert preprocess(raws, MN, KEEP).clusters == {"Mn2+": [], "Mn4+": []}
    by_hand = preprocess(raws, MN, PreprocessOptions(substrate="2", thick="1"))
    for clusters in by_hand.clusters.values():
        assert [c.rejected.tolist() for c in clusters] == [[True, True, False, False], [False, False, True]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"substrate": "all"},
        {"thick": "-1"},
        {"thick_clusters": 1},
        {"max_bad": 2.0},
        {"max_per_image": 0},
        {"background_bins": 9},
        {"max_bad": 1.01},
        {"max_bad": -0.01},
        {"substrate_clusters": 1},
    ],
)
def test_options_that_mean_nothing(wrong: dict[str, object]) -> None:
    said = r"^Option.*: expected |^Expected max_bad in 0 \.\.\. 1, max_per_image of 1"
    with pytest.raises(InputError, match=said):
        PreprocessOptions(**wrong)  # type: ignore[arg-type]


def test_options_that_just_mean_something() -> None:
    PreprocessOptions(
        substrate_clusters=2, thick_clusters=2, max_bad=0.0, max_per_image=1, background_bins=10
    )
    PreprocessOptions(max_bad=1.0, substrate="0", thick="2")


def test_unusable_pixels_are_counted_and_dropped(made: list[Made]) -> None:
    counts = np.array(made[0].raw.counts)
    counts[3, 400] = np.nan
    counts[20, 0] = np.inf  # outside of the window: no matter
    counts[31, 500] = -np.inf
    counts[40] = 0
    counts[50, 430:437] = 1e6  # a plateau at the top
    counts[60, 350] = 1e17
    image = preprocess([_changed(made[0].raw, counts)], MN, KEEP).images[0]
    assert np.flatnonzero(image.fate.ravel() == BAD).tolist() == [3, 31, 40, 50, 60]
    assert {k: image.counts[k] for k in ("unusable", "not finite", "empty", "saturated")} == {
        "unusable": 5, "not finite": 3, "empty": 1, "saturated": 1,
    }  # fmt: skip


def test_too_many_unusable_pixels_are_refused(made: list[Made]) -> None:
    counts = np.array(made[0].raw.counts)
    counts[:40] = 0
    counts[100, 500] = np.nan
    said = r"at most 10% unusable pixels, got 41 of 168 \(1 not finite, 40 empty\)"
    with pytest.raises(InputError, match=said):
        preprocess([_changed(made[0].raw, counts)], MN)
    relaxed = replace(KEEP, max_bad=0.5)
    assert len(preprocess([_changed(made[0].raw, counts)], MN, relaxed).spectra) == 127


def test_a_block_without_a_usable_pixel_is_passed_over(made: list[Made]) -> None:
    counts = np.zeros((2300, 950), np.float32)  # more than one block
    counts[2200:2300] = np.asarray(made[0].raw.counts)[48:148]
    raw = replace(made[0].raw, counts=counts, nav_shape=(2300,))
    assert len(raw.block_slices()) == 2
    done = preprocess([raw], MN, replace(KEEP, max_bad=1.0))
    np.testing.assert_array_equal(np.flatnonzero(done.images[0].fate == KEPT), np.arange(2200, 2300))


def test_an_image_of_nothing_but_zeros(made: list[Made]) -> None:
    with pytest.raises(InputError, match="expected a spectrum, got the same intensity or no number"):
        preprocess([_changed(made[0].raw, np.zeros((168, 950), np.uint16))], MN, replace(KEEP, max_bad=1.0))


@pytest.mark.parametrize("cache_bytes", [module._CACHE_BYTES, 0])
def test_spikes_are_found_by_the_neighbours_in_the_scan(
    made: list[Made], monkeypatch: pytest.MonkeyPatch, cache_bytes: int
) -> None:
    """Also in the second pass over a big file."""
    monkeypatch.setattr(module, "_CACHE_BYTES", cache_bytes)
    rng, y = np.random.default_rng(0), np.asarray(made[0].raw.counts)[-1]
    clean = 1e6 * y / y.max() * rng.uniform(0.5, 1, (168, 1)) + 1e3 * rng.standard_normal((168, 950))
    spoilt = clean.copy()
    spoilt[50, 600:603] += 0.13 * np.ptp(clean[50, 350:])
    scan = replace(_changed(made[0].raw, spoilt), nav_axes=(NavAxis("y"), NavAxis("x")))
    for raw, n in ((scan, 1), (replace(scan, nav_axes=()), 0)):
        done, before = (preprocess([_changed(raw, c)], MN, KEEP) for c in (spoilt, clean))
        assert (done.images[0].spikes, before.images[0].spikes) == (n, 0)
        moved = np.abs(done.spectra.intensity - before.spectra.intensity).max(axis=1)
        assert (moved[50] < 0.06 * before.spectra.intensity[50].max()) == (n == 1)
        assert not np.delete(moved, 50).any()


def test_saturated_pixels_are_counted(made: list[Made]) -> None:
    counts = np.array(made[0].raw.counts)
    limit = np.sort(counts.max(axis=1))[-10]
    done = preprocess([_changed(made[0].raw, counts)], MN, replace(KEEP, saturation_counts=float(limit)))
    assert done.images[0].counts["saturated"] == 10


@pytest.mark.parametrize(
    ("energy_ev", "sentence"),
    [
        (
            axis_ev(560.0, 500, 0.1),
            r"expected energies that cover 635 \.\.\. 665 eV or most of it, got 560\.0",
        ),
        (axis_ev(6150.0, 500, 0.1), r"expected energies that cover 635 \.\.\. 665 eV"),
        (axis_ev(400.0, 500, 1.5), r"expected at most 1 eV per channel between \d+ and \d+ eV, got 1\.5 eV"),
    ],
)
def test_windows_that_do_not_fit(made: list[Made], energy_ev: np.ndarray, sentence: str) -> None:
    counts = np.asarray(made[0].raw.counts)[:, :500]
    with pytest.raises(InputError, match=f"^a.hspy: {sentence}"):
        preprocess([replace(made[0].raw, energy_ev=energy_ev, counts=counts)], MN)


@pytest.mark.parametrize(
    ("offset_ev", "start_ev", "stop_ev"), [(-20, 600, 690), (25, 600, 690), (0, 639.5, 662)]
)
def test_any_offset_and_any_window_that_holds_the_edge(
    made: list[Made], offset_ev: float, start_ev: float, stop_ev: float
) -> None:
    """The dataset has L3 within the crop's shifts wherever the file has it."""
    energy_ev = made[0].raw.energy_ev
    inside = (energy_ev >= start_ev) & (energy_ev <= stop_ev)
    counts = np.asarray(made[0].raw.counts)[:, inside]
    done = preprocess(
        [replace(made[0].raw, energy_ev=energy_ev[inside] + offset_ev, counts=counts)], MN, KEEP
    )
    assert done.images[0].position.l3_ev == pytest.approx(643 + offset_ev, abs=0.3)
    mean = done.spectra.intensity.mean(axis=0)
    near = slice(done.spectra.edge.crop_start, done.spectra.edge.crop_start + 150)
    l3_ev = done.spectra.energy_ev[near][mean[near].argmax()]
    assert 637.5 < l3_ev < 650.5
    assert done.images[0].counts["kept"] == 168


@pytest.mark.parametrize("name", ["EELS_spectrum.dm3", "EELS_SI.dm4"])
def test_the_vendor_files_have_no_edge_to_find(real_data: Path, name: str) -> None:
    from mnflow.read import read_file

    assert (
        preprocess([read_file(real_data / "vendor" / name, "Mn2+")], MN, KEEP).images[0].position.contrast < 5
    )


def test_the_published_spectra_pass_without_a_second_background(real_data: Path) -> None:
    from mnflow.read import read_source

    raw = next(read_source(real_data / "published", MN))
    done = preprocess([raw], MN, KEEP)
    same = np.isclose(done.spectra.intensity, raw.counts, rtol=0, atol=1e-6)
    assert (~same).sum() < 10  # a few channels are spikes, which are bridged
    assert same.all(axis=1).mean() > 0.99
    assert preprocess([raw], MN).images[0].counts["substrate"] == 0


def test_a_removed_background_is_seen_or_declared(made: list[Made]) -> None:
    specimen = made[0].thickness.ravel() > 0
    free = made[0].edge.reshape(-1, 950)[specimen] + np.random.default_rng(0).normal(
        0, 50, (specimen.sum(), 950)
    )
    raw = replace(made[0].raw, counts=free, nav_shape=(len(free),))
    for declared in (None, True):
        done = preprocess([replace(raw, background_removed=declared)], MN, KEEP)
        assert done.images[0].position.background_removed
        assert done.images[0].position.contrast > 10
        np.testing.assert_allclose(done.spectra.intensity, free[:, 150:850], rtol=1e-4, atol=0.1)
    done = preprocess([replace(made[0].raw, background_removed=False)], MN, KEEP)
    assert not done.images[0].position.background_removed


def test_a_class_that_is_all_rejected(made: list[Made]) -> None:
    empty = make(np.random.default_rng(1), "Mn3+", "bare").raw
    background = np.random.default_rng(2).poisson(5000 * (empty.energy_ev / 640) ** -3.0, (168, 950))
    # one image of bare film beside a good one
    done = preprocess([made[0].raw, _changed(made[1].raw, background)], MN)
    assert done.images[1].counts["substrate"] == 168


def test_a_file_that_is_read_twice_gives_the_same(made: list[Made], monkeypatch: pytest.MonkeyPatch) -> None:
    bare = make(np.random.default_rng(1), "Mn2+", "bare").raw
    bare = _changed(bare, np.random.default_rng(2).poisson(5000 * (bare.energy_ev / 640) ** -3.0, (168, 950)))
    once = preprocess([made[0].raw, bare], MN)
    monkeypatch.setattr(module, "_CACHE_BYTES", 0)
    twice = preprocess([made[0].raw, bare], MN)
    assert twice.spectra.group.tolist() == ["a"] * len(once.spectra)
    np.testing.assert_array_equal(twice.spectra.intensity, once.spectra.intensity)
    assert twice.spectra.intensity.dtype == np.float32


def test_a_class_without_any_spectrum_left_gives_a_clear_error() -> None:
    """A trough where the edge should be, and a hot channel in it."""
    energy_ev = axis_ev(600.0, 950, 0.1)
    counts = np.random.default_rng(2).poisson(5000 * (energy_ev / 640) ** -3.0, (40, 950)).astype(float)
    counts -= 1500 * np.exp(-(((energy_ev - 643) / 2) ** 2))
    counts[:, 430] += 8000
    raw = RawSpectra(energy_ev, counts, (40,), "Mn3+", "film", Path("film"))
    said = r"^Mn3\+: no spectrum is left after rejection; relax it with substrate=keep"
    with pytest.raises(InputError, match=said):
        preprocess([raw], MN)


def test_progress_and_reports_name_the_file(made: list[Made]) -> None:
    lines: list[str] = []
    done = preprocess([made[0].raw, made[2].raw], MN, KEEP, progress=lines.append)
    assert lines == [
        "a (Mn2+): 168 spectra, L3 at 643.0 eV",
        "c (Mn4+): 168 spectra, L3 at 641.0 eV",
        "Mn2+: 168 of 168 spectra kept",
        "Mn4+: 168 of 168 spectra kept",
        "There are no spectra of Mn3+: models that train on this dataset know Mn2+, Mn4+ only, and will call "
        "every spectrum one of these.",
    ]
    assert [(i.group, i.valence, i.path, i.fate.shape) for i in done.images] == [
        ("a", "Mn2+", "a.hspy", (12, 14)), ("c", "Mn4+", "c.hspy", (12, 14)),
    ]  # fmt: skip


def test_a_class_without_files_is_no_class_of_the_dataset(made: list[Made]) -> None:
    spectra = preprocess([made[0].raw, made[2].raw], MN, KEEP).spectra
    assert (spectra.edge.classes, spectra.edge.charges) == (("Mn2+", "Mn4+"), (2.0, 4.0))
    assert spectra.valence.tolist() == [0] * 168 + [1] * 168
    assert replace(spectra.edge, classes=MN.classes, charges=MN.charges) == MN


def test_one_class_is_not_enough(made: list[Made]) -> None:
    lines: list[str] = []
    assert preprocess([made[2].raw], MN, KEEP, progress=lines.append).spectra.edge == MN
    assert lines[-1] == "There are spectra of Mn4+ only: training needs two classes or more."


def test_clusters_say_what_they_were_measured_by(made: list[Made]) -> None:
    substrate, first, *_ = preprocess([made[0].raw], MN).clusters["Mn2+"]
    assert (substrate.step, substrate.measure_name) == ("substrate", "edge jump at L3, relative")
    assert (first.step, first.measure_name) == ("thick 1", "above the white lines over L3")
    for found in (substrate, first):
        assert (np.diff(found.measure) >= 0).all()
        assert len(found.energy_ev) == found.centres.shape[1] == 38
        np.testing.assert_allclose(found.energy_ev[[0, -1]], [-7.5, 29.5])
    assert substrate.sizes.sum() == 168


def test_an_edge_near_the_end_of_the_window() -> None:
    """The calibration may be that wrong: features are taken from what there is."""
    free = make(np.random.default_rng(0), l3_ev=656.5, substrate=False).edge.reshape(168, 950)
    raw = RawSpectra(axis_ev(600.0, 950, 0.1), free, (168,), "Mn2+", "g", Path("g"), background_removed=True)
    done = preprocess([raw], MN)
    assert done.images[0].position.l3_ev == pytest.approx(656.5, abs=0.3)
    assert done.images[0].counts["kept"] == 168


def test_the_ends_of_the_window_are_real_channels() -> None:
    energy_ev = axis_ev(600.05, 950, 0.1)
    counts = np.stack([energy_ev, 2 * energy_ev])
    raw = RawSpectra(energy_ev, counts, (2,), "Mn2+", "g", Path("g"), background_removed=True)
    done = preprocess([raw], MN, KEEP)
    np.testing.assert_allclose(done.spectra.intensity, np.outer([1, 2], MN.wide_axis_ev), rtol=1e-6)


def test_no_files_or_an_unknown_valence_give_a_clear_error(made: list[Made]) -> None:
    with pytest.raises(InputError, match=r"^Expected spectrum images to preprocess, got none"):
        preprocess([], MN)
    with pytest.raises(InputError, match="Unknown valence"):
        preprocess([replace(made[0].raw, valence="Fe2+")], MN)


def test_too_many_spectra_are_thinned_out_evenly(made: list[Made]) -> None:
    done = preprocess([made[0].raw], MN, replace(KEEP, max_per_image=20))
    kept = np.flatnonzero(done.images[0].fate.ravel() == KEPT)
    assert (len(kept), len(done.spectra)) == (20, 20)
    assert np.ptp(np.diff(kept)) <= 1
    assert (kept[0], kept[-1]) == (0, 167)
    assert done.images[0].counts["not needed"] == (done.images[0].fate == SPARE).sum() == 148


@pytest.mark.slow
@pytest.mark.parametrize("lazy", [False, True])
def test_a_big_file_in_bounded_memory(made: list[Made], lazy: bool) -> None:
    """200 MB of counts, of which no more than some blocks are in memory; the spectra are a small file's."""
    tile = np.array(made[0].raw.counts, np.float32)
    repeats, block = 320, 14 * 12
    n = repeats * block
    tiled = da.tile(da.from_array(tile, chunks=(block, -1)), (repeats, 1)).rechunk((block * 16, -1))
    counts = tiled if lazy else _Tiled(tile, n)
    raw = replace(made[0].raw, counts=counts, nav_shape=(repeats * 12, 14))
    tracemalloc.start()
    done = preprocess([raw], MN, replace(KEEP, max_per_image=500))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n * 950 * 4 > 2e8
    assert peak < 1.2e8
    assert len(done.spectra) == 500
    small = preprocess([made[0].raw], MN, KEEP)
    index = np.flatnonzero(done.images[0].fate.ravel() == KEPT) % block
    np.testing.assert_allclose(done.spectra.intensity, small.spectra.intensity[index], rtol=1e-3, atol=5)


class _Tiled:
    """An array (n, C) that repeats `tile` and holds nothing more: a memory map's stand-in."""

    def __init__(self, tile: np.ndarray, n: int) -> None:
        self.tile, self.shape, self.dtype = tile, (n, tile.shape[1]), tile.dtype

    def __getitem__(self, key: object) -> np.ndarray:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        return self.tile[np.arange(rows.start, rows.stop) % len(self.tile)][:, columns]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(["f4", "f8", "i2", "u2", "i4"]),
    step_ev=st.sampled_from([0.03, 0.1, 0.13, 0.35]),
    seed=st.integers(0, 999),
    poison=st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -1e5, 0.0, 3e38]), max_size=6),
)
def test_any_array_gives_a_dataset_or_a_clear_error(
    kind: str, step_ev: float, seed: int, poison: list[float]
) -> None:
    rng = np.random.default_rng(seed)
    energy_ev = axis_ev(600.0, int(100 / step_ev), step_ev)
    values = rng.normal(
        rng.choice([0, 100, 1e4]), rng.choice([0, 1, 1e3]), (rng.integers(1, 9), len(energy_ev))
    )
    with np.errstate(all="ignore"):
        counts = np.clip(
            values, *(np.iinfo(kind).min, np.iinfo(kind).max) if kind[0] in "iu" else (None, None)
        ).astype(kind)
        if kind[0] == "f":
            for value in poison:
                counts[rng.integers(len(counts)), rng.integers(counts.shape[1])] = value
    raw = RawSpectra(energy_ev, counts, (len(counts),), "Mn2+", "g", Path("any"))
    try:
        done = preprocess([raw], MN, PreprocessOptions(max_bad=1.0))
    except InputError:
        return
    assert np.isfinite(done.spectra.intensity).all()
    assert sum(
        done.images[0].counts[k] for k in ("kept", "substrate", "thick", "unusable", "not needed")
    ) == len(counts)

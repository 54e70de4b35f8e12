"""Spectrum images: files as a microscope writes them, with the noise of a real detector."""

import csv
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.simulate import simulate_images, simulate_references
from mnflow.simulate.image import (
    detect,
    grain_edge,
    image_shapes,
    material_edge,
    point_spread,
    simulate_image,
    wedge,
)
from mnflow.simulate.library import library_for
from mnflow.simulate.settings import load
from mnflow.spectra import MN, SpectrumSet


def rows_of(path):
    with path.open(newline="") as f:
        return list(csv.DictReader(f))


@pytest.fixture(scope="module")
def mn():
    """Settings and sticks of manganese."""
    s = load()
    return s, library_for(s, None)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The quick simulation."""
    out = tmp_path_factory.mktemp("simulated")
    lines = []
    return out, simulate_images(out, seed=1, size="quick", progress=lines.append), lines


def lag(noise, k):
    """Autocorrelation of noise (N, C) at lag k."""
    return (noise[:, k:] * noise[:, :-k]).mean() / (noise**2).mean()


@pytest.mark.slow
def test_files_and_manifest_agree(images):
    out, files, lines = images
    manifest = rows_of(out / "manifest.csv")
    assert [str(f.relative_to(out)) for f in files] == [row["file"] for row in manifest]
    assert all(row["file"].startswith(row["valence"] + "/") for row in manifest)
    assert len({row["group"] for row in manifest}) == len(manifest)
    assert {row["valence"] for row in manifest} == set(MN.classes)
    assert len(lines) == 3
    assert not [p for p in out.rglob("*") if p.suffix == ".part" or p.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Importing `Lazy.*:hyperspy.exceptions.VisibleDeprecationWarning")
def test_hyperspy_reads_an_eels_spectrum_image(images):
    import hyperspy.api as hs

    signal = hs.load(images[1][0])
    axis = signal.axes_manager.signal_axes[0]
    assert type(signal).__name__ == "EELSSpectrum"
    assert signal.axes_manager.navigation_dimension == 2
    assert (axis.name, axis.units, axis.offset) == ("Energy loss", "eV", 590.0)
    assert axis.scale == pytest.approx(0.1)
    assert axis.high_value > 700
    assert signal.metadata.Acquisition_instrument.TEM.beam_energy == 200
    assert signal.metadata.Acquisition_instrument.TEM.Detector.EELS.dwell_time > 0
    assert signal.data.min() > 0


@pytest.mark.slow
def test_same_seed_same_counts(mn):
    s, library = mn
    one, two, other = (
        simulate_image(s, library, 1, (3, 4), 2.5, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert (one.counts == two.counts).all()
    assert (one.counts != other.counts).any()


def test_paper_sized_shapes_add_up_to_the_papers_numbers(mn):
    for valence, n, pixels in zip(mn[0].valence, (10, 10, 15), (1604, 1512, 1863), strict=True):
        shapes = image_shapes(valence, "paper", np.random.default_rng(0))
        assert len(shapes) == n
        assert sum(rows * columns for rows, columns in shapes) == pytest.approx(pixels, rel=0.05)


def test_a_wedge_has_bare_substrate_and_grows(mn):
    thickness = wedge((12, 14), mn[0].valence[0], np.random.default_rng(0))
    bare = (thickness == 0).mean()
    assert mn[0].valence[0].substrate_share[0] - 0.02 < bare < mn[0].valence[0].substrate_share[1] + 0.02
    assert thickness.max() <= mn[0].valence[0].thickness[1]


def test_substrate_has_no_edge_and_thick_pixels_more_intensity_above_it(mn):
    s, library = mn
    quiet = replace(s, specimen=replace(s.specimen, edge_counts=(1e8, 1e8), grains=(1, 1)))
    image = simulate_image(quiet, library, 0, (12, 12), 0.0, np.random.default_rng(2))
    pre = (image.energy_ev > 615) & (image.energy_ev < 634)
    above = (image.energy_ev > 660) & (image.energy_ev < 680)
    log_e, log_c = np.log(image.energy_ev), np.log(image.counts.reshape(-1, len(image.energy_ev)))
    line = np.polynomial.polynomial.polyfit(log_e[pre], log_c[:, pre].T, 1)  # (2, P)
    edge = np.exp(log_c) - np.exp(line[0][:, None] + line[1][:, None] * log_e)
    t, peak = image.thickness.ravel(), edge.max(axis=1)
    assert peak[t == 0].max() < 0.05 * np.median(peak[t > 0])
    ratio = edge[:, above].mean(axis=1) / peak
    assert (
        ratio[t > np.quantile(t, 0.9)].mean() > 1.3 * ratio[(t > 0) & (t < np.quantile(t[t > 0], 0.2))].mean()
    )


def test_point_spread_keeps_counts_and_correlates_as_the_formula_says():
    white = np.random.default_rng(0).poisson(1000, (50, 2000))
    seen = point_spread(white, 0.35)
    assert seen.sum() == pytest.approx(white.sum(), rel=1e-3)
    noise, s = seen - seen.mean(), 0.35
    for k in (1, 2, 3):
        assert lag(noise, k) == pytest.approx((1 + k * (1 - s**2) / (1 + s**2)) * s**k, abs=0.02)


def test_point_spread_does_not_darken_the_ends():
    assert point_spread(np.full((2, 100), 500), 0.4) == pytest.approx(np.full((2, 100), 500.0))


def test_detected_noise_is_poissonian_apart_from_the_spread(mn):
    quiet = {"spread": (0.0, 0.0), "readout_counts": (0.0, 0.0), "spikes_per_image": 0.0}
    s = replace(mn[0], instrument=replace(mn[0].instrument, **quiet))
    counts = detect(np.full((20, 20, 300), 400.0), s, np.random.default_rng(0))
    assert counts.var() == pytest.approx(400, rel=0.03)


@pytest.mark.slow
def test_noise_is_correlated_as_on_the_real_detector(mn):
    """Real MnO: 0.61 and 0.33 at lags 1 and 2; images differ."""
    s, library = mn
    lags = []
    for seed in range(10):
        image = simulate_image(s, library, 0, (6, 6), 2.5, np.random.default_rng(seed))
        pre = image.counts[..., 300:440].reshape(-1, 140).astype(float)
        slope = np.polynomial.polynomial.polyfit(np.arange(140), pre.T, 2)
        noise = pre - np.polynomial.polynomial.polyval(np.arange(140), slope)
        lags.append((lag(noise, 1), lag(noise, 2)))
    assert np.mean(lags, axis=0) == pytest.approx([0.61, 0.31], abs=0.08)


def test_unknown_size_is_refused(tmp_path):
    with pytest.raises(InputError, match="quick, paper"):
        simulate_images(tmp_path, 0, "huge")
    assert not any(tmp_path.iterdir())


def test_references_come_from_elsewhere(tmp_path):
    manifest = simulate_references(tmp_path, seed=1)
    rows = rows_of(manifest)
    assert Counter(row["valence"] for row in rows) == {"Mn2+": 10, "Mn3+": 9, "Mn4+": 12}
    assert len({row["group"] for row in rows}) > 1
    for row in rows:
        energy_ev, intensity = np.loadtxt(tmp_path / row["file"], delimiter=",", skiprows=1).T
        assert 23 <= energy_ev[-1] - energy_ev[0] <= 35.5
        assert (intensity.min(), intensity.max()) == (0, 1)
        assert 634 < energy_ev[intensity.argmax()] < 652 + 12


@pytest.mark.slow
def test_references_reach_a_spectrum_set(tmp_path):
    from mnflow.references import read_references

    simulate_references(tmp_path, seed=2)
    assert isinstance(read_references(tmp_path, MN).spectra, SpectrumSet)


def test_a_grain_is_its_phase_and_some_of_a_neighbouring_valence(mn):
    s, library = mn
    energy_ev = np.arange(600.0, 700.0, 0.1)

    def grain(share):
        valence = (replace(s.valence[0], second_phase=(share, share)), *s.valence[1:])
        return grain_edge(energy_ev, replace(s, valence=valence), library, 0, np.random.default_rng(3))

    pure, half, other = grain(0.0), grain(0.5), grain(1.0)
    l3_ev = [energy_ev[edge.argmax()] for edge in (pure, other)]
    assert 1 < l3_ev[1] - l3_ev[0] < 3  # Mn3+ lies above Mn2+
    mixed = np.linalg.lstsq(np.array([pure, other]).T, half, rcond=None)
    assert (mixed[0] > 0.3).all()
    assert mixed[1][0] < 1e-9


def test_disorder_broadens_lines_and_keeps_their_area(mn):
    s, library = mn
    energy_ev = np.arange(560.0, 760.0, 0.1)
    bare = replace(s, spectrum=replace(s.spectrum, continuum_per_atom=(0.0, 0.0)))

    def edge(disorder_ev):
        lines = replace(s.valence[0].lines, disorder_ev=(disorder_ev, disorder_ev))
        changed = replace(bare, valence=(replace(s.valence[0], lines=lines), *s.valence[1:]))
        return material_edge(energy_ev, changed, library, 0, np.random.default_rng(1))

    sharp, broad = edge(0.0), edge(2.0)
    assert broad.max() < 0.7 * sharp.max()
    assert broad.sum() == pytest.approx(sharp.sum(), rel=1e-3)


def test_edges_count_atoms_by_their_holes_and_share_one_continuum(mn):
    s, library = mn
    energy_ev = np.arange(560.0, 760.0, 0.1)

    def area(index, foreign, **spectrum):
        fixed = {"strength_per_hole": (1.0, 1.0), "l2_factor": (1.0, 1.0), "continuum_per_atom": (0.0, 0.0)}
        changed = replace(s, spectrum=replace(s.spectrum, **fixed | spectrum))
        changed = replace(changed, foreign=replace(s.foreign, continuum_per_atom=(0.0, 0.0)))
        return (
            material_edge(energy_ev, changed, library, index, np.random.default_rng(0), foreign).sum() * 0.1
        )

    for foreign in (False, True):
        areas = [area(i, foreign) for i in range(3)]
        assert areas == pytest.approx([5, 6, 7], rel=0.03)  # Lorentzian tails leave the axis
    steps = [area(i, False, continuum_per_atom=(0.1, 0.1)) - area(i, False) for i in range(3)]
    assert steps == pytest.approx([steps[0]] * 3, rel=0.2)  # whatever the valence; thresholds differ


def test_the_foreign_laboratory_broadens_by_another_law(mn):
    for valence in mn[0].valence:
        assert valence.lines.growth[0] > 0 == valence.foreign_lines.growth[1]
        assert valence.foreign_lines.disorder_growth[0] > 0 == valence.lines.disorder_growth[1]
        assert any(site.delta is not None for site in valence.foreign_site)

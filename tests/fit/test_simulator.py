"""A fit finds what was simulated, says how well, and refuses what it cannot read."""

import json

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.fit import simulator
from mnflow.fit.simulator import AS_SAID, WIDENED, Widening, fit_crop, fit_spectrum, plot
from mnflow.simulate.image import material_edge
from mnflow.simulate.library import library_of
from mnflow.simulate.physics.scattering import convolve, plural_factor, response_factor
from mnflow.simulate.settings import settings_of
from mnflow.spectra import MN, Edge

ENERGY_EV = np.arange(600.0, 700.0, 0.1)


@pytest.fixture(scope="module")
def spectrum():
    """Makes a spectrum (C,) of shares of Mn2+, Mn3+ and Mn4+, on a background."""
    s = settings_of("Mn")
    library = library_of(s)

    def make(shares, thickness=0.3, resolution_ev=0.7, seed=0, background=3.0):
        rng = np.random.default_rng(seed)
        edge = sum(a * material_edge(ENERGY_EV, s, library, k, rng) for k, a in enumerate(shares))
        n_fft, single = 2 * len(ENERGY_EV), s.scattering.draw(len(ENERGY_EV), 0.1, rng)
        factor = response_factor(0.1, n_fft, np.array([resolution_ev]))
        factor = factor * plural_factor(single, np.array([thickness]), n_fft)
        edge = convolve(edge[None], factor, n_fft)[0]
        return (
            edge / edge.max() + background * (ENERGY_EV / 640) ** -3 + 0.003 * rng.standard_normal(len(edge))
        )

    return make


@pytest.mark.parametrize(
    ("shares", "valence"), [((1, 0, 0), 2.0), ((0, 1, 0), 3.0), ((0, 0, 1), 4.0), ((0.5, 0.5, 0), 2.5)]
)
def test_the_valence_that_was_simulated_is_found(spectrum, shares, valence):
    result = fit_spectrum(ENERGY_EV, spectrum(shares))
    assert result.residual < 0.08
    assert result.mean_valence.value == pytest.approx(valence, abs=0.35)
    assert result.mean_valence.low - 0.15 <= valence <= result.mean_valence.high + 0.15
    assert sum(part.share.value for part in result.parts) == pytest.approx(1)
    for part in result.parts:
        assert part.share.low <= part.share.value <= part.share.high
        assert bool(part.parameters) == (part.share.value > 0)


@pytest.mark.slow
def test_thickness_is_fitted(spectrum):
    thin, thick = (fit_spectrum(ENERGY_EV, spectrum((1, 0, 0), t)).thickness.value for t in (0.0, 1.2))
    assert thin < 0.5 < thick


def test_the_answer_is_json_and_a_figure(spectrum):
    result = fit_spectrum(ENERGY_EV, spectrum((0, 0, 1)))
    said = json.loads(json.dumps(result.to_dict()))
    assert said["parts"][2]["name"] == "Mn4+"
    assert 2.0 < said["parts"][2]["parameters"]["ten_dq"]["value"] < 3.4
    assert len(said["energy_ev"]) == len(said["fitted"]) == len(said["components"][0])
    figure = plot(result)
    assert "residual" in figure.axes[0].get_title(loc="left")
    assert result.components.sum(axis=0).max() == pytest.approx(result.fitted.max(), abs=0.3)


@pytest.mark.slow
def test_one_class_alone_fits_its_own_spectrum_better(spectrum):
    mixed = spectrum((0, 0, 1))
    own, other = (fit_spectrum(ENERGY_EV, mixed, only=[name]) for name in ("Mn4+", "Mn2+"))
    assert own.residual < 0.5 * other.residual
    assert other.mean_valence.value == other.mean_valence.low == other.mean_valence.high == 2
    assert [part.share.value for part in other.parts] == [1, 0, 0]
    two = fit_spectrum(ENERGY_EV, mixed, only=["Mn4+", "Mn2+"])
    assert two.parts[1].share.value == 0
    with pytest.raises(InputError, match="Mn5"):
        fit_spectrum(ENERGY_EV, mixed, only=["Mn5+"])


@pytest.mark.slow
def test_intervals_are_widened_by_the_element_s_numbers(spectrum, monkeypatch):
    plain = simulator.widenings("Cr")
    assert set(plain) == set(WIDENED)
    assert set(plain.values()) == {AS_SAID}
    widths = []
    for model_sd, factor in (AS_SAID, (0.3, 2.0)):
        used = dict.fromkeys(WIDENED, Widening(model_sd, factor))
        monkeypatch.setattr(simulator, "widenings", lambda element, used=used: used)
        found = fit_spectrum(ENERGY_EV, spectrum((0.3, 0.7, 0))).mean_valence
        widths.append(found.high - found.low)
        half = factor * np.hypot(found.sd, model_sd)
        assert (found.low, found.high) == pytest.approx(
            (max(found.value - half, 2), min(found.value + half, 4))
        )
    assert widths[1] > widths[0]


def test_nothing_to_fit_is_refused(spectrum):
    with pytest.raises(InputError):
        fit_spectrum(ENERGY_EV[:300], spectrum((1, 0, 0))[:300])
    other = Edge("Mn", ("Mn2+", "Mn3+"), (2.0, 3.0), MN.wide_ev, MN.crop_ev)
    with pytest.raises(InputError, match="No simulator"):
        fit_spectrum(ENERGY_EV, spectrum((1, 0, 0)), other)


def test_a_crop_without_an_edge_still_gets_an_answer_that_says_how_bad_it_is():
    noise = np.random.default_rng(0).standard_normal(MN.n_crop)
    assert fit_crop(noise).residual > 0.5

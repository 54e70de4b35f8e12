"""The shipped sticks are those that the settings and the code give."""

from dataclasses import replace

import numpy as np
import pytest

from mnflow.simulate.library import SHIPPED, Library, binned, draw, file_name, library_for, read, save
from mnflow.simulate.physics.atom import ion
from mnflow.simulate.physics.lineshape import STICK_EV
from mnflow.simulate.physics.multiplet import Sticks, absorption
from mnflow.simulate.settings import SETTINGS, load

NAMES = sorted(p.stem for p in SETTINGS.glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_settings_file_has_its_library_shipped(name):
    s = load(SETTINGS / f"{name}.toml")
    library = read(SHIPPED / file_name(s))
    for index, valence in enumerate(s.valence):
        assert len(library.of(index)) == sum(site.entries for site in valence.site)
        assert len(library.of(index, foreign=True)) == sum(site.entries for site in valence.foreign_site)
    assert library.strength.sum(axis=1) == pytest.approx(np.ones(len(library.strength)), abs=2e-3)


def test_no_library_is_left_over():
    assert {p.name for p in SHIPPED.glob("*.npz")} == {
        file_name(load(SETTINGS / f"{name}.toml")) for name in NAMES
    }


def cumulated(strength):
    """Cumulated, in means of five bins: sticks may lie a bin apart on a processor that rounds otherwise."""
    return np.convolve(np.cumsum(strength), np.full(5, 0.2), "valid")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_shipped_sticks_are_what_the_code_computes(name):
    """The first entry of every kind of site; `python -m mnflow.simulate <settings>` makes all of them."""
    s = load(SETTINGS / f"{name}.toml")
    library = read(SHIPPED / file_name(s))
    for index, valence in enumerate(s.valence):
        first = 0
        for j, site in enumerate(valence.site):
            if site.delta is None:  # charge transfer takes a second each
                rng = np.random.default_rng([s.library_seed, index, j])
                fresh = binned(absorption(ion(valence.ion), *draw(site, rng)))
                assert cumulated(library.of(index)[first]) == pytest.approx(cumulated(fresh), abs=3e-3)
            first += site.entries


def test_binning_keeps_sum_and_centroid():
    sticks = Sticks(np.array([-3.217, 0.031, 9.999]), np.array([1.0, 2.0, 5.0]))
    out = binned(sticks)
    assert out.sum() == pytest.approx(1)
    assert out @ STICK_EV == pytest.approx(np.average(sticks.energy_ev, weights=sticks.strength), abs=1e-5)


def test_changed_settings_ask_for_another_library(tmp_path):
    s = load()
    sites = (replace(s.valence[0].site[0], entries=2),)
    valences = tuple(replace(v, ion="Ti4+", site=sites, foreign_site=sites) for v in s.valence)
    changed = replace(s, valence=valences)
    assert file_name(changed) != file_name(s)
    lines = []
    made = library_for(changed, tmp_path, lines.append)
    assert (tmp_path / file_name(changed)).is_file()
    assert "computing the sticks" in lines[0]
    assert len(made.strength) == 12
    again = library_for(changed, tmp_path, lines.append)
    assert np.array_equal(again.strength, read(tmp_path / file_name(changed)).strength)
    assert len(lines) == 7  # one, and one for every kind of site: nothing was computed twice


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(np, "savez_compressed", lambda *a, **k: 1 / 0)
    none = Library(np.zeros((1, 2), np.float32), np.zeros(1, np.int64), np.zeros(1, bool), np.zeros((1, 5)))
    with pytest.raises(ZeroDivisionError):
        save(none, tmp_path / "a.npz")
    assert not any(tmp_path.iterdir())

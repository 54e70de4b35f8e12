"""Multiplet theory against what is known exactly."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from mnflow.errors import InputError
from mnflow.simulate.physics.atom import ion
from mnflow.simulate.physics.multiplet import (
    ChargeTransfer,
    Field,
    Sticks,
    _coefficients,
    _space,
    absorption,
    determinants,
    low_states,
)
from mnflow.simulate.physics.operators import dd_repulsion, matrix, spin_orbit, wigner_3j

IONS = ["Ti3+", "Ti4+", "V3+", "V4+", "Cr3+", "Mn2+", "Mn3+", "Mn4+", "Fe2+", "Fe3+", "Co2+", "Ni2+"]
NO_FIELD = Field(slater_dd=1.0, slater_pd=1.0, temperature_k=1e5)


def levels(h, decimals=6):
    """Distinct energies and how often each occurs."""
    return np.unique(np.linalg.eigvalsh(h.toarray()).round(decimals), return_counts=True)


@pytest.mark.parametrize(
    ("j", "value"),
    [((1, 1, 2, 0, 0, 0), np.sqrt(2 / 15)), ((2, 1, 1, 0, 1, -1), 1 / np.sqrt(30)), ((1, 1, 1, 1, 0, 0), 0)],
)
def test_wigner_3j_against_tables(j, value):
    assert wigner_3j(*j) == pytest.approx(value)


@pytest.mark.parametrize(
    ("n_p", "n_d", "n"), [(6, 5, 252), (6, 4, 210), (6, 3, 120), (5, 6, 1260), (5, 5, 1512), (5, 4, 1260)]
)
def test_number_of_determinants(n_p, n_d, n):
    assert len(determinants(n_p, n_d)) == n


def test_terms_of_d2_are_those_of_the_free_ion():
    """3F, 3P, 1G, 1D, 1S of d2 with Racah's B and C (Sugano, Tanabe & Kamimura 1970)."""
    f2, f4 = 8.0, 5.0
    b, c = f2 / 49 - 5 * f4 / 441, 35 * f4 / 441
    basis = determinants(6, 2)
    h = f2 * matrix(dd_repulsion(2), basis, basis) + f4 * matrix(dd_repulsion(4), basis, basis)
    energy, degeneracy = levels(h)
    expected = {0.0: 21, 15 * b: 9, 5 * b + 2 * c: 5, 12 * b + 2 * c: 9, 22 * b + 7 * c: 1}
    assert dict(zip((energy - energy[0]).round(4), degeneracy, strict=True)) == {
        round(e, 4): g for e, g in sorted(expected.items())
    }
    assert energy @ degeneracy == pytest.approx(0, abs=1e-4)  # the mean repulsion was taken out


def test_spin_orbit_splits_p_and_d_by_lande():
    """2p5: j = 1/2 and 3/2 by 3/2 zeta; one 3d electron: j = 3/2 and 5/2 by 5/2 zeta."""
    for shell, basis, lower, upper, splitting in (
        ("p", determinants(5, 0), 4, 2, 1.5),
        ("d", determinants(6, 1), 4, 6, 2.5),
    ):
        energy, degeneracy = levels(matrix(spin_orbit(shell), basis, basis))
        assert degeneracy.tolist() == [lower, upper]
        assert energy[1] - energy[0] == pytest.approx(splitting)


def test_cubic_field_splits_one_electron_into_t2g_below_eg():
    h = _space(6, 1, False).hamiltonian(
        _coefficients({"zeta3d": 0.0}, Field(ten_dq=1.0), None, core_hole=False)
    )
    energy, degeneracy = levels(h)
    assert energy.tolist() == pytest.approx([-0.4, 0.6])
    assert degeneracy.tolist() == [6, 4]


def test_tetragonal_field_splits_one_electron_into_four_levels_around_their_mean():
    energies = Field(ten_dq=1.5, ds=0.2, dt=0.05).orbital_energies()
    assert sum(energies.values()) + energies["e"] == pytest.approx(0)
    assert len({round(e, 6) for e in energies.values()}) == 4


@pytest.mark.parametrize(
    ("name", "degeneracy"), [("Mn2+", 6), ("Mn3+", 10), ("Mn4+", 4), ("Ni2+", 3), ("Cr3+", 4), ("Ti4+", 1)]
)
def test_ground_multiplet_in_an_octahedron(name, degeneracy):
    """6A1, 5E, 4A2, 3A2, 4A2 and the closed shell, all their states, without 3d spin-orbit coupling."""
    atom = ion(name)
    integrals = dict(atom.initial, zeta3d=0.0)
    h = _space(6, atom.n_d, False).hamiltonian(
        _coefficients(integrals, Field(ten_dq=1.0), None, core_hole=False)
    )
    energy, population, vectors = low_states(h, 30.0)
    assert len(energy) == degeneracy
    assert population == pytest.approx(np.full(degeneracy, 1 / degeneracy))
    assert vectors.T @ vectors == pytest.approx(np.eye(degeneracy), abs=1e-9)


LOW = Field(ten_dq=1.2, ds=0.2, dt=0.05)
FIELDS = [Field(), Field(ten_dq=1.6), Field(ten_dq=-0.5)]


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, LOW) for name in IONS] + [(name, field) for name in ("Ti3+", "Mn4+", "Ni2+") for field in FIELDS],
)
def test_strength_is_the_number_of_holes_whatever_the_field(name, field):
    atom = ion(name)
    assert absorption(atom, field, steps=20).strength.sum() == pytest.approx(10 - atom.n_d)


def test_branching_ratio_without_core_hole_interaction_is_two_to_one():
    """Thole & van der Laan 1988: statistical without 2p-3d interaction and 3d spin-orbit coupling."""
    off = {"f2pd": 0.0, "g1pd": 0.0, "g3pd": 0.0, "zeta3d": 0.0}
    sticks = absorption(ion("Mn2+"), Field(ten_dq=0.0, slater_dd=0.3), scale=off)
    middle = 0.25 * 6.8458  # halfway between the 2p3/2 (-zeta/2) and 2p1/2 (+zeta) edges
    l3 = sticks.strength[sticks.energy_ev < middle + _mean_shift(sticks)].sum()
    assert l3 / sticks.strength.sum() == pytest.approx(2 / 3, abs=1e-3)


def _mean_shift(sticks: Sticks) -> float:
    """Offset of the edges by 3d repulsion: the statistical mean of both edges' 2p energy is 0."""
    return float(np.average(sticks.energy_ev, weights=sticks.strength))


@pytest.mark.parametrize("name", ["Ti3+", "Cr3+", "Ni2+"])
def test_lanczos_agrees_with_full_diagonalisation(name):
    field, energy_ev = Field(1.5, ds=0.1, dt=0.03, slater_dd=0.7, slater_pd=0.7), np.arange(-10, 20, 0.05)
    sticks = (absorption(ion(name), field, method=m, steps=180) for m in ("lanczos", "full"))
    few, all_ = (_broadened(s, energy_ev) for s in sticks)
    assert np.abs(few - all_).max() < 2e-3 * all_.max()


def _broadened(sticks: Sticks, energy_ev):
    away = energy_ev[:, None] - sticks.energy_ev
    return (sticks.strength * 0.15 / np.pi / (away**2 + 0.15**2)).sum(axis=1)


@pytest.mark.parametrize("name", ["Mn2+", "Mn4+", "Fe2+"])
def test_isotropic_spectrum_does_not_change_with_the_axis_of_a_cubic_crystal(name):
    """In Oh, z-polarised and x,y-polarised strengths are each a third of the whole."""
    from mnflow.simulate.physics.operators import dipole

    atom = ion(name)
    space, final = _space(6, atom.n_d, False), _space(5, atom.n_d + 1, False)
    h = space.hamiltonian(_coefficients(atom.initial, Field(ten_dq=1.0), None, core_hole=False))
    _, population, ground = low_states(h, 300.0)
    strength = [
        ((matrix(dipole(q), space.basis, final.basis) @ ground) ** 2).sum(axis=0) @ population
        for q in (-1, 0, 1)
    ]
    assert strength == pytest.approx(np.full(3, (10 - atom.n_d) / 3), rel=1e-6)


def test_titanium_4_shows_its_four_lines():
    """SrTiO3: L3 and L2, each split into t2g and eg, and almost nothing in L3 t2g's two weak forerunners."""
    sticks = absorption(ion("Ti4+"), Field(ten_dq=2.0))
    spectrum = _broadened(sticks, np.arange(-10, 20, 0.05))
    left, middle, right = spectrum[:-2], spectrum[1:-1], spectrum[2:]
    assert ((middle > left) & (middle > right) & (middle > 0.05 * spectrum.max())).sum() == 4


def test_a_far_ligand_configuration_leaves_the_ligand_field_spectrum():
    energy_ev = np.arange(-10, 20, 0.05)
    alone = absorption(ion("Ni2+"), Field(ten_dq=1.0))
    far = absorption(ion("Ni2+"), Field(ten_dq=1.0), ChargeTransfer(delta=500.0, v_eg=1.0, v_t2g=0.5))
    difference = _broadened(alone, energy_ev) - _broadened(far, energy_ev)
    assert np.abs(difference).max() < 0.02 * _broadened(alone, energy_ev).max()


def test_charge_transfer_fills_holes_and_makes_a_satellite_of_nickel():
    """NiO: the mean number of 3d holes falls below 2, and a satellite appears some 2 eV or more above L3."""
    field, transfer = Field(ten_dq=0.5), ChargeTransfer(delta=4.5, u_dd_minus_u_pd=-1.0, v_eg=2.2, v_t2g=1.1)
    sticks = absorption(ion("Ni2+"), field, transfer)
    assert 1.6 < sticks.strength.sum() < 2.0
    l3 = sticks.energy_ev[sticks.strength.argmax()]
    satellite = sticks.strength[(sticks.energy_ev > l3 + 3) & (sticks.energy_ev < l3 + 9)].sum()
    plain = absorption(ion("Ni2+"), Field(ten_dq=1.0))
    l3 = plain.energy_ev[plain.strength.argmax()]
    assert satellite > 2 * plain.strength[(plain.energy_ev > l3 + 3) & (plain.energy_ev < l3 + 9)].sum()


@pytest.mark.parametrize("n_d", [3, 4, 5])
def test_hopping_stays_inside_the_two_configurations(n_d):
    """3d^(n+2) L2 is left out after 3d^(n+1) L; what is left is symmetric, in four blocks."""
    space = _space(6, n_d, True)
    transfer = ChargeTransfer(4.0, -1.0, 1.5, 0.75)
    field = Field(1.5, 0.2, 0.06)
    h = space.hamiltonian(
        _coefficients(ion({3: "Mn4+", 4: "Mn3+", 5: "Mn2+"}[n_d]).initial, field, transfer, False)
    )
    assert abs(h - h.T).max() < 1e-9
    assert connected_components(h, directed=False)[0] == 4


def test_temperature_populates_the_split_ground_state():
    """Co2+ (4T1): at 1000 K more than its lowest Kramers doublet takes part."""
    cold, hot = (
        absorption(ion("Co2+"), replace(Field(ten_dq=0.9), temperature_k=t), steps=20) for t in (10.0, 1000.0)
    )
    assert len(hot.strength) > len(cold.strength)
    assert hot.strength.sum() == pytest.approx(cold.strength.sum())


def test_unknown_ion_and_method_are_named():
    with pytest.raises(InputError, match=r"Xx2\+.*expected one of"):
        ion("Xx2+")
    with pytest.raises(InputError, match="'lanczos' or 'full'"):
        absorption(ion("Ti4+"), NO_FIELD, method="guess")

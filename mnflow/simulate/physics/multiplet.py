"""Ligand-field multiplets: sticks of 2p6 3d^n -> 2p5 3d^(n+1) in the dipole approximation.

The Hamiltonian is written in second quantisation over Slater determinants of 6 (2p) + 10 (3d) spin-orbitals,
and 10 more (ligand) if charge transfer is on. See de Groot & Kotani, "Core Level Spectroscopy of Solids",
2008; Haverkort et al., Phys. Rev. B 85, 165113 (2012), https://doi.org/10.1103/PhysRevB.85.165113.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from mnflow.errors import InputError
from mnflow.simulate.physics.atom import Ion
from mnflow.simulate.physics.operators import (
    FIELD_ORBITALS,
    Term,
    dd_repulsion,
    dipole,
    matrix,
    one_shell,
    pd_repulsion,
    spin_orbit,
)
from mnflow.spectra.arrays import Floats

BOLTZMANN_EV_PER_K = 8.617333e-5
_NEGLIGIBLE_POPULATION = 1e-3


@dataclass(frozen=True)
class Field:
    """The surroundings of the ion, energies in eV.

    Attributes
    ----------
    ten_dq : float
        Cubic splitting; positive for an octahedron, negative for a tetrahedron.
    ds, dt : float
        Tetragonal distortion along z (D4h); 0 in cubic symmetry.
    slater_dd, slater_pd : float
        Reduction of the atomic Hartree-Fock integrals F(dd) and F, G(pd); 1 is the free ion.
    temperature_k : float
        Temperature of the ground multiplet's population.
    """

    ten_dq: float = 0.0
    ds: float = 0.0
    dt: float = 0.0
    slater_dd: float = 0.8
    slater_pd: float = 0.8
    temperature_k: float = 300.0

    def orbital_energies(self) -> dict[str, float]:
        """Energies (eV) of b1 (x2-y2), a1 (z2), b2 (xy) and e (xz, yz); their mean is 0."""
        dq, ds, dt = self.ten_dq / 10, self.ds, self.dt
        return {
            "b1": 6 * dq + 2 * ds - dt,
            "a1": 6 * dq - 2 * ds - 6 * dt,
            "b2": -4 * dq + 2 * ds - dt,
            "e": -4 * dq - ds + 4 * dt,
        }


@dataclass(frozen=True)
class ChargeTransfer:
    """A second configuration with one ligand hole, 3d^(n+1) L, energies in eV.

    Attributes
    ----------
    delta : float
        Energy of 3d^(n+1) L above 3d^n, both averaged over their multiplets.
    u_dd_minus_u_pd : float
        Subtracting U_pd and adding U_dd gives the same energy beside the core hole: delta + u_dd_minus_u_pd.
    v_eg, v_t2g : float
        Hybridisation with ligand orbitals of eg and t2g symmetry (Oh).
    core_hole_v : float
        Factor on the hybridisation in the final state (contraction of 3d around the core hole).
    """

    delta: float = 3.0
    u_dd_minus_u_pd: float = -1.0
    v_eg: float = 2.0
    v_t2g: float = 1.0
    core_hole_v: float = 1.0

    def hybridisation(self) -> dict[str, float]:
        """Hybridisation (eV) of every orbital of `Field.orbital_energies`."""
        return {"b1": self.v_eg, "a1": self.v_eg, "b2": self.v_t2g, "e": self.v_t2g}


@dataclass(frozen=True)
class Sticks:
    """Lines by energy (n,), in eV above the configurations' mean, and strengths (n,)."""

    energy_ev: Floats
    strength: Floats


@dataclass(frozen=True)
class _Space:
    """Determinants (N,) of some configurations and every operator's values on one common sparsity pattern."""

    basis: NDArray[np.uint32]
    indptr: NDArray[np.int32]
    indices: NDArray[np.int32]
    values: dict[str, Floats]

    def hamiltonian(self, coefficients: dict[str, float]) -> csr_matrix:
        data = sum(c * self.values[name] for name, c in coefficients.items())
        return csr_matrix((data, self.indices, self.indptr), shape=(len(self.basis),) * 2)


def determinants(n_p: int, n_d: int, n_ligand: int = 0) -> NDArray[np.uint32]:
    """All determinants with so many electrons in 2p, 3d and the ligand shell, as sorted bit masks.

    Bits 0-5 are 2p, 6-15 are 3d, 16-25 the ligand shell.
    """

    def shell(first: int, size: int, n: int) -> NDArray[np.uint32]:
        masks = [sum(1 << (first + i) for i in c) for c in combinations(range(size), n)]
        return np.array(masks, dtype=np.uint32)

    p, d, ligand = shell(0, 6, n_p), shell(6, 10, n_d), shell(16, 10, n_ligand)
    return np.sort((p[:, None, None] | d[:, None] | ligand).ravel())


@lru_cache(maxsize=4)
def _space(n_p: int, n_d: int, with_ligand: bool) -> _Space:
    basis = determinants(n_p, n_d)
    if with_ligand:
        parts = [determinants(n_p, n_d, 10)]
        if n_d < 10:
            parts.append(determinants(n_p, n_d + 1, 9))
        basis = np.sort(np.concatenate(parts))
    terms: dict[str, list[Term]] = {
        "f2dd": dd_repulsion(2),
        "f4dd": dd_repulsion(4),
        "zeta3d": spin_orbit("d"),
    }
    terms |= {name: one_shell("d", "d", name) for name in FIELD_ORBITALS}
    if n_p < 6:
        terms |= {"f2pd": pd_repulsion("F", 2), "g1pd": pd_repulsion("G", 1), "g3pd": pd_repulsion("G", 3)}
        terms["zeta2p"] = spin_orbit("p")
    if with_ligand:
        terms |= {f"v_{name}": one_shell("d", "ligand", name) for name in FIELD_ORBITALS}
        terms["ligand_holes"] = [((), (), 10.0)] + [((i,), (i,), -1.0) for i in range(16, 26)]
    return _common_pattern(basis, {name: matrix(t, basis, basis) for name, t in terms.items()})


def _common_pattern(basis: NDArray[np.uint32], operators: dict[str, csr_matrix]) -> _Space:
    """Put all operators on the union of their patterns, to sum Hamiltonians as plain arrays."""
    n = len(basis)
    keys = {name: np.repeat(np.arange(n), np.diff(m.indptr)) * n + m.indices for name, m in operators.items()}
    union = np.unique(np.concatenate(list(keys.values())))
    values = {name: np.zeros(len(union)) for name in operators}
    for name, m in operators.items():
        values[name][np.searchsorted(union, keys[name])] = m.data
    indptr = np.searchsorted(union // n, np.arange(n + 1)).astype(np.int32)
    return _Space(basis, indptr, (union % n).astype(np.int32), values)


def _coefficients(
    integrals: dict[str, float], field: Field, transfer: ChargeTransfer | None, core_hole: bool
) -> dict[str, float]:
    c = dict(integrals)
    for name in c:
        if name.endswith("dd"):
            c[name] *= field.slater_dd
        elif name.endswith("pd"):
            c[name] *= field.slater_pd
    c |= field.orbital_energies()
    if transfer is not None:
        c["ligand_holes"] = transfer.delta + (transfer.u_dd_minus_u_pd if core_hole else 0.0)
        factor = transfer.core_hole_v if core_hole else 1.0
        c |= {f"v_{name}": factor * v for name, v in transfer.hybridisation().items()}
    return c


def low_states(h: csr_matrix, temperature_k: float) -> tuple[Floats, Floats, Floats]:
    """The thermally populated states of `h`: energies (k,), populations (k,), vectors (N, k).

    Every symmetry block (connected component) is diagonalised in full, so no degenerate partner is missed.
    """
    n_blocks, label = connected_components(h, directed=False)
    window_ev = -np.log(_NEGLIGIBLE_POPULATION) * BOLTZMANN_EV_PER_K * temperature_k
    energies: list[float] = []
    vectors: list[Floats] = []
    for block in range(n_blocks):
        members = np.flatnonzero(label == block)
        e, v = eigh(
            h[members][:, members].toarray(), driver="evr", subset_by_index=[0, min(len(members), 16) - 1]
        )
        for i in np.flatnonzero(e <= e[0] + window_ev):
            full = np.zeros(h.shape[0])
            full[members] = v[:, i]
            energies.append(float(e[i]))
            vectors.append(full)
    energy = np.array(energies)
    keep = np.flatnonzero(energy <= energy.min() + window_ev)
    boltzmann = np.exp(-(energy[keep] - energy.min()) / (BOLTZMANN_EV_PER_K * temperature_k))
    return energy[keep], boltzmann / boltzmann.sum(), np.stack([vectors[i] for i in keep], axis=1)


def lanczos(h: csr_matrix, start: Floats, steps: int) -> tuple[Floats, Floats]:
    """Poles and weights of <s|delta(E - h)|s> for every column s of `start` (N, B): two arrays (B, steps).

    The weights of a column sum to its squared norm, and the first 2 * steps moments are exact (Lanczos 1950,
    https://doi.org/10.6028/jres.045.026). Columns are run together: one sparse product serves all.
    """
    steps = min(steps, h.shape[0])
    norm = np.linalg.norm(start, axis=0)
    v, previous = start / np.where(norm > 0, norm, 1), np.zeros_like(start)
    beta = np.zeros(start.shape[1])
    tridiagonal = np.zeros((start.shape[1], steps, steps))
    for k in range(steps):
        w = h @ v - beta * previous
        alpha = np.einsum("nb,nb->b", w, v)
        tridiagonal[:, k, k] = alpha
        w -= alpha * v
        beta = np.linalg.norm(w, axis=0)
        beta[beta < 1e-8] = 0.0  # the Krylov space is exhausted: the rest stays decoupled
        if k + 1 < steps:
            tridiagonal[:, k, k + 1] = tridiagonal[:, k + 1, k] = beta
        previous, v = v, np.where(beta > 0, w / np.where(beta > 0, beta, 1), 0)
    poles, vectors = np.linalg.eigh(tridiagonal)
    return poles, vectors[:, 0, :] ** 2 * norm[:, None] ** 2


def _all_poles(h: csr_matrix, start: Floats) -> tuple[Floats, Floats]:
    """As `lanczos`, from the full diagonalisation."""
    energy, vectors = np.linalg.eigh(h.toarray())
    return np.tile(energy, (start.shape[1], 1)), ((vectors.T @ start) ** 2).T


def absorption(
    ion: Ion,
    field: Field,
    transfer: ChargeTransfer | None = None,
    method: str = "lanczos",
    steps: int = 100,
    scale: dict[str, float] | None = None,
) -> Sticks:
    """Isotropic L2,3 sticks of an ion at a temperature.

    Parameters
    ----------
    ion : Ion
        Atomic integrals in eV.
    field : Field
        Ligand field, reductions, temperature.
    transfer : ChargeTransfer, optional
        Adds the configuration with a ligand hole.
    method : {"lanczos", "full"}
        Lanczos with `steps` steps, or full diagonalisation of the final states (for checks).
    scale : dict, optional
        Factors on single integrals, e.g. {"zeta3d": 0}; for limits and tests.

    Returns
    -------
    Sticks
        Strengths sum to the number of 3d holes (sum rule, Thole & van der Laan 1988,
        https://doi.org/10.1103/PhysRevB.38.3158), with charge transfer to the mean number of holes.
    """
    if method not in ("lanczos", "full"):
        raise InputError(f"Multiplet method: expected 'lanczos' or 'full', got {method!r}.")
    scale = scale or {}
    integrals = [{k: v * scale.get(k, 1.0) for k, v in part.items()} for part in (ion.initial, ion.final)]
    initial, final = (_space(6, ion.n_d, transfer is not None), _space(5, ion.n_d + 1, transfer is not None))
    ground_ev, population, ground = low_states(
        initial.hamiltonian(_coefficients(integrals[0], field, transfer, core_hole=False)),
        field.temperature_k,
    )
    h = final.hamiltonian(_coefficients(integrals[1], field, transfer, core_hole=True))
    n_blocks, block = connected_components(h, directed=False)
    energies, strengths = [], []
    # Time reversal makes q = -1 and q = +1 alike once Kramers partners are populated equally, so +1 counts
    # twice.
    for q, weight in ((0, 1.0), (1, 2.0)):
        start = (matrix(dipole(q), initial.basis, final.basis) @ ground) * np.sqrt(population * weight)
        # a dipole operator takes a state into one symmetry block, a quarter of all states
        for i in range(n_blocks):
            members = np.flatnonzero(block == i)
            columns = np.flatnonzero((start[members] != 0).any(axis=0))
            if len(columns) == 0:
                continue
            part, within = h[members][:, members], start[np.ix_(members, columns)]
            poles, strength = (
                lanczos(part, within, steps) if method == "lanczos" else _all_poles(part, within)
            )
            energies.append((poles - ground_ev[columns, None]).ravel())
            strengths.append(strength.ravel())
    energy, strength = np.concatenate(energies), np.concatenate(strengths)
    order = np.argsort(energy)
    return Sticks(energy[order], strength[order])

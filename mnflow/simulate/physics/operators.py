"""Operators of atomic multiplet theory in second quantisation, real in the |m, spin> basis.

A term is (creators, annihilators, value): value * a+_c1 a+_c2 ... a_a2 a_a1, the first annihilator first.
"""

from functools import cache
from itertools import combinations, product
from math import factorial, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from mnflow.spectra.arrays import Floats, Ints

Term = tuple[tuple[int, ...], tuple[int, ...], float]

_L = {"p": 1, "d": 2, "ligand": 2}
_FIRST = {"p": 0, "d": 6, "ligand": 16}
FIELD_ORBITALS = ("b1", "a1", "b2", "e")


def orbitals(shell: str) -> list[tuple[int, int, int, float]]:
    """(index, l, m, spin) of the spin-orbitals of "p", "d" or "ligand"."""
    angular = _L[shell]
    pairs = [(m, spin) for m in range(-angular, angular + 1) for spin in (-0.5, 0.5)]
    return [(_FIRST[shell] + i, angular, m, spin) for i, (m, spin) in enumerate(pairs)]


def wigner_3j(j1: int, j2: int, j3: int, m1: int, m2: int, m3: int) -> float:
    """Wigner 3j symbol of integer angular momenta (Racah, https://doi.org/10.1103/PhysRev.62.438)."""
    if (
        m1 + m2 + m3
        or not abs(j1 - j2) <= j3 <= j1 + j2
        or any(abs(m) > j for j, m in ((j1, m1), (j2, m2), (j3, m3)))
    ):
        return 0.0
    f = factorial
    triangle = f(j1 + j2 - j3) * f(j1 - j2 + j3) * f(-j1 + j2 + j3) / f(j1 + j2 + j3 + 1)
    magnetic = f(j1 + m1) * f(j1 - m1) * f(j2 + m2) * f(j2 - m2) * f(j3 + m3) * f(j3 - m3)
    total = 0.0
    for t in range(max(0, j2 - j3 - m1, j1 - j3 + m2), min(j1 + j2 - j3, j1 - m1, j2 + m2) + 1):
        parts = (t, j3 - j2 + m1 + t, j3 - j1 - m2 + t, j1 + j2 - j3 - t, j1 - m1 - t, j2 + m2 - t)
        total += (-1) ** t / np.prod([float(f(p)) for p in parts])
    return float((-1) ** (j1 - j2 - m3) * sqrt(triangle * magnetic) * total)


@cache
def gaunt(k: int, l1: int, m1: int, l2: int, m2: int) -> float:
    """Condon and Shortley's c^k(l1 m1, l2 m2): angular part of a spherical tensor."""
    root = sqrt((2 * l1 + 1) * (2 * l2 + 1))
    return (-1) ** (m1 % 2) * root * wigner_3j(l1, k, l2, 0, 0, 0) * wigner_3j(l1, k, l2, -m1, m1 - m2, m2)


def dd_repulsion(k: int) -> list[Term]:
    """F^k(dd), k = 2 or 4, shifted so that the mean repulsion of a configuration is 0."""
    d = orbitals("d")
    return _repulsion(list(combinations(d, 2)), k, "dd", mean=-2 / 63)


def pd_repulsion(kind: str, k: int) -> list[Term]:
    """F^2, G^1 or G^3 between 2p and 3d, without its mean over a configuration."""
    pairs = [(a, b) for a in orbitals("p") for b in orbitals("d")]
    return _repulsion(pairs, k, kind, mean={"F2": 0.0, "G1": -1 / 15, "G3": -3 / 70}[f"{kind}{k}"])


def _repulsion(pairs: list, k: int, kind: str, mean: float) -> list[Term]:
    terms: list[Term] = []
    for (a, b), (c, d) in product(pairs, repeat=2):
        value = 0.0
        if kind in ("dd", "F"):
            value += _coulomb(k, a, b, c, d)
        if kind in ("dd", "G"):
            value -= _coulomb(k, a, b, d, c)
        if (a[0], b[0]) == (c[0], d[0]):
            value -= mean
        if abs(value) > 1e-12:
            terms.append(((a[0], b[0]), (c[0], d[0]), value))
    return terms


def _coulomb(k: int, a: tuple, b: tuple, c: tuple, d: tuple) -> float:
    """Angular factor of R^k in <ab|1/r12|cd> (Slater 1929, https://doi.org/10.1103/PhysRev.34.1293)."""
    if a[3] != c[3] or b[3] != d[3] or a[2] + b[2] != c[2] + d[2]:
        return 0.0
    return gaunt(k, a[1], a[2], c[1], c[2]) * gaunt(k, d[1], d[2], b[1], b[2])


def spin_orbit(shell: str) -> list[Term]:
    """Sum of l.s over the electrons of a shell; multiply by zeta."""
    terms: list[Term] = []
    for i, angular, m, s in orbitals(shell):
        for j, _, n, t in orbitals(shell):
            if (m, s) == (n, t):
                terms.append(((i,), (j,), m * s))
            elif m - n == t - s and abs(m - n) == 1:  # l+ s- and l- s+
                terms.append(((i,), (j,), 0.5 * sqrt(angular * (angular + 1) - m * n)))
    return [t for t in terms if t[2] != 0.0]


def one_shell(to: str, of: str, name: str) -> list[Term]:
    """Number operator (to = of), or hopping with its conjugate, between d-like shells.

    The orbitals are b1, a1, b2 or e.
    """
    shape = {"b1": {(2, 2): 0.5, (2, -2): 0.5, (-2, 2): 0.5, (-2, -2): 0.5}, "a1": {(0, 0): 1.0}}
    shape["b2"] = {key: v if key[0] == key[1] else -v for key, v in shape["b1"].items()}
    shape["e"] = {(1, 1): 1.0, (-1, -1): 1.0}
    terms: list[Term] = []
    for i, _, m, s in orbitals(to):
        for j, _, n, t in orbitals(of):
            if s == t and (m, n) in shape[name]:
                terms.append(((i,), (j,), shape[name][m, n]))
                if to != of:
                    terms.append(((j,), (i,), shape[name][m, n]))
    return terms


def dipole(q: int) -> list[Term]:
    """Electric-dipole operator 2p -> 3d of polarisation q; its total strength is 1 per 3d hole."""
    terms: list[Term] = []
    for i, _, m, s in orbitals("d"):
        for j, _, n, t in orbitals("p"):
            if s == t and m - n == q:
                # sum over n of c1(2 m, 1 n)^2 is 2/5
                terms.append(((i,), (j,), gaunt(1, 2, m, 1, n) * sqrt(5 / 2)))
    return terms


def matrix(terms: list[Term], source: NDArray[np.uint32], target: NDArray[np.uint32]) -> csr_matrix:
    """Matrix (len(target), len(source)) of a sum of terms between two sorted lists of determinants."""
    rows, columns, values = [], [], []
    for creators, annihilators, value in terms:
        alive, state, sign = _apply(source, creators, annihilators)
        row = np.minimum(np.searchsorted(target, state), len(target) - 1)
        inside = target[row] == state  # hopping from 3d^(n+1) L leads on to 3d^(n+2) L2, which is left out
        rows.append(row[inside])
        columns.append(alive[inside])
        values.append(value * sign[inside])
    shape = (len(target), len(source))
    m = csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
    m.sum_duplicates()
    return m


def _apply(
    source: NDArray[np.uint32], creators: tuple[int, ...], annihilators: tuple[int, ...]
) -> tuple[Ints, NDArray[np.uint32], Floats]:
    """Which determinants survive, what they become, and with what sign."""
    alive = np.arange(len(source))
    state, sign = source, np.ones(len(source))
    for wanted, steps in ((1, annihilators), (0, creators[::-1])):
        for orbital in steps:
            bit = np.uint32(1 << orbital)
            keep = ((state & bit) != 0) == bool(wanted)
            alive, state, sign = alive[keep], state[keep], sign[keep]
            sign = sign * (1 - 2 * (np.bitwise_count(state & np.uint32(bit - 1)) % 2).astype(float))
            state = state ^ bit
    return alive, state, sign

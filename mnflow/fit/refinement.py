"""Least squares over the nonlinear parameters of a spectrum, and alternatives that fit nearly as well."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

from mnflow.fit.stick_bank import (
    GRID,
    L2_EXTRA_EV,
    L3_WIDTH_EV,
    STEP_EV,
    WINDOW_EV,
    Bank,
    Screen,
    own_middle,
    screens_of,
)
from mnflow.simulate.physics.lineshape import LineShape, continuum

Array = NDArray[Any]

COMMON = ("shift_ev", "dispersion", "thickness", "resolution_ev", "l2_shift_ev", "l2_factor")
OWN = ("growth", "max_width_ev", "l3_shift_ev")
"""Nonlinear parameters of the spectrum, and of each class in it."""

BOUNDS = {
    "shift_ev": (-9.0, 9.0), "dispersion": (0.94, 1.06), "thickness": (0.0, 1.5), "resolution_ev": (0.15,
    3.0),
    "l2_shift_ev": (0.0, 1.2), "l2_factor": (0.75, 1.15), "l3_shift_ev": (-0.8, 0.8),
}  # fmt: skip
"""Limits of a fit; growth and limit of widths have those of the settings."""

_CONTINUUM = {"delay_ev": 2.0, "width_ev": 3.0, "decay": 0.005}  # middles of the simulated ranges
_STARTS = 3  # starting points of the refinement
_CANDIDATES = 8  # stick spectra per class whose mixtures make the intervals
_CORRELATED = 25.0  # channels that count as one: what is left is the model's, and keeps its sign over a line
_SHIFT_SD_EV = 0.3  # of a class's L3 from its usual distance to the others'
_DISPERSION_SD = 0.01
_LEAST_SHARE = 0.02  # smaller ones are none


@dataclass(frozen=True)
class State:
    """Rows of the bank, one per class at most; `z` are nonlinear parameters: `COMMON`, `OWN` of each row."""

    rows: tuple[int, ...]
    z: Array
    cost: float = np.inf
    jacobian: Array | None = None


@dataclass(frozen=True)
class Problem:
    """A spectrum `target` (W,) at `place_ev` (W,) from its maximum, and the bank that it is looked for in."""

    bank: Bank
    place_ev: Array
    target: Array
    noise: float = 0.01

    def split(self, z: Array) -> tuple[dict[str, float], Array]:
        """`COMMON` by name, and `OWN` (n, 3)."""
        return dict(zip(COMMON, z, strict=False)), z[len(COMMON) :].reshape(-1, len(OWN))

    def columns(self, rows: Array, z: Array, own_of: Array) -> Array:
        """Amounts' columns (W, n + 3): one atom of every row, continuum, constant and minus the constant.

        `own_of` (n,) says which of the state's `OWN` a row takes.
        """
        common, own = self.split(z)
        lines = np.empty((len(rows), len(self.bank.omega)), np.complex64)
        for i in np.unique(own_of):
            growth, limit, _ = own[i]
            shape = LineShape(
                L3_WIDTH_EV, L2_EXTRA_EV, growth, limit,
                l2_shift_ev=common["l2_shift_ev"], l2_factor=common["l2_factor"],
            )  # fmt: skip
            lines[own_of == i] = self.bank.lines(rows[own_of == i], shape)
        classes = self.bank.valence[rows]
        at = self.bank.usual_ev[classes] + own[own_of, 2]
        seen = self.bank.seen(lines, common["thickness"], common["resolution_ev"], at)
        energy = self.place_ev * common["dispersion"] + common["shift_ev"]
        atoms = self.bank.on_window(seen, energy) * self.bank.holes[classes][:, None]
        l2_ev = np.mean(at + self.bank.l2_ev[rows]) + common["l2_shift_ev"]
        steps = continuum(energy, float(np.mean(at)), float(l2_ev), **_CONTINUUM)
        ones = np.ones_like(energy)
        return np.stack([*atoms, steps, ones, -ones], axis=1)

    def solved(self, columns: Array) -> tuple[Array, float]:
        """Amounts of the columns that are not negative, and the root of the sum of squares that is left."""
        amounts, rest = nnls(columns, self.target)
        return amounts, float(rest)

    def starts(self) -> list[State]:
        """The best starting points, one per leading class: single stick spectra on a grid of line shapes."""
        bank, found = self.bank, []
        shape = self.target - self.target.mean()
        shape = shape / np.linalg.norm(shape)
        for k in range(len(bank.holes)):
            screens = screens_of(bank.settings.edge.element, k)
            fit = [self._alike(screen, shape) for screen in screens]  # per grid point: (n,)
            best = int(np.argmax([f.max() for f in fit]))
            found.append((fit[best].max(), self._start(best, screens[best], fit[best])))
        found.sort(key=lambda pair: -pair[0])
        return [state for _, state in found[:_STARTS]]

    def _alike(self, screen: Screen, shape: Array) -> Array:
        """Cosines (n,) of the target's shape with stick spectra that have their maxima in one place."""
        low = round((self.place_ev[0] - WINDOW_EV[0]) / STEP_EV)
        part = screen.aligned[:, low : low + len(shape)]
        part = part - part.mean(axis=1, keepdims=True)
        return np.asarray(part @ shape / np.linalg.norm(part, axis=1))

    def _start(self, grid: int, screen: Screen, alike: Array) -> State:
        """The row that is most alike at a grid point, and of every other class the one that helps it most."""
        share, resolution, thickness = GRID[grid]
        lead = int(np.argmax(alike))
        own = [[*own_middle(v.lines, share), 0.0] for v in self.bank.settings.valence]
        z = np.array([screen.maximum_ev[lead], 1.0, thickness, resolution, 0.6, 0.95, *np.ravel(own)])
        return self._selected(z, np.arange(len(own)))

    def _selected(self, z: Array, classes: Array) -> State:
        """Library rows with `OWN` in `classes` that non-negative least squares selects at z."""
        all_rows = np.flatnonzero(np.isin(self.bank.valence, classes))
        own_of = np.searchsorted(classes, self.bank.valence[all_rows])
        columns = self.columns(all_rows, z, own_of)
        amounts, _ = self.solved(columns)
        _, own = self.split(z)
        rows, kept = [], []
        for i in range(len(classes)):
            mine = np.where(own_of == i, amounts[: len(all_rows)], 0)
            if mine.sum() > _LEAST_SHARE * amounts[: len(all_rows)].sum():
                rows.append(int(all_rows[mine.argmax()]))
                kept.append(own[i])
        return State(tuple(rows), np.concatenate([z[: len(COMMON)], *kept]))

    def reselected(self, state: State) -> State:
        """A state with the rows that are best under its line shapes; absent classes get a chance."""
        return self._selected(self.of_all_classes(state), np.arange(len(self.bank.holes)))

    def of_all_classes(self, state: State) -> Array:
        """The state's z with `OWN` of every class: middle values for absent ones."""
        own, present = self.split(state.z)[1], list(self.bank.valence[list(state.rows)])
        every = [
            own[present.index(k)] if k in present else [*own_middle(v.lines, 0.5), 0.0]
            for k, v in enumerate(self.bank.settings.valence)
        ]
        return np.concatenate([state.z[: len(COMMON)], *every])

    def refined(self, start: State) -> State:
        """Least squares over all that is not linear, from a starting point."""
        rows, own_of = np.array(start.rows), np.arange(len(start.rows))
        low, high = self._bounds(rows, start.z)
        scale = 1 / (self.noise * np.sqrt(_CORRELATED))

        def residuals(z: Array) -> Array:
            columns = self.columns(rows, z, own_of)
            misfit = (self.target - columns @ self.solved(columns)[0]) * scale
            prior = [(z[1] - 1) / _DISPERSION_SD, *(self.split(z)[1][:, 2] / _SHIFT_SD_EV)]
            return np.concatenate([misfit, prior])

        inside = np.clip(start.z, low + 1e-6, high - 1e-6)
        found = least_squares(
            residuals, inside, bounds=(low, high), x_scale=high - low, diff_step=1e-4, max_nfev=15
        )
        return State(start.rows, found.x, float(found.cost), found.jac)

    def _bounds(self, rows: Array, z: Array) -> tuple[Array, Array]:
        pairs = [BOUNDS[name] for name in COMMON]
        pairs[0] = (z[0] - 1.5, z[0] + 1.5)
        for k in self.bank.valence[rows]:
            lines = self.bank.settings.valence[k].lines
            pairs += [lines.growth, lines.max_width_ev, BOUNDS["l3_shift_ev"]]
        low, high = np.array(pairs).T
        return low, high + 1e-3


def alternatives(problem: Problem, best: State, variance: float) -> tuple[Array, Array, NDArray[np.int64]]:
    """Mixtures of other stick spectra under the best line shapes: weights (A,), shares (A, K), rows (A, K).

    The weight is the likelihood; each class is tried with the `_CANDIDATES` rows that fit best.
    """
    bank, n_classes = problem.bank, len(problem.bank.holes)
    columns = problem.columns(np.arange(len(bank.valence)), problem.of_all_classes(best), bank.valence)
    rest = columns[:, len(bank.valence) :]
    candidates = []
    for k in range(n_classes):
        others = [columns[:, r] for r in best.rows if bank.valence[r] != k]
        mine = np.flatnonzero(bank.valence == k)
        misfit = [problem.solved(np.column_stack([columns[:, r], *others, rest]))[1] for r in mine]
        candidates.append(mine[np.argsort(misfit)[:_CANDIDATES]])
    rows_of = np.array(list(product(*candidates)))
    amounts, squares = np.empty((len(rows_of), n_classes)), np.empty(len(rows_of))
    for a, rows in enumerate(rows_of):
        solved, misfit_of = problem.solved(np.column_stack([columns[:, rows], rest]))
        amounts[a], squares[a] = solved[:n_classes], misfit_of**2 / _CORRELATED
    weights = np.exp(-0.5 * (squares - squares.min()) / variance)
    total = np.maximum(amounts.sum(axis=1, keepdims=True), 1e-9)
    return weights / weights.sum(), amounts / total, rows_of


def standard_deviations(problem: Problem, best: State, variance: float) -> Array:
    """Of all that is not linear, from the curvature at the best fit."""
    return np.sqrt(np.maximum(np.diag(_covariance(problem, best, variance)), 0))


def _covariance(problem: Problem, best: State, variance: float) -> Array:
    assert best.jacobian is not None
    jacobian = best.jacobian.copy()
    jacobian[: len(problem.target)] *= problem.noise / np.sqrt(variance)
    return np.asarray(np.linalg.pinv(jacobian.T @ jacobian + 1e-6 * np.eye(len(best.z))))


def curvature(problem: Problem, best: State, variance: float) -> tuple[Array, float]:
    """Standard deviations of the shares (K,) and of the mean valence, from those of the line shape."""
    bank, rows = problem.bank, np.array(best.rows)
    charges = np.array(bank.settings.edge.charges)
    covariance = _covariance(problem, best, variance)
    step = 0.1 * np.sqrt(np.maximum(np.diag(covariance), 1e-12))

    def shares(z: Array) -> Array:
        amounts = problem.solved(problem.columns(rows, z, np.arange(len(rows))))[0][: len(rows)]
        out = np.zeros(len(charges))
        out[bank.valence[rows]] = amounts / max(amounts.sum(), 1e-9)
        return out

    middle = shares(best.z)  # (K,)
    slopes = np.array([(shares(best.z + d) - middle) / s for d, s in zip(np.diag(step), step, strict=True)])
    by_valence = slopes @ charges
    return (
        np.sqrt(np.maximum(np.einsum("pk,pq,qk->k", slopes, covariance, slopes), 0)),
        float(np.sqrt(max(by_valence @ covariance @ by_valence, 0))),
    )

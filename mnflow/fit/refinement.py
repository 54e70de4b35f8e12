"""Least squares over the nonlinear parameters of a spectrum, and alternatives that fit nearly as well."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
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
from mnflow.spectra.arrays import Array, Ints

COMMON = ("shift_ev", "dispersion", "thickness", "resolution_ev", "l2_shift_ev", "l2_factor")
OWN = ("growth", "max_width_ev", "l3_shift_ev")
"""Nonlinear parameters of the spectrum, and of each class in it."""

BOUNDS = {
    "shift_ev": (-9.0, 9.0), "dispersion": (0.94, 1.06), "thickness": (0.0, 1.5), "resolution_ev": (0.15,
    3.0),
    "l2_shift_ev": (0.0, 1.2), "l2_factor": (0.75, 1.15), "l3_shift_ev": (-0.8, 0.8),
}  # fmt: skip
"""Limits of a fit; growth and limit of widths have those of the settings."""

CONTINUUM = {"delay_ev": 2.0, "width_ev": 3.0, "decay": 0.005}
"""Middles of the simulated ranges."""

_STARTS, _STARTS_ALONE = 3, 15  # starting points of the refinement, and of one class alone
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
    """A spectrum `target` (W,) at `place_ev` (W,) from its maximum, and the bank that it is looked for in.

    `classes` are those that may be in it, in order; `steps` are where the continuum begins, and how.
    """

    bank: Bank
    place_ev: Array
    target: Array
    classes: tuple[int, ...]
    noise: float = 0.01
    steps: Mapping[str, float] = field(default_factory=lambda: CONTINUUM)

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
        steps = continuum(energy, float(np.mean(at)), float(l2_ev), **self.steps)
        ones = np.ones_like(energy)
        return np.stack([*atoms, steps, ones, -ones], axis=1)

    def solved(self, columns: Array) -> tuple[Array, float]:
        """Amounts of the columns that are not negative, and the root of the sum of squares that is left."""
        amounts, rest = nnls(columns, self.target)
        return amounts, float(rest)

    def starts(self) -> list[State]:
        """The best starting points: single stick spectra on a grid of line shapes.

        One per leading class; of one class alone, as many as are tried of its stick spectra.
        """
        bank, found = self.bank, []
        shape = self.target - self.target.mean()
        shape = shape / np.linalg.norm(shape)
        tried = _STARTS_ALONE if len(self.classes) == 1 else 1
        for k in self.classes:
            screens = screens_of(bank, k)
            fit = [self._alike(screen, shape) for screen in screens]  # per grid point: (n,)
            best = np.argmax(fit, axis=0)  # (n,)
            greatest = np.max(fit, axis=0)
            for lead in np.argsort(-greatest)[:tried]:
                grid = int(best[lead])
                found.append((greatest[lead], self._start(k, grid, screens[grid], int(lead))))
        found.sort(key=lambda pair: -pair[0])
        return [state for _, state in found[: max(_STARTS, tried)]]

    def _alike(self, screen: Screen, shape: Array) -> Array:
        """Cosines (n,) of the target's shape with stick spectra that have their maxima in one place."""
        low = round((self.place_ev[0] - WINDOW_EV[0]) / STEP_EV)
        part = screen.aligned[:, low : low + len(shape)]
        part = part - part.mean(axis=1, keepdims=True)
        return np.asarray(part @ shape / np.linalg.norm(part, axis=1))

    def _start(self, k: int, grid: int, screen: Screen, lead: int) -> State:
        """Line shapes of a grid point and its place of the maximum of class k's row `lead`.

        With the row of every class that helps most; alone, `lead` itself.
        """
        share, resolution, thickness = GRID[grid]
        valences = self.bank.settings.valence
        own = [[*own_middle(valences[i].lines, share), 0.0] for i in self.classes]
        z = np.array([screen.maximum_ev[lead], 1.0, thickness, resolution, 0.6, 0.95, *np.ravel(own)])
        if len(self.classes) > 1:
            return self._selected(z)
        return State((int(np.flatnonzero(self.bank.valence == k)[lead]),), z)

    def _selected(self, z: Array) -> State:
        """Library rows that non-negative least squares selects at z, which has `OWN` of every class."""
        all_rows = np.flatnonzero(np.isin(self.bank.valence, self.classes))
        own_of = np.searchsorted(self.classes, self.bank.valence[all_rows])
        columns = self.columns(all_rows, z, own_of)
        amounts, _ = self.solved(columns)
        _, own = self.split(z)
        rows, kept = [], []
        for i in range(len(self.classes)):
            mine = np.where(own_of == i, amounts[: len(all_rows)], 0)
            if mine.sum() > _LEAST_SHARE * amounts[: len(all_rows)].sum():
                rows.append(int(all_rows[mine.argmax()]))
                kept.append(own[i])
        return State(tuple(rows), np.concatenate([z[: len(COMMON)], *kept]))

    def reselected(self, state: State) -> State:
        """A state with the rows that are best under its line shapes; absent classes get a chance."""
        return self._selected(self.of_all_classes(state))

    def of_all_classes(self, state: State) -> Array:
        """What is not linear, with `OWN` of every class: the middle of its ranges where it is absent."""
        own, present = self.split(state.z)[1], list(self.bank.valence[list(state.rows)])
        every = [
            own[present.index(k)]
            if k in present
            else [*own_middle(self.bank.settings.valence[k].lines, 0.5), 0.0]
            for k in self.classes
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


def alternatives(problem: Problem, best: State, variance: float) -> tuple[Array, Array, Ints]:
    """Mixtures of other stick spectra under the best line shapes: weights (A,), shares (A, K), rows (A, K).

    The weight is the likelihood; each class is tried with the `_CANDIDATES` rows that fit best.
    """
    bank, classes = problem.bank, list(problem.classes)
    valence = bank.valence[used := np.flatnonzero(np.isin(bank.valence, classes))]
    columns = problem.columns(used, problem.of_all_classes(best), np.searchsorted(classes, valence))
    rest, place = columns[:, len(used) :], {int(row): i for i, row in enumerate(used)}
    candidates = []
    for k in classes:
        others = [columns[:, place[r]] for r in best.rows if bank.valence[r] != k]
        mine = np.flatnonzero(valence == k)
        misfit = [problem.solved(np.column_stack([columns[:, i], *others, rest]))[1] for i in mine]
        candidates.append(mine[np.argsort(misfit)[:_CANDIDATES]])
    chosen = np.array(list(product(*candidates)))
    amounts, squares = np.zeros((len(chosen), len(bank.holes))), np.empty(len(chosen))
    for a, places in enumerate(chosen):
        solved, misfit_of = problem.solved(np.column_stack([columns[:, places], rest]))
        amounts[a, classes], squares[a] = solved[: len(classes)], misfit_of**2 / _CORRELATED
    weights = np.exp(-0.5 * (squares - squares.min()) / variance)
    total = np.maximum(amounts.sum(axis=1, keepdims=True), 1e-9)
    rows_of = np.zeros((len(chosen), len(bank.holes)), dtype=np.int64)
    rows_of[:, classes] = used[chosen]
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

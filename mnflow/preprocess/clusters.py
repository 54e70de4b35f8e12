"""Which pixels are substrate and which are too thick: k-means, with a measured rule for each."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mnflow.errors import InputError
from mnflow.preprocess.scan import Scan
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Bools, Floats, Floats32, Ints

_ROUNDS = 8
_LEAST_SHARE = 0.05  # of the pixels, for a cluster that others are measured by
# of k-means' starts only: the clusters hardly depend on it, and a choice of data must not vary with a run's
# seed
_SEED = 0


@dataclass(frozen=True)
class Clusters:
    """One round of k-means in a class, for figures.

    Attributes
    ----------
    step : str
        "substrate", or "thick 1", "thick 2", ...
    energy_ev : ndarray, shape (F,)
        Energies relative to L3 in eV.
    centres : ndarray, shape (K, F)
        Cluster centres, ordered by their measure.
    measure : ndarray, shape (K,)
        Edge jump relative to the greatest (substrate), or intensity above the white lines over L3 (thick).
    measure_name : str
        What `measure` is.
    sizes : ndarray, shape (K,)
        Pixels in each cluster.
    rejected : ndarray of bool, shape (K,)
        Which were rejected.
    """

    step: str
    energy_ev: Floats
    centres: Floats32
    measure: Floats
    measure_name: str
    sizes: Ints
    rejected: Bools


def edge_features(scan: Scan, edge: Edge) -> Floats32:
    """Edge over background (N, F), scaled so that the file's strong pixels (90th percentile of L3) are 1.

    The scale takes out dose and background ratio, which differ between files; it is never below the noise
    before the edge, so that a file without any edge does not get one from its noise.
    """
    ratio = scan.features / scan.level[:, None]
    good = ratio[scan.bad == 0]
    strong = float(np.percentile(good[:, edge.l3_features].mean(axis=1), 90))
    noise = float(np.std(good[:, : edge.l3_features.start - 2]))
    return ratio / max(strong, 5 * noise, 1e-30)


def shape_features(features: Floats32, edge: Edge) -> Floats32:
    """Shapes of edges (N, F): each divided by its mean over L3."""
    return features / np.maximum(features[:, edge.l3_features].mean(axis=1), 1e-6)[:, None]


def edge_jump(centres: Floats32, edge: Edge) -> Floats:
    """Mean over L3 of centres (..., F)."""
    return centres[..., edge.l3_features].mean(axis=-1).astype(np.float64)


def plural_scattering(centres: Floats32, edge: Edge) -> Floats:
    """Intensity above the white lines relative to L3, of centres (..., F); it grows with thickness."""
    above = centres[..., edge.above_features].mean(axis=-1).astype(np.float64)
    return above / np.maximum(edge_jump(centres, edge), 1e-12)


def kmeans(points: Floats32, k: int) -> Ints:
    """Cluster (N,) of each point (N, F), at most k clusters."""
    # here, not above: a served model imports this package and needs no clusters
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    k = min(k, len(np.unique(points, axis=0)))
    # the same sums in the same order on every machine; and more threads are no faster here
    with threadpool_limits(1):
        return KMeans(k, n_init=4, random_state=_SEED).fit_predict(points).astype(np.int64)


def _round(
    step: str,
    points: Floats32,
    part: slice,
    k: int,
    measure: Callable[[Floats32, Edge], Floats],
    name: str,
    edge: Edge,
) -> tuple[Clusters, Ints]:
    """k-means on points[:, part]: clusters sorted by their measure, and each point's cluster."""
    label = kmeans(np.ascontiguousarray(points[:, part]), k)
    centres = np.array([points[label == i].mean(axis=0) for i in range(label.max() + 1)])
    order = np.argsort(measure(centres, edge), kind="stable")
    label, centres = np.argsort(order)[label], centres[order]
    sizes, rejected = np.bincount(label), np.zeros(len(centres), dtype=bool)
    measured = measure(centres, edge)
    return Clusters(step, edge.feature_ev + 0.5, centres, measured, name, sizes, rejected), label


def reject_substrate(
    points: Floats32, rule: str, k: int, threshold: float, edge: Edge
) -> tuple[Bools, list[Clusters]]:
    """Which of N points are substrate.

    Parameters
    ----------
    points : ndarray, shape (N, F)
        `edge_features` of all good pixels of a class.
    rule : str
        "auto": clusters whose edge jump is below `threshold` times the greatest. "keep": none. A number n:
        the n clusters of least jump.
    k : int
        Number of clusters.
    threshold : float
        See `rule`.
    edge : Edge
        Says which energies the features are.

    Returns
    -------
    tuple
        Mask (N,), and the clusters for figures.
    """
    if rule == "keep" or len(points) < 2:
        return np.zeros(len(points), dtype=bool), []
    name = "edge jump at L3, relative"
    found, label = _round("substrate", points, edge.line_features, k, edge_jump, name, edge)
    if rule == "auto":
        found.rejected[:] = found.measure < threshold * found.measure.max()
    else:
        found.rejected[: _number(rule, len(found.measure), "substrate")] = True
    return found.rejected[label], [found]


def reject_thick(
    points: Floats32, rule: str, k: int, threshold: float, edge: Edge
) -> tuple[Bools, list[Clusters]]:
    """Which of N points are too thick.

    Parameters
    ----------
    points : ndarray, shape (N, F)
        `shape_features` of a class's pixels without substrate.
    rule : str
        "auto": again and again, split what is left into k clusters and reject those that scatter more than
        `threshold` times as much above the white lines as the thinnest, until none does. "keep": none. A
        number n: the n thickest clusters of one split.
    k : int
        Number of clusters of a split, 2 or more.
    threshold : float
        See `rule`.
    edge : Edge
        Says which energies the features are.

    Returns
    -------
    tuple
        Mask (N,), and the clusters of every round for figures.
    """
    thick, name = np.zeros(len(points), dtype=bool), "above the white lines over L3"
    rounds: list[Clusters] = []
    for number in range(1, _ROUNDS + 1):
        left = np.flatnonzero(~thick)
        if rule == "keep" or len(left) < 2 * k or (rule != "auto" and rounds):
            break
        found, label = _round(f"thick {number}", points[left], slice(None), k, plural_scattering, name, edge)
        rounds.append(found)
        if rule == "auto":
            # a stray pixel is no measure
            thinnest = found.measure[found.sizes >= _LEAST_SHARE * found.sizes.sum()][0]
            found.rejected[:] = found.measure > thinnest + threshold
        elif n := _number(rule, len(found.measure), "thick"):
            found.rejected[-n:] = True
        if not found.rejected.any():
            break
        thick[left[found.rejected[label]]] = True
    return thick, rounds


def _number(rule: str, clusters: int, what: str) -> int:
    if not rule.isdigit() or int(rule) >= clusters:
        raise InputError(
            f"Option {what}: expected auto, keep or a number of clusters below {clusters}, got {rule!r}."
        )
    return int(rule)

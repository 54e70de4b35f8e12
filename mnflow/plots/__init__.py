"""One function per figure, from arrays to a matplotlib Figure; colours and sizes are in `style`."""

from mnflow.plots.curves import (
    learning_curves,
    noise_curves,
    noise_grid,
    shift_curves,
    shift_grid,
    swing_spectrum,
)
from mnflow.plots.data import figure_data
from mnflow.plots.embedding import embeddings
from mnflow.plots.matrices import activations, confusion, kept_maps, reference_matrix
from mnflow.plots.panels import cluster_rounds, reference_spectra, spectra_per_class
from mnflow.plots.prediction import reliability_diagram, saliency, valence_spectrum
from mnflow.plots.served_counts import served_counts
from mnflow.plots.tuning import parameter_importance, parameter_slices, pareto_front, study_history
from mnflow.plots.valence import valence_image, valence_profile

__all__ = [
    "activations",
    "cluster_rounds",
    "confusion",
    "embeddings",
    "figure_data",
    "kept_maps",
    "learning_curves",
    "noise_curves",
    "noise_grid",
    "parameter_importance",
    "parameter_slices",
    "pareto_front",
    "reference_matrix",
    "reference_spectra",
    "reliability_diagram",
    "saliency",
    "served_counts",
    "shift_curves",
    "shift_grid",
    "spectra_per_class",
    "study_history",
    "swing_spectrum",
    "valence_image",
    "valence_profile",
    "valence_spectrum",
]

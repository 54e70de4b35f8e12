"""From raw spectra to what a net is trained on: background, resampling in eV, rejection, crop, normalisation."""

from mnflow.preprocess.background import BACKGROUND_BINS, EdgePosition, fit_power_law, locate_edge, subtract_background
from mnflow.preprocess.clusters import Clusters
from mnflow.preprocess.pipeline import FATES, ImageReport, Preprocessed, PreprocessOptions, preprocess
from mnflow.preprocess.resample import axis_ev, resampler
from mnflow.preprocess.window import Placed, Placement, crop, crop_start, normalise, place_window, placement

__all__ = [
    "BACKGROUND_BINS",
    "FATES",
    "Clusters",
    "EdgePosition",
    "ImageReport",
    "Placed",
    "Placement",
    "PreprocessOptions",
    "Preprocessed",
    "axis_ev",
    "crop",
    "crop_start",
    "fit_power_law",
    "locate_edge",
    "normalise",
    "place_window",
    "placement",
    "preprocess",
    "resampler",
    "subtract_background",
]

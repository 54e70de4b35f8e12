"""Raw spectra -> what a net is trained on: background, low loss, resampling, rejection, crop, normalisation.

A server needs only what is exported here, and starts sooner without `pipeline` and `clusters`.
"""

from mnflow.preprocess.background import BACKGROUND_BINS, fit_power_law, subtract_background
from mnflow.preprocess.crops import crop, crop_start, crops_from, normalise
from mnflow.preprocess.locate import EdgePosition, locate_edge
from mnflow.preprocess.resample import resampler
from mnflow.preprocess.window import Placement, placement
from mnflow.spectra.axis import axis_ev

__all__ = [
    "BACKGROUND_BINS",
    "EdgePosition",
    "Placement",
    "axis_ev",
    "crop",
    "crop_start",
    "crops_from",
    "fit_power_law",
    "locate_edge",
    "normalise",
    "placement",
    "resampler",
    "subtract_background",
]

"""From raw spectra to what a net is trained on: background, resampling in eV, rejection, crop, normalisation.

A server starts sooner without `pipeline` and `clusters`: they are not imported here.
"""

from mnflow.preprocess.crops import crop, crops_from, normalise

__all__ = ["crop", "crops_from", "normalise"]

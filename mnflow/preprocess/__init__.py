"""From raw spectra to what a net is trained on: background, resampling in eV, rejection, crop, normalisation."""

from mnflow.preprocess.window import crop, crop_start, normalise

__all__ = ["crop", "crop_start", "normalise"]

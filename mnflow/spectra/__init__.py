"""Data passed between steps: edges with windows and classes, raw spectra, training spectra."""

from mnflow.spectra.edge import MN, Edge
from mnflow.spectra.raw import RawSpectra
from mnflow.spectra.spectrum_set import UNLABELLED, SpectrumSet

__all__ = ["MN", "UNLABELLED", "Edge", "RawSpectra", "SpectrumSet"]

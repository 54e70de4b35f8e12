"""What travels between the steps: an edge's windows and classes, a file's raw spectra, and spectra ready for
training.
"""

from mnflow.spectra.edge import MN, Edge
from mnflow.spectra.raw import RawSpectra
from mnflow.spectra.spectrum_set import UNLABELLED, SpectrumSet

__all__ = ["MN", "UNLABELLED", "Edge", "RawSpectra", "SpectrumSet"]

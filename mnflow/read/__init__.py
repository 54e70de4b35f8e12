"""Read files: microscope formats (RosettaSciIO), text with a manifest, published pickles (safely)."""

from mnflow.read.microscopes import SUFFIXES, read_file, read_low_loss
from mnflow.read.source import list_source, read_all, read_source
from mnflow.spectra import RawSpectra

__all__ = ["SUFFIXES", "RawSpectra", "list_source", "read_all", "read_file", "read_low_loss", "read_source"]

"""Files -> spectra: microscope formats through RosettaSciIO, text with a manifest, the published pickles (safely)."""

from mnflow.read.files import SUFFIXES, read_file
from mnflow.read.raw import RawSpectra
from mnflow.read.source import References, list_source, read_references, read_source

__all__ = ["SUFFIXES", "RawSpectra", "References", "list_source", "read_file", "read_references", "read_source"]

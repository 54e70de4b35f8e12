"""Oxidation states of transition metals (manganese first) from electron energy-loss spectra.

The public names are imported when they are first used, so that `import mnflow` takes no time.

Examples
--------
>>> import mnflow
>>> mnflow.predict("image.hspy")  # doctest: +SKIP
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "predict": "mnflow.maps",
    "load_predictor": "mnflow.maps",
    "read_file": "mnflow.read",
    "InputError": "mnflow.errors",
    "MN": "mnflow.spectra",
    "Edge": "mnflow.spectra",
    "Predictor": "mnflow.serve.predictor",
    "RawSpectra": "mnflow.spectra",
    "SpectrumSet": "mnflow.spectra",
}
"""Public names and where they are defined; `__init__.pyi` declares the same names for type checkers."""

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mnflow' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

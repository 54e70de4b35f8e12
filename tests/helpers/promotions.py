"""Promotions that are done soon."""

import pytest

from mnflow.fit import foreign_spectra, mixture_errors


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Measure on few simulated spectra: how good a model is matters to no test of what is done with it."""
    patch.setattr(mixture_errors, "MEASURED", 40)
    patch.setattr(foreign_spectra, "LEARNT", 240)

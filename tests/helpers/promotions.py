"""Promotions that are done soon."""

import pytest

from mnflow.fit import mixture_errors, out_of_distribution


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Measure on few simulated spectra: how good a model is matters to no test of what is done with it."""
    patch.setattr(mixture_errors, "MEASURED", 40)
    patch.setattr(out_of_distribution, "LEARNT", 240)

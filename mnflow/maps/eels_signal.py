"""HyperSpy's signal type `EELS_valence`: an EELS signal with `estimate_valence()`."""

from typing import Any

from exspy.signals import EELSSpectrum, LazyEELSSpectrum

from mnflow.maps.prediction import predict
from mnflow.maps.valence_maps import ValenceMaps


class EELSValenceSpectrum(EELSSpectrum):
    """An EELS signal that knows the oxidation states in it.

    Examples
    --------
    >>> s = hs.load("image.dm4")
    >>> s.set_signal_type("EELS_valence")
    >>> s.estimate_valence().mean_valence.plot()
    """

    _signal_type = "EELS_valence"

    def estimate_valence(self, **options: Any) -> ValenceMaps:
        """Maps of the oxidation state; options are those of `mnflow.predict`."""
        return predict(self, **options)


class LazyEELSValenceSpectrum(EELSValenceSpectrum, LazyEELSSpectrum):
    """The same, lazily."""

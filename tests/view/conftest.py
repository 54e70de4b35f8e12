"""The predictor of the maps' tests."""

from tests.maps.conftest import predictor

__all__ = ["predictor"]

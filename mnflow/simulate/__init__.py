"""Simulated spectra from first principles: images to train on, and references of another laboratory."""

from mnflow.simulate.foreign_laboratory import simulate_references
from mnflow.simulate.image import simulate_images

__all__ = ["simulate_images", "simulate_references"]

"""Simulated spectra from first principles: images to train on, and references of another laboratory."""

from mnflow.simulate.image import simulate_images
from mnflow.simulate.references import simulate_references

__all__ = ["simulate_images", "simulate_references"]

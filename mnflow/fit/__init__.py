"""Fits what `serve` computes with: posterior, intervals, novelty score (out of distribution)."""

"""Fits a served predictor's posterior, its intervals and its novelty score; `serve` computes with them."""

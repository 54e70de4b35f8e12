"""Fits a served predictor's posterior, novelty score and calibration; `serve` computes with them."""

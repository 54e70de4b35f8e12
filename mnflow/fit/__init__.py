"""What a served predictor learns besides its networks' weights: calibration, novelty limits, mixtures."""

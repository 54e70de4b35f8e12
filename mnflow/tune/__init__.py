"""Optuna studies of architectures and training settings, on inner folds only."""

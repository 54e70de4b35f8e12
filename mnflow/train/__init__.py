"""A dataset and its folds -> trained fold models. No MLflow here."""

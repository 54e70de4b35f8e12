"""What a server needs to answer, in numpy alone: the folds' nets, the way from a raw spectrum to an answer, the MLflow model."""

"""All that a server needs, in numpy: the models, the way from spectrum to answer, the MLflow model."""

"""What a server needs to answer, in numpy alone: the nets, the way from a raw spectrum to an answer, the
MLflow model.
"""

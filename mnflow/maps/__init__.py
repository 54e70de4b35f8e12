"""Valence maps: an EELS signal or a file in, `ValenceMaps` out, block by block; their files and figures."""

from mnflow.maps.prediction import load_predictor, maps_of, predict
from mnflow.maps.regions import Region
from mnflow.maps.thickness import relative_thickness
from mnflow.maps.valence_maps import ValenceMaps

__all__ = ["Region", "ValenceMaps", "load_predictor", "maps_of", "predict", "relative_thickness"]

"""Prints a request to the served model: the mean spectrum of the shipped image, raw."""

import json

import mnflow
from mnflow.pretrained.shipped import EXAMPLE

image = mnflow.read_file(EXAMPLE)
spectrum = {
    "energy_ev": image.energy_ev.round(3).tolist(),
    "intensity": image.counts[:].mean(axis=0).tolist(),
}
print(json.dumps({"inputs": [spectrum]}))

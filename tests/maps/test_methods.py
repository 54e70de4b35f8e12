"""What the methods paragraph says was done."""

from dataclasses import replace

import mnflow
from mnflow.maps.methods import methods
from mnflow.serve.predictor import Predictor
from tests.maps.conftest import image, signal


def test_the_paragraph_names_the_background_that_was_taken_off(predictor: Predictor) -> None:
    maps = mnflow.predict(signal(image()), predictor)
    assert "Background: power law." in methods(maps)
    level = replace(
        maps, where=replace(maps.where, position=replace(maps.where.position, background="level"))
    )
    assert "Background: level, since too little lies before the edge for a power law." in methods(level)


def test_the_paragraph_names_bridged_spikes(predictor: Predictor) -> None:
    data = image()
    data[1, 2, 100] *= 20
    assert "channels were bridged in 1 of 12 spectra." in methods(mnflow.predict(signal(data), predictor))

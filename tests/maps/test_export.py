"""Maps as files where no more can be written."""

from dataclasses import replace
from pathlib import Path

import pytest

import mnflow
from mnflow.maps.export import methods
from mnflow.serve.predictor import Predictor
from tests.maps.conftest import image, signal

resource = pytest.importorskip("resource", reason="needs a limit of a file's size")


@pytest.mark.parametrize("suffix", [".hspy", ".csv", ".tif"])
def test_no_room_for_maps_gives_a_clear_error_and_leaves_nothing(
    predictor: Predictor, tmp_path: Path, suffix: str
) -> None:
    maps = mnflow.predict(signal(image()), predictor)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            maps.save(tmp_path / f"maps{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


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

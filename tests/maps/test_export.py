"""Maps as files where no more can be written."""

import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import pytest

import mnflow
from mnflow.maps.export import methods, pixel_size
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


def test_the_whole_paragraph(predictor: Predictor) -> None:
    known = replace(predictor, facts={"sets": "5", "model": "shipped"})
    maps = mnflow.predict(signal(image()), known).limited(0.0)
    said = methods(maps)
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "hyperspy", "exspy"))
    reasons = ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in maps.reasons().items())
    onset_ev, moved_ev = maps.where.position.onset_ev, maps.where.moved_bins * 0.1
    assert said == (
        f"The oxidation state of Mn was determined from the L2,3 edge with mnflow {mnflow.__version__}. 12 "
        f"spectra of a test (4 x 3) with 0.25 eV per channel were used. The edge onset was found at "
        f"{onset_ev:.1f} eV. Background: power law. Spectra were resampled to 0.1 eV per channel, cut to "
        f"{635 + moved_ev:.1f}-{665 + moved_ev:.1f} eV and normalised. Classes are Mn2+, Mn3+, Mn4+; the "
        f"interval of the mean valence is the 90 % interval. {int(maps.flagged.sum())} of 12 spectra were "
        f"flagged and excluded from all means ({reasons}; a spectrum can have several flags), among them "
        "those with an interval wider than 0. The valence of a region is that of the mean spectrum of its "
        "unflagged pixels. Model: model shipped, sets 5. "
        f"Software: Python {platform.python_version()}, {versions}, rosettasciio {version('rosettasciio')}. "
        "Method: Chatzidakis and Botton, Sci. Rep. 9, 2126 (2019), "
        "https://doi.org/10.1038/s41598-019-38482-1."
    )


def test_maps_of_hyperspy_come_in_their_order_and_leave_nothing_else(
    predictor: Predictor, tmp_path: Path
) -> None:
    maps = mnflow.predict(signal(image()), predictor)
    path = maps.save(tmp_path / "maps.hspy")
    with h5py.File(path) as file:
        assert list(file) == ["Experiments"]
        assert list(file["Experiments"]) == list(maps.signals())
        assert file.attrs["file_format"] == "HyperSpy"
        for name, one in maps.signals().items():
            assert (file["Experiments"][name]["data"][()] == one.data).all(), name
    assert [p.name for p in tmp_path.iterdir()] == ["maps.hspy"]


@pytest.mark.parametrize(
    ("axis", "size"),
    [
        ({"size": 4, "scale": 2.0, "units": "nm"}, (2.0, "nm")),
        ({"size": 4, "scale": 2.0, "units": ""}, (0.0, "")),
        ({"size": 4, "scale": 2.0, "units": "<undefined>"}, (0.0, "")),
        ({"size": 4, "scale": 2.0, "units": None}, (0.0, "")),
        ({"size": 4, "units": "nm"}, (0.0, "")),
    ],
)
def test_a_pixel_has_a_size_where_its_axis_has_a_unit(
    predictor: Predictor, axis: dict[str, Any], size: tuple[float, str]
) -> None:
    maps = mnflow.predict(signal(image()), predictor)
    assert pixel_size(replace(maps, axes=[maps.axes[0], axis])) == size

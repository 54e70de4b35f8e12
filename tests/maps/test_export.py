"""Maps as files, also where no more can be written, and in words."""

import platform
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

import mnflow
from mnflow.errors import InputError
from mnflow.maps import export
from mnflow.maps.export import methods, pixel_size
from mnflow.maps.pixels import FLAGS
from mnflow.runtime import files
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
    assert "channel was bridged in 1 of 12 spectra." in methods(mnflow.predict(signal(data), predictor))


def test_the_whole_paragraph(predictor: Predictor) -> None:
    known = replace(predictor, facts={"sets": "5", "model": "shipped"})
    maps = mnflow.predict(signal(image()), known).limited(0.0)
    maps.pixels.flags[:] = False
    maps.pixels.flags[:3, FLAGS.index("no_edge")] = maps.pixels.flags[:2, FLAGS.index("noise")] = True
    maps.pixels.spikes[:] = np.arange(12) == 4
    said = methods(maps)
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "hyperspy", "exspy"))
    onset_ev, moved_ev = maps.where.position.onset_ev, maps.where.moved_bins * 0.1
    assert said == (
        f"The oxidation state of Mn was determined from the L2,3 edge with mnflow {mnflow.__version__}. 12 "
        f"spectra of a test (4 x 3) with 0.25 eV per channel were used. The edge onset was found at "
        f"{onset_ev:.1f} eV. Background: power law. 1 spike, dead or hot channel was bridged in 1 of 12 "
        f"spectra. Spectra were resampled to 0.1 eV per channel, cut to "
        f"{635 + moved_ev:.1f}-{665 + moved_ev:.1f} eV and normalised. Classes are Mn2+, Mn3+, Mn4+; the "
        f"interval of the mean valence is the 90 % interval. 12 of 12 spectra were "
        "flagged and excluded from all means (no edge: 3, noise: 2; a spectrum can have several flags), "
        "among them those with an interval wider than 0. The valence of a region is that of the mean "
        "spectrum of its unflagged pixels. Model: model shipped, sets 5. "
        f"Software: Python {platform.python_version()}, {versions}, rosettasciio {version('rosettasciio')}. "
        "Method: Chatzidakis and Botton, Sci. Rep. 9, 2126 (2019), "
        "https://doi.org/10.1038/s41598-019-38482-1."
    )


def test_the_paragraph_says_no_more_than_is_known(
    predictor: Predictor, flag_only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag_only(np.zeros((1, 1), dtype=bool))
    one = signal(image()[0, 1])
    one.metadata.General.title = ""
    maps = mnflow.predict(one, predictor)
    monkeypatch.setattr(export, "_NAMED", ("numpy", "mnflow-without-this"))
    said = methods(maps)
    assert ". 1 spectrum of The signal with 0.25 eV per channel were used. " in said
    assert "interval. 0 of 1 spectra were flagged and excluded from all means. The valence" in said
    assert f"Model: no record. Software: Python {platform.python_version()}, numpy {np.__version__}." in said


def test_the_paragraph_gives_energies_as_the_window_moved(predictor: Predictor) -> None:
    data, moved = signal(image()), signal(image())
    moved.axes_manager.signal_axes[0].offset += 30
    for made, window in ((data, "635.0-665.0 eV"), (moved, "665.0-695.0 eV")):
        maps = mnflow.predict(made, predictor)
        off = maps.where.moved_bins * 0.1
        assert f"cut to {635 + off:.1f}-{665 + off:.1f} eV" in methods(maps)
        assert (off != 0) == (made is moved), window


def test_the_table_is_written_as_it_is(predictor: Predictor, tmp_path: Path) -> None:
    maps = mnflow.predict(signal(image()), predictor)
    written, table = pd.read_csv(maps.save(tmp_path / "x.CSV"), keep_default_na=False), maps.to_dataframe()
    assert list(written) == list(table)
    for name in table:
        if table[name].dtype.kind == "f":
            np.testing.assert_allclose(written[name], table[name], rtol=1e-5)
            assert written[name].astype(str).str.len().max() < 13
        else:
            assert written[name].tolist() == table[name].tolist(), name


@pytest.mark.parametrize(("unit", "scale", "pixel"), [("nm", 0.5, 0.5), ("", 2.0, 1.0), ("um", -4.0, 4.0)])
def test_pages_are_labelled_and_sized_for_imagej(
    predictor: Predictor, flag_only: Any, tmp_path: Path, unit: str, scale: float, pixel: float
) -> None:
    from PIL import Image

    flag_only(np.arange(12).reshape(3, 4) == 5)
    made = signal(image())
    made.axes_manager.navigation_axes[0].units = unit
    made.axes_manager.navigation_axes[0].scale = scale
    maps = mnflow.predict(made, predictor)
    names, shown = list(maps.signals()), list(maps.masked().signals().values())
    with Image.open(maps.save(tmp_path / "x.tiff")) as pages:
        n = pages.n_frames
        assert n == len(names)
        assert pages.tag_v2[270] == f"ImageJ=1.54f\nimages={n}\nslices={n}\nunit={unit or 'pixel'}\n"
        assert [float(pages.tag_v2[tag]) for tag in (282, 283, 296)] == [1 / pixel, 1 / pixel, 1]
        sizes, text = pages.tag_v2[50838], pages.tag_v2[50839]
        header = text[: sizes[0]]
        assert (header[:8], int.from_bytes(header[8:], "little")) == (b"JIJIlbal", n)
        ends = np.cumsum(sizes)
        assert [text[a:b].decode("utf-16-le") for a, b in pairwise(ends.tolist())] == names
        assert ends[-1] == len(text)
        for page, one in enumerate(shown):
            pages.seek(page)
            assert np.array(pages).dtype == np.float32
            np.testing.assert_array_equal(np.array(pages), one.data.astype(np.float32))


def test_a_stack_is_one_page_below_the_other_and_a_spectrum_one_number(
    predictor: Predictor, tmp_path: Path
) -> None:
    from PIL import Image

    for data, shape in (
        (np.stack([image(), image()]), (6, 4)),
        (image()[0], (1, 4)),
        (image()[0, 0], (1, 1)),
    ):
        with Image.open(mnflow.predict(signal(data), predictor).save(tmp_path / "x.tif")) as pages:
            assert np.array(pages).shape == shape


def test_a_name_without_a_known_end_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    maps = mnflow.predict(signal(image()), predictor)
    for name, came in (("x.png", ".png"), ("x", "none")):
        said = rf"x.*: expected a name that ends in .hspy, .csv, .tif, .tiff, got {came}\.$"
        with pytest.raises(InputError, match=said):
            maps.save(tmp_path / name)


def test_maps_need_room_for_a_part_and_the_whole(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = mnflow.predict(signal(image()), predictor)
    needed = 2 * sum(one.data.nbytes + files.HDF5_BYTES for one in maps.signals().values())
    asked: list[tuple[Path, int]] = []
    monkeypatch.setattr(export, "check_room", lambda path, n: asked.append((path.parent, n)))
    maps.save(tmp_path / "x.hspy")
    assert asked == [(tmp_path, needed)]


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
        ({"size": 4, "scale": -2.0, "units": "nm"}, (2.0, "nm")),
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

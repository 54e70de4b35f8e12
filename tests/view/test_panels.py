"""The panels: what stands where on the page, what is drawn, and which pixels a click or a lasso means."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.events import SelectionGeometry, Tap
from bokeh.palettes import Cividis256, Dark2_8, Greys256, Viridis256

import mnflow.view
from mnflow.maps import ValenceMaps, maps_of
from mnflow.maps.comparison import Reference
from mnflow.serve.predictor import Predictor
from mnflow.spectra import RawSpectra
from mnflow.spectra.raw import NavAxis
from mnflow.view.panels import MIXED_COLOUR, Panels
from tests.helpers.spectra import edge_shape
from tests.maps.conftest import ENERGY_EV


class Asked(Panels):
    """Panels on a document of their own, and what they asked for."""

    def __init__(self) -> None:
        self.document, self.asked = Document(), []
        super().__init__(
            self.document,
            lambda row, column: self.asked.append((row, column)),
            lambda mask: self.asked.append(mask),
            lambda width: self.asked.append(width),
        )

    def tap(self, x: float | None, y: float | None) -> None:
        self.map._trigger_event(Tap(self.map, x=x, y=y))

    def select(self, **geometry: Any) -> None:
        self.map._trigger_event(SelectionGeometry(self.map, geometry=geometry))


@pytest.fixture
def panels() -> Asked:
    return Asked()


def test_every_panel_has_its_place_on_the_page_and_begins_hidden(panels: Asked) -> None:
    page = (Path(mnflow.view.__file__).parent / "page.html").read_text()
    roots = {root.name: root for root in panels.document.roots}
    assert sorted(roots) == sorted(re.findall(r"roots\.(\w+)", page))
    shown = {name: (root.visible, root.sizing_mode) for name, root in roots.items()}
    hidden, wide = (False, None), (False, "stretch_width")
    assert shown == dict.fromkeys(("status", "note", "answer"), (True, "stretch_width")) | {
        "quantity": hidden, "limit": hidden, "map": wide, "spectrum": wide, "edge": wide,
    }  # fmt: skip
    assert [roots[n].height for n in ("map", "spectrum", "edge")] == [420, 260, 310]
    for name in ("status", "note", "answer"):
        assert roots[name].styles == {"font": "15px/1.45 system-ui, sans-serif"}
    choice, slider = roots["quantity"], roots["limit"]
    assert (choice.title, choice.options, choice.value) == ("Map", ["mean valence"], "mean valence")
    assert slider.title == "Flag intervals wider than"
    assert (slider.start, slider.end, slider.step, slider.value) == (0.1, 2.0, 0.05, 2.0)


def test_a_map_is_drawn_around_and_a_spectrum_is_zoomed(panels: Asked) -> None:
    def tools(plot: Any) -> str:
        return " ".join(type(tool).__name__.removesuffix("Tool") for tool in plot.toolbar.tools)

    plots = (panels.map, panels.above, panels.window)
    assert tools(panels.map) == "Pan WheelZoom Reset Save LassoSelect BoxSelect Hover"
    assert {tools(plot) for plot in plots[1:]} == {"Pan WheelZoom BoxZoom Reset Save"}
    assert [(p.toolbar_location, p.toolbar.logo) for p in plots] == [("above", None)] * 3
    active = panels.map.toolbar.active_drag
    assert active is panels.map.toolbar.tools[4]
    assert [tool.continuous for tool in panels.map.toolbar.tools[4:6]] == [False, False]
    assert panels.map.toolbar.tools[6].tooltips == [("", "@image{0.00}")]
    assert [p.toolbar.active_drag for p in plots[1:]] == [None, None]


def test_a_map_keeps_the_shape_of_its_pixels_with_its_first_row_above(panels: Asked) -> None:
    plot = panels.map
    assert plot.match_aspect
    image, *lines = plot.renderers
    assert [(r.renderers, r.range_padding, r.flipped) for r in (plot.x_range, plot.y_range)] == [
        ([image], 0, False), ([image], 0, True),
    ]  # fmt: skip
    assert image.data_source is panels.image
    assert [getattr(image.glyph, k) for k in ("image", "x", "y", "dw", "dh")] == [
        "image",
        "x",
        "y",
        "dw",
        "dh",
    ]
    assert [(r.glyph.x, r.glyph.y) for r in lines] == [("x", "y")] * 4
    assert image.glyph.color_mapper is panels.mapper is panels.bar.color_mapper
    assert panels.mapper.nan_color == "#D9D9D9"
    drawn = [(r.data_source is panels.outline, r.glyph.line_color, r.glyph.line_width) for r in lines]
    assert drawn == [(True, "white", 3), (True, "black", 1), (False, "white", 3), (False, "black", 1)]
    assert [r.data_source is panels.point for r in lines] == [False, False, True, True]
    assert [r.glyph.fill_alpha for r in lines] == [0, 0, 0, 0]
    assert [(r.glyph.marker, r.glyph.size) for r in lines[2:]] == [("square", 9)] * 2
    assert panels.bar in plot.below
    assert (panels.bar.title, panels.bar.height, panels.bar.padding) == ("mean valence", 10, 4)
    assert [grid.visible for grid in plot.grid] == [False, False]


def test_axes_and_legends_name_what_is_drawn(panels: Asked) -> None:
    for plot, label, names in (
        (panels.above, "counts", ["spectrum", "background"]),
        (panels.window, "intensity / a.u.", ["saliency", "edge", "name"]),
    ):
        assert (plot.xaxis.axis_label, plot.yaxis.axis_label) == ("energy loss / eV", label)
        items = [item.label for legend in plot.legend for item in legend.items]
        assert [getattr(label, "value", None) or label.field for label in items] == names
        assert [x.background_fill_alpha for x in plot.legend] == [0.5]
        assert [x.border_line_alpha for x in plot.legend] == [0]
    spectrum, background = panels.above.renderers
    assert [(r.glyph.x, r.glyph.y) for r in (spectrum, background)] == [("energy", "counts")] * 2
    sources = [
        spectrum.data_source,
        background.data_source,
        *(r.data_source for r in panels.window.renderers),
    ]
    of = (panels.spectrum, panels.background, panels.edge, panels.edge, panels.curves)
    assert all(a is b for a, b in zip(sources, of, strict=True))
    assert spectrum.glyph.line_color == "black"
    assert background.glyph.line_dash == [6]
    assert [panels.shade.fill_color, panels.shade.fill_alpha, panels.shade.level] == [
        "#EEEEEE", 1.0, "underlay",
    ]  # fmt: skip
    assert panels.shade in panels.above.center
    area, line, curves = panels.window.renderers
    assert (area.glyph.x, line.glyph.x) == ("energy", "energy")
    assert (curves.glyph.xs, curves.glyph.ys) == ("energy", "intensity")
    assert (area.glyph.y1, area.glyph.y2, area.glyph.fill_alpha) == (0, "saliency", 0.3)
    assert (line.glyph.y, line.glyph.line_width) == ("intensity", 2)
    assert (curves.glyph.line_color, curves.glyph.line_dash) == ("colour", "dashed")
    (legend,) = panels.window.legend
    assert legend in panels.window.above
    assert (legend.orientation, legend.ncols, legend.padding, legend.margin) == ("horizontal", 3, 0, 4)


def test_progress_and_errors_are_shown_as_text(panels: Asked) -> None:
    panels.progress(0.25, "a <b>")
    assert panels.status.text == "<progress max='1' value='0.250'></progress> a &lt;b&gt;"
    panels.failed("no <file>")
    assert panels.status.text == "<p role='alert' style='color:#B00020'>no &lt;file&gt;</p>"


def test_an_image_is_shown_in_its_units(panels: Asked, maps: ValenceMaps) -> None:
    panels.slider.value = 0.5  # of the file before
    panels.show_maps(maps)
    assert (
        panels.status.text == "<strong>grain &lt;1&gt;</strong>: 4 x 3 spectra, 2 flagged<br>Axis x &lt; y."
    )
    words = "grey: 2 of 12 spectra are flagged and not counted"
    assert panels.words.text.startswith(words)
    assert [panels.map.visible, panels.quantity.visible, panels.slider.visible] == [True] * 3
    assert panels.slider.value == 2.0
    assert panels.quantity.options[:2] == ["mean valence", "width of the interval"]
    assert [panels.map.xaxis[0].axis_label, panels.map.yaxis[0].axis_label] == ["x / nm", "y / nm"]
    data = dict(panels.image.data)
    (shown,) = data.pop("image")
    assert data == {"x": [0], "y": [0], "dw": [12.0], "dh": [6.0]}
    assert (shown.shape, shown.dtype) == ((3, 4), np.float32)
    expected = np.append([np.nan, np.nan], maps.pixels.mean_valence[2:]).reshape(3, 4)
    np.testing.assert_array_equal(shown, expected.astype(np.float32))


def reshaped(
    raw: RawSpectra, shape: tuple[int, ...], axes: tuple[NavAxis, ...], model: Predictor
) -> ValenceMaps:
    n = int(np.prod(shape))
    return maps_of(replace(raw, counts=raw.counts[:n], nav_shape=shape, nav_axes=axes), model)


def test_a_line_scan_is_a_band_and_one_spectrum_has_no_map(
    panels: Asked, raw: RawSpectra, predictor: Predictor
) -> None:
    axis = NavAxis("x", 3.0, 0.0, "nm")
    for axes, width, label in (((axis,), 3.0, "x / nm"), ((), 1.0, "column")):
        panels.show_maps(reshaped(raw, (12,), axes, predictor))
        assert panels.image_shape == (1, 12)
        assert [panels.map.xaxis[0].axis_label, panels.map.yaxis[0].axis_label] == [label, ""]
        assert (panels.image.data["dw"], panels.image.data["dh"]) == ([12 * width], [width])
    panels.show_maps(reshaped(raw, (3, 4), (), predictor))
    assert [panels.map.xaxis[0].axis_label, panels.map.yaxis[0].axis_label] == ["column", "row"]
    assert (panels.image.data["dw"], panels.image.data["dh"]) == ([4], [3])
    panels.show_maps(reshaped(raw, (), (), predictor))
    assert [panels.map.visible, panels.quantity.visible, panels.slider.visible] == [False] * 3
    assert panels.image_shape == (1, 1)


def test_without_intervals_there_is_nothing_to_limit(panels: Asked, maps: ValenceMaps) -> None:
    maps.pixels.interval[:] = np.nan
    panels.show_maps(maps)
    assert [panels.map.visible, panels.quantity.visible, panels.slider.visible] == [True, True, False]


def test_a_chosen_map_is_drawn_in_its_colours_and_limits(panels: Asked, maps: ValenceMaps) -> None:
    maps.pixels.intensity[:] = np.arange(12) ** 2
    panels.show_maps(maps)
    assert (panels.mapper.palette, panels.mapper.low, panels.mapper.high) == (Viridis256, 2.0, 4.0)
    panels.quantity.value = "intensity of the edge"
    assert panels.bar.title == "intensity of the edge"
    low, high = np.percentile(np.arange(12) ** 2, [0.5, 99.5])
    assert (panels.mapper.palette, panels.mapper.low, panels.mapper.high) == (Greys256, low, high)
    np.testing.assert_array_equal(panels.image.data["image"][0].ravel(), np.arange(12) ** 2)
    panels.quantity.value = "width of the interval"  # as wide everywhere
    assert panels.mapper.palette == Cividis256
    assert panels.mapper.high - panels.mapper.low == pytest.approx(1e-9, rel=0.1)
    maps.pixels.flags[:] = True
    for name in ("width of the interval", "Mn3+ fraction"):
        panels.quantity.value = name
        panels.show_values(maps)
        assert (panels.mapper.low, panels.mapper.high) == (0, 1)
        assert np.isnan(panels.image.data["image"][0]).all()


def test_the_slider_limits_but_at_its_end(panels: Asked) -> None:
    panels.slider.value = 0.5
    panels.slider.trigger("value_throttled", 2.0, 0.5)
    panels.slider.value = 2.0
    panels.slider.trigger("value_throttled", 0.5, 2.0)
    assert panels.asked == [0.5, np.inf]


def test_a_region_has_its_spectrum_background_edge_and_answer(panels: Asked, maps: ValenceMaps) -> None:
    region = maps.region()
    panels.show_region(maps, region, "a <region>")
    assert panels.above.visible
    assert panels.window.visible
    energy = panels.spectrum.data["energy"]
    assert (energy[0], energy[-1], len(energy)) == (615.0, 684.75, 280)
    np.testing.assert_array_equal(panels.spectrum.data["counts"], region.spectrum[60:340])
    np.testing.assert_array_equal(panels.background.data["energy"], energy)
    before, behind = energy < 635, energy > 660
    excess = panels.spectrum.data["counts"] - panels.background.data["counts"]
    assert np.nanmax(np.abs(excess[before])) < 1000
    assert np.nanmin(excess[behind]) > 0
    edge = panels.edge.data
    assert (panels.shade.left, panels.shade.right) == (edge["energy"][0], edge["energy"][-1])
    assert len(edge["energy"]) == 300
    assert edge["energy"][edge["intensity"].argmax()] == pytest.approx(642, abs=0.5)
    assert (edge["intensity"].min(), edge["intensity"].max()) == (0, 1)
    assert edge["saliency"].max() == 1
    assert all(len(column) == 0 for column in panels.curves.data.values())
    assert panels.line.glyph.line_color == panels.area.glyph.fill_color == "#D55E00"
    heading = "<h2 style='font-size:17px;margin:0'>a &lt;region&gt;</h2>"
    assert panels.answer.text.startswith(f"{heading}<p style='color:#D55E00'><strong>Mn3+, mean valence 3.00")
    panels.show_region(maps, replace(region, valence_class="mixed"), "")
    assert panels.line.glyph.line_color == MIXED_COLOUR
    heading = "<h2 style='font-size:17px;margin:0'>grain &lt;1&gt;</h2>"
    assert panels.answer.text.startswith(f"{heading}<p style='color:#222222'>")


def test_spectra_without_background_get_none(panels: Asked, raw: RawSpectra, predictor: Predictor) -> None:
    panels.background.data = {"energy": [1.0], "counts": [1.0]}  # of the file before
    free = 1e4 * edge_shape(ENERGY_EV, np.zeros(12, dtype=int))
    maps = maps_of(replace(raw, counts=free, background_removed=True), predictor)
    panels.show_region(maps, maps.region(np.arange(12).reshape(3, 4) == 0), "")
    assert len(panels.spectrum.data["energy"]) == 280
    assert panels.background.data == {"energy": [], "counts": []}


def test_a_region_whose_pixels_are_all_flagged_has_words_alone(panels: Asked, maps: ValenceMaps) -> None:
    region = maps.region(np.arange(12).reshape(3, 4) < 2)
    panels.show_region(maps, region, "")
    heading = "<h2 style='font-size:17px;margin:0'>grain &lt;1&gt;</h2>"
    assert panels.answer.text == f"{heading}<p>all of 2 spectra are flagged</p>"
    assert not panels.above.visible


def test_references_are_drawn_in_colours_of_their_own(panels: Asked, maps: ValenceMaps) -> None:
    curves = [np.linspace(1, 3 + i, 300, dtype=np.float32) for i in range(9)]
    panels.show_references([Reference(f"r{i}", curve) for i, curve in enumerate(curves)])
    panels.show_region(maps, maps.region(), "")
    data = panels.curves.data
    assert data["name"] == [f"r{i}" for i in range(9)]
    assert data["colour"] == [*Dark2_8, Dark2_8[0]]
    assert len(data["energy"]) == 9
    np.testing.assert_array_equal(data["energy"][8], panels.edge.data["energy"])
    np.testing.assert_allclose(data["intensity"], [np.linspace(0, 1, 300)] * 9, atol=1e-6)
    assert "least squares with the references: r0" in panels.answer.text


def test_a_click_means_the_pixel_under_it(panels: Asked, maps: ValenceMaps) -> None:
    panels.tap(1.0, 1.0)  # nothing is open yet
    panels.show_maps(maps)
    panels.tap(None, None)
    panels.outline.data = {"x": [1], "y": [1]}
    panels.tap(8.9, 4.1)
    assert panels.asked == [(2, 2)]
    assert panels.point.data == {"x": [7.5], "y": [5.0]}
    assert panels.outline.data == {"x": [], "y": []}


def test_a_lasso_or_box_means_the_pixels_whose_middle_is_inside(panels: Asked, maps: ValenceMaps) -> None:
    box = {"type": "rect", "x0": 3.1, "x1": 10.6, "y0": 0.9, "y1": 3.9}
    panels.select(**box)  # nothing is open yet
    panels.show_maps(maps)
    panels.select(type="point", x=1.0, y=1.0)
    panels.select(type="poly", x=[1.0, 2.0], y=[1.0, 2.0])
    assert panels.asked == []
    panels.point.data = {"x": [1], "y": [1]}
    panels.select(**box)
    assert panels.asked.pop().tolist() == [[False, True, True, True], [False, True, True, True], [False] * 4]
    np.testing.assert_array_equal(panels.outline.data["x"], [3.1, 10.6, 10.6, 3.1])
    np.testing.assert_array_equal(panels.outline.data["y"], [0.9, 0.9, 3.9, 3.9])
    assert panels.point.data == {"x": [], "y": []}
    triangle = ([0.0, 12.0, 0.0], [0.0, 0.0, 6.0])
    for x, y in (triangle, [dict(enumerate(values)) for values in triangle]):
        panels.select(type="poly", x=x, y=y)
        inside = panels.asked.pop()
        assert (inside.shape, inside.dtype, int(inside.sum())) == ((3, 4), bool, 6)
        assert inside[0].tolist() == [True, True, True, False]
        assert inside[2].tolist() == [False] * 4 or inside[2].sum() <= 1

"""The page's panels: the map, the spectrum, and the edge with its saliency."""

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
from bokeh.events import SelectionGeometry, Tap
from bokeh.models import (
    BoxAnnotation,
    BoxSelectTool,
    ColorBar,
    ColumnDataSource,
    CustomJSTickFormatter,
    DataRange1d,
    Div,
    HoverTool,
    LassoSelectTool,
    LinearColorMapper,
    Select,
    Slider,
)
from bokeh.palettes import Dark2_8, Viridis256
from bokeh.plotting import figure
from matplotlib.path import Path as Polygon

from mnflow.maps import Region, ValenceMaps
from mnflow.maps.comparison import Reference
from mnflow.maps.export import pixel_size
from mnflow.maps.figures import background_of, crop_energies, note, saliency_of
from mnflow.plots.panels import to_unit
from mnflow.plots.style import FLAGGED_COLOUR, UNKNOWN_COLOUR
from mnflow.spectra.arrays import Bools
from mnflow.view.content import VALENCE, answer_html, class_colours, quantities

MIXED_COLOUR = "#222222"
"""Of answers that are no class."""

REFERENCE_COLOURS = Dark2_8
"""Of references, in their order."""


class Panels:
    """Bokeh's models, and what changes in them; every method runs in the document's own thread."""

    def __init__(
        self,
        document: Any,
        choose_pixel: Callable[[int, int], None],
        choose_region: Callable[[Bools], None],
        limit: Callable[[float], None],
    ) -> None:
        self.image_shape, self.cell = (1, 1), (1.0, 1.0)
        self.maps: ValenceMaps | None = None
        self._pixel, self._limit = choose_pixel, limit
        self._region = choose_region
        look: dict[str, Any] = {
            "sizing_mode": "stretch_width",
            "styles": {"font": "15px/1.45 system-ui, sans-serif"},
        }
        self.status, self.words, self.answer = (
            Div(name=name, **look) for name in ("status", "note", "answer")
        )
        self.quantity = Select(name="quantity", title="Map", options=[VALENCE], value=VALENCE, visible=False)
        self.slider = Slider(
            name="limit",
            title="Flag intervals wider than",
            start=0.1,
            end=2.0,
            step=0.05,
            value=2.0,
            visible=False,
        )
        self.image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self.outline = ColumnDataSource({"x": [], "y": []})
        self.point = ColumnDataSource({"x": [], "y": []})
        self.spectrum = ColumnDataSource({"energy": [], "counts": []})
        self.background = ColumnDataSource({"energy": [], "counts": []})
        self.edge = ColumnDataSource({"energy": [], "intensity": [], "saliency": []})
        self.curves = ColumnDataSource({"energy": [], "intensity": [], "colour": [], "name": []})
        self.references: list[Reference] = []
        self.mapper = LinearColorMapper(palette=Viridis256, low=2, high=4, nan_color=FLAGGED_COLOUR)
        self.map = self._map_figure()
        self.above, self.window = self._spectrum_figures()
        self.quantity.on_change("value", lambda attr, old, new: self.maps and self.show_values(self.maps))
        self.slider.on_change("value_throttled", lambda attr, old, new: self._limit(self.limit_value()))
        roots = (
            self.status,
            self.quantity,
            self.slider,
            self.map,
            self.words,
            self.answer,
            self.above,
            self.window,
        )
        for root in roots:
            document.add_root(root)

    def limit_value(self) -> float:
        """The slider's value; at its right end nothing is flagged for its interval."""
        value = float(self.slider.value)
        return np.inf if value >= self.slider.end else value

    def _map_figure(self) -> Any:
        plot = figure(
            name="map", height=420, sizing_mode="stretch_width", match_aspect=True, toolbar_location="above",
            tools="pan,wheel_zoom,reset,save", active_drag=None, visible=False, output_backend="canvas",
        )  # fmt: skip
        image = plot.image(
            "image", source=self.image, x="x", y="y", dw="dw", dh="dh", color_mapper=self.mapper
        )
        plot.x_range, plot.y_range = (  # of the image alone, so that its pixels keep their shape
            DataRange1d(renderers=[image], range_padding=0, flipped=flipped) for flipped in (False, True)
        )
        plot.patch("x", "y", source=self.outline, fill_alpha=0.0, line_color="white", line_width=3)
        plot.patch("x", "y", source=self.outline, fill_alpha=0.0, line_color="black", line_width=1)
        for colour, width in (("white", 3), ("black", 1)):  # seen on dark and on light
            plot.scatter(
                "x", "y", source=self.point, marker="square", size=9, fill_alpha=0,
                line_color=colour, line_width=width
            )  # fmt: skip
        lasso = LassoSelectTool(continuous=False)
        plot.add_tools(lasso, BoxSelectTool(continuous=False), HoverTool(tooltips=[("", "@image{0.00}")]))
        plot.toolbar.active_drag = lasso
        plot.toolbar.logo = None
        self.bar = ColorBar(color_mapper=self.mapper, height=10, padding=4, title=VALENCE)
        plot.add_layout(self.bar, "below")
        plot.grid.visible = False
        plot.on_event(Tap, self._tapped)
        plot.on_event(SelectionGeometry, self._selected)
        return plot

    def _spectrum_figures(self) -> tuple[Any, Any]:
        common: dict[str, Any] = {
            "height": 260, "sizing_mode": "stretch_width", "tools": "pan,wheel_zoom,box_zoom,reset,save",
            "toolbar_location": "above", "x_axis_label": "energy loss / eV", "visible": False,
            "active_drag": None,
        }  # fmt: skip
        above = figure(name="spectrum", y_axis_label="counts", **common)
        above.yaxis.formatter = CustomJSTickFormatter(
            code="return Math.abs(tick) >= 1000 ? tick.toLocaleString('en') : String(+tick.toPrecision(6))"
        )
        self.shade = BoxAnnotation(fill_color="#EEEEEE", fill_alpha=1.0, level="underlay")
        above.add_layout(self.shade)
        above.line("energy", "counts", source=self.spectrum, color="black", legend_label="spectrum")
        above.line(
            "energy", "counts", source=self.background, color=UNKNOWN_COLOUR, line_dash="dashed",
            legend_label="background",
        )  # fmt: skip
        window = figure(name="edge", y_axis_label="intensity / a.u.", **common)
        self.area = window.varea(
            "energy", 0, "saliency", source=self.edge, fill_alpha=0.3, legend_label="saliency"
        )
        self.line = window.line("energy", "intensity", source=self.edge, line_width=2, legend_label="edge")
        window.multi_line(
            "energy", "intensity", source=self.curves, line_color="colour", line_dash="dashed",
            legend_field="name",
        )  # fmt: skip
        for plot in (above, window):
            plot.toolbar.logo = None
            plot.legend.background_fill_alpha = 0.5
            plot.legend.border_line_alpha = 0
        window.height = 310
        window.legend.update(orientation="horizontal", ncols=3, padding=0, margin=4)  # references add to it
        window.add_layout(window.legend[0], "above")
        return above, window

    def progress(self, share: float, text: str) -> None:
        """Show how far the work is."""
        self.status.text = f"<progress max='1' value='{share:.3f}'></progress> {escape(text)}"

    def failed(self, message: str) -> None:
        """Show an error message."""
        self.status.text = f"<p role='alert' style='color:#B00020'>{escape(message)}</p>"

    def show_maps(self, maps: ValenceMaps) -> None:
        """Show an image or a line scan; a single spectrum has no map."""
        self.maps = maps
        columns = maps.shape[-1] if maps.shape else 1
        self.image_shape = (len(maps.pixels) // columns, columns)
        several = len(maps.pixels) > 1
        self.map.visible = self.quantity.visible = several
        self.slider.visible = several and bool(np.isfinite(maps.pixels.interval).any())
        self.slider.value = self.slider.end
        self.quantity.options = list(quantities(maps))
        self.quantity.value = VALENCE
        pixel, unit = pixel_size(maps)
        self.map.xaxis.axis_label = f"x / {unit}" if unit else "column"
        self.map.yaxis.axis_label = (f"y / {unit}" if unit else "row") if self.image_shape[0] > 1 else ""
        rows, columns = self.image_shape
        self.cell = (pixel, float(abs(maps.axes[-2]["scale"]))) if unit and rows > 1 else (pixel or 1.0,) * 2
        if rows == 1:
            self.cell = (self.cell[0], columns * self.cell[0] / 12)  # a line scan as a band
        self.show_status(maps)
        self.show_values(maps)

    def show_status(self, maps: ValenceMaps) -> None:
        """Say which spectra these are, and what was assumed and done."""
        self.status.text = (
            f"<strong>{escape(maps.title)}</strong>: {escape(repr(maps).split(': ')[-1].rstrip('>'))}"
        )
        for sentence in maps.raw.notes:
            self.status.text += f"<br>{escape(sentence)}"

    def show_values(self, maps: ValenceMaps) -> None:
        """Draw the chosen quantity, flagged pixels grey."""
        self.maps = maps
        values, palette, limits = quantities(maps)[self.quantity.value]
        finite = values[np.isfinite(values)]
        low, high = limits or (np.percentile(finite, [0.5, 99.5]).tolist() if finite.size else (0, 1))
        self.bar.title = self.quantity.value
        self.mapper.update(palette=palette, low=low, high=max(high, low + 1e-9))
        rows, columns = self.image_shape
        shown = values.reshape(rows, columns).astype(np.float32)
        wide, high_px = self.cell
        self.image.data = {
            "image": [shown],
            "x": [0],
            "y": [0],
            "dw": [columns * wide],
            "dh": [rows * high_px],
        }
        self.words.text = escape(note(maps))

    def show_region(self, maps: ValenceMaps, region: Region, title: str) -> None:
        """Show a region's mean spectrum, its edge with saliency, and its answer."""
        heading = f"<h2 style='font-size:17px;margin:0'>{escape(title or maps.title)}</h2>"
        if not np.isfinite(region.spectrum).all():
            self.answer.text = f"{heading}<p>{escape(str(region))}</p>"
            return
        self.above.visible = self.window.visible = True
        low, high = maps.predictor.edge.wide_ev
        moved = maps.where.moved_bins * maps.where.edge.dispersion_ev
        inside = (region.energy_ev >= low + moved) & (region.energy_ev < high + moved)
        energy = region.energy_ev[inside]
        self.spectrum.data = {"energy": energy, "counts": region.spectrum[inside]}
        background = background_of(maps.where, region)
        none: dict[str, Any] = {"energy": [], "counts": []}
        self.background.data = (
            none if background is None else {"energy": energy, "counts": background[inside]}
        )
        crop_ev = crop_energies(maps.where)
        self.shade.update(left=float(crop_ev[0]), right=float(crop_ev[-1]))
        crop = to_unit(maps.where(region.spectrum[None])[0])
        weight = saliency_of(maps, region)
        self.edge.data = {
            "energy": crop_ev,
            "intensity": crop,
            "saliency": weight / max(float(weight.max()), 1e-12),
        }
        n = len(self.references)
        self.curves.data = {
            "energy": [crop_ev] * n,
            "intensity": [to_unit(r.intensity) for r in self.references],
            "colour": [REFERENCE_COLOURS[i % len(REFERENCE_COLOURS)] for i in range(n)],
            "name": [r.name for r in self.references],
        }
        colour = class_colours(maps).get(region.valence_class or "", MIXED_COLOUR)
        self.area.glyph.fill_color = self.line.glyph.line_color = colour
        self.answer.text = answer_html(maps, region, heading, colour, self.references)

    def show_references(self, references: list[Reference]) -> None:
        """Draw references beside the edge; `show_region` says what of it they explain."""
        self.references = references

    def _tapped(self, event: Any) -> None:
        if event.x is None or self.maps is None:
            return
        row, column = int(event.y // self.cell[1]), int(event.x // self.cell[0])
        self.outline.data = {"x": [], "y": []}
        self.point.data = {"x": [(column + 0.5) * self.cell[0]], "y": [(row + 0.5) * self.cell[1]]}
        self._pixel(row, column)

    def _selected(self, event: Any) -> None:
        shape = event.geometry
        if self.maps is None or shape.get("type") not in ("poly", "rect"):
            return
        if shape["type"] == "rect":
            x0, x1, y0, y1 = (float(shape[k]) for k in ("x0", "x1", "y0", "y1"))
            x, y = np.array([x0, x1, x1, x0]), np.array([y0, y0, y1, y1])
        else:
            x, y = (np.asarray(_listed(shape[k]), dtype=float) for k in ("x", "y"))
        if len(x) < 3:
            return
        self.outline.data, self.point.data = {"x": x, "y": y}, {"x": [], "y": []}
        rows, columns = self.image_shape
        row, column = np.indices((rows, columns))
        middles = np.stack(
            [(column.ravel() + 0.5) * self.cell[0], (row.ravel() + 0.5) * self.cell[1]], axis=1
        )
        self._region(Polygon(np.stack([x, y], axis=1)).contains_points(middles).reshape(rows, columns))


def _listed(values: Any) -> list[float]:
    """A list of numbers that came as a list or, by index, as a mapping."""
    return list(values.values()) if isinstance(values, dict) else list(values)

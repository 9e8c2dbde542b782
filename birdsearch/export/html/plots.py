"""The plots of the pages, drawn by Bokeh: what its script needs to draw them, and that script itself.

The pages name the plots by their ids (`MAP`, `MATRIX`) and the parts that they touch by the names given here.
"""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from birdsearch.records import Vectors

if TYPE_CHECKING:
    from bokeh.embed.standalone import StandaloneEmbedJson
    from bokeh.models import Axis, Range1d

MAP, MATRIX = "map", "matrix"  # ids of the elements that hold them
UNKNOWN = "#8a8a84"  # of photos without a name: grey on light and on dark
_MARK = "#2f8f6b"  # full cells of a matrix
_CELL = 22  # pixels
_NAME = 30  # letters of a name beside a matrix
_TRANSPARENT = dict.fromkeys(("background_fill_color", "border_fill_color", "outline_line_color"))
_GOLDEN = 0.618034  # of the circle of hues: each next one falls into the widest gap so far


def script() -> str:
    """The code of Bokeh that draws in a browser, with nothing left to load."""
    from bokeh.resources import Resources

    code: str = "\n".join(Resources(mode="inline", components=["bokeh"], log_level="error").js_raw)
    return code


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, distinct on a light and on a dark background; the same names get the same colours."""
    known = {}
    for place, name in enumerate(dict.fromkeys(names)):
        lightness, saturation = (0.52, 0.42, 0.62)[place % 3], (0.55, 0.7, 0.5)[place % 3]
        channels = colorsys.hls_to_rgb(place * _GOLDEN % 1, lightness, saturation)
        known[name] = "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)
    return known


def map_plot(coordinates: Vectors, shades: Sequence[str], marked: npt.NDArray[np.bool_]) -> "StandaloneEmbedJson":
    """A map of photos at `coordinates` (n, 2), in their colours (n,); `marked` (n,) ones get a ring."""
    from bokeh.core.types import ID
    from bokeh.embed import json_item
    from bokeh.models import ColumnDataSource, HoverTool, TapTool
    from bokeh.plotting import figure

    x, y = (np.asarray(coordinates[:, axis], dtype=np.float64).round(4) for axis in (0, 1))
    data = {"x": x.tolist(), "y": y.tolist(), "colour": list(shades), "alpha": [0.85] * len(x)}
    data["ring"] = [0.9 if ring else 0.0 for ring in marked]
    source = ColumnDataSource(data)
    cursor = ColumnDataSource({"x": [], "y": []})
    plot = figure(
        name=MAP,
        sizing_mode="stretch_both",
        tools="pan,wheel_zoom,box_zoom,reset",
        active_scroll=None,  # a page that is scrolled must not get caught by the map
        x_range=_span(x),
        y_range=_span(y),
        min_border=0,
    )
    plot.update(**_TRANSPARENT)
    plot.axis.visible = False  # only the distances between photos mean anything
    plot.grid.visible = False
    plot.toolbar.logo = None
    if marked.any():
        plot.scatter("x", "y", source=source, size=14, fill_color=None, line_color="#c8402c", line_alpha="ring")
    points = plot.scatter(
        "x", "y", source=source, size=8, color="colour", fill_alpha="alpha", line_alpha=0, name="points"
    )
    points.nonselection_glyph = None  # a click opens a photo and shades nothing
    points.selection_glyph = None
    plot.scatter("x", "y", source=cursor, size=18, fill_color=None, line_color="#2f8f6b", line_width=3, name="cursor")
    plot.add_tools(HoverTool(renderers=[points], tooltips=None), TapTool(renderers=[points]))
    return json_item(plot, ID(MAP))


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a matrix."""

    row: int
    column: int
    strength: float  # of its colour, from 0 to 1
    words: str  # what it means
    leads_to: str  # the id of the element that a click shows


def matrix_plot(rows: Sequence[str], columns: Sequence[str], cells: Sequence[Cell]) -> "StandaloneEmbedJson":
    """A matrix of names; cells that are not given stay empty."""
    from bokeh.core.types import ID
    from bokeh.embed import json_item
    from bokeh.models import ColumnDataSource, HoverTool, Range1d, TapTool
    from bokeh.plotting import figure

    plot = figure(
        name=MATRIX,
        frame_width=len(columns) * _CELL,
        frame_height=len(rows) * _CELL,
        min_border_right=150,  # room for the last names, which lean
        tools="",
        toolbar_location=None,
        x_axis_location="above",
        x_range=Range1d(start=-0.5, end=len(columns) - 0.5),
        y_range=Range1d(start=len(rows) - 0.5, end=-0.5),
    )
    plot.update(**_TRANSPARENT)
    _name_axis(plot.xaxis[0], columns)
    _name_axis(plot.yaxis[0], rows)
    plot.xaxis.major_label_orientation = 0.9  # radians
    plot.grid.grid_line_color = "#808080"
    plot.grid.grid_line_alpha = 0.18
    data = {
        "x": [cell.column for cell in cells],
        "y": [cell.row for cell in cells],
        "row": [rows[cell.row] for cell in cells],
        "column": [columns[cell.column] for cell in cells],
        "strength": [round(0.15 + 0.85 * cell.strength, 3) for cell in cells],
        "words": [cell.words for cell in cells],
        "leads_to": [cell.leads_to for cell in cells],
    }
    source = ColumnDataSource(data)
    drawn = plot.rect(
        "x", "y", width=0.9, height=0.9, source=source, fill_color=_MARK, fill_alpha="strength", line_color=None
    )
    drawn.nonselection_glyph = None
    plot.add_tools(HoverTool(renderers=[drawn], tooltips="<b>@row</b> · <b>@column</b><br>@words"), TapTool())
    return json_item(plot, ID(MATRIX))


def _name_axis(axis: "Axis", names: Sequence[str]) -> None:
    from bokeh.models import PlainText

    axis.ticker = list(range(len(names)))
    # As plain text: a name with dollar signs is not a formula, for which Bokeh would fetch a typesetter.
    axis.major_label_overrides = {place: PlainText(text=_short(name)) for place, name in enumerate(names)}
    axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"


def _span(values: npt.NDArray[np.float64]) -> "Range1d":
    """From where to where an axis goes: a little beyond its values, and never nothing."""
    from bokeh.models import Range1d

    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    room = max((high - low) * 0.04, 1e-3)
    return Range1d(start=low - room, end=high + room)

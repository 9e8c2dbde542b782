"""The plots of the pages, drawn by Bokeh: what its script needs to draw them, and that script itself.

The pages name the plots by their ids (`MAP`, `MATRIX`) and the parts that they touch by the names given here.
"""

import colorsys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from birdsearch.records import Vectors

if TYPE_CHECKING:
    from bokeh.models import Range1d

MAP, MATRIX = "map", "matrix"  # ids of the elements that hold them
UNKNOWN = "#8a8a84"  # of photos without a name: grey on light and on dark
_MARK = "#2f8f6b"  # full cells of a matrix
_CELL = 22  # pixels
_NAME = 30  # letters of a name beside a matrix
_GOLDEN = 0.618034  # of the circle of hues: each next one falls into the widest gap so far


def script() -> str:
    """The code of Bokeh that draws in a browser, with nothing left to load."""
    from bokeh.resources import Resources

    code: str = "\n".join(Resources(mode="inline", components=["bokeh"], log_level="error").js_raw)
    return code


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, to be told apart on a light and on a dark ground; the same names get the same ones."""
    found = {}
    for place, name in enumerate(dict.fromkeys(names)):
        lightness, saturation = (0.52, 0.42, 0.62)[place % 3], (0.55, 0.7, 0.5)[place % 3]
        channels = colorsys.hls_to_rgb(place * _GOLDEN % 1, lightness, saturation)
        found[name] = "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)
    return found


def map_plot(places: Vectors, shades: Sequence[str], marked: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """A map of photos that lie at `places` (n, 2), in their colours (n,); `marked` (n,) ones get a ring."""
    from bokeh.core.types import ID
    from bokeh.embed import json_item
    from bokeh.models import ColumnDataSource, HoverTool, TapTool
    from bokeh.plotting import figure

    x, y = (np.asarray(places[:, axis], dtype=np.float64).round(4) for axis in (0, 1))
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
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        min_border=0,
    )
    plot.axis.visible = False  # where a photo lies says nothing but how near it is to others
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
    item: dict[str, Any] = json_item(plot, ID(MAP))  # type: ignore[assignment]
    return item


def matrix_plot(
    rows: Sequence[str], columns: Sequence[str], cells: Mapping[tuple[int, int], tuple[float, str, str]]
) -> dict[str, Any]:
    """A matrix of names; a cell (row, column) has its strength from 0 to 1, what it means, and the id it leads to."""
    from bokeh.core.types import ID
    from bokeh.embed import json_item
    from bokeh.models import ColumnDataSource, HoverTool, PlainText, Range1d, TapTool
    from bokeh.plotting import figure

    data = {
        "x": [column for _, column in cells],
        "y": [row for row, _ in cells],
        "row": [rows[row] for row, _ in cells],
        "column": [columns[column] for _, column in cells],
        "strength": [round(0.15 + 0.85 * strength, 3) for strength, _, _ in cells.values()],
        "words": [words for _, words, _ in cells.values()],
        "leads_to": [target for _, _, target in cells.values()],
    }
    source = ColumnDataSource(data)
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
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
    )
    for axis, names in ((plot.xaxis[0], columns), (plot.yaxis[0], rows)):
        axis.ticker = list(range(len(names)))
        # As plain text: a name with dollar signs is no formula, for which Bokeh would fetch a typesetter.
        axis.major_label_overrides = {place: PlainText(text=_short(name)) for place, name in enumerate(names)}
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
    plot.xaxis.major_label_orientation = 0.9
    plot.grid.grid_line_color = "#808080"
    plot.grid.grid_line_alpha = 0.18
    found = plot.rect(
        "x", "y", width=0.9, height=0.9, source=source, fill_color=_MARK, fill_alpha="strength", line_color=None
    )
    found.nonselection_glyph = None
    plot.add_tools(HoverTool(renderers=[found], tooltips="<b>@row</b> · <b>@column</b><br>@words"), TapTool())
    item: dict[str, Any] = json_item(plot, ID(MATRIX))  # type: ignore[assignment]
    return item


def beside_each_other(count: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """An order of `count` things that brings those of a pair close together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    a, b = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(2 * len(a), np.int8), (np.r_[a, b], np.r_[b, a])), shape=(count, count)).tocsr()
    return [int(place) for place in reverse_cuthill_mckee(graph, symmetric_mode=True)]


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"


def _span(values: npt.NDArray[np.float64]) -> "Range1d":
    """From where to where an axis goes: a little beyond its values, and never nothing."""
    from bokeh.models import Range1d

    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    room = max((high - low) * 0.04, 1e-3)
    return Range1d(start=low - room, end=high + room)

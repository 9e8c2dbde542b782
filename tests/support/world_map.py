"""Makes the world map of the pages from the npm package world-atlas, which packs Natural Earth at 1:110 million.

npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz && python -m tests.support.world_map package
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support import ROOT

TARGET = ROOT / "birdsearch" / "export" / "html" / "data" / "world.json"
UNITS = 100  # of the map in a degree
WORLD, POLE = 360 * UNITS, 90 * UNITS
SOURCE = "Natural Earth 1:110m (public domain), as the npm package world-atlas 2.0.2 packs it"

Point = tuple[int, int]  # in UNITS, x to the east, y to the south


def arcs_of(topology: dict[str, Any]) -> list[list[Point]]:
    """The lines of a TopoJSON file."""
    (across, down), (left, top) = topology["transform"]["scale"], topology["transform"]["translate"]
    lines = []
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for right, up in arc:
            x, y = x + right, y + up
            line.append((round((x * across + left) * UNITS), round(-(y * down + top) * UNITS)))
        lines.append(line)
    return lines


def polygons(geometry: dict[str, Any]) -> Iterator[list[list[int]]]:
    """The rings of each polygon, as numbers of arcs."""
    kind = geometry["type"]
    if kind == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from polygons(part)
    elif kind in ("Polygon", "MultiPolygon"):
        yield from [geometry["arcs"]] if kind == "Polygon" else geometry["arcs"]


def ring_of(numbers: Sequence[int], arcs: Sequence[list[Point]]) -> list[Point]:
    """The points of a ring, which may go on beyond the date line; a number below 0 is an arc backwards."""
    points: list[Point] = []
    for number in numbers:
        for x, y in (arcs[number] if number >= 0 else arcs[~number][::-1])[bool(points) :]:
            turns = round((points[-1][0] - x) / WORLD) if points else 0
            points.append((x + turns * WORLD, y))
    if points[-1][0] != points[0][0]:  # Antarctica lies around the pole
        points += [(x, POLE) for x in (points[-1][0], points[0][0])]
    return points


def path(lines: Iterable[list[Point]], end: str) -> str:
    """Lines as the path of an SVG, each step from the last point."""
    drawn = []
    for line in lines:
        x, y = line[0]
        start, steps = f"M{x} {y}l", []
        for right, down in line[1:]:
            if (right, down) != (x, y):
                steps.append(f"{right - x} {down - y}")
                x, y = right, down
        if steps:  # a line may be shorter than a unit
            drawn.append(start + " ".join(steps) + end)
    return "".join(drawn).replace(" -", "-")


def middle(ring: list[Point]) -> tuple[float, Point]:
    """The area of a ring and its centroid."""
    area = x = y = 0.0
    for (x0, y0), (x1, y1) in pairwise(ring):
        cross = x0 * y1 - x1 * y0
        area, x, y = area + cross, x + (x0 + x1) * cross, y + (y0 + y1) * cross
    if not area:  # smaller than a unit
        return 0.0, ring[0]
    return abs(area) / 2, (round(x / (3 * area)), round(y / (3 * area)))


def main(folder: Path) -> None:
    """Write the map."""
    land = json.loads((folder / "land-110m.json").read_text())
    states = json.loads((folder / "countries-110m.json").read_text())
    land_arcs, state_arcs = arcs_of(land), arcs_of(states)
    rings = [ring_of(ring, land_arcs) for polygon in polygons(land["objects"]["land"]) for ring in polygon]
    used: Counter[int] = Counter()
    countries = []
    for geometry in states["objects"]["countries"]["geometries"]:
        outer = [ring_of(polygon[0], state_arcs) for polygon in polygons(geometry)]
        numbers = (number for polygon in polygons(geometry) for ring in polygon for number in ring)
        used.update(max(number, ~number) for number in numbers)
        countries.append((geometry["properties"]["name"], *max(map(middle, outer))[1]))
    borders = [state_arcs[number] for number, count in used.items() if count > 1]
    made = {
        "source": SOURCE,
        "licence": (folder / "LICENSE").read_text(),
        "land": path(rings, "z"),
        "borders": path(borders, ""),
        "countries": sorted(countries),
    }
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(made, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The command regions: boxes in photos, shown and corrected."""

from pathlib import Path
from typing import Annotated

from birdsearch.records import Region, counted

from . import options, output
from .options import Shared

LISTED = 100  # photos on a page
COLUMNS = ("path", "x", "y", "width", "height", "category", "confidence", "kind", "source", "embedded", "sha256")
Corrected = Annotated[
    Path | None,
    options.file_option(
        "Boxes as they should be, such as regions --csv after you have edited it: of each photo in it these are all. "
        "A line without numbers says that a photo has none.",
        "--from",
    ),
]


@options.command(where=True, formats=("json", "csv", "html"))
def regions(corrected: Corrected = None, *, shared: Shared) -> None:
    with shared.working("Looking for boxes") as index:
        report = None if corrected is None else index.regions_from(corrected)
        found = index.regions(shared.where)
        drawn: dict[int, list[Region]] = {}
        for one in found:
            drawn.setdefault(one.photo_id or 0, []).append(one)
        by_photo = {photo.id or 0: photo for photo in index.photos(ids=sorted(drawn))}
    if report is not None:
        output.print_regions(report, output.note if shared.json or shared.csv else output.say)
    if shared.html is not None:
        from birdsearch.export.html import pages

        shown = list(by_photo.values())[:LISTED]
        page = pages.photos_page(shown, "Boxes", total=len(by_photo), regions=drawn, origin=shared.origin)
        output.write_page(shared.html, page, shared.force)
    if shared.json:
        output.print_json(found)
    elif shared.csv:
        rows = (
            [photo.path, box.x, box.y, box.width, box.height, one.category, one.confidence, one.kind, one.source,
             one.embedded, photo.sha256]
            for one in found for photo, box in [(by_photo[one.photo_id or 0], one.box)]
        )  # fmt: skip
        output.print_csv(COLUMNS, rows)
    elif found:
        rows_shown = (
            (one.kind, one.box.rounded, one.category or "", output.score(one.confidence),
             "yes" if one.embedded else "no", by_photo[one.photo_id or 0].path)
            for one in found
        )  # fmt: skip
        columns = ("kind", "box", "category", "confidence", "vector", "path")
        output.print_table(columns, rows_shown, numbers=("confidence",))
        boxes = "1 box" if len(found) == 1 else f"{len(found):,} boxes"
        output.note(f"{boxes} in {counted(len(by_photo), 'photo')}")
    elif report is None:
        output.say(
            "no boxes: birdsearch index --regions bird boxes birds that are small in their photos, "
            "--regions FILE takes in boxes"
        )

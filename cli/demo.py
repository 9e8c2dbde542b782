"""The command demo: index, query and classify, on the sample photos that come with birdsearch or on your own."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birdsearch.errors import PhotoMissingError
from birdsearch.export.target import check_target, write_file

from . import output
from .classify import note_source
from .index import open_or_create
from .options import Force, Shared
from .progress import progress

if TYPE_CHECKING:
    from birdsearch.records import Photo

QUERIES = 6
ANSWERS = 6


def demo(
    photos: Annotated[Path | None, typer.Option(metavar="DIR", help="Your photos instead of the samples.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the files of the demo.")] = Path("demo"),
    force: Force = False,
) -> None:
    from birdsearch.export.html import pages
    from birdsearch.records import Filter

    if photos is None:
        folder = (out / "photos").absolute()
        output.say(f"Copying sample photos to {folder}")
        copy_samples(folder)
    else:
        folder = photos
        if not folder.is_dir():
            raise PhotoMissingError(f"no such folder: {folder}. Name the folder that holds your photos.")
    page = (out / "index.html").absolute()
    if page.parent.is_dir():
        check_target(page, force=force)  # before the work
    output.say(f"Indexing {folder}")
    with open_or_create(out / "index") as index:
        with progress() as callback:
            summary = index.add(folder, labels="folder" if photos is None else None, progress=callback)
        output.print_summary(summary)
        # The index may hold photos of an earlier demo: they stay out of these answers.
        here = Filter(under=str(folder.absolute()))
        queries = _spread(index.photos(here))
        if not queries:
            raise PhotoMissingError(f"no photos in {folder}. Name a folder that holds some.")
        results = [(photo.path, index.search(photo, k=ANSWERS, where=here)) for photo in queries]
        first, matches = results[0]
        output.say("")
        output.say(f"Which photos look like {first}?")
        output.print_matches(matches)
        output.say("")
        output.say("What does it show?")
        predictions = index.classify(first)
        output.print_predictions(predictions)
        shared = Shared(index=str(index.path))
        note_source("auto", [predictions], shared)
    output.write_page(page, pages.search_page(results, "Photos that look alike", origin=shared.origin), force)
    output.say("")
    output.say("A page with pictures, to open in a browser:")
    typer.echo(str(page))


def copy_samples(folder: Path) -> None:
    """The sample photos as `folder`/SPECIES/SPECIES NUMBER.jpg; those that exist stay untouched."""
    for species in (resources.files("birdsearch.cli") / "samples").iterdir():
        (folder / species.name).mkdir(parents=True, exist_ok=True)
        for photo in species.iterdir():
            path = folder / species.name / photo.name
            if not path.exists():
                write_file(path, photo.read_bytes())


def _spread(photos: "Sequence[Photo]") -> "list[Photo]":
    """A few photos from all over the folder."""
    step = max(len(photos) / QUERIES, 1)
    return [photos[int(position * step)] for position in range(min(QUERIES, len(photos)))]

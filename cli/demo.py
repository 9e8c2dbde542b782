"""The whole job in one command, on the sample photos that come with birdsearch or on your own."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birdsearch.errors import PhotoMissingError

from . import show
from .indexing import open_or_create
from .progress import progress

if TYPE_CHECKING:
    from birdsearch.records import Photo

QUESTIONS = 6
ANSWERS = 6


def demo(
    photos: Annotated[Path | None, typer.Option(metavar="DIR", help="Your photos instead of the samples.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the demo leaves its files.")] = Path("demo"),
) -> None:
    """Index photos, query them, classify one, and leave a page to look at; its path is printed last."""
    from birdsearch.export.html import pages
    from birdsearch.records import Filter

    if photos is None:
        folder = out / "photos"
        show.say(f"Copying sample photos to {folder}")
        copy_samples(folder)
    else:
        folder = photos
        if not folder.is_dir():
            raise PhotoMissingError(f"no folder {folder}. Name the folder that holds your photos.")
    show.say(f"Indexing {folder}")
    with open_or_create(out / "index", None) as index:
        with progress() as tell:
            summary = index.add(folder, labels="folder" if photos is None else None, progress=tell)
        show.print_summary(summary)
        asked = _spread(index.photos(Filter(under=str(folder.absolute()))))
        if not asked:
            raise PhotoMissingError(f"no photos in {folder}. Name a folder that holds some.")
        # Other folders may have been shown with the same demo index: they stay out of these answers.
        here = Filter(under=str(folder.absolute()))
        results = [(photo.path, index.search(photo, k=ANSWERS, where=here)) for photo in asked]
        first, matches = results[0]
        show.say("")
        show.say(f"Which photos look like {first}?")
        show.print_matches(matches)
        show.say("")
        show.say("What does it show?")
        show.print_predictions(index.classify(first))
    page = (out / "index.html").absolute()
    show.write_file(page, pages.search_page(results, "Photos that look alike"))
    show.say("")
    show.say("A page with pictures, to open in a browser:")
    typer.echo(str(page))


def copy_samples(folder: Path) -> None:
    """The sample photos as `folder`/SPECIES/SPECIES NUMBER.jpg; those that exist stay untouched."""
    for species in (resources.files("birdsearch.cli") / "samples").iterdir():
        (folder / species.name).mkdir(parents=True, exist_ok=True)
        for photo in species.iterdir():
            path = folder / species.name / photo.name
            if not path.exists():
                # A hidden name until it is whole: an interrupted demo leaves no half photo behind.
                unfinished = path.with_name(f".{path.name}")
                unfinished.write_bytes(photo.read_bytes())
                unfinished.replace(path)


def _spread(photos: "Sequence[Photo]") -> "list[Photo]":
    """A few photos from all over the folder."""
    step = max(len(photos) / QUESTIONS, 1)
    return [photos[int(position * step)] for position in range(min(QUESTIONS, len(photos)))]

"""Pictures that are taken in: an upload becomes a file in a folder of the index, and a photo with a label."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter, File, Form, Response, UploadFile

from birdsearch.errors import OutputFileError, PhotoUnknownError, PhotoUnreadableError
from birdsearch.photos import decode
from birdsearch.records import Progress, shown
from birdsearch.web.api.jobs import JobSeen, accepted, start_job
from birdsearch.web.api.questions import MOST_PIXELS
from birdsearch.web.api.work import Work
from birdsearch.web.serving import Held, Serving

router = APIRouter(tags=["photos"])

_LOOK = 64  # pixels: to see that it can be read
_LONGEST_NAME = 120  # characters: file systems take 255 octets


class TakeIn(Work):
    """Add a picture."""

    writes: ClassVar[bool] = True
    do: Literal["take in"] = "take in"
    path: str
    species: str | None

    def work(self, held: Serving, progress: Progress) -> Any:
        """Add the file, which is removed again where it cannot be, and label it; the result is the photo."""
        index = held.index
        try:
            report = index.add(self.path, progress=progress, between_commits=held.jobs.write_waiting)
            photo = index.find(self.path)
        except PhotoUnknownError:
            os.unlink(self.path)
            raise PhotoUnreadableError(f"the picture cannot be added: {report.failed[0].reason}") from None
        except BaseException:
            os.unlink(self.path)
            raise
        if self.species:
            index.label({photo.id or 0: self.species})
        return index.find(self.path)


@router.post("/photos", status_code=202, response_model=JobSeen)
def take_in(
    held: Held,
    image: Annotated[UploadFile, File()],
    folder: Annotated[
        str, Form(description="One of the folders of the index, as `info` names them, that lies in no store.")
    ],
    species: Annotated[str, Form(max_length=500, description="Its label; empty for none.")] = "",
) -> Response:
    """Write a picture into a folder of the index, add it and label it: a job, whose result is the photo."""
    folders = {shown(root): root for root in held.folders}
    if folder not in folders:
        there = f": {', '.join(map(repr, folders))}" if folders else ", none of which lies on this computer"
        raise ValueError(f"{folder!r} is not one of the folders of the index{there}.")
    data = image.file.read()
    decode.check_pixels(data, MOST_PIXELS)
    with held.state.turns:
        decode.picture(data, _LOOK)  # raises for what is no picture, before it lies among photos
    path = _written(data, Path(folders[folder]), image.filename or "")
    with _removed_unless_whole(path):
        return accepted(held, start_job(held, TakeIn(path=str(path), species=species.strip() or None)))


def _written(data: bytes, folder: Path, name: str) -> Path:
    """The upload as a new file of the folder, by its own name or, where that is taken, with a number behind it."""
    plain = re.sub(r"[\x00-\x1f\x7f<>:\"|?*]", "_", Path(name.replace("\\", "/")).name).lstrip(". ") or "picture.jpg"
    stem, suffix = Path(plain).stem[:_LONGEST_NAME], Path(plain).suffix[:10]
    for number in range(1, 10_000):
        path = folder / f"{stem}{f'-{number}' if number > 1 else ''}{suffix}"
        try:
            with open(path, "xb") as file, _removed_unless_whole(path):
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            continue
        except OSError as error:
            where = shown(str(folder))
            raise OutputFileError(f"the picture cannot be written into {where}: {error.strerror}") from error
        return path
    raise ValueError(f"{folder} holds ten thousand pictures named {plain}: give this one another name.")


@contextmanager
def _removed_unless_whole(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink()
        raise

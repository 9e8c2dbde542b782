"""The pictures of photos: small, large, and the file itself. A file is reached by the id of its photo alone."""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from birdsearch.records import Thumbnail
from birdsearch.web import problems
from birdsearch.web.api.asked import tags_of
from birdsearch.web.api.photos import PhotoId
from birdsearch.web.serving import ForbiddenError, Held

router = APIRouter(prefix="/photos/{photo_id}", tags=["pictures"])

# A picture that is opened by itself is a page of its own, of which nothing runs.
_ALONE = {"Content-Security-Policy": "sandbox; default-src 'none'"}
_SHOWN = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/avif")  # what browsers show, and runs nothing
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/webp": {}}}, 304: {"description": "Not changed"}, **problems.documented(410),
}  # fmt: skip

_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in _SHOWN}}, 206: {"description": "The part that was asked for"},
    304: {"description": "Not changed"}, 416: {"description": "There is no such part"}, **problems.documented(410),
}  # fmt: skip
_CHUNK = 1 << 18


@router.get("/thumbnail", response_class=Response, responses=_PICTURE)
def thumbnail(
    request: Request,
    held: Held,
    photo_id: PhotoId,
    size: Annotated[Literal["160", "320", "640"], Query(description="Pixels of the longer side.")] = "320",
    v: Annotated[str, Query(description="The start of the photo's sha256: then it may be kept for ever.")] = "",
) -> Response:
    """A small picture."""
    with held.state.decoding:
        return _picture(request, held.index.thumbnail(photo_id, int(size)), v)


@router.get("/preview", response_class=Response, responses=_PICTURE)
def preview(request: Request, held: Held, photo_id: PhotoId, v: str = "") -> Response:
    """A picture that fills a screen."""
    with held.state.decoding:
        return _picture(request, held.index.preview(photo_id), v)


def _picture(request: Request, made: Thumbnail, version: str) -> Response:
    for_ever = len(version) >= 8 and made.etag.startswith(version)
    headers = {
        **_ALONE, "ETag": f'"{made.etag}"',
        "Cache-Control": "private, max-age=31536000, immutable" if for_ever else "private, no-cache",
    }  # fmt: skip
    if headers["ETag"] in tags_of(request):
        return Response(status_code=304, headers=headers)
    return Response(made.bytes, media_type=made.type, headers=headers)


@router.get("/file", response_class=Response, responses=_FILE)
def file(request: Request, held: Held, photo_id: PhotoId) -> Response:
    """The photo's own file, whole or a part of it (`Range`); a large picture of one that browsers do not show."""
    if not held.sees_all:
        raise ForbiddenError("this key may see previews: the files hold where the photos were taken.")
    found = held.index.original(photo_id)
    if found.type not in _SHOWN:
        return preview(request, held, photo_id)
    headers = {**_ALONE, "ETag": f'"{found.etag}"', "Cache-Control": "private, no-cache", "Accept-Ranges": "bytes"}
    if headers["ETag"] in tags_of(request):
        return Response(status_code=304, headers=headers)
    opened = held.index.open_original(photo_id)
    size = opened.seek(0, os.SEEK_END)
    part = _part(request.headers.get("range", ""), size)
    if part is None:
        opened.close()
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    status = 200 if part == range(size) else 206
    headers["Content-Length"] = str(len(part))
    if status == 206:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return StreamingResponse(_chunks(opened, part), status, headers, media_type=found.type)


def _part(asked: str, size: int) -> range | None:
    """The octets that a Range header asks for; all of them where it asks for several parts; None for no such part."""
    single = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", asked.strip())
    if single is None or not any(single.groups()):
        return range(size)
    first, last = single.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    return range(start, stop) if start < stop else None


def _chunks(opened: BinaryIO, part: range) -> Iterator[bytes]:
    with closing(opened):
        opened.seek(part.start)
        left = len(part)
        while left and (chunk := opened.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk

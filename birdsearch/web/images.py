"""The pictures of photos: small, large, and the file itself. A file is reached by the id of its photo alone."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from birdsearch.errors import PhotoMissingError
from birdsearch.photos import decode
from birdsearch.records import Photo
from birdsearch.web.api.asked import tags_of
from birdsearch.web.api.photos import PhotoId
from birdsearch.web.serving import Held

router = APIRouter(prefix="/photos/{photo_id}", tags=["pictures"])

PREVIEW = 1600  # pixels of the longer side
_PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/webp": {}, "image/jpeg": {}}}}


@router.get("/thumbnail", response_class=Response, responses=_PICTURE)
def thumbnail(
    request: Request,
    held: Held,
    photo_id: PhotoId,
    size: Annotated[Literal["160", "320", "640"], Query(description="Pixels of the longer side.")] = "320",
) -> Response:
    """A small picture; with `v` in the address, which is the start of the photo's sha256, it may be kept for ever."""
    return _picture(request, held.index.photo(photo_id), int(size))


@router.get("/preview", response_class=Response, responses=_PICTURE)
def preview(request: Request, held: Held, photo_id: PhotoId) -> Response:
    """A picture that fills a screen."""
    return _picture(request, held.index.photo(photo_id), PREVIEW)


def _picture(request: Request, photo: Photo, size: int) -> Response:
    tag = f'"{(photo.sha256 or "")[:16]}-{size}"'
    kept = request.query_params.get("v", " ") == (photo.sha256 or "")[:16]
    headers = {
        "ETag": tag, "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, max-age=31536000, immutable" if kept else "private, no-cache",
    }  # fmt: skip
    if tag in tags_of(request):
        return Response(status_code=304, headers=headers)
    (data,) = decode.thumbnails([photo.path], size)
    if data is None:
        raise PhotoMissingError(f"the file of photo {photo.id} is missing or unreadable")
    return Response(data, media_type="image/jpeg", headers=headers)

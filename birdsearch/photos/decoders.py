"""Decoders: the bytes of a photo -> an image in Pillow's terms. To add a format write a class and register it."""

import io
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Protocol, cast

from PIL import Image, ImageFile

from birdsearch.photos.containers import tiff_directory
from birdsearch.photos.scan import NotAPhotoError


class Decoder(Protocol):
    """Reads the photos of one format."""

    def open(self, data: bytes) -> Image.Image:
        """The first frame; `load` may decode its pixels later, `getexif` and `info["xmp"]` give what was written.

        Raises NotAPhotoError where the file is something else, and any other error where it is broken.
        """


@dataclass(frozen=True, slots=True)
class PillowDecoder:
    """An image class that Pillow, or an addition to it, would register.

    It is called without Image.open, whose limit on pixels is one number for the whole process and half of what a
    panorama needs; so the user's own setting stays as it is, and HEIF need not be registered with their Pillow.
    """

    module: str  # imported at the first photo of its kind
    name: str

    def open(self, data: bytes) -> Image.Image:
        """The image; a broken header is an error of any kind."""
        return _image_class(self.module, self.name)(io.BytesIO(data), "")


class TiffDecoder(PillowDecoder):
    """TIFF, which many cameras' RAW files call themselves too."""

    def open(self, data: bytes) -> Image.Image:
        """The image; NotAPhotoError for a camera's."""
        if _is_raw(data):
            raise NotAPhotoError("camera RAW")
        return PillowDecoder.open(self, data)


@cache
def _image_class(module: str, name: str) -> type[ImageFile.ImageFile]:
    return cast("type[ImageFile.ImageFile]", getattr(import_module(module), name))


def _is_raw(data: bytes) -> bool:
    """Whether a TIFF is a camera's: it says so (DNG), holds sensor values, or is a thumbnail of what lies deeper."""
    tags = tiff_directory(data)
    kind, colours = (tags.get(tag, (None,))[0] for tag in (0x00FE, 0x0106))
    is_thumbnail = kind == 1 and 0x014A in tags and 0x010F in tags
    return 0xC612 in tags or colours in (32803, 34892) or is_thumbnail


# Format, as photos/filetype.py names it -> what reads it.
DECODERS: dict[str, Decoder] = {
    "JPEG": PillowDecoder("birdsearch.photos.jpeg", "JpegImage"),
    "PNG": PillowDecoder("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": PillowDecoder("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": TiffDecoder("birdsearch.photos.tiff", "TiffImage"),
    "GIF": PillowDecoder("PIL.GifImagePlugin", "GifImageFile"),
    "BMP": PillowDecoder("PIL.BmpImagePlugin", "BmpImageFile"),
    "AVIF": PillowDecoder("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": PillowDecoder("pi_heif", "HeifImageFile"),
    "JPEG2000": PillowDecoder("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PPM": PillowDecoder("PIL.PpmImagePlugin", "PpmImageFile"),
}

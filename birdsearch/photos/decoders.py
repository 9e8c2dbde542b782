"""Decoders: the bytes of a photo -> an image in Pillow's terms. To add a format write a class and register it."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Protocol, cast

from PIL import Image, ImageFile

from birdsearch.photos.bare import bare_jpeg, bare_media, bare_png, bare_tiff, bare_webp
from birdsearch.photos.containers import riff_chunks, tiff_directory
from birdsearch.photos.filetype import RAW_FORMATS
from birdsearch.photos.items import MediaItems


class Decoder(Protocol):
    """Reads the photos of one format."""

    def open(self, data: bytes, shortest: int = 0) -> Image.Image:
        """The first frame; `load` may decode its pixels later, `getexif` and `info["xmp"]` give what was written.

        Where a file holds one picture several times it is one whose shorter side has `shortest` pixels.
        Raises an error of any kind where the file is broken.
        """


@dataclass(frozen=True, slots=True)
class PillowDecoder:
    """An image class that Pillow, or an addition to it, would register.

    It is called without Image.open, whose limit on pixels is one number for the whole process and half of what a
    panorama needs; so the user's own setting stays as it is, and HEIF need not be registered with their Pillow.
    """

    module: str  # imported at the first photo of its kind
    name: str
    bare: Callable[[bytes], bytes] = bytes  # leaves out what is broken beside the picture

    def open(self, data: bytes, shortest: int = 0) -> Image.Image:
        """The image; a broken header is an error of any kind."""
        make = _image_class(self.module, self.name)
        try:
            return make(io.BytesIO(data), "")
        except Exception:
            bare = self.bare(data)
            if bare == data:
                raise
            return make(io.BytesIO(bare), "")


class WebpDecoder(PillowDecoder):
    """WebP, whose header does not always tell that EXIF and XMP follow."""

    def open(self, data: bytes, shortest: int = 0) -> Image.Image:
        """The image, with its EXIF and XMP."""
        image = PillowDecoder.open(self, data)
        for chunk in riff_chunks(data):
            if chunk.name in (b"EXIF", b"XMP "):
                image.info.setdefault(chunk.name.decode().strip().lower(), data[chunk.start : chunk.end])
        return image


class MediaDecoder(PillowDecoder):
    """AVIF and HEIF, whose EXIF is found where the offset before it is wrong."""

    def open(self, data: bytes, shortest: int = 0) -> Image.Image:
        """The image, with its EXIF."""
        image = PillowDecoder.open(self, data)
        block = image.info.get("exif") or b""
        if not tiff_directory(block.removeprefix(b"Exif\0\0")) and (found := MediaItems.of(data).exif()):
            image.info["exif"] = found
        return image


@cache
def _image_class(module: str, name: str) -> type[ImageFile.ImageFile]:
    return cast("type[ImageFile.ImageFile]", getattr(import_module(module), name))


@dataclass(frozen=True, slots=True)
class RawDecoder:
    """The RAW files of one format; what reads them is imported at the first."""

    format: str

    def open(self, data: bytes, shortest: int = 0) -> Image.Image:
        """The largest JPEG in it whose shorter side has so many pixels, else what the sensor saw."""
        return cast("Image.Image", import_module("birdsearch.photos.raw").opened(data, self.format, shortest))


# Format, as photos/filetype.py names it -> what reads it.
DECODERS: dict[str, Decoder] = {
    "JPEG": PillowDecoder("birdsearch.photos.jpeg", "JpegImage", bare_jpeg),
    "PNG": PillowDecoder("PIL.PngImagePlugin", "PngImageFile", bare_png),
    "WEBP": WebpDecoder("PIL.WebPImagePlugin", "WebPImageFile", bare_webp),
    "TIFF": PillowDecoder("birdsearch.photos.tiff", "TiffImage", bare_tiff),
    "GIF": PillowDecoder("PIL.GifImagePlugin", "GifImageFile"),
    "BMP": PillowDecoder("PIL.BmpImagePlugin", "BmpImageFile"),
    "AVIF": MediaDecoder("PIL.AvifImagePlugin", "AvifImageFile", bare_media),
    "HEIF": MediaDecoder("pi_heif", "HeifImageFile", bare_media),
    "JPEG2000": PillowDecoder("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PPM": PillowDecoder("PIL.PpmImagePlugin", "PpmImageFile"),
    **{format: RawDecoder(format) for format in RAW_FORMATS},
}

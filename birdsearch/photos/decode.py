"""Decoding: a photo's bytes -> its Photo and its pixels."""

import io
import os
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from birdsearch.cache import stamp_of
from birdsearch.errors import BoxOutsideError, PhotoError, PhotoMissingError, PhotoUnreadableError, missing_file_error
from birdsearch.files import absolute, is_url
from birdsearch.photos import contents, damage, memory, metadata, rgb
from birdsearch.photos.contents import Contents
from birdsearch.photos.decoders import DECODERS
from birdsearch.photos.exif import describe
from birdsearch.photos.filetype import identify
from birdsearch.photos.memory import CostlyError
from birdsearch.photos.overlap import overlapped
from birdsearch.photos.scan import FileBytes, FoundFile, NotAPhotoError, read, require_photo
from birdsearch.records import Box, Photo, Pixels, Region, shown

MAX_PIXELS = 500_000_000  # of one picture, a guess: panoramas of 200 megapixels pass, decompression bombs do not

_GAP = 1.5  # times the pixels that a finder sees: what has more is averaged to so many first, which is quicker
_ENLARGED = 4  # times that a finder sees a pixel of a part enlarged, at most
_ANY = 2**30  # pixels of a side that no picture has: it is decoded in full
THUMBNAILS_AHEAD = 256  # that wait for those before them

ImageLike = str | os.PathLike[str] | bytes | bytearray | memoryview | Photo | Image.Image | npt.NDArray[Any] | BinaryIO

_KINDS = "a path, the bytes of a file, an open file, a Pillow image, a numpy array or a Photo"


@dataclass(frozen=True, slots=True)
class Upright:
    """A picture upright and in RGB, as far as it was decoded: as a finder sees it, and parts of it can be cut out."""

    whole: Pixels  # (height, width, 3), squashed to the size of the finder
    _image: Image.Image
    _reduced: bool  # the file holds more pixels

    def shows(self, box: Box, size: tuple[int, int]) -> bool:
        """Whether a decode of more pixels would not show more of a box to a network of this size."""
        left, upper, right, lower = box.seen(*self._image.size)
        return not self._reduced or max(right - left, lower - upper) >= max(size)

    def around(self, box: Box, times: float) -> tuple[Box, Pixels]:
        """The square of so many times the longer side of a box, as far as the picture goes, as the finder sees it.

        It does not get so small that the finder would see each pixel as more than a few.
        """
        (across, down), (height, width) = self._image.size, self.whole.shape[:2]
        side = max(times * max(box.width * across, box.height * down), max(height, width) / _ENLARGED)
        wide, tall = min(side, across), min(side, down)
        left = min(max(0.0, (box.x + box.width / 2) * across - wide / 2), across - wide)
        upper = min(max(0.0, (box.y + box.height / 2) * down - tall / 2), down - tall)
        edges = round(left), round(upper), round(left + wide), round(upper + tall)
        shares = edges[0] / across, edges[1] / down, (edges[2] - edges[0]) / across, (edges[3] - edges[1]) / down
        return Box(*shares), _seen_by_finder(self._image.crop(edges), (height, width))

    def crop(self, box: Box, size: tuple[int, int]) -> Pixels:
        """What a network of this size sees for a box in shares (`Box.seen`)."""
        return _squashed(self._image.crop(box.seen(*self._image.size)), size)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A photo with everything known of it but its id, and its pixels."""

    photo: Photo
    pixels: Pixels  # (height, width, 3), squashed to the size that was asked for
    upright: Upright | None = None  # where it was asked for
    found_by: str | None = None  # the finder that has searched it for small birds...
    parts: tuple[tuple[Region, Pixels], ...] = ()  # ...and those that are to get a vector, cut out


# Decoding -----------------------------------------------------------------------------------------------------------


def decode(
    data: bytes,
    photo: Photo,
    size: tuple[int, int],
    format: str | None = None,
    *,
    upright: tuple[int, int] | None = None,
    most: int | None = None,
) -> Decoded:
    """A file's bytes as pixels of (height, width), and the photo with all that is written in the file.

    `format` is that of FileBytes; without it the bytes and the photo's path decide. With `upright`, the size of a
    finder, the same decode gives it what it sees.
    Raises PhotoUnreadableError, whose text is the bare reason ("truncated JPEG"), NotAPhotoError, or CostlyError where
    the decode would take more than `most` bytes of memory.
    """
    format = format or _format_of(data, photo.path)
    least = 2 * max(size)
    more = max(2 * max(upright or size), least)
    with opened(data, format, max(size)) as image:
        full = image.size
        image.draft(None, (more, more))
        reduced = image.size != full
        with memory.room(image, format, data, most):
            image.load()
            orientation = metadata.orientation(image)
            oriented = rgb.upright(image, orientation, more)
            known = describe(photo, metadata.of(image, data))
            kept = None if upright is None else _kept(oriented, more, upright, full)
            if more > least and (reduced or max(oriented.size) < max(image.size)):
                # By halves, as the decoder of a JPEG would have made it smaller: a frame is the same either way.
                oriented = oriented.reduce(1 << (max(1, min(oriented.size) // least).bit_length() - 1))
            pixels, hashed = _squashed(oriented, size), phash(oriented)
            damaged = damage.of(image, data, format)
        # A TIFF is rotated by its decoder, others may learn their size while they are decoded.
        width, height = getattr(image, "sensor_size", full if reduced else image.size)
        rendered = getattr(image, "rendered", "file")
    if orientation in rgb.SIDEWAYS:
        width, height = height, width
    photo = replace(known, phash=hashed, width=width, height=height, format=format, rendered=rendered, damaged=damaged)
    return Decoded(photo, pixels, kept)


def written(file: FileBytes) -> Photo:
    """The photo with all that is written in its file, of whose pixels nothing is decoded where that can be had.

    Raises as `decode` does.
    """
    with opened(file.data, file.format) as image:
        if file.format == "PNG":  # it may be written behind the pixels
            with memory.room(image, file.format, file.data):
                image.load()
        return describe(file.photo, metadata.of(image, file.data))


def _kept(oriented: Image.Image, least: int, size: tuple[int, int], full: tuple[int, int]) -> Upright:
    """A picture to be kept in memory for a while: one of many pixels is made smaller, as a JPEG's decoder does."""
    if (factor := min(oriented.size) // least) > 1:
        oriented = oriented.reduce(factor)
    return Upright(_seen_by_finder(oriented, size), oriented, max(oriented.size) < max(full))


def _seen_by_finder(image: Image.Image, size: tuple[int, int]) -> Pixels:  # (height, width, 3)
    height, width = size
    return np.array(image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=_GAP), dtype=np.uint8)


def _format_of(data: bytes, path: str) -> str:
    return require_photo(identify(data, path))


@contextmanager
def opened(data: bytes, format: str, shortest: int = 0) -> Iterator[Image.Image]:
    """The image in these bytes, first frame; any error with it inside the block becomes PhotoUnreadableError.

    `shortest` as Decoder.open takes it.
    """
    with _translated_errors(format), _quiet():
        image = DECODERS[format].open(data, shortest)
        if image.width * image.height > MAX_PIXELS:
            most = f"more than the {MAX_PIXELS // 10**6} megapixels that are decoded"
            raise PhotoUnreadableError(f"{image.width} x {image.height} pixels, {most}")
        yield image


@contextmanager
def opened_file(path: str | os.PathLike[str]) -> Iterator[tuple[Image.Image, FileBytes]]:
    """The image in a photo's file, first frame, and the file. Raises PhotoError, also where it is no photo any more."""
    file = file_of(path)
    with opened(file.data, file.format) as image:
        yield image, file


def file_of(path: str | os.PathLike[str]) -> FileBytes:
    """A photo's file, all of it. Raises PhotoError, also where it is no photo any more."""
    try:
        return _file_bytes(os.fspath(path))
    except NotAPhotoError as error:
        raise PhotoUnreadableError(str(error)) from error


# How the decoders say that a file ends too early; struct's unpack_from is what Pillow lets through.
_CUT_OFF = ("truncat", "unexpected end", "not enough data", "premature", "unpack_from requires", "size too small")


# How they say that a file is of a kind which they do not know: it may be whole.
_UNKNOWN_KIND = ("unsupported", "not supported", "not been built in", "unknown pixel mode", "unknown data organization")


@contextmanager
def _translated_errors(format: str) -> Iterator[None]:
    try:
        yield
    except (PhotoUnreadableError, NotAPhotoError, CostlyError):
        raise
    except MemoryError as error:
        raise PhotoUnreadableError(f"not enough memory to decode this {format}") from error
    # Pillow answers a stranger's file with OSError, SyntaxError, ValueError, struct.error, RecursionError and more.
    except Exception as error:
        words = " ".join(str(error).split())
        if any(sign in words.lower() for sign in _CUT_OFF):
            raise PhotoUnreadableError(f"truncated {format}") from error
        if any(sign in words.lower() for sign in _UNKNOWN_KIND):
            raise PhotoUnreadableError(f"unsupported {format} ({words})"[:300]) from error
        detail = "" if not words or "by this driver" in words else f" ({words})"
        raise PhotoUnreadableError(f"broken {format}{detail}"[:300]) from error


class _Quiet(threading.local):
    """A filter that ignores the warnings of those threads that are reading a photo, and of no others.

    Photos are decoded in several threads. `warnings.catch_warnings` swaps one list for all threads (Python 3.11 to
    3.13; in 3.14 unless `sys.flags.context_aware_warnings` is set, which only the free-threaded build does; November
    2026), and under -W error Pillow's remark about a tag would cost the photo. A filter may be any tuple whose second
    item has a `match`: this one is true in the threads that are reading.
    """

    reading = False

    def match(self, _message: str) -> bool:
        return self.reading


_QUIET = _Quiet()
_QUIET_FILTER = ("ignore", _QUIET, Warning, None, 0)


@contextmanager
def _quiet() -> Iterator[None]:
    filters = cast("list[Any]", warnings.filters)
    if not filters or filters[0] is not _QUIET_FILTER:  # another one was put in front since, or a new list
        filters.insert(0, _QUIET_FILTER)
    before, _QUIET.reading = _QUIET.reading, True
    try:
        yield
    finally:
        _QUIET.reading = before


def phash(image: Image.Image) -> str:
    """The 64-bit perceptual hash of an upright RGB image, as 16 hex digits."""
    import imagehash

    # The hash looks at 32 x 32 grey pixels: from a quick reduction to some 96 it is the same within a bit or two.
    return str(imagehash.phash(image.convert("L").reduce(max(1, min(image.size) // 96))))


def _squashed(image: Image.Image, size: tuple[int, int]) -> Pixels:
    """(height, width, 3), aspect not kept: bit for bit what torchvision's Resize makes of it in birder's pipeline."""
    height, width = size
    return np.array(image.resize((width, height), Image.Resampling.BICUBIC), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class _Whole:
    """A picture upright and in RGB."""

    picture: Image.Image
    stored: tuple[int, int]  # pixels that it has in the file
    shown: tuple[int, int] | None = None  # in which boxes count, where those are not the picture's own: of a camera RAW


# Images given by a user ---------------------------------------------------------------------------------------------


def load(image: ImageLike, size: tuple[int, int], box: Box | None = None) -> Pixels:
    """Any picture as pixels of (height, width): a path, a file's bytes, an open file, a Pillow image, array or Photo.

    An open file is read from where it stands. Arrays are (h, w), (h, w, 3) or (h, w, 4), of uint8, uint16 or floats
    from 0 to 1. With a `box` only what a network sees for it; see `crops`.
    """
    if box is not None:
        cut: Pixels = crops(image, [box], size)[0]
        return cut
    return _squashed(_image(image, 2 * max(size), max(size)).picture, size)


def upright(image: ImageLike, size: tuple[int, int]) -> Upright:
    """Any picture for a finder that sees it at this size."""
    least = 2 * max(size)
    whole = _image(image, least)
    return _kept(whole.picture, least, size, whole.stored)


def crops(image: ImageLike, boxes: Sequence[Box], size: tuple[int, int]) -> Pixels:  # (n, height, width, 3)
    """What a network sees for boxes of any picture (`Box.seen`), cut out of it before it is made small.

    Raises BoxOutsideError for a box in pixels that lies beyond the picture.
    """
    whole = _image(image, _least(boxes, max(size)), max(size))
    return np.stack([_squashed(_cut(whole, box, image), size) for box in boxes])


def crop(image: ImageLike, box: Box, longest: int) -> Pixels:
    """What a network sees for a box of any picture, with its aspect; not much smaller than `longest` if it is larger.

    Raises BoxOutsideError as `crops` does.
    """
    return np.array(_cut(_image(image, _least([box], longest)), box, image), dtype=np.uint8)


def _least(boxes: Sequence[Box], longest: int) -> int:
    """How many pixels of a side must be decoded for `longest` of each box to be told apart."""
    if any(box.pixels for box in boxes):
        return _ANY  # they count in the whole picture
    return int(2 * longest / min(max(box.width, box.height) for box in boxes)) + 1


def _cut(whole: _Whole, box: Box, image: ImageLike) -> Image.Image:
    try:
        return whole.picture.crop(box.in_shares(*(whole.shown or whole.picture.size)).seen(*whole.picture.size))
    except ValueError as error:
        raise BoxOutsideError(f"{_name(image)}: {error}") from error


def shown_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a photo's file as it is shown. Raises PhotoError."""
    with opened_file(path) as (image, _):
        return _shown_size(image)


def _shown_size(image: Image.Image) -> tuple[int, int]:
    """Of a camera RAW the pixels of the sensor."""
    width, height = getattr(image, "sensor_size", image.size)
    return (height, width) if metadata.orientation(image) in rgb.SIDEWAYS else (width, height)


def check_pixels(data: bytes, most: int) -> None:
    """Raises PhotoUnreadableError for a picture of more pixels; a JPEG is decoded to fewer than it has.

    Of what cannot be read at all its decoding will tell.
    """
    pixels = 0
    with suppress(PhotoUnreadableError, NotAPhotoError), opened(data, format := _format_of(data, "")) as image:
        pixels = image.width * image.height if format != "JPEG" else 0
    if pixels > most:
        size = f"{pixels / 1e6:.0f} megapixels"
        raise PhotoUnreadableError(f"the picture has {size}, more than {most // 10**6}: make it smaller first.")


def picture(image: ImageLike, longest: int = 1024) -> Pixels:
    """Any picture upright, in RGB and with its aspect, no side longer than `longest`; a smaller one keeps its size."""
    return np.array(_fitted(_image(image, 2 * longest).picture, longest), dtype=np.uint8)


def thumbnail(image: ImageLike | FileBytes, longest: int = 256, format: str = "JPEG") -> bytes:
    """Any picture as a small file, "JPEG" or "WEBP"; no side is longer than `longest`."""
    # A JPEG is decoded to just as much: twice the sides take three times as long, and nobody sees it.
    return _encoded(_fitted(_image(image, longest).picture, longest), format)


def _fitted(whole: Image.Image, longest: int) -> Image.Image:
    scale = longest / max(whole.size)
    if scale >= 1:
        return whole
    width, height = (max(1, round(side * scale)) for side in whole.size)
    return whole.resize((width, height), Image.Resampling.BICUBIC)


def thumbnails(paths: Iterable[str], longest: int = 256) -> Iterator[bytes | None]:
    """The thumbnails of many files, in their order; None for a file that cannot be shown."""

    def one(path: str) -> bytes | None:
        try:
            return thumbnail(path, longest)
        except PhotoError:
            return None

    return overlapped(paths, one, ahead=THUMBNAILS_AHEAD)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What decides whether two files show the same, and whether one of them holds more."""

    pixels: str  # the sha256 of a picture's size and every pixel, upright, in 8-bit RGB
    contents: Contents

    def as_json(self) -> dict[str, Any]:
        """The fingerprint in JSON's types."""
        return {"pixels": self.pixels, "contents": asdict(self.contents) | {"extras": sorted(self.contents.extras)}}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """What `as_json` gave."""
        known = stored["contents"]
        return cls(stored["pixels"], Contents(**{**known, "extras": frozenset(map(tuple, known["extras"]))}))


def fingerprint(path: str | os.PathLike[str]) -> Fingerprint:
    """The fingerprint of a file: equal ones differ in metadata and container only. Raises PhotoError."""
    with opened_file(path) as (image, file):
        known = contents.of(image, file.data, file.format)
        with memory.room(image, file.format, file.data):
            image.load()
            pixels, samples = rgb.sha256(image, metadata.orientation(image)), rgb.samples_sha256(image)
        if not samples and known.bits > 8:  # Pillow has reduced them: the coded data stand for them
            samples = contents.coded_sha256(file.data, file.format)
    return Fingerprint(pixels, replace(known, samples=samples))


def encode(pixels: Pixels, format: str = "PNG") -> bytes:
    """Pixels (h, w, 3) as the bytes of an image file."""
    return _encoded(Image.fromarray(pixels), format)


# WebP is 20 % smaller than JPEG; a higher method takes twice as long and saves 3 % more.
_SETTINGS = {"JPEG": {"quality": 85}, "WEBP": {"quality": 80, "method": 2}}


def _encoded(image: Image.Image, format: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **_SETTINGS.get(format, {}))
    return buffer.getvalue()


def stamp(files: Iterable[Path] = (), facts: Iterable[str] = ()) -> str:
    """The stamp of everything that decoded pixels depend on, and of these files and facts besides."""
    decoding = Path(__file__).parent.glob("*.py")
    libraries = (f"{name} {version(name)}" for name in ("birdsearch", "pillow", "pi-heif", "simplejpeg", "rawpy"))
    return stamp_of((*decoding, *files), (*libraries, *facts))


def _image(image: ImageLike | FileBytes, least: int, shortest: int = 0) -> _Whole:
    """A user's image; errors name it and say what to do. `shortest` as Decoder.open takes it."""
    if isinstance(image, np.ndarray):
        whole = rgb.rgb(_from_array(image))
        return _Whole(whole, whole.size)
    path, name = image.path if isinstance(image, Photo) else image, _name(image)
    try:
        if isinstance(path, Image.Image):
            with _translated_errors(path.format or "image"), _quiet():
                path.load()
                return _Whole(rgb.upright(path, metadata.orientation(path)), path.size)
        if isinstance(path, FileBytes):
            data, format = path.data, path.format
        elif isinstance(path, bytes | bytearray | memoryview) or hasattr(path, "read"):
            data = _given_bytes(path)
            format = _format_of(data, "")
        elif isinstance(path, str | os.PathLike):
            file = _file_bytes(os.fspath(path))
            data, format = file.data, file.format
        else:
            raise TypeError(f"a picture must be {_KINDS}, not a {type(image).__name__}")
        with opened(data, format, shortest) as stored:
            full, shown = stored.size, _shown_size(stored) if hasattr(stored, "sensor_size") else None
            stored.draft(None, (least, least))
            with memory.room(stored, format, data):
                stored.load()
                return _Whole(rgb.upright(stored, metadata.orientation(stored), least), full, shown)
    except NotAPhotoError as error:
        hint = "Name a JPEG, PNG, TIFF, HEIC, RAW... file."
        raise PhotoUnreadableError(f"cannot use {name}: {error.reason}. {hint}") from error
    except PhotoUnreadableError as error:
        raise PhotoUnreadableError(f"cannot use {name}: {error}. Try another copy of it.") from error


def _name(image: ImageLike | FileBytes) -> str:
    """What messages call a picture."""
    image = image.photo if isinstance(image, FileBytes) else image
    path = image.path if isinstance(image, Photo) else image
    return shown(os.fspath(path)) if isinstance(path, str | os.PathLike) else "this picture"


def _given_bytes(image: Any) -> bytes:
    """The bytes that a user gave, or those of an open file, an upload or any other object with `read`."""
    if isinstance(image, io.TextIOBase):
        raise TypeError(f"a {type(image).__name__} gives text and not bytes: open the file in binary mode ('rb')")
    data = image.read() if hasattr(image, "read") else image
    if hasattr(image, "read") and data == b"":
        raise NotAPhotoError("nothing is left to read in it; where it was read before, call its seek(0) first")
    if not isinstance(data, bytes | bytearray | memoryview):
        kind = type(image).__name__
        if hasattr(data, "__await__"):
            getattr(data, "close", lambda: None)()  # else Python warns that nobody waited for it
            raise TypeError(f"the read() of a {kind} must be awaited: give its bytes, `await file.read()`")
        raise TypeError(f"a {kind} gives {type(data).__name__} and not bytes: open the file in binary mode ('rb')")
    return bytes(data)


def _file_bytes(path: str) -> FileBytes:
    """A file that a user named."""
    if is_url(path):
        return _object_bytes(path)
    if not path:
        raise PhotoMissingError("the path of the photo is empty: name a file")
    try:
        return read(FoundFile(os.fsencode(os.path.abspath(path))))
    except PhotoMissingError as error:
        raise missing_file_error(path, "file") from error
    except ValueError as error:  # a NUL, or half a character: it came from outside
        raise PhotoMissingError(f"{path!r:.200} cannot be the path of a file") from error
    except NotAPhotoError:
        if os.path.isdir(path):
            raise NotAPhotoError("a folder, which `birdsearch index` takes") from None
        raise


def _object_bytes(url: str) -> FileBytes:
    """A photo in a store or on the web that a user named, or that an index holds."""
    try:
        return read(FoundFile(absolute(url)))
    except PhotoMissingError as error:
        raise PhotoMissingError(
            f"nothing lies at {shown(url)}: it is no longer there, or the name is another"
        ) from error
    except PhotoUnreadableError as error:
        raise PhotoMissingError(
            f"{shown(url)} cannot be read: {error}; or download the picture and name the file"
        ) from error


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    """An array of pixels (h, w), (h, w, 3) or (h, w, 4) as a Pillow image."""
    shape = array.shape
    if array.ndim == 3 and shape[0] in (1, 3, 4) and shape[2] not in (3, 4):
        raise ValueError(f"channels come last: got shape {shape}; np.moveaxis(array, 0, -1) turns it round")
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (3, 4)) or 0 in shape:
        raise ValueError(f"a picture is an array of shape (h, w), (h, w, 3) or (h, w, 4), not {shape}")
    if array.dtype == np.uint16:
        array = np.rint(array / 257)
    elif np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ValueError("an array of floats holds values from 0 to 1; use uint8 for 0 to 255")
        array = np.rint(array.astype(np.float32) * 255)
    elif array.dtype != np.uint8:
        raise ValueError(f"a picture is an array of uint8, uint16 or floats from 0 to 1, not of {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array, dtype=np.uint8))

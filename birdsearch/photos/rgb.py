"""Any stored picture as upright 8-bit RGB, strip by strip, so that a large one takes little memory besides itself."""

import hashlib
from collections.abc import Iterator
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image

PIXELS_AT_ONCE = 16_000_000  # a picture of more is converted in strips...
STRIP = 4_000_000  # ...of about so many pixels

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = frozenset((5, 6, 7, 8))  # orientations that swap width and height
_FROM_BELOW = frozenset((3, 4, 7, 8))  # orientations whose first row is stored as the last row or column
_Range = tuple[float, float]  # the values that become 0 and 255


def upright(image: Image.Image, orientation: int, least: int | None = None) -> Image.Image:
    """A loaded image in RGB, as the photographer held the camera.

    Pixels are taken as sRGB: birder's networks were trained on photos without regard to their colour profiles. A large
    picture may come out smaller, with no side below `least` pixels, as a JPEG does that is decoded smaller.
    """
    strips = _strips(image, orientation, factor := max(1, min(image.size) // least) if least is not None else 1)
    if image.width * image.height <= PIXELS_AT_ONCE:
        return next(strips)
    width, height = reversed(image.size) if orientation in SIDEWAYS else image.size
    whole, top = Image.new("RGB", (-(-width // factor), -(-height // factor))), 0
    for strip in strips:
        reduced = strip.reduce(factor)
        whole.paste(reduced, (0, top))
        top += reduced.height
    return whole


def sha256(image: Image.Image, orientation: int) -> str:
    """The sha256 of a loaded image's size and every pixel, upright and in RGB."""
    width, height = reversed(image.size) if orientation in SIDEWAYS else image.size
    digest = hashlib.sha256(repr((width, height)).encode())
    for strip in _strips(image, orientation, 1):
        digest.update(strip.tobytes())
    return digest.hexdigest()


def samples_sha256(image: Image.Image) -> str:
    """The sha256 of a loaded image's pixels as they are stored; empty where 8-bit RGB shows all of them."""
    if not (is_deep(image) or image.mode in ("CMYK", "LAB") or image.has_transparency_data):
        return ""
    digest = hashlib.sha256(image.mode.encode())
    rows = max(1, STRIP // image.width)
    for start in range(0, image.height, rows):
        digest.update(image.crop((0, start, image.width, min(start + rows, image.height))).tobytes())
    return digest.hexdigest()


def _strips(image: Image.Image, orientation: int, factor: int) -> Iterator[Image.Image]:
    """The rows of the upright picture in RGB, a multiple of `factor` at a time; one strip of an ordinary picture."""
    values = _values(image)
    turn = _TRANSPOSE.get(orientation)
    if image.width * image.height <= PIXELS_AT_ONCE:
        whole = _rgb(image, values)
        yield whole if turn is None else whole.transpose(turn)
        return
    across, along = reversed(image.size) if orientation in SIDEWAYS else image.size
    step = max(1, STRIP // across // factor) * factor
    for top in range(0, along, step):
        ends = top, min(top + step, along)
        start, end = (along - ends[1], along - ends[0]) if orientation in _FROM_BELOW else ends
        box = (start, 0, end, across) if orientation in SIDEWAYS else (0, start, across, end)
        strip = _rgb(image.crop(box), values)
        yield strip if turn is None else strip.transpose(turn)


def rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB: more than 8 bits are scaled, what is transparent lies on white."""
    return _rgb(image, _values(image))


def _rgb(image: Image.Image, values: _Range | None) -> Image.Image:
    if values is not None:
        low, high = values
        scaled = (_numbers(image) - low) * (255 / max(high - low, 1e-9))
        return Image.fromarray(np.rint(scaled).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "LAB":
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return cast("Image.Image", ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB"))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def is_deep(image: Image.Image) -> bool:
    """Whether an image has greys of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _numbers(image: Image.Image) -> npt.NDArray[np.float32]:
    return np.nan_to_num(np.asarray(image).astype(np.float32), copy=False, posinf=0, neginf=0)


def _values(image: Image.Image) -> _Range | None:
    """What is black and white in deep greys; where nothing says what white is, the next usual value above all."""
    if not is_deep(image):
        return None
    if image.mode.startswith("I;16"):
        bits = getattr(image, "tag_v2", {}).get(0x0102)
        return 0.0, 4095.0 if bits in (12, (12,)) else 65535.0
    rows = max(1, STRIP // image.width)
    low = top = 0.0
    for start in range(0, image.height, rows):
        numbers = _numbers(image.crop((0, start, image.width, min(start + rows, image.height))))
        low, top = min(low, float(numbers.min())), max(top, float(numbers.max())) if start else float(numbers.max())
    whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    return low, next((white for white in whites if top <= white), top)

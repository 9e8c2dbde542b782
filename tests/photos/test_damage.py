"""What is wrong with pictures that can still be decoded."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from birdsearch.errors import PhotoUnreadableError
from birdsearch.photos import decode
from birdsearch.records import Photo
from tests.support.drawing import bird
from tests.support.strange_files import saved


def damage_of(data: bytes) -> str | None:
    """What the decoder says of the bytes of a photo."""
    return decode.decode(data, Photo(None, "photo"), (64, 64)).photo.damaged


def is_told(data: bytes) -> bool:
    """Whether a file counts as damaged, or cannot be decoded at all."""
    try:
        return damage_of(data) is not None
    except PhotoUnreadableError:
        return True


def photo(seed: int, width: int = 640, height: int = 480) -> Image.Image:
    """A bird with the noise of a camera."""
    noise = np.random.default_rng(seed).normal(0, 12, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(bird(seed, width, height)) + noise, 0, 255).astype(np.uint8))


def overwritten(data: bytes, share: float, with_: bytes) -> bytes:
    """A file with other bytes in one place."""
    at = int(len(data) * share)
    return data[:at] + with_ + data[at + len(with_) :]


JPEGS: list[dict[str, Any]] = [
    {},
    {"quality": 95, "subsampling": 0},
    {"progressive": True},
    {"optimize": True},
    {"restart_marker_blocks": 20},
]
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a small hole": lambda data: overwritten(data, 0.8, bytes(64)),
    "a sector of zeros": lambda data: overwritten(data, 0.5, bytes(512)),
    "a sector of ones": lambda data: overwritten(data, 0.5, b"\xff" * 512),
    "zeros to the end": lambda data: overwritten(data, 0.7, bytes(len(data) - int(len(data) * 0.7) - 2)),
    "cut, with an end mark": lambda data: data[: len(data) // 2] + b"\xff\xd9",
    "bytes that are missing": lambda data: data[: len(data) // 2] + data[len(data) // 2 + 300 :],
}


@pytest.mark.parametrize("options", JPEGS, ids=str)
def test_a_whole_jpeg_is_not_damaged(options: dict[str, Any]) -> None:
    flat = Image.new("RGB", (1600, 1200), (255, 255, 255))
    striped = photo(2).copy()
    striped.paste((0, 0, 0), (0, 0, 640, 300))
    colours = (photo(1), bird(1), flat, striped, photo(3).convert("CMYK"))
    for picture in (*colours, photo(1).convert("L"), flat.convert("L")):
        assert damage_of(saved("JPEG", picture, **options)) is None


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("options", JPEGS, ids=str)
def test_a_damaged_jpeg_is_told(options: dict[str, Any], name: str) -> None:
    if options.get("progressive") and name == "bytes that are missing":
        pytest.skip("libjpeg does not always notice these")
    for seed in range(3):
        assert is_told(DAMAGES[name](saved("JPEG", photo(seed), **options)))


def test_a_grey_and_a_cmyk_jpeg_are_checked_too() -> None:
    for mode in ("L", "CMYK"):
        assert damage_of(overwritten(saved("JPEG", photo(1).convert(mode)), 0.5, bytes(512)))


def test_a_jpeg_is_decoded_as_pillow_does_it() -> None:
    for options in JPEGS:
        data = saved("JPEG", photo(4), **options)
        with Image.open(io.BytesIO(data)) as plain, decode.opened(data, "JPEG") as checked:
            assert np.array_equal(np.asarray(plain), np.asarray(checked))
        damaged = DAMAGES["a sector of zeros"](data)
        with Image.open(io.BytesIO(damaged)) as plain, decode.opened(damaged, "JPEG") as checked:
            assert np.array_equal(np.asarray(plain), np.asarray(checked))


def test_garbage_behind_a_jpeg_and_remarks_are_no_damage() -> None:
    data = saved("JPEG", photo(1))
    assert damage_of(data + bytes(3000)) is None
    assert damage_of(data.replace(b"JFIF\0\1\1", b"JFIF\0\7\1")) is None  # "unknown JFIF revision"


def test_a_png_with_a_wrong_checksum_or_without_its_end_is_damaged() -> None:
    data = saved("PNG", photo(1))
    assert damage_of(data) is None
    assert damage_of(data + b"more") is None
    wrong = bytearray(data)
    wrong[data.index(b"IEND") - 6] ^= 1  # in the checksum of the last piece of the picture
    assert "IDAT" in (damage_of(bytes(wrong)) or "")
    assert "cut off" in (damage_of(data[:-12]) or "")


def test_a_damaged_jpeg_inside_a_tiff_is_told() -> None:
    data = saved("TIFF", photo(1), compression="jpeg", quality=90)
    assert damage_of(data) is None
    assert is_told(overwritten(data, 0.5, bytes(64)))
    assert is_told(overwritten(data, 0.5, b"\xff\xd9" * 10))


def test_what_libtiff_says_is_kept_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    data = saved("TIFF", bird(1).convert("1"), compression="group4")
    assert damage_of(data) is None
    told = damage_of(overwritten(data, 0.3, bytes(range(1, 40))))
    assert capfd.readouterr().err == ""
    if told is None:
        pytest.skip("this Pillow is not a wheel: its libtiff cannot be heard")
    assert told.startswith("Fax4Decode: ")


def test_a_tiff_that_has_lost_a_page_is_damaged() -> None:
    data = saved("TIFF", bird(1, 64, 48), save_all=True, append_images=[bird(2, 64, 48)])
    assert damage_of(data) is None
    second = list(tiff_links(data))[1]
    assert "page" in (damage_of(data[:second] + b"\xff\xff\xff\x7f" + data[second + 4 :]) or "")


def tiff_links(data: bytes) -> Iterator[int]:
    """Where a little-endian TIFF says where each page is."""
    link = 4
    while place := int.from_bytes(data[link : link + 4], "little"):
        yield link
        link = place + 2 + 12 * int.from_bytes(data[place : place + 2], "little")


def test_a_bmp_that_is_not_as_long_as_it_says_or_has_colours_without_a_name_is_damaged() -> None:
    data = saved("BMP", photo(1))
    assert damage_of(data) is None
    assert "bytes long" in (damage_of(data + bytes(100)) or "")
    named = bytearray(saved("BMP", bird(1, 64, 48).quantize(16).convert("P")))
    assert damage_of(bytes(named)) is None
    named[-10] = 255
    assert "palette of" in (damage_of(bytes(named)) or "")


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "AVIF", "JPEG2000", "BMP"])
def test_a_file_that_is_cut_off_is_damaged_or_broken(format: str) -> None:
    data = saved(format, photo(1))
    assert damage_of(data) is None
    for cut in (data[:-40], data[: len(data) * 3 // 4]):
        assert is_told(cut)

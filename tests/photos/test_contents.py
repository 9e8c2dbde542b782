"""What files hold besides the 8-bit RGB pixels of their first picture."""

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
from PIL import ImageCms

from birdsearch.errors import PhotoUnreadableError
from birdsearch.photos import containers, decode
from birdsearch.photos.contents import Contents
from birdsearch.photos.items import MediaItems
from birdsearch.photos.scan import NotAPhotoError
from tests.support.drawing import bird, exif
from tests.support.strange_files import saved

PICTURE = bird(1, 96, 64)
MOVIE = struct.pack(">I", 24) + b"ftypmp42\0\0\0\0isommp42" + struct.pack(">I", 408) + b"mdat" + bytes(range(200)) * 2


def held(path: Path, data: bytes) -> Contents:
    """What a file of these bytes holds."""
    path.write_bytes(data)
    return decode.fingerprint(path).contents


def segment(jpeg: bytes, marker: int, payload: bytes) -> bytes:
    """A JPEG with one more segment."""
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


def chunk(name: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk before its pixels."""
    return png[:33] + chunk(name, body) + png[33:]


def png16(values: npt.NDArray[np.uint16], level: int = 6) -> bytes:
    """16-bit RGB (h, w, 3) as a PNG."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, level)) + chunk(b"IEND", b"")
    )


def tiff16(values: npt.NDArray[np.uint16]) -> bytes:
    """16-bit RGB (h, w, 3) as a TIFF."""
    height, width, _ = values.shape
    places = 8 + 2 + 12 * 9 + 4
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, places), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, places + 6), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, values.nbytes)]
    out = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag, kind, count, value in entries:
        out += struct.pack("<HHI", tag, kind, count)
        out += struct.pack("<HH", value, 0) if kind == 3 and count == 1 else struct.pack("<I", value)
    return out + struct.pack("<I", 0) + struct.pack("<3H", 16, 16, 16) + values.astype("<u2").tobytes()


def display_p3() -> bytes:
    """Pillow's sRGB profile, by name too, with the colorants of Display P3."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    colorants = {b"rXYZ": (0.51512, 0.24120, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189)}
    for number in range(struct.unpack(">I", data[128:132])[0]):
        name, offset, _ = struct.unpack(">4sII", data[132 + 12 * number : 144 + 12 * number])
        if name in colorants:
            data[offset + 8 : offset + 20] = b"".join(struct.pack(">i", round(v * 65536)) for v in colorants[name])
    return bytes(data)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM"])
def test_a_plain_picture_holds_nothing_else(tmp_path: Path, format: str) -> None:
    assert held(tmp_path / "photo", saved(format, PICTURE)) == Contents()
    if format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        assert held(tmp_path / "tagged", saved(format, PICTURE, icc_profile=SRGB)) == Contents()
        assert held(tmp_path / "exif", saved(format, PICTURE, exif=exif({0x010F: "Canon"}))) == Contents()


def heif(**options: object) -> bytes:
    """A HEIC of the picture."""
    buffer = io.BytesIO()
    pillow_heif.from_pillow(PICTURE).save(buffer, **options)
    return buffer.getvalue()


def two_heif() -> bytes:
    """A HEIC of two pictures."""
    both = pillow_heif.from_pillow(PICTURE)
    both.add_from_pillow(bird(2, 96, 64))
    buffer = io.BytesIO()
    both.save(buffer)
    return buffer.getvalue()


def deep_heif() -> bytes:
    """A HEIC of 10 bits."""
    values = (np.asarray(PICTURE).astype(np.uint16) * 257).tobytes()
    buffer = io.BytesIO()
    pillow_heif.encode("RGB;16", PICTURE.size, values, buffer, save_to_12bit=False)
    return buffer.getvalue()


def mpf(jpeg: bytes, second: bytes, kind: int) -> bytes:
    """A JPEG with another one behind it, and the index of both."""
    entries = struct.pack("<IIIHH", 0x20030000, 0, 0, 0, 0) + struct.pack("<IIIHH", kind, len(second), 0, 0, 0)
    index = b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHII", 0xB002, 7, 32, 26) + bytes(4)
    made = segment(jpeg, 0xE2, b"MPF\0" + index + entries)
    offset = len(made) - (2 + 4 + 4)
    entries = entries[:24] + struct.pack("<I", offset) + entries[28:]
    return segment(jpeg, 0xE2, b"MPF\0" + index + entries) + second


def jpeg_with_depth() -> bytes:
    """A JPEG with a depth map in extended XMP."""
    payload = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + bytes(8) + b'<x GDepth:Data="AAAA"/>'
    return segment(saved("JPEG", PICTURE), 0xE1, payload)


JPEG, PNG = saved("JPEG", PICTURE), saved("PNG", PICTURE)
GAIN_MAP = segment(saved("JPEG", bird(5, 40, 30)), 0xE1, b"http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version='1.0'/>")
DEEP = np.asarray(PICTURE).astype(np.uint16) * 256 + 3
MORE: dict[str, tuple[Callable[[], bytes], str]] = {  # what it is called here -> the file, what is said of it
    "deep png": (lambda: png16(DEEP), "16 bits a channel"),
    "deep tiff": (lambda: tiff16(DEEP), "16 bits a channel"),
    "deep heif": (deep_heif, "10 bits a channel"),
    "profile by another name": (lambda: saved("JPEG", PICTURE, icc_profile=display_p3()), "the colour profile"),
    "png profile": (lambda: saved("PNG", PICTURE, icc_profile=display_p3()), "the colour profile"),
    "png cicp": (lambda: with_chunk(PNG, b"cICP", bytes([12, 13, 0, 1])), "the colours of Display P3"),
    "png gamma": (lambda: with_chunk(PNG, b"gAMA", struct.pack(">I", 100000)), "the colours of gamma 1"),
    "adobe rgb": (lambda: saved("JPEG", PICTURE, exif=exif(sub={0xA001: 2})), "the colours of Adobe RGB"),
    "adobe rgb of a camera": (
        lambda: saved("JPEG", PICTURE, exif=exif(sub={0xA001: 0xFFFF, 0xA005: {1: "R03"}})),
        "the colours of Adobe RGB",
    ),
    "adobe rgb tiff": (lambda: saved("TIFF", PICTURE, exif=exif(sub={0xA001: 2})), "the colours of Adobe RGB"),
    "heif profile": (lambda: heif(icc_profile=display_p3(), icc_profile_type="prof"), "the colour profile"),
    "transparent": (lambda: saved("PNG", PICTURE.convert("RGBA")), "transparency"),
    "cmyk": (lambda: saved("TIFF", PICTURE.convert("CMYK")), "CMYK"),
    "animated png": (lambda: saved("PNG", PICTURE, save_all=True, append_images=[bird(2, 96, 64)]), "an animation"),
    "animated gif": (lambda: saved("GIF", PICTURE, save_all=True, append_images=[bird(2, 96, 64)]), "an animation"),
    "animated webp": (lambda: saved("WEBP", PICTURE, save_all=True, append_images=[bird(2, 96, 64)]), "an animation"),
    "sequence": (
        lambda: saved("AVIF", PICTURE, save_all=True, append_images=[bird(2, 96, 64)]),
        "a movie or a sequence of pictures",
    ),
    "pages": (lambda: saved("TIFF", PICTURE, save_all=True, append_images=[bird(2, 96, 64)]), "1 more page"),
    "two in heif": (two_heif, "a further picture"),
    "motion photo": (lambda: JPEG + MOVIE, "a movie behind the picture"),
    "samsung": (lambda: JPEG + b"\0\0\x30\x0aMotionPhoto_Data" + MOVIE + b"SEFHxxxxSEFT", "a movie behind the picture"),
    "heif motion": (lambda: heif() + struct.pack(">I", 8 + len(MOVIE)) + b"mpvd" + MOVIE, "a movie behind the picture"),
    "mpo": (lambda: saved("MPO", PICTURE, save_all=True, append_images=[bird(2, 96, 64)]), "a further picture"),
    "gain map": (lambda: mpf(JPEG, GAIN_MAP, 0), "a gain map (HDR)"),
    "depth": (jpeg_with_depth, "a depth map"),
    "raspberry": (lambda: JPEG + b"@BRCM" + bytes(range(256)), "raw data behind the picture"),
    "credentials": (lambda: segment(JPEG, 0xEB, b"JP\0\1\0\0\0\1jumbc2pa"), "content credentials (C2PA)"),
    "unknown": (lambda: JPEG + bytes(range(1, 200)), "further data behind the picture"),
    "png movie": (lambda: PNG + MOVIE, "a movie behind the picture"),
    "voice": (lambda: segment(JPEG, 0xE2, b"FPXR\0\0\1" + "Audio".encode("utf-16-le")), "sound"),
}


@pytest.mark.parametrize("name", MORE)
def test_what_a_file_holds_besides_its_pixels_is_said(tmp_path: Path, name: str) -> None:
    make, words = MORE[name]
    photo = make()  # made once: a movie holds the second it was written in
    found = held(tmp_path / "photo", photo)
    assert any(each.startswith(words) for each in found.beyond(Contents())), found
    assert Contents().beyond(found) == ()
    assert held(tmp_path / "copy", photo) == found


def test_a_smaller_version_inside_a_file_is_no_more(tmp_path: Path) -> None:
    assert held(tmp_path / "photo", mpf(JPEG, saved("JPEG", PICTURE.resize((48, 32))), 0x010001)) == Contents()
    assert held(tmp_path / "photo", JPEG + bytes(5000)) == Contents()


def test_metadata_hide_no_equal_contents(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(JPEG + MOVIE)
    other.write_bytes(segment(JPEG, 0xFE, b"a comment") + MOVIE)
    assert decode.fingerprint(one) == decode.fingerprint(other)
    other.write_bytes(JPEG + MOVIE[:-1] + b"x")
    assert decode.fingerprint(one) != decode.fingerprint(other)
    one.write_bytes(png16(DEEP))
    other.write_bytes(with_chunk(png16(DEEP), b"tEXt", b"Title\0a bird"))
    assert decode.fingerprint(one) == decode.fingerprint(other)
    other.write_bytes(png16(DEEP + 1))  # the same eight upper bits
    assert decode.fingerprint(one).pixels == decode.fingerprint(other).pixels
    assert decode.fingerprint(one) != decode.fingerprint(other)


def test_both_may_hold_more() -> None:
    deep, moving = Contents(bits=16), Contents(extras=frozenset([("a movie behind the picture", "1")]))
    assert deep.beyond(moving) == ("16 bits a channel",)
    assert moving.beyond(deep) == ("a movie behind the picture",)


def test_structures_that_lie_upon_each_other_are_looked_at_in_bounded_time(tmp_path: Path) -> None:
    held(tmp_path / "many", JPEG + b"\xff\xd8\xff\xd9" * 300_000)
    held(tmp_path / "segments", JPEG[:2] + b"\xff\xe5\0\2" * 200_000 + JPEG[2:])
    directory = struct.pack("<H", 60_000) + bytes(12 * 60_000)
    links = b"".join(struct.pack("<I", 8 + 4 * number) for number in range(1, 4000))
    list(containers.tiff_directories(b"II*\0\x08\0\0\0" + directory + links * 10))
    nested = b"II*\0\x08\0\0\0" + b"".join(struct.pack("<H", 0xFFFF) + bytes(10) for _ in range(100_000))
    assert len(list(containers.tiff_directories(nested))) < 100
    places = struct.pack(">IHH", 0, 0, 60_000) + b"".join(struct.pack(">HHH", n, 0, 0xFFFF) for n in range(60_000))
    box = struct.pack(">I4s", 8 + len(places), b"iloc") + places
    meta = struct.pack(">I4sI", 12 + len(box), b"meta", 0) + box
    assert sum(map(len, MediaItems.of(heif()[:24] + meta).extents.values())) <= 100_000


def test_garbage_in_the_structure_holds_nothing_up(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for make, _ in MORE.values():
        whole = make()
        for _ in range(5):
            broken = bytearray(whole)
            for at in rng.integers(0, min(len(broken), 600), 12):
                broken[at] = rng.integers(256)
            (tmp_path / "broken").write_bytes(broken)
            with suppress(PhotoUnreadableError, NotAPhotoError):
                decode.fingerprint(tmp_path / "broken")

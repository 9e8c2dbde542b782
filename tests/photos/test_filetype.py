"""Judging a file by its first bytes."""

import pytest

from birdsearch.photos.filetype import HEAD, Kind, identify


@pytest.mark.parametrize(
    ("head", "format"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"RIFF\n\0\0\0WEBPVP8 ", "WEBP"),
        (b"GIF87a", "GIF"),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "BMP"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0+\0\x08\0\0", "TIFF"),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypheix\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypmif2\0\0\0\0miafheic", "HEIF"),
        (b"\0\0\0\x18ftypMiHB\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0avismiaf", "AVIF"),
        (b"P6\n# made by hand\n3 2\n255\n", "PPM"),
    ],
)
@pytest.mark.parametrize("name", ["bird.jpg", "bird", "bird.txt", "bird.mp4"])
def test_content_decides_what_a_photo_is(head: bytes, format: str, name: str) -> None:
    assert identify(head, name) == Kind(format)


def test_a_raw_suffix_decides_only_between_raw_and_tiff() -> None:
    tiff = b"II*\0\x08\0\0\0"
    assert identify(tiff, "a.NEF").reason == "camera RAW"
    assert identify(b"\xff\xd8\xff\xe0", "a.NEF").format == "JPEG"
    assert identify(b"\x9d\x81\0\1", "a.nef").reason == "camera RAW"


@pytest.mark.parametrize(
    "text", ["BM is short for bench mark", "carefree birds", "GIF", "RIFF", "P6 is a class", "\u9ce5" * 9]
)
def test_text_is_text_whatever_it_begins_with(text: str) -> None:
    assert identify(text.encode(), "notes.txt") == Kind(None, "not an image (text)")


def test_text_may_be_cut_within_a_character() -> None:
    head = ("x" + "ü" * HEAD).encode()[:HEAD]
    assert identify(head, "notes").reason == "not an image (text)"


def test_a_name_breaks_the_tie_where_the_bytes_say_nothing() -> None:
    assert identify(b"\x9d\x81\0\1", "bird.JPG").broken
    assert identify(b"\x9d\x81\0\1", "bird.dat") == Kind(None, "not an image")
    assert identify(b"", "bird.jpg") == Kind(None, "empty file", broken=True)
    assert identify(b"", "readme") == Kind(None, "empty file")


def test_heif_of_another_codec_is_an_unsupported_image() -> None:
    for brand in (b"avci", b"jpeg", b"j2ki", b"vvic", b"evbi", b"unif"):
        kind = identify(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1miaf", "a.heic")
        assert (kind.format, kind.reason, kind.broken) == (None, "unsupported image", False), brand

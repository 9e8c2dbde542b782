"""Judging a file by its first bytes."""

import pytest

from birdsearch.photos.filetype import HEAD, Kind, identify
from tests.support.drawing import tiff


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
    assert identify(tiff, "a.NEF").format == "NEF"
    assert identify(tiff, "a.gpr").format == "RAW"
    assert identify(b"\xff\xd8\xff\xe0", "a.NEF").format == "JPEG"
    assert identify(b"\x9d\x81\0\1", "a.nef") == Kind(None, "not an image, despite its name (.nef)", broken=True)
    assert identify(b"\x9d\x81\0\1", "disk.raw") == Kind(None, "not an image")


@pytest.mark.parametrize(
    ("head", "format"),
    [
        (b"II*\0\x10\0\0\0CR\2\0", "CR2"),
        (b"II*\0\x08\0\0\0IIIITwaR", "IIQ"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "CR3"),
        (b"II\x1a\0\0\0HEAPCCDR", "CRW"),
        (b"FUJIFILMCCD-RAW 0201", "RAF"),
        (b"IIRO\x08\0\0\0", "ORF"),
        (b"MMOR\0\0\0\x08", "ORF"),
        (b"IIU\0\x18\0\0\0", "RW2"),
        (b"\0MRM\0\0\0\0", "MRW"),
        (b"FOVb\0\0\2\0", "X3F"),
    ],
)
@pytest.mark.parametrize("name", ["bird.nef", "bird.jpg", "bird"])
def test_camera_raw_is_known_by_how_it_begins(head: bytes, format: str, name: str) -> None:
    assert identify(head, name) == Kind(format)


@pytest.mark.parametrize(
    ("tags", "name", "format"),
    [
        ([(0xC612, 1, 4, 0x00000401)], "a.tif", "DNG"),  # DNGVersion
        ([(0xC612, 1, 4, 0x00000401)], "a.nef", "DNG"),
        ([(0x0106, 3, 1, 32803)], "a.tif", "RAW"),  # colour filter array, by a maker that is not known
        ([(0x0106, 3, 1, 32803)], "a.kdc", "KDC"),
        ([(0x00FE, 4, 1, 1), (0x014A, 4, 1, 8), (0x010F, 2, 4, int.from_bytes(b"SON\0", "little"))], "a", "RAW"),
        ([(0x0106, 3, 1, 2)], "a.tif", "TIFF"),
        ([(0x0106, 3, 1, 2)], "a.arw", "ARW"),
    ],
)
def test_a_camera_raw_in_a_tiff_is_told_by_its_tags_and_its_name(
    tags: list[tuple[int, int, int, int]], name: str, format: str
) -> None:
    assert identify(tiff(tags), name) == Kind(format)


@pytest.mark.parametrize(
    ("make", "name", "format"),
    [
        (b"NIKON CORPORATION", "a.tif", "NEF"),
        (b"NIKON CORPORATION", "a.NRW", "NRW"),
        (b"NIKON CORPORATION", "a.arw", "NEF"),  # the camera counts above the name
        (b"SONY", "a", "ARW"),
        (b"PENTAX Corporation", "a", "PEF"),
        (b"RICOH IMAGING COMPANY, LTD.", "a.pef", "PEF"),
        (b"SAMSUNG", "a", "SRW"),
        (b"Phase One A/S", "a", "IIQ"),
        (b"Hasselblad", "a.fff", "FFF"),
    ],
)
def test_the_maker_tells_the_format_of_a_raw_in_a_tiff(make: bytes, name: str, format: str) -> None:
    sensor = tiff([(0x0106, 3, 1, 32803), (0x010F, 2, len(make) + 1, 200)])
    assert identify(sensor[:200] + make + b"\0" + bytes(50), name) == Kind(format)


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

"""What a camera wrote, good and bad, as the fields of a photo."""

from typing import Any

import pytest

from birdsearch.photos.exif import describe
from birdsearch.records import Photo
from tests.support.drawing import rational

NONE = Photo(None, "/1.jpg")


def described(tags: dict[int, Any] | None = None, gps: dict[int, Any] | None = None, xmp: bytes = b"") -> Photo:
    return describe(NONE, tags or {}, gps or {}, xmp)


@pytest.mark.parametrize(
    ("tags", "taken_at", "offset"),
    [
        ({0x9003: "2024:05:17 06:07:08"}, "2024-05-17T06:07:08", None),
        ({0x9003: "2024:05:17 06:07:08", 0x9291: "050 ", 0x9011: "-03:30"}, "2024-05-17T06:07:08.050", "-03:30"),
        ({0x9003: "2024:05:17 06:07:08", 0x9011: "Z"}, "2024-05-17T06:07:08", "+00:00"),
        ({0x9003: "2024-05-17T06:07:08.5\0"}, "2024-05-17T06:07:08.5", None),
        ({0x9004: "2024:05:17 06:07:08", 0x9292: "7", 0x9291: "3"}, "2024-05-17T06:07:08.7", None),
        ({0x9003: "0000:00:00 00:00:00", 0x0132: "2024:05:17 06:07:08"}, "2024-05-17T06:07:08", None),
        ({0x9003: "    :  :     :  :  "}, None, None),
        ({0x9003: "2024:02:30 06:07:08"}, None, None),
        ({0x9003: "2024:05:17 06:07:08", 0x9011: "+99:00", 0x9291: "x"}, "2024-05-17T06:07:08", None),
        ({0x9003: 5, 0x9004: (1, 2), 0x0132: b"\xff\xfe"}, None, None),
    ],
)
def test_time(tags: dict[int, Any], taken_at: str | None, offset: str | None) -> None:
    photo = described(tags)
    assert (photo.taken_at, photo.taken_offset) == (taken_at, offset)


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS R5", "Canon EOS R5"),
        ("NIKON CORPORATION", "NIKON Z 9", "NIKON Z 9"),
        ("SONY", "ILCE-1", "SONY ILCE-1"),
        ("Apple\0\0garbage", "iPhone 15 ", "Apple iPhone 15"),
        (None, "E-M1", "E-M1"),
        ("OM Digital Solutions", None, "OM Digital Solutions"),
        (" \0", "\0", None),
        (7, (1, 2, 3000), None),
    ],
)
def test_camera_names_its_make_once(make: Any, model: Any, camera: str | None) -> None:
    assert described({0x010F: make, 0x0110: model}).camera == camera


@pytest.mark.parametrize(
    ("gps", "position"),
    [
        ({1: "S", 2: (33.0, 51.0, 30.0), 3: "W", 4: (70.0, 30.0, 0.0)}, (-33.858333, -70.5)),
        ({1: b"N\0", 2: (52.5,), 3: "e", 4: 13.25}, (52.5, 13.25)),
        ({1: "N", 2: (rational(52, 1), rational(30, 1), rational(0, 0)), 3: "E", 4: (13.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (13.0, 0.0, 0.0)}, (None, None)),
        ({2: (52.0, 0.0, 0.0), 4: (13.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (52.0, 0.0, 0.0)}, (None, None)),
        ({1: "", 2: "north", 3: (1,), 4: None}, (None, None)),
    ],
)
def test_position(gps: dict[int, Any], position: tuple[float | None, float | None]) -> None:
    photo = described(gps=gps)
    assert (photo.latitude, photo.longitude) == position


def test_texts_are_cleaned_and_kept_in_any_encoding() -> None:
    latin = "Núñez".encode().decode("latin-1")  # as EXIF readers hand over UTF-8
    assert described({0x013B: latin}).photographer == "Núñez"
    assert described({0x013B: "N\xfa\xf1ez"}).photographer == "Núñez"
    assert described({0x9C9D: "Zoë\0".encode("utf-16-le")}).photographer == "Zoë"
    assert described({0x9C9D: tuple("Zoë\0".encode("utf-16-le"))}).photographer == "Zoë"
    assert described({0x9286: b"UNICODE\0" + "übt".encode("utf-16-be")}).notes == "übt"
    assert described({0x9286: b"UNICODE\0" + "übt".encode("utf-16-le")}).notes == "übt"
    assert described({0x9286: b"\0" * 8 + b"   "}).notes is None
    assert described({0x010E: "a\x01b\ntwo", 0x9286: b"ASCII\0\0\0windy"}).notes == "ab\ntwo\nwindy"
    assert described({0x010E: "same", 0x9286: b"ASCII\0\0\0same"}).notes == "same"
    assert len(described({0x010E: "x" * 100_000}).notes or "") == 4000
    assert described({0xA431: 1234}).camera_serial == "1234"
    assert described({0xA434: "100-500mm", 0xA433: "Canon"}).lens == "Canon 100-500mm"


@pytest.mark.parametrize(
    ("tag", "xmp", "rating"),
    [
        (4, b"", 4),
        (0, b"", 0),
        (99, b"", None),
        ("4", b'<rdf:Description xmp:Rating="3">', 3),
        (None, b"<xmp:Rating>5</xmp:Rating>", 5),
        (None, b"<xmp:Rating>-1</xmp:Rating>", None),
        (None, b"<xmp:Rating>many</xmp:Rating>", None),
    ],
)
def test_rating(tag: Any, xmp: bytes, rating: int | None) -> None:
    assert described({0x4746: tag}, xmp=xmp).rating == rating


def test_nothing_written_is_nothing_known() -> None:
    assert described() == NONE

"""What cameras and their owners wrote, good and bad, as the fields of a photo."""

from dataclasses import replace
from typing import Any

import pytest

from birdsearch.photos.exif import describe, keywords
from birdsearch.photos.metadata import Metadata
from birdsearch.records import Photo
from tests.support.drawing import rational

NONE = Photo(None, "/1.jpg")


def described(
    tags: dict[int, Any] | None = None,
    gps: dict[int, Any] | None = None,
    xmp: dict[str, str] | None = None,
    iptc: dict[int, bytes] | None = None,
) -> Photo:
    packet = {name: (text,) for name, text in (xmp or {}).items()}
    sets = {number: (text,) for number, text in (iptc or {}).items()}
    return describe(NONE, Metadata(tags or {}, gps or {}, packet, sets))


@pytest.mark.parametrize(
    ("tags", "taken_at", "offset"),
    [
        ({0x9003: "2024:05:17 06:07:08"}, "2024-05-17T06:07:08", None),
        ({0x9003: "2024:05:17 06:07:08", 0x9291: "050 ", 0x9011: "-03:30"}, "2024-05-17T06:07:08.050", "-03:30"),
        ({0x9003: "2024:05:17 06:07:08", 0x9011: "Z"}, "2024-05-17T06:07:08", "+00:00"),
        ({0x9003: "2024-05-17T06:07:08.5\0"}, "2024-05-17T06:07:08.5", None),
        ({0x9004: "2024:05:17 06:07:08", 0x9292: "7", 0x9291: "3"}, "2024-05-17T06:07:08.7", None),
        ({0x9003: "2024:05:17 06:07:08+02:00", 0x9011: "+05:00"}, "2024-05-17T06:07:08", "+02:00"),
        ({0x9003: "2024-05-17t06:07:08.250z", 0x9291: "3"}, "2024-05-17T06:07:08.3", "+00:00"),
        ({0x9003: "2024:05:17 06:07:08 -0330"}, "2024-05-17T06:07:08", "-03:30"),
        ({0x9003: "2024:05:17 06:07Z", 0x9291: "3"}, "2024-05-17T06:07", "+00:00"),
        ({0x9003: "2024:05:17 06:07:  "}, "2024-05-17T06:07", None),
        ({0x9003: "2024:05:17"}, "2024-05-17", None),
        ({0x9003: "    :  :     :  :  "}, None, None),
        ({0x9003: "2024:02:30 06:07:08"}, None, None),
        ({0x9003: "2024:05:17 06:07:08", 0x9011: "+99:00", 0x9291: "x"}, "2024-05-17T06:07:08", None),
        ({0x9003: 5, 0x9004: (1, 2), 0x0132: b"\xff\xfe"}, None, None),
    ],
)
def test_time(tags: dict[int, Any], taken_at: str | None, offset: str | None) -> None:
    photo = described(tags)
    assert (photo.taken_at, photo.taken_offset) == (taken_at, offset)


ORIGINAL, DIGITISED, CHANGED = "2024:05:17 06:07:08", "2024:05:18 06:07:08", "2024:06:01 10:00:00"


@pytest.mark.parametrize(
    ("tags", "xmp", "iptc", "taken_at"),
    [
        (
            {0x9003: ORIGINAL, 0x9004: DIGITISED},
            {"photoshop:DateCreated": "2020-01-01"},
            {55: b"20190101"},
            "2024-05-17",
        ),
        ({0x9003: "0000:00:00 00:00:00"}, {"exif:DateTimeOriginal": "2020-01-01T05:06:07Z"}, {}, "2020-01-01"),
        ({0x9004: DIGITISED}, {"photoshop:DateCreated": "2020-01-01"}, {55: b"20190101"}, "2020-01-01"),
        ({0x9004: DIGITISED}, {}, {55: b"20190101", 60: b"050607+0200"}, "2019-01-01"),
        ({0x9004: DIGITISED}, {"xmp:CreateDate": "2020-01-01"}, {}, "2024-05-18"),
        ({}, {"xmp:CreateDate": "2020-01-01", "xmp:ModifyDate": "2021-01-01"}, {}, "2020-01-01"),
    ],
)
def test_the_exposure_comes_before_its_digitising(
    tags: dict[int, Any], xmp: dict[str, str], iptc: dict[int, bytes], taken_at: str
) -> None:
    assert (described(tags, xmp=xmp, iptc=iptc).taken_at or "")[:10] == taken_at


def test_the_time_of_iptc_has_its_own_offset() -> None:
    photo = described(iptc={55: b"20190101", 60: b"050607+0200"})
    assert (photo.taken_at, photo.taken_offset) == ("2019-01-01T05:06:07", "+02:00")


@pytest.mark.parametrize(
    ("tags", "xmp", "known"),
    [
        ({0x829A: 0.01}, {}, True),  # an early phone
        ({}, {}, False),
        ({0x829A: 0.01, 0x0131: "Adobe Lightroom"}, {}, False),
        ({0x829A: 0.01, 0x9003: "0000:00:00 00:00:00"}, {}, False),
        ({0x829A: 0.01}, {"xmp:MetadataDate": "2024-06-01T10:00:00"}, False),
    ],
)
def test_the_time_of_a_change_is_that_of_the_exposure_only_where_a_camera_wrote_it(
    tags: dict[int, Any], xmp: dict[str, str], known: bool
) -> None:
    assert described({0x0132: CHANGED, **tags}, xmp=xmp).taken_at == ("2024-06-01T10:00:00" if known else None)


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
    ("tags", "xmp", "rating"),
    [
        ({0x4746: 4}, {}, 4),
        ({0x4746: 0}, {}, 0),
        ({0x4746: 99}, {}, None),
        ({0x4746: "4\0"}, {}, 4),
        ({0x4746: b"\4"}, {}, 4),
        ({0x4746: 0}, {"xmp:Rating": "3"}, 3),
        ({0x4746: 5}, {"xmp:Rating": "-1"}, None),
        ({0x4746: 5}, {"xmp:Rating": "many"}, 5),
        ({}, {"xmp:Rating": "4.0"}, 4),
        ({}, {"MicrosoftPhoto:Rating": "50", "xmp:Rating": "2"}, 2),
        ({0x4749: 99}, {"MicrosoftPhoto:Rating": "1"}, 1),
        ({0x4749: 75}, {}, 4),
        ({0x4749: 0}, {}, 0),
        ({0x4749: 1000}, {}, None),
    ],
)
def test_rating(tags: dict[int, Any], xmp: dict[str, str], rating: int | None) -> None:
    assert described(tags, xmp=xmp).rating == rating


def test_xmp_and_iptc_fill_what_exif_does_not_tell() -> None:
    xmp = {
        "dc:creator": "Ana",
        "dc:description": "at the feeder",
        "tiff:Make": "Canon",
        "tiff:Model": "Canon EOS R5",
        "aux:Lens": "100-500mm",
        "aux:SerialNumber": "12",
        "exif:GPSLatitude": "33,51.5S",
        "exif:GPSLongitude": "151,12,36E",
    }
    photo = described(xmp=xmp, iptc={80: b"Ben", 120: "Wren, übermütig".encode(), 5: b"Troglodytes"})
    assert (photo.photographer, photo.camera, photo.lens, photo.camera_serial) == (
        "Ana",
        "Canon EOS R5",
        "100-500mm",
        "12",
    )
    assert (photo.latitude, photo.longitude) == (-33.858333, 151.21)
    assert photo.notes == "at the feeder\nWren, übermütig\nTroglodytes"
    assert described({0x013B: "Cleo"}, xmp=xmp).photographer == "Cleo"
    assert described(iptc={80: b"Zo\xeb"}).photographer == "Zoë"
    assert described(xmp={"exif:GPSLatitude": "33.5", "exif:GPSLongitude": "151.2"}).latitude is None


def test_nothing_written_is_nothing_known() -> None:
    assert described() == replace(NONE, keywords=())


def test_keywords_of_every_kind_each_once() -> None:
    packet = {
        "dc:subject": ("Birds", "Wren\0", " ", "darktable|format|nef"),
        "lr:hierarchicalSubject": ("Birds| Wren ", "|"),
        "digiKam:TagsList": ("Birds/Wren", "Tiere/Vögel"),
        "MicrosoftPhoto:LastKeywordXMP": ("Tiere/Vögel/Amsel",),
        "mediapro:CatalogSets": ("Sets|a",),
    }
    windows = {0x9C9E: tuple("Robin; Wren;;".encode("utf-16-le") + b"\0\0")}
    iptc = {25: ("Zaunkönig".encode(), "Müller".encode("latin-1"), b"Wren")}
    assert keywords(Metadata(windows, xmp=packet, iptc=iptc)) == (
        *("Birds", "Wren", "darktable|format|nef", "Zaunkönig", "Müller", "Robin"),
        *("Birds|Wren", "Tiere|Vögel", "Tiere|Vögel|Amsel", "Sets|a"),
    )
    assert keywords(Metadata({0x9C9E: 5}, iptc={25: (b"",)})) == ()


def test_guesses_that_were_written_are_no_keywords() -> None:
    packet = {
        "dc:subject": ("Wren", "Robin", "garden", "birdsearch|unverified|Wren"),
        "lr:hierarchicalSubject": ("birdsearch|unverified|Wren", "birdsearch|unverified|Robin", "Birds|Robin"),
        "digiKam:TagsList": ("birdsearch/unverified/Wren",),
    }
    assert keywords(Metadata(xmp=packet)) == ("Robin", "garden", "Birds|Robin")


def test_keywords_are_bounded() -> None:
    many = keywords(Metadata(xmp={"dc:subject": tuple(f"{number} {'x' * 5000}" for number in range(5000))}))
    assert len(many) == 500
    assert max(map(len, many)) == 250

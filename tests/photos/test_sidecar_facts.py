"""What sidecars and Google's JSON say of a photo: as exiftool reads them, after what the photo itself says."""

import json
import logging
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from birdsearch.photos import exif, xmp
from birdsearch.photos.metadata import Metadata
from birdsearch.photos.sidecar_facts import filled
from birdsearch.records import Photo
from tests.support.sidecar_shapes import SHAPES

LIGHTROOM = SHAPES["lightroom"]
TAKEOUT = {
    "title": "a.jpg",
    "description": "at the feeder",
    "photoTakenTime": {"timestamp": "1715925908", "formatted": "17.05.2024, 06:05:08 UTC"},
    "geoData": {"latitude": 52.5, "longitude": -13.25, "altitude": 30.0},
    "favorited": True,
}


def read(folder: Path, photo: Photo | None = None, name: str = "a.jpg", **sidecars: str | bytes) -> Photo:
    """The photo of this name after these files beside it, whose names begin behind a first underscore."""
    paths = []
    for suffix, text in sidecars.items():
        path = folder / f"a{suffix.replace('_', '.')}"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        paths.append(str(path))
    return filled(replace(photo or Photo(None, ""), path=str(folder / name)), paths)


def takeout(**other: Any) -> str:
    return json.dumps({**TAKEOUT, **other})


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
def test_nine_programs_say_what_exiftool_reads(tmp_path: Path) -> None:
    for name, packet in SHAPES.items():
        (tmp_path / f"{name}.xmp").write_text(packet, encoding="utf-8")
    names = [
        "dc:Subject", "lr:HierarchicalSubject", "digiKam:TagsList", "xmp:Rating", "dc:Creator", "dc:Description",
        "exif:GPSLatitude", "exif:GPSLongitude", "exif:DateTimeOriginal", "photoshop:DateCreated", "xmp:CreateDate",
    ]  # fmt: skip
    files = sorted(map(str, tmp_path.iterdir()))
    command = ["exiftool", "-j", "-n", "-G1", "-struct", *(f"-XMP-{name}" for name in names), *files]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for theirs in json.loads(output):

        def said(name: str, theirs: dict[str, Any] = theirs) -> Any:
            return theirs.get(f"XMP-{name}")

        properties = xmp.read(Path(theirs["SourceFile"]).read_bytes())
        photo = exif.describe(Photo(None, ""), Metadata(xmp=properties))
        flat = [text.strip() for text in said("dc:Subject") or []]
        flat += said("lr:HierarchicalSubject") or []
        flat += [text.replace("/", "|") for text in said("digiKam:TagsList") or []]
        assert exif.keywords(Metadata(xmp=properties)) == tuple(dict.fromkeys(filter(None, flat))), theirs
        assert photo.rating == said("xmp:Rating")
        assert photo.photographer == ("; ".join(said("dc:Creator")) if said("dc:Creator") else None)
        assert (said("dc:Description") or "") in (photo.notes or "")
        times = [said("exif:DateTimeOriginal"), said("photoshop:DateCreated"), said("xmp:CreateDate")]
        time = next(filter(None, times), "").replace(":", "-", 2).replace(" ", "T")
        assert (photo.taken_at or "") + (photo.taken_offset or "") == time
        place = said("exif:GPSLatitude"), said("exif:GPSLongitude")
        expected = (None, None) if place in ((None, None), (0, 0)) else tuple(round(degrees, 6) for degrees in place)
        assert (photo.latitude, photo.longitude) == expected


def test_a_sidecar_fills_what_the_photo_lacks_and_replaces_nothing(tmp_path: Path) -> None:
    packet = LIGHTROOM.replace('SidecarForExtension="CR2"', 'SidecarForExtension="JPG"')
    photo = read(tmp_path, _xmp=packet)
    assert (photo.rating, photo.photographer, photo.notes) == (4, "Ana Núñez", "at the feeder")
    assert (photo.taken_at, photo.latitude, photo.longitude) == ("2024-05-17T06:07:08.05", 52.508333, 13.254167)
    own = Photo(None, "", taken_at="2020-01-01", latitude=1.0, longitude=2.0, photographer="me", notes="x", rating=1)
    found = read(tmp_path, own, _xmp=packet)
    assert replace(found, keywords=None) == replace(own, path=str(tmp_path / "a.jpg"), camera="EOS R5")
    assert found.keywords == ("Birds", "Paridae", "Eurasian Blue Tit", "Birds|Paridae|Eurasian Blue Tit")


def test_no_stars_are_no_rating(tmp_path: Path) -> None:
    assert read(tmp_path, Photo(None, "", rating=0), _jpg_xmp=SHAPES["f-stop"]).rating == 5


def test_the_sidecar_of_the_whole_name_counts_first(tmp_path: Path) -> None:
    photo = read(tmp_path, _xmp=SHAPES["aphotomanager"], _jpg_xmp=SHAPES["f-stop"], _jpg_json=takeout())
    assert (photo.rating, photo.taken_at, photo.latitude) == (5, "2020-02-03T04:05:06", 52.5)


def test_the_sidecar_of_the_raw_beside_a_photo_says_nothing_of_the_photo(tmp_path: Path) -> None:
    assert read(tmp_path, _xmp=LIGHTROOM).rating is None
    assert read(tmp_path, name="a.CR2", _xmp=LIGHTROOM).rating == 4


def test_a_further_edit_of_darktable_is_not_the_photo(tmp_path: Path) -> None:
    (tmp_path / "a_01.jpg.xmp").write_text(SHAPES["f-stop"])
    assert filled(Photo(None, str(tmp_path / "a.jpg")), [str(tmp_path / "a_01.jpg.xmp")]).rating is None


def test_google_knows_the_time_in_utc_and_zero_is_no_place(tmp_path: Path) -> None:
    photo = read(tmp_path, _jpg_json=takeout())
    assert (photo.taken_at, photo.taken_offset) == ("2024-05-17T06:05:08", "+00:00")
    assert (photo.latitude, photo.longitude, photo.notes, photo.rating) == (52.5, -13.25, "at the feeder", None)
    nowhere = {"latitude": 0.0, "longitude": 0.0}
    assert read(tmp_path, _jpg_json=takeout(geoData=nowhere)).latitude is None
    assert read(tmp_path, _jpg_json=takeout(geoData=nowhere, geoDataExif={"latitude": 1, "longitude": 2})).latitude == 1
    assert read(tmp_path, _jpg_json=takeout(photoTakenTime={"timestamp": "-86400"})).taken_at == "1969-12-31T00:00:00"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        "1" * 10_000,
        b"\xff\xfe\x00",
        json.dumps({"description": "of another program", "geoData": TAKEOUT["geoData"]}),
        takeout(photoTakenTime="yesterday", geoData=[]),
        takeout(photoTakenTime={"timestamp": "9" * 15}, geoData={"latitude": "north"}, description=5),
        takeout(photoTakenTime={"timestamp": None}, geoData={"latitude": 95, "longitude": 5}, description=[]),
        takeout(photoTakenTime={"timestamp": "NaN"}, geoData={"latitude": 1}, description=" "),
    ],
)
def test_any_other_json_says_nothing(tmp_path: Path, text: str | bytes) -> None:
    assert read(tmp_path, _jpg_json=text) == Photo(None, str(tmp_path / "a.jpg"))


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"no XML",
        BOMB + SHAPES["f-stop"].replace("balcony", "&b;"),
        FILE + SHAPES["f-stop"].replace("balcony", "&a;"),
        '<?xml version="1.0" encoding="no-such"?>' + SHAPES["f-stop"],
        SHAPES["f-stop"] + " " * 5_000_000,
        SHAPES["f-stop"][:-30],
        "<a>" * 100_000,
    ],
)
def test_what_is_no_xmp_costs_only_itself_and_is_told(
    tmp_path: Path, packet: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        photo = read(tmp_path, _jpg_xmp=packet, _xmp=SHAPES["aphotomanager"])
    assert (photo.rating, photo.notes) == (2, "two of them\nat the lake")
    (warning,) = caplog.messages
    assert warning.startswith(f"the sidecar {tmp_path / 'a.jpg.xmp'} was left out: it is ")


def test_a_pipe_is_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "a.jpg.xmp")
    assert filled(Photo(None, str(tmp_path / "a.jpg")), [str(tmp_path / "a.jpg.xmp")]).rating is None
    assert "not a regular file" in caplog.text

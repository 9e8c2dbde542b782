"""Sidecars beside photos that are indexed: what they say fills what the photos lack, and costs no embedding."""

import json
from pathlib import Path

from birdsearch import Index
from birdsearch.records import Photo
from tests.support.drawing import bird, camera_exif, write
from tests.support.sidecar_shapes import SHAPES

TAKEOUT = {"photoTakenTime": {"timestamp": "1715925908"}, "geoData": {"latitude": 52.5, "longitude": 13.25}}


def the_photo(index: Index, path: Path) -> Photo:
    return index.find(str(path))


def test_sidecars_of_every_name_fill_what_the_photos_lack(tmp_path: Path, index: Index) -> None:
    folder = tmp_path / "photos"
    for seed, name in enumerate(["a", "b", "c", "d"]):
        write(folder / f"{name}.jpg", bird(seed, 80, 60), **({"exif": camera_exif()} if name == "d" else {}))
    (folder / "a.jpg.xmp").write_text(SHAPES["f-stop"])
    (folder / "b.xmp").write_text(SHAPES["aphotomanager"])
    (folder / "c.jpg.supplemental-metad.json").write_text(json.dumps(TAKEOUT))
    (folder / "d.jpg.xmp").write_text(SHAPES["f-stop"])
    index.add(folder)
    assert the_photo(index, folder / "a.jpg").rating == 5
    assert the_photo(index, folder / "b.jpg").notes == "two of them\nat the lake"
    google = the_photo(index, folder / "c.jpg")
    assert (google.taken_at, google.taken_offset, google.latitude) == ("2024-05-17T06:05:08", "+00:00", 52.5)
    assert the_photo(index, folder / "d.jpg").rating == 4

"""What files say of where they come from."""

import struct
from pathlib import Path
from typing import Any

import pytest

from birdsearch.photos.provenance import Provenance, read_provenance
from tests.support.drawing import bird, exif, write

# Notes of makers with one entry each: a file number, a burst, a shutter count, an image number.
CANON = struct.pack("<HHHIII", 1, 0x0008, 4, 1, 1_234_567, 0)
APPLE = b"Apple iOS\0\0\1MM" + struct.pack(">HHHIII", 1, 0x000B, 2, 8, 32, 0) + b"ABC-DEF\0"
NIKON = b"Nikon\0\2\x10\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x00A7, 4, 1, 4711, 0)
FUJI = b"FUJIFILM\x0c\0\0\0" + struct.pack("<HHHIII", 1, 0x1438, 4, 1, 99, 0)


def said(path: Path, sub: dict[int, Any] | None = None, **main: Any) -> Provenance:
    """What a JPEG with these tags says."""
    names = {"make": 0x010F, "model": 0x0110, "software": 0x0131, "changed": 0x0132}
    tags = exif({names[name]: value for name, value in main.items()}, sub)
    return read_provenance(str(write(path / "a.jpg", bird(1, 60, 40), exif=tags)))


def test_the_time_of_a_change_is_not_the_time_of_the_exposure(tmp_path: Path) -> None:
    both = said(tmp_path, {0x9003: "2024:05:17 06:07:08", 0x9291: "42"}, changed="2024:06:01 10:00:00")
    assert (both.taken_at, both.modified_at) == ("2024-05-17T06:07:08.42", "2024-06-01T10:00:00")
    assert said(tmp_path, changed="2024:06:01 10:00:00").taken_at is None


@pytest.mark.parametrize(
    ("make", "note", "frame"),
    [
        ("Canon", CANON, ("file number", "1234567")),
        ("Apple", APPLE, ("burst", "ABC-DEF")),
        ("NIKON CORPORATION", NIKON, ("shutter count", "4711")),
        ("FUJIFILM", FUJI, ("image number", "99")),
    ],
)
def test_a_makers_note_numbers_the_exposure(tmp_path: Path, make: str, note: bytes, frame: tuple[str, str]) -> None:
    found = said(tmp_path, {0x927C: note}, make=make)
    assert found.maker_note
    assert found.frame == (frame,)
    assert said(tmp_path, {0x927C: note[:-9]}, make=make).frame == ()
    assert said(tmp_path, {0x927C: b"?" * 40}, make=make).frame == ()


def test_numbers_in_exif_and_the_burst_of_google(tmp_path: Path) -> None:
    assert said(tmp_path, {0x9211: 17, 0xA420: "0" * 32}).frame == (("image number", "17"),)
    packet = (
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        b'xmlns:G="http://ns.google.com/photos/1.0/camera/" G:BurstID="a-b" '
        b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Snapseed" '
        b'xmlns:mm="http://ns.adobe.com/xap/1.0/mm/"><mm:DerivedFrom/></rdf:Description></rdf:RDF>'
    )
    found = read_provenance(str(write(tmp_path / "a.jpg", bird(1, 60, 40), xmp=packet)))
    assert (found.frame, found.programs) == ((("burst", "a-b"),), ("Snapseed",))


def test_sizes_and_compression(tmp_path: Path) -> None:
    found = said(tmp_path, {0xA002: 6000, 0xA003: 4000}, software="GIMP 2.10")
    assert (found.size, found.camera_size, found.programs) == ((60, 40), (6000, 4000), ("GIMP 2.10",))
    assert len(found.tables) == 2
    assert found.exif_first is False  # Pillow begins with JFIF
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "camera.jpg").write_bytes(data[:2] + data[20:])
    assert read_provenance(str(tmp_path / "camera.jpg")).exif_first is True


def test_other_formats_and_what_cannot_be_read(tmp_path: Path) -> None:
    tags = exif({0x0110: "X"}, {0x9003: "2024:05:17 06:07:08"})
    for suffix in ("png", "webp", "tif"):
        found = read_provenance(str(write(tmp_path / f"a.{suffix}", bird(1, 60, 40), exif=tags)))
        assert (found.model, found.taken_at, found.size) == ("X", "2024-05-17T06:07:08", (60, 40))
    (tmp_path / "text.jpg").write_text("no photo")
    assert read_provenance(str(tmp_path / "text.jpg")) == Provenance()
    assert read_provenance(str(tmp_path / "gone.jpg")) == Provenance()

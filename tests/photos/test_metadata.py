"""The entries of EXIF, XMP and IPTC in files: sound ones, bad ones, and what exiftool reads of the same files."""

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from birdsearch.photos import metadata
from birdsearch.photos.containers import tiff_directory
from birdsearch.photos.decode import decode
from birdsearch.records import Photo
from tests.support.drawing import bird, camera_exif, exif, write

PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:a="http://ns.adobe.com/xap/1.0/" '
    'xmlns:exif="http://ns.adobe.com/exif/1.0/" {}><dc:creator><rdf:Seq><rdf:li>Ana</rdf:li><rdf:li>Ben</rdf:li>'
    "</rdf:Seq></dc:creator></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def read(path: Path) -> Photo:
    return decode(path.read_bytes(), Photo(None, str(path)), (64, 64)).photo


def entries(data: bytes) -> tuple[str, dict[int, int]]:
    """Byte order and the place of each entry of the main directory of a JPEG's EXIF."""
    tiff = data.index(b"Exif\0\0") + 6
    order = ">" if data[tiff : tiff + 2] == b"MM" else "<"
    (start,) = struct.unpack_from(order + "I", data, tiff + 4)
    (count,) = struct.unpack_from(order + "H", data, tiff + start)
    places = range(tiff + start + 2, tiff + start + 2 + 12 * count, 12)
    return order, {struct.unpack_from(order + "H", data, at)[0]: at for at in places}


def iptc(sets: dict[int, bytes]) -> bytes:
    """A block of Photoshop's with IPTC in it, as a segment of JPEG."""
    content = b"".join(struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text for number, text in sets.items())
    return b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(content)) + content + b"\0" * (len(content) % 2)


def with_segment(path: Path, marker: int, body: bytes) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body + data[2:])
    return path


@pytest.mark.parametrize("tag", [0x010F, 0x0110, 0x0132, 0x010E, 0x013B, 0x4746, 0x0112])
def test_an_entry_that_points_beyond_the_file_costs_itself(tmp_path: Path, tag: int) -> None:
    tags = camera_exif()
    tags[0x0112] = 6
    data = write(tmp_path / "a.jpg", bird(), exif=tags).read_bytes()
    sound = read(tmp_path / "a.jpg")
    order, at = entries(data)
    spoiled = bytearray(data)
    spoiled[at[tag] + 4 : at[tag] + 12] = struct.pack(order + "II", 1000, 10**8)
    (tmp_path / "b.jpg").write_bytes(bytes(spoiled))
    found = read(tmp_path / "b.jpg")
    kept = ["taken_at", "taken_offset", "latitude", "longitude", "lens", "camera_serial"]
    kept += ["width"] if tag != 0x0112 else []
    kept += ["rating"] if tag != 0x4746 else []
    assert [getattr(found, name) for name in kept] == [getattr(sound, name) for name in kept]


@pytest.mark.parametrize(
    ("kind", "count", "value"),
    [(1, 1, b"\6\0\0\0"), (2, 2, b"6\0\0\0"), (7, 1, b"\6\0\0\0"), (4, 1, None), (9, 1, None)],
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_an_orientation_of_any_type_turns_the_picture(
    tmp_path: Path, suffix: str, kind: int, count: int, value: bytes | None
) -> None:
    path = write(tmp_path / f"a.{suffix}", bird(1, 60, 40), exif=exif({0x0112: 6}))
    with Image.open(path) as opened:
        block = opened.info["exif"]
    order = "<" if b"II*" in block[:10] else ">"
    whole = value or struct.pack(order + "I", 6)
    old = struct.pack(order + "HHI", 0x0112, 3, 1) + struct.pack(order + "HH", 6, 0)
    assert old in block
    write(path, bird(1, 60, 40), exif=block.replace(old, struct.pack(order + "HHI", 0x0112, kind, count) + whole))
    photo = read(path)
    assert (photo.width, photo.height) == (40, 60)


def test_a_tiff_is_turned_once(tmp_path: Path) -> None:
    photo = read(write(tmp_path / "a.tif", bird(1, 60, 40), exif=exif({0x0112: 6, 0x0110: "X"})))
    assert (photo.width, photo.height, photo.camera) == (40, 60, "X")


def test_a_directory_that_is_cut_off_keeps_its_first_entries() -> None:
    block = exif({0x010F: "A", 0x0110: "B"}).tobytes().removeprefix(b"Exif\0\0")
    for end in range(len(block)):
        image = Image.new("RGB", (8, 8))
        image.info["exif"] = block[:end]
        metadata.of(image, b"")
        assert metadata.orientation(image) == 1
    assert metadata.of(image, b"").tags[0x010F] == "A\0"


@pytest.mark.parametrize(("kind", "count"), [(3, 100_000), (7, 200_000)])  # numbers of two bytes; bytes
def test_values_that_lie_upon_each_other_take_bounded_memory(kind: int, count: int) -> None:
    entries = b"".join(struct.pack("<HHII", tag, kind, count, 8) for tag in range(300))
    data = struct.pack("<4sI", b"II*\0", 200_008) + bytes(200_000) + struct.pack("<H", 300) + entries
    sizes = [len(value[0]) if isinstance(value[0], bytes) else len(value) for value in tiff_directory(data).values()]
    assert 1 < len(sizes) <= 20
    assert set(sizes) == {count}


def test_xmp_and_iptc_of_every_format(tmp_path: Path) -> None:
    packet = PACKET.format('a:Rating="4" exif:GPSLatitude="52,30N" exif:GPSLongitude="13,15.0E"').encode()
    for suffix in ("jpg", "webp", "avif", "tif"):
        options: dict[str, Any] = {"tiffinfo": {700: packet}} if suffix == "tif" else {"xmp": packet}
        photo = read(write(tmp_path / f"a.{suffix}", bird(1, 64, 48), **options))
        assert (photo.rating, photo.photographer, photo.latitude) == (4, "Ana; Ben", 52.5), suffix
    sets = {55: b"20240517", 60: b"060708+0200", 80: "Zoë".encode(), 120: b"wren"}
    jpeg = read(with_segment(write(tmp_path / "b.jpg", bird(1, 64, 48)), 0xED, iptc(sets)))
    content = iptc(sets)[26:]
    plain = read(write(tmp_path / "b.tif", bird(1, 64, 48), tiffinfo={33723: content}))
    for photo in (jpeg, plain):
        assert (photo.taken_at, photo.taken_offset) == ("2024-05-17T06:07:08", "+02:00")
        assert (photo.photographer, photo.notes) == ("Zoë", "wren")


# Against exiftool -----------------------------------------------------------------------------------------------------

# Field -> the names of exiftool for it, the one that counts first.
NAMES = {
    "rating": ("XMP:Rating", "EXIF:Rating"),
    "photographer": ("EXIF:Artist", "XMP:Creator", "IPTC:By-line"),
    "lens": ("EXIF:LensModel", "XMP:Lens"),
    "camera_serial": ("EXIF:SerialNumber", "XMP:SerialNumber"),
    "latitude": ("Composite:GPSLatitude",),
    "taken_at": ("EXIF:DateTimeOriginal", "XMP:DateTimeOriginal", "XMP:DateCreated", "EXIF:CreateDate"),
}


def exiftool_says(paths: list[Path]) -> list[dict[str, Any]]:
    command = ["exiftool", "-json", "-G", "-n", *map(str, paths)]
    found: list[dict[str, Any]] = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)
    return found


def strange_files(folder: Path) -> list[Path]:
    """Files of our own making in which something is unusual or wrong, and the rest sound."""
    files = [write(folder / "sound.jpg", bird(), exif=camera_exif())]
    data = files[0].read_bytes()
    order, at = entries(data)
    for tag in (0x010F, 0x0110, 0x013B, 0x4746):
        spoiled = bytearray(data)
        spoiled[at[tag] + 4 : at[tag] + 12] = struct.pack(order + "II", 1000, 10**8)
        files.append(folder / f"beyond {tag:x}.jpg")
        files[-1].write_bytes(bytes(spoiled))
    times = ("2025-01-30T08:59:50+01:00", "2026-04-20T00:00:00Z", "2019:11:28 14:38", "2024:05:17 06:07:08.25")
    for number, time in enumerate(times):
        files.append(write(folder / f"time {number}.jpg", bird(), exif=exif({0x0110: "X"}, {0x9003: time})))
    for name, rating in (("4", 4), ("0", 0), ("none", None)):
        packet = PACKET.format('a:Rating="2" exif:DateTimeOriginal="2024-05-17T06:07:08+02:00"').encode()
        made = exif({0x4746: rating} if rating is not None else {0x0110: "X"})
        files.append(write(folder / f"rating {name}.jpg", bird(), exif=made, xmp=packet))
    files.append(with_segment(write(folder / "iptc.jpg", bird()), 0xED, iptc({80: b"Ben", 120: b"wren"})))
    return files


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_reads_the_same(tmp_path: Path) -> None:
    files = strange_files(tmp_path)
    for path, theirs in zip(files, exiftool_says(files), strict=True):
        photo = read(path)
        for field, names in NAMES.items():
            right = next((theirs[name] for name in names if name in theirs), None)
            ours = getattr(photo, field)
            if field == "taken_at":
                digits = "".join(filter(str.isdigit, ours or ""))
                assert "".join(filter(str.isdigit, str(right or ""))).startswith(digits[:12]), (path.name, ours, right)
            elif field == "latitude":
                assert ours == (None if right is None else pytest.approx(right, abs=1e-5)), path.name
            else:
                right = "; ".join(right) if isinstance(right, list) else right
                assert str(ours) == str(right), (path.name, field, ours, right)

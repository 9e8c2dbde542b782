"""The entries of EXIF, XMP and IPTC in files: sound ones, bad ones, and what exiftool reads of the same files."""

import json
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from birdsearch.photos import metadata
from birdsearch.photos.bare import bare_png
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


def png_chunk(name: bytes, body: bytes, checksum: int | None = None) -> bytes:
    right = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", right)


def with_chunks(path: Path, *chunks: bytes) -> Path:
    """A PNG with these chunks behind its header."""
    data = write(path, bird(1, 64, 48)).read_bytes()
    path.write_bytes(data[:33] + b"".join(chunks) + data[33:])
    return path


def riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_with(path: Path, *chunks: bytes) -> Path:
    """A WebP with these chunks behind its picture."""
    data = write(path, bird(1, 64, 48)).read_bytes()
    path.write_bytes(riff(data[12:], *chunks))
    return path


BLOCK = camera_exif().tobytes().removeprefix(b"Exif\0\0")
KNOWN = ("camera", "rating", "photographer", "lens", "camera_serial", "taken_at", "latitude")


def known(photo: Photo) -> list[object]:
    return [getattr(photo, field) for field in KNOWN]


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("tag", [0x010F, 0x0110, 0x0132, 0x013B])
def test_an_entry_of_a_tiff_that_points_beyond_the_file_costs_itself(
    tmp_path: Path, tag: int, compression: str
) -> None:
    tags = {0x010F: "Canon", 0x0110: "EOS R5-1", 0x0132: "2024:06:01 10:00:00", 0x013B: "Ana Perez", 0x829A: 0.01}
    path = write(tmp_path / "a.tif", bird(1, 64, 48), exif=exif(tags), compression=compression)
    sound, data = read(path), bytearray(path.read_bytes())
    at = next(at for at in range(len(data)) if data[at : at + 4] == struct.pack("<HH", tag, 2))
    data[at + 4 : at + 12] = struct.pack("<II", 1000, 10**8)
    path.write_bytes(data)
    found = read(path)
    lost = {0x010F: "camera", 0x0110: "camera", 0x0132: "taken_at", 0x013B: "photographer"}[tag]
    assert (found.phash, found.damaged) == (sound.phash, None)
    assert [name for name in KNOWN if getattr(found, name) != getattr(sound, name)] == [lost]


@pytest.mark.parametrize(
    ("name", "body", "checksum"),
    [
        *((name, body, 1) for name, body in ((b"tIME", bytes(7)), (b"iCCP", b"a\0\0x"), (b"tRNS", bytes(6)))),
        *((name, b"", None) for name in (b"gAMA", b"sRGB", b"pHYs", b"iCCP", b"tRNS", b"zTXt", b"iTXt")),
        (b"zTXt", b"Title\0\0" + zlib.compress(bytes(3_000_000)), None),
        (b"xxXx", b"", 1),
    ],
)
def test_a_broken_chunk_of_a_png_costs_itself(tmp_path: Path, name: bytes, body: bytes, checksum: int | None) -> None:
    photo = read(with_chunks(tmp_path / "a.png", png_chunk(name, body, checksum), png_chunk(b"eXIf", BLOCK)))
    assert known(photo) == known(read(write(tmp_path / "a.jpg", bird(), exif=camera_exif())))
    assert photo.damaged == (None if checksum is None else f"wrong checksum of the PNG chunk {name.decode()!r}")


def test_texts_of_a_png_without_end_take_bounded_memory() -> None:
    bomb = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20)))
    assert len(bare_png(b"\x89PNG\r\n\x1a\n" + bomb * 100 + png_chunk(b"IEND", b""))) < 40 << 20


def test_the_texts_of_a_png_are_read_whatever_their_checksum_and_length(tmp_path: Path) -> None:
    packet = PACKET.format('a:Rating="4"').encode() + b" " * 3_000_000
    text = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet)
    photo = read(with_chunks(tmp_path / "a.png", png_chunk(b"eXIf", BLOCK, 1), png_chunk(b"iTXt", text, 1)))
    assert (photo.camera, photo.rating, photo.latitude) == ("Canon EOS R5", 4, -33.858333)
    assert photo.damaged == "wrong checksum of the PNG chunk 'eXIf'"


@pytest.mark.parametrize(
    "chunk",
    [
        b"EXIF" + struct.pack("<I", len(BLOCK)) + BLOCK + b"\0" * (len(BLOCK) % 2),  # the header tells of none
        b"EXIF" + struct.pack("<I", len(BLOCK) + 1) + BLOCK + b"\0",  # an odd length, and no byte that fills it up
        b"EXIF" + struct.pack("<I", len(BLOCK) + 99) + BLOCK,
    ],
    ids=["unannounced", "odd", "too long"],
)
def test_a_chunk_of_exif_that_is_wrong_costs_no_webp(tmp_path: Path, chunk: bytes) -> None:
    assert read(webp_with(tmp_path / "a.webp", chunk)).camera == "Canon EOS R5"


@pytest.mark.parametrize("offset", [1, 100, 10**6])
@pytest.mark.parametrize("suffix", ["heic", "avif"])
def test_exif_is_found_where_the_offset_before_it_is_wrong(tmp_path: Path, suffix: str, offset: int) -> None:
    pillow_heif.register_heif_opener()
    path = write(tmp_path / f"a.{suffix}", bird(1, 64, 48), exif=camera_exif().tobytes())
    data = path.read_bytes()
    assert data.count(b"\0\0\0\6Exif\0\0") == 1
    path.write_bytes(data.replace(b"\0\0\0\6Exif\0\0", struct.pack(">I", offset) + b"Exif\0\0"))
    photo = read(path)
    assert (photo.camera, photo.damaged) == ("Canon EOS R5", None)


@pytest.mark.parametrize("marker", [0xE0, 0xE2, 0xEE])
def test_a_segment_that_is_too_short_costs_itself(tmp_path: Path, marker: int) -> None:
    path = write(tmp_path / "a.jpg", bird(), exif=camera_exif())
    sound = read(path)
    names = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
    assert replace(read(with_segment(path, marker, names[marker])), damaged=None) == sound


@pytest.mark.parametrize("other", [b"garbage", exif({0x010E: "x"}).tobytes()[6:], b"II*\0"])
@pytest.mark.parametrize("first", [True, False])
def test_of_several_blocks_of_exif_the_fullest_counts(tmp_path: Path, other: bytes, first: bool) -> None:
    path = write(tmp_path / "a.jpg", bird())
    for block in (BLOCK, other) if first else (other, BLOCK):
        with_segment(path, 0xE1, b"Exif\0\0" + block)
    assert read(path).camera == "Canon EOS R5"


def test_exif_may_be_longer_than_a_segment(tmp_path: Path) -> None:
    long = exif({0x010E: "x" * 70_000, 0x0110: "R5"}, {0xA434: "a lens"}).tobytes()[6:]
    path = write(tmp_path / "a.jpg", bird())
    for piece in (long[60_000:], long[:60_000]):
        with_segment(path, 0xE1, b"Exif\0\0" + piece)
    assert (read(path).camera, read(path).lens) == ("R5", "a lens")


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
    return files + strange_containers(folder)


def strange_containers(folder: Path) -> list[Path]:
    """Files whose metadata are sound, and what holds them is not."""
    block, title = png_chunk(b"eXIf", BLOCK), b"Title\0\0" + zlib.compress(b"wren")
    files = [with_chunks(folder / "checksum eXIf.png", png_chunk(b"eXIf", BLOCK, 1))]
    for name, body in ((b"zTXt", title), (b"gAMA", bytes(4)), (b"iCCP", title), (b"tRNS", bytes(6)), (b"xxXx", b"a")):
        files.append(with_chunks(folder / f"checksum {name.decode()}.png", block, png_chunk(name, body, 1)))
    empty = (b"gAMA", b"pHYs", b"sRGB", b"iCCP")
    files += [with_chunks(folder / f"empty {name.decode()}.png", block, png_chunk(name, b"")) for name in empty]
    padded = BLOCK + b"\0" * (len(BLOCK) % 2)
    files.append(webp_with(folder / "unannounced.webp", b"EXIF" + struct.pack("<I", len(padded)) + padded))
    for marker, body in ((0xE0, b"JFIF\0"), (0xE2, b"ICC_PROFILE\0"), (0xEE, b"Adobe"), (0xE1, b"Exif\0\0garbage")):
        path = write(folder / f"segment {marker:x}.jpg", bird(), exif=camera_exif())
        files.append(with_segment(path, marker, body))
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

"""Camera RAW: the camera's own JPEG or the sensor's values, upright; DNGs that LibRaw develops, drawn here."""

import io
import json
import shutil
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from birdsearch import Box, Filter, Index
from birdsearch.errors import BoxOutsideError, PhotoUnreadableError
from birdsearch.files import sha256_of
from birdsearch.photos import decode, scan
from birdsearch.photos.decode import Decoded
from birdsearch.photos.memory import CostlyError
from birdsearch.records import Pixels
from tests.support.camera_raw import MAKERS, jpeg, write_dng, write_maker
from tests.support.drawing import ORIENTATION, bird, exif, tiff, turned, write

PICTURE = bird(1, 480, 320)
SIZE = (64, 64)


def decoded(path: Path, size: tuple[int, int] = SIZE) -> Decoded:
    file = scan.read(scan.FoundFile(bytes(path)))
    return decode.decode(file.data, file.photo, size, file.format)


def alike(pixels: Pixels, picture: Image.Image) -> float:
    """The correlation of pixels with a picture: development changes its brightness."""
    expected = np.asarray(picture.resize(pixels.shape[1::-1]), float)
    return float(np.corrcoef(pixels.ravel(), expected.ravel())[0, 1])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("rendered", ["preview", "sensor"])
def test_a_raw_is_upright_however_the_camera_was_held(tmp_path: Path, orientation: int, rendered: str) -> None:
    path = write_dng(tmp_path / "a.dng", PICTURE, orientation, None if rendered == "preview" else ())
    found = decoded(path)
    assert (found.photo.format, found.photo.rendered, found.photo.damaged) == ("DNG", rendered, None)
    assert (found.photo.width, found.photo.height) == PICTURE.size
    assert alike(found.pixels, PICTURE) > 0.99
    assert decode.shown_size(path) == PICTURE.size
    shown = decode.picture(path, 120)
    assert shown.shape == (80, 120, 3)
    assert alike(shown, PICTURE) > 0.99


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_preview_that_stands_already_is_not_turned_again(tmp_path: Path, orientation: int) -> None:
    found = decoded(write_dng(tmp_path / "a.dng", PICTURE, orientation, (jpeg(PICTURE),)))
    assert (found.photo.width, found.photo.height) == PICTURE.size
    assert alike(found.pixels, PICTURE) > 0.99


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_preview_whose_shape_tells_nothing_says_itself_how_it_stands(tmp_path: Path, orientation: int) -> None:
    stands = jpeg(PICTURE, exif=exif({ORIENTATION: 1}))
    assert alike(decoded(write_dng(tmp_path / "a.dng", PICTURE, orientation, (stands,))).pixels, PICTURE) > 0.99
    lies = jpeg(turned(PICTURE, orientation), exif=exif({ORIENTATION: orientation}))
    assert alike(decoded(write_dng(tmp_path / "b.dng", PICTURE, orientation, (lies,))).pixels, PICTURE) > 0.99


def test_the_largest_preview_is_taken_and_none_that_is_a_thumbnail(tmp_path: Path) -> None:
    large, middle = bird(2, 480, 320), bird(3, 360, 240)
    small = jpeg(bird(4, 160, 120))
    found = decoded(write_dng(tmp_path / "a.dng", PICTURE, 1, (jpeg(middle), jpeg(large), small)))
    assert alike(found.pixels, large) > 0.99
    path = write_dng(tmp_path / "b.dng", PICTURE, 1, (small, jpeg(middle)))
    assert alike(decoded(path).pixels, middle) > 0.99
    assert decoded(path, (256, 256)).photo.rendered == "sensor"  # 240 pixels do not reach this network's input
    thumbnail = decoded(write_dng(tmp_path / "c.dng", PICTURE, 1, (small,)))
    assert thumbnail.photo.rendered == "sensor"
    assert alike(thumbnail.pixels, PICTURE) > 0.99


def test_a_sensor_that_saw_nothing_is_no_photo(tmp_path: Path) -> None:
    with pytest.raises(PhotoUnreadableError, match=r"^no sensor data in it$"):
        decoded(write_dng(tmp_path / "a.dng", PICTURE, previews=(), black=True))
    assert decoded(write_dng(tmp_path / "b.dng", PICTURE, black=True)).photo.rendered == "preview"


@pytest.mark.parametrize("previews", [None, ()])
def test_a_raw_that_is_cut_off_fails(tmp_path: Path, previews: tuple[bytes, ...] | None) -> None:
    whole = write_dng(tmp_path / "a.dng", PICTURE, 6, previews).read_bytes()
    for tenth in range(10):
        path = tmp_path / f"{tenth}.dng"
        path.write_bytes(whole[: len(whole) * tenth // 10])
        with pytest.raises(PhotoUnreadableError, match=r"truncated DNG|empty file"):
            decoded(path)


def test_a_raw_cut_off_behind_its_preview_is_damaged(tmp_path: Path) -> None:
    path = write_dng(tmp_path / "a.dng", PICTURE, 6, preview_first=True)
    path.write_bytes(path.read_bytes()[:-1000])
    found = decoded(path)
    assert (found.photo.rendered, alike(found.pixels, PICTURE) > 0.99) == ("preview", True)
    assert found.photo.damaged == "the file is cut off: not all values of the sensor are there"


@pytest.mark.parametrize("name", MAKERS)
def test_what_other_makers_write_is_read(tmp_path: Path, name: str) -> None:
    upright = bird(1, 320, 480)
    path = write_maker(tmp_path / name, jpeg(turned(upright, 8)), 8)
    found = decoded(path)
    photo = found.photo
    assert (photo.format, photo.width, photo.height) == (name[2:], *upright.size)
    assert photo.camera is not None
    assert photo.camera.endswith(MAKERS[name][1])
    assert (photo.camera_serial, photo.photographer) == ("0123456789", "Ana")
    if name != "a.CRW":  # of before EXIF
        assert (photo.taken_at, photo.taken_offset, photo.lens) == ("2024-05-17T06:07:08.42", "+02:00", "400mm F4")
        assert (photo.latitude, photo.longitude) == (-33.858333, 151.21)
    if name == "a.MRW":
        assert photo.rendered == "sensor"
    else:
        assert (photo.rendered, alike(found.pixels, upright) > 0.99) == ("preview", True)


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="ExifTool is not installed")
def test_exiftool_reads_the_same(tmp_path: Path) -> None:
    for name in MAKERS:
        write_maker(tmp_path / name, jpeg(turned(bird(1, 320, 480), 8)), 8)
    asked = ("DateTimeOriginal", "SubSecTimeOriginal", "OffsetTimeOriginal", "SerialNumber", "GPSLatitude", "Model")
    command = ["exiftool", "-json", *(f"-{tag}" for tag in asked), "-n", str(tmp_path)]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert len(answer) == len(MAKERS)
    for theirs in answer:
        photo = decoded(Path(theirs["SourceFile"])).photo
        moment = theirs["DateTimeOriginal"].replace(":", "-", 2).replace(" ", "T")
        parts = theirs.get("SubSecTimeOriginal")
        assert photo.taken_at == (moment if parts is None else f"{moment}.{parts}")
        assert photo.taken_offset == theirs.get("OffsetTimeOriginal")
        assert int(photo.camera_serial or 0) == int(theirs["SerialNumber"])
        assert photo.latitude == pytest.approx(theirs.get("GPSLatitude"), abs=1e-5)
        assert (photo.camera or "").endswith(theirs["Model"])


def test_hostile_raw_files_fail_at_once(tmp_path: Path) -> None:
    """Sides of 65,000 pixels, directories in a circle, heaps in themselves, and bytes turned anywhere."""
    huge = tiff([(0x0100, 4, 1, 65_000), (0x0101, 4, 1, 65_000), (0x0106, 3, 1, 32803), (0x0111, 4, 1, 200)])
    ring = tiff([(0x0106, 3, 1, 32803), (0x014A, 4, 1, 8)])
    heap = b"II\x0e\0\0\0HEAPCCDR" + (struct.pack("<H", 30) + struct.pack("<HII", 0x2804, 302, 0) * 30) + bytes(4)
    files = {"huge.dng": huge, "ring.nef": ring, "heap.crw": heap}
    random = np.random.default_rng(0)
    for name in MAKERS:
        whole = bytearray(write_maker(tmp_path / name, jpeg(PICTURE)).read_bytes())
        for at in random.integers(0, 400, 20):
            whole[at] ^= 1 << int(random.integers(8))
        files[f"turned {name}"] = bytes(whole)
    for name, data in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        with suppress(PhotoUnreadableError, scan.NotAPhotoError):
            assert decoded(path).photo.width


def test_only_files_with_the_same_values_of_the_sensor_are_the_same_picture(tmp_path: Path) -> None:
    """Their previews may be equal: a RAW developed by somebody else, or exposed a moment later."""
    first = write_dng(tmp_path / "a.dng", PICTURE)
    edited = write_dng(tmp_path / "b.dng", PICTURE, tags=((0x013B, 2, 0, "Ana", True),))
    other = write_dng(tmp_path / "c.dng", bird(2, 480, 320), previews=(jpeg(PICTURE),))
    one, same, another = (decode.fingerprint(path) for path in (first, edited, other))
    assert one == same
    assert (one.pixels, one.contents.beyond(another.contents)) == (another.pixels, ("the values of the sensor",))


def test_the_memory_of_a_development_is_counted_before(tmp_path: Path) -> None:
    path = write_dng(tmp_path / "a.dng", PICTURE, previews=())
    file = scan.read(scan.FoundFile(bytes(path)))
    with pytest.raises(CostlyError):
        decode.decode(file.data, file.photo, SIZE, file.format, most=len(file.data) + 5 * 480 * 320)


@pytest.mark.parametrize("previews", [None, ()])
def test_a_raw_is_a_photo_of_an_index_like_any_other(
    tmp_path: Path, index: Index, previews: tuple[bytes, ...] | None
) -> None:
    path = write_dng(tmp_path / "photos/a.dng", PICTURE, 6, previews)
    assert index.add(tmp_path / "photos").added == 1
    (photo,) = index.photos()
    rendered = "preview" if previews is None else "sensor"
    assert (photo.format, photo.rendered, (photo.width, photo.height)) == ("DNG", rendered, PICTURE.size)
    assert photo.sha256 == sha256_of(path)
    assert index.original(1).type == "image/x-adobe-dng"
    shown = Image.open(io.BytesIO(index.thumbnail(1, 120).bytes)).convert("RGB")
    assert (shown.size, alike(np.asarray(shown), PICTURE) > 0.98) == ((120, 80), True)
    assert index.search(path.read_bytes())[0].score > 0.999
    path.rename(tmp_path / "photos/b.dng")
    assert index.add(tmp_path / "photos").moved == 1
    assert index.verify().problems == ()
    index.export(tmp_path / "all.parquet")
    index.remove(Filter(ids=(1,)))
    index.import_photos(tmp_path / "all.parquet")
    assert [photo.rendered for photo in index.photos()] == [rendered]


def test_a_preview_a_sensor_and_a_jpeg_of_one_picture_are_no_duplicates(tmp_path: Path, index: Index) -> None:
    photos = tmp_path / "photos"
    when = ((0x0132, 2, 0, "2024:05:17 06:07:08", True), (0x829A, 5, 1, (1, 500), True))
    write_dng(photos / "a/1.dng", PICTURE, tags=when)
    write_dng(photos / "b/1.dng", PICTURE, previews=(), tags=when)
    write(photos / "c/1.jpg", PICTURE)
    write_dng(photos / "d/1.dng", bird(2, 480, 320), previews=(jpeg(PICTURE),), tags=when)
    assert index.add(photos, raw="separate").added == 4
    assert [Path(photo.path).parent.name for photo in index.photos()] == ["a", "b", "c", "d"]
    report = index.duplicates()
    assert [(pair.a, pair.b, pair.relation) for pair in report.pairs] == [(1, 4, "variant")]
    assert "no camera" not in report.groups[0].reason
    card = tmp_path / "card"
    write_dng(card / "new.dng", PICTURE, previews=(), tags=((0x013B, 2, 0, "Ana", True),))
    write(card / "known.jpg", PICTURE, quality=80)
    write_dng(card / "raw of the jpeg.dng", PICTURE, previews=(jpeg(PICTURE, 70),))
    known = {Path(one.photo.path).name: one.indexed.id for one in index.compare_folder(card).known}
    assert known == {"new.dng": 2, "known.jpg": 3, "raw of the jpeg.dng": 1}


def test_a_raw_of_a_card_is_there_already_where_its_bytes_are(tmp_path: Path, index: Index) -> None:
    """Also where it is no photo of the index."""
    raw = write_dng(tmp_path / "photos/a.dng", PICTURE)
    write(tmp_path / "photos/a.jpg", PICTURE)
    assert sum(index.add(tmp_path / "photos", raw="ignore").ignored.values()) == 1
    card = tmp_path / "card"
    card.mkdir()
    shutil.copy(raw, card / "a.dng")
    report = index.compare_folder(card)
    assert (report.new, report.only_here, [one.there for one in report.others]) == ((), (), [str(raw)])
    write_dng(card / "b.dng", bird(2, 480, 320))
    report = index.compare_folder(card)
    assert ([Path(photo.path).name for photo in report.new], len(report.others)) == (["b.dng"], 1)


@pytest.mark.parametrize("previews", [None, ()])
def test_a_box_in_pixels_counts_those_of_the_sensor(tmp_path: Path, previews: tuple[bytes, ...] | None) -> None:
    stored = turned(PICTURE, 6)
    smaller = (jpeg(stored.resize((stored.width * 3 // 4, stored.height * 3 // 4))),) if previews is None else ()
    path = write_dng(tmp_path / "a.dng", PICTURE, 6, smaller)
    in_pixels, in_shares = Box(240, 80, 120, 160, pixels=True), Box(0.5, 0.25, 0.25, 0.5)
    np.testing.assert_array_equal(decode.crops(path, [in_pixels], SIZE), decode.crops(path, [in_shares], SIZE))
    with pytest.raises(BoxOutsideError, match="480 x 320"):
        decode.crops(path, [Box(400, 80, 120, 160, pixels=True)], SIZE)

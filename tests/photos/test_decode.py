"""Decoding: every format, mode and orientation gives the picture that was drawn, and what the camera wrote with it."""

import io
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
from PIL import Image, ImageCms

from birdsearch.errors import PhotoError, PhotoMissingError, PhotoUnreadableError
from birdsearch.photos import decode, memory, rgb, scan
from birdsearch.photos.decode import Decoded
from birdsearch.photos.scan import FoundFile, Ignored, NotAPhotoError
from birdsearch.records import Box, Failure, Photo, Pixels
from tests.support import REAL_PHOTOS
from tests.support.drawing import ORIENTATION, bird, camera_exif, exif, tiff, turned, write
from tests.support.strange_files import saved, write_strange_files

SIZE = (224, 224)


def decoded(path: Path, size: tuple[int, int] = SIZE) -> Decoded:
    """A file as the pipeline sees it."""
    (found,) = scan.scan([path])
    assert isinstance(found, FoundFile)
    file = scan.read(found)
    return decode.decode(file.data, file.photo, size)


def pixels_of(data: bytes) -> Pixels:
    return decode.decode(data, Photo(None, ""), SIZE).pixels


def drawn(picture: Image.Image, size: tuple[int, int] = SIZE) -> Pixels:
    """What a picture must look like at the end, by Pillow alone."""
    resized = picture.convert("RGB").resize(size[::-1], Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.uint8)


def difference(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Mean absolute difference, of 255."""
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def bits_apart(one: str | None, other: str | None) -> int:
    assert one is not None
    assert other is not None
    return (int(one, 16) ^ int(other, 16)).bit_count()


def write_heif(path: Path, picture: Image.Image, **options: Any) -> None:
    pillow_heif.from_pillow(picture).save(path, quality=90, **options)


FORMATS: list[tuple[str, str, dict[str, Any], float]] = [
    # file, format, options, difference allowed
    ("a.jpg", "JPEG", {}, 2),
    ("progressive.jpg", "JPEG", {"progressive": True, "subsampling": 2}, 2),
    ("a.mpo", "JPEG", {"quality": 95}, 2),
    ("a.png", "PNG", {}, 0),
    ("lossless.webp", "WEBP", {"lossless": True}, 0),
    ("a.webp", "WEBP", {"quality": 90}, 3),
    ("a.tif", "TIFF", {}, 0),
    ("lzw.tif", "TIFF", {"compression": "tiff_lzw"}, 0),
    ("jpeg.tif", "TIFF", {"compression": "jpeg", "quality": 95}, 2),
    ("big.tif", "TIFF", {"big_tiff": True}, 0),
    ("a.gif", "GIF", {}, 12),
    ("a.bmp", "BMP", {}, 0),
    ("a.avif", "AVIF", {"quality": 90}, 3),
    ("a.jp2", "JPEG2000", {}, 0),
    ("a.ppm", "PPM", {}, 0),
]


@pytest.mark.parametrize(("name", "format", "options", "allowed"), FORMATS)
def test_decode_reads_every_format_whatever_the_file_is_called(
    tmp_path: Path, name: str, format: str, options: dict[str, Any], allowed: float
) -> None:
    picture = bird(1)
    data = write(tmp_path / name, picture, **options).read_bytes()
    for called in (name, "no suffix", "wrong.png", "wrong.txt"):
        (tmp_path / called).write_bytes(data)
        result = decoded(tmp_path / called)
        assert result.pixels.shape == (224, 224, 3)
        assert result.pixels.dtype == np.uint8
        assert difference(result.pixels, drawn(picture)) <= allowed
        assert (result.photo.format, result.photo.width, result.photo.height) == (format, 320, 240)


def test_decode_reads_heif_and_leaves_pillow_as_it_was(tmp_path: Path) -> None:
    before = dict(Image.OPEN), dict(Image.EXTENSION)
    picture = bird(1)
    write_heif(tmp_path / "a.heic", picture, exif=camera_exif().tobytes())
    result = decoded(tmp_path / "a.heic")
    assert (result.photo.format, result.photo.width, result.photo.height) == ("HEIF", 320, 240)
    assert (result.photo.camera, result.photo.rating) == ("Canon EOS R5", 4)
    assert difference(result.pixels, drawn(picture)) < 4
    Image.init()
    assert "HEIF" not in Image.OPEN
    assert before[0].items() <= Image.OPEN.items()


def test_decode_takes_the_first_frame(tmp_path: Path) -> None:
    frames = [bird(seed) for seed in (1, 2, 3)]
    for name, allowed in (("a.gif", 12), ("a.png", 0), ("a.tif", 0), ("a.webp", 4), ("a.mpo", 4), ("a.avif", 4)):
        path = write(tmp_path / name, frames[0], save_all=True, append_images=frames[1:])
        assert difference(decoded(path).pixels, drawn(frames[0])) <= allowed, name


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.avif", "a.heic"])
def test_decode_turns_all_eight_orientations_upright(tmp_path: Path, name: str) -> None:
    picture = bird(3)
    exact = name in ("a.png", "a.tif")
    upright = drawn(picture)
    hashes = []
    for orientation in range(1, 9):
        stored, made = turned(picture, orientation), exif({ORIENTATION: orientation})
        if name == "a.heic":
            write_heif(tmp_path / name, stored, exif=made.tobytes())
        else:
            write(tmp_path / name, stored, exif=made)
        result = decoded(tmp_path / name)
        if exact:
            np.testing.assert_array_equal(result.pixels, upright)
        assert difference(result.pixels, upright) < 4, orientation
        assert (result.photo.width, result.photo.height) == (320, 240), orientation
        hashes.append(result.photo.phash)
    assert max(bits_apart(hashes[0], other) for other in hashes) <= (0 if exact else 4)


def test_decode_turns_a_large_jpeg_that_is_decoded_smaller(tmp_path: Path) -> None:
    picture = bird(4, 2000, 1200)
    for orientation in range(1, 9):
        write(tmp_path / "a.jpg", turned(picture, orientation), exif=exif({ORIENTATION: orientation}))
        result = decoded(tmp_path / "a.jpg", (96, 128))
        assert difference(result.pixels, drawn(picture, (96, 128))) < 2, orientation
        assert (result.photo.width, result.photo.height) == (2000, 1200)


@pytest.mark.parametrize("size", [(224, 224), (336, 336), (100, 300)])
def test_decode_of_a_jpeg_never_starts_below_twice_the_size(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = rgb.upright

    def recording(image: Image.Image, orientation: int, least: int | None = None) -> Image.Image:
        seen.append(image.size)
        return real(image, orientation, least)

    monkeypatch.setattr(rgb, "upright", recording)
    picture = bird(5, 1800, 1000)
    data = saved("JPEG", picture, quality=95)
    decode.decode(data, Photo(None, ""), size)
    assert min(seen[0]) >= 2 * max(size)
    assert difference(decode.decode(data, Photo(None, ""), size).pixels, drawn(picture, size)) < 2


def test_one_decode_serves_a_network_and_a_finder() -> None:
    wide, small = bird(5, 3200, 2400), Box(0.4, 0.5, 0.2, 0.2)
    for format in ("JPEG", "PNG"):
        data = saved(format, wide, **({"quality": 95, "exif": exif({ORIENTATION: 6})} if format == "JPEG" else {}))
        alone, both = (decode.decode(data, Photo(None, ""), (100, 100), upright=size) for size in (None, (224, 200)))
        assert alone.upright is None
        assert difference(both.pixels, alone.pixels) < 0.3
        assert bits_apart(both.photo.phash, alone.photo.phash) <= 2
        assert (both.photo.width, both.photo.height) == (alone.photo.width, alone.photo.height)
        upright, given = both.upright, decode.upright(data, (224, 200))
        assert upright is not None
        np.testing.assert_array_equal(upright.whole, given.whole)
        assert difference(upright.whole, decode.load(data, (224, 200))) < 2
        assert difference(upright.crop(small, (90, 90)), decode.crops(data, [small], (90, 90))[0]) < 2
        assert upright.shows(small, (100, 100))
        assert not upright.shows(Box(0.4, 0.5, 0.02, 0.02), (100, 100))
    assert decode.upright(bird(5, 300, 200), (224, 224)).shows(Box(0.4, 0.5, 0.02, 0.02), (100, 100))  # that is all


def test_a_finder_sees_what_lies_around_a_box() -> None:
    picture = bird(5, 1200, 900)
    upright = decode.upright(picture, (300, 300))
    for box, times, edges in (
        (Box(0.5, 0.5, 0.1, 0.05), 4, (420, 232, 900, 712)),  # a square around its middle
        (Box(0.9, 0, 0.1, 0.1), 4, (720, 0, 1200, 480)),  # moved inside
        (Box(0.2, 0.2, 0.6, 0.6), 3, (0, 0, 1200, 900)),  # as far as the picture goes
        (Box(0.5, 0.5, 0.01, 0.01), 2, (568, 417, 643, 492)),  # not a blur
    ):  # fmt: skip
        part, pixels = upright.around(box, times)
        shares = [part.x * 1200, part.y * 900, (part.x + part.width) * 1200, (part.y + part.height) * 900]
        assert shares == pytest.approx(edges, abs=1)
        assert difference(pixels, drawn(picture.crop(edges), (300, 300))) < 3


GREY = np.asarray(bird(6).convert("L"))
BIG = (GREY.astype(np.uint16) * 257).astype(">u2").tobytes()

MODES: list[tuple[str, Callable[[], bytes], float]] = [
    ("grey", lambda: saved("PNG", Image.fromarray(GREY)), 0),
    ("grey jpeg", lambda: saved("JPEG", Image.fromarray(GREY), quality=95), 2),
    ("16 bit png", lambda: saved("PNG", Image.fromarray(GREY.astype(np.uint16) * 257)), 0),
    ("16 bit tiff", lambda: saved("TIFF", Image.fromarray(GREY.astype(np.uint16) * 257)), 0),
    ("16 bit tiff, big-endian", lambda: saved("TIFF", Image.frombytes("I;16B", GREY.shape[::-1], BIG)), 0),
    ("16 bit in 32", lambda: saved("TIFF", Image.fromarray(GREY.astype(np.int32) * 257)), 2),
    ("float to 1", lambda: saved("TIFF", Image.fromarray(GREY.astype(np.float32) / 255)), 0),
    ("float to 255", lambda: saved("TIFF", Image.fromarray(GREY.astype(np.float32))), 0),
    ("grey and alpha", lambda: saved("PNG", Image.fromarray(GREY).convert("LA")), 0),
    ("palette", lambda: saved("PNG", Image.fromarray(GREY).convert("P")), 0),
]


@pytest.mark.parametrize(("data", "allowed"), [mode[1:] for mode in MODES], ids=[mode[0] for mode in MODES])
def test_decode_scales_every_grey_to_the_same_picture(data: Callable[[], bytes], allowed: float) -> None:
    assert difference(pixels_of(data()), drawn(Image.fromarray(GREY))) <= allowed


def test_decode_scales_twelve_bits() -> None:
    values = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 1, 12), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    at = 8 + 2 + 12 * (len(values) + 2) + 4
    data = tiff([*values, (273, 4, 1, at), (279, 4, 1, 3)])
    data = data[:at] + b"\xff\xff\xff" + data[at + 3 :]
    assert pixels_of(data).min() == 255


def test_decode_survives_values_that_are_no_numbers() -> None:
    values = GREY.astype(np.float32) / 255
    values[:5] = np.nan
    values[5:9] = np.inf
    assert difference(pixels_of(saved("TIFF", Image.fromarray(values)))[30:], drawn(Image.fromarray(GREY))[30:]) < 0.1


def test_decode_keeps_the_colours_of_cmyk_and_lab() -> None:
    flat = Image.new("RGB", (64, 64), (200, 40, 90))
    for format in ("JPEG", "TIFF"):
        assert np.abs(pixels_of(saved(format, flat.convert("CMYK"))).astype(int) - (200, 40, 90)).max() <= 4
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(flat, *profiles, outputMode="LAB")
    assert lab is not None
    assert np.abs(pixels_of(saved("TIFF", lab)).astype(int) - (200, 40, 90)).max() <= 4


def test_decode_lays_what_is_transparent_on_white() -> None:
    clear = Image.new("RGBA", (64, 64), (200, 40, 90, 0))
    half = Image.new("RGBA", (64, 64), (0, 0, 0, 128))
    palette = Image.new("P", (64, 64), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    for format in ("PNG", "WEBP", "TIFF", "AVIF"):
        assert pixels_of(saved(format, clear)).min() >= 252, format
        assert np.abs(pixels_of(saved(format, half)).astype(int) - 127).max() <= 3, format
    for format in ("PNG", "GIF"):
        assert pixels_of(saved(format, palette, transparency=1)).min() == 255
    assert (pixels_of(saved("PNG", palette)) == (10, 20, 30)).all()
    assert pixels_of(saved("PNG", Image.new("LA", (64, 64), (0, 0)))).min() == 255
    assert pixels_of(saved("PNG", Image.new("RGB", (64, 64), (1, 2, 3)), transparency=(1, 2, 3))).min() == 255


def test_decode_reads_what_the_camera_wrote(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.webp", "a.tif", "a.avif"):
        photo = decoded(write(tmp_path / name, bird(1), exif=camera_exif())).photo
        assert (photo.taken_at, photo.taken_offset) == ("2024-05-17T06:07:08.42", "+02:00"), name
        assert (photo.camera, photo.camera_serial) == ("Canon EOS R5", "0123456789")
        assert photo.lens == "RF100-500mm F4.5-7.1 L IS USM"
        assert (photo.latitude, photo.longitude) == (-33.858333, 151.21)
        assert (photo.photographer, photo.notes, photo.rating) == ("Ana Núñez", "at the feeder\nwindy", 4), name


def test_garbage_beside_good_pixels_costs_nothing_but_itself(tmp_path: Path) -> None:
    whole = camera_exif().tobytes()
    plain = drawn(bird(1))
    rng = np.random.default_rng(0)
    path = tmp_path / "a.jpg"
    for _ in range(60):
        damaged = bytearray(whole)
        for at in rng.integers(6, len(whole), 12):
            damaged[at] = rng.integers(256)
        write(path, bird(1), exif=bytes(damaged[: rng.integers(20, len(whole))]))
        assert sorted(decoded(path).pixels.shape) == [3, 224, 224]
    write(path, bird(1), exif=b"Exif\0\0nonsense")
    assert difference(decoded(path).pixels, plain) < 2


def test_phash_knows_a_picture_again(tmp_path: Path) -> None:
    first = decoded(write(tmp_path / "a.jpg", bird(1, 1600, 1200))).photo.phash
    smaller = decoded(write(tmp_path / "b.png", bird(1, 1600, 1200).resize((400, 300)))).photo.phash
    other = decoded(write(tmp_path / "c.jpg", bird(2, 1600, 1200))).photo.phash
    assert first is not None
    assert len(first) == 16
    assert bits_apart(first, smaller) <= 4
    assert bits_apart(first, other) > 10


def test_a_truncated_file_fails_in_plain_words(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    for format in ("JPEG", "PNG", "TIFF", "GIF", "BMP"):
        data = saved(format, noise)
        with pytest.raises(PhotoUnreadableError, match=f"^truncated {format}$"):
            decode.decode(data[: len(data) // 2], Photo(None, "a"), SIZE)


def test_strange_files_end_where_they_should_and_warn_nobody(tmp_path: Path) -> None:
    expected = write_strange_files(tmp_path)
    assert len(expected) >= 45
    counted: dict[str, str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for item in scan.scan([tmp_path]):
            name = os.path.relpath(os.fsdecode(item.path), tmp_path)
            assert name not in counted
            counted[name] = outcome(item)
    assert counted == {name: kind for name, kind in expected.items() if kind != "hidden"}


def outcome(item: FoundFile | Failure | Ignored) -> str:
    if isinstance(item, Failure):
        return "failed"
    if isinstance(item, Ignored):
        return "ignored"
    try:
        file = scan.read(item)
        decode.decode(file.data, file.photo, SIZE)
    except NotAPhotoError:
        return "ignored"
    except PhotoError:
        return "failed"
    return "photo"


def test_pillows_limit_neither_stops_a_panorama_nor_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(memory, "HUGE", 1000)
    for format in ("JPEG", "PNG", "TIFF", "BMP", "JPEG2000"):
        assert pixels_of(saved(format)).shape == (224, 224, 3)
        assert Image.MAX_IMAGE_PIXELS == 1000
    monkeypatch.setattr(decode, "MAX_PIXELS", 70_000)
    with pytest.raises(PhotoUnreadableError, match="320 x 240 pixels, more than"):
        pixels_of(saved("PNG"))


def test_pillows_warnings_stay_with_the_threads_that_read() -> None:
    data = saved("JPEG", bird(1), exif=camera_exif().tobytes()[:-60])
    started, stop = threading.Event(), threading.Event()

    def keep_reading() -> int:
        count = 0
        while not stop.is_set():
            pixels_of(data)
            count += 1
            started.set()
        return count

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(keep_reading)
        started.wait(30)
        for _ in range(200):
            with pytest.warns(UserWarning, match="mine"):
                warnings.warn("mine", UserWarning, stacklevel=1)
        stop.set()
        assert job.result() > 0


def test_eight_threads_decode_what_one_does(tmp_path: Path) -> None:
    write_strange_files(tmp_path)
    for seed in range(20):
        write(tmp_path / f"{seed}.jpg", bird(seed), exif=camera_exif())

    def job(item: FoundFile | Failure | Ignored) -> Any:
        try:
            file = scan.read(item) if isinstance(item, FoundFile) else None
            return file and decode.decode(file.data, file.photo, SIZE)
        except (NotAPhotoError, PhotoError) as error:
            return type(error), str(error)

    items = list(scan.scan([tmp_path]))
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(job, items))
    for one, other in zip(map(job, items), together, strict=True):
        if isinstance(one, Decoded):
            assert one.photo == other.photo
            np.testing.assert_array_equal(one.pixels, other.pixels)
        else:
            assert one == other


def test_load_takes_whatever_shows_a_picture(tmp_path: Path) -> None:
    picture = bird(1)
    path = write(tmp_path / "a.png", picture)
    array = np.asarray(picture)
    given: list[decode.ImageLike] = [
        str(path),
        path,
        path.read_bytes(),
        bytearray(path.read_bytes()),
        memoryview(path.read_bytes()),
        picture,
        Image.open(path),
        Photo(None, str(path)),
        array,
        array.astype(np.float32) / 255,
        array.astype(np.uint16) * 257,
        np.dstack([array, np.full(array.shape[:2], 255, np.uint8)]),
    ]
    for image in given:
        np.testing.assert_array_equal(decode.load(image, SIZE), drawn(picture))
    np.testing.assert_array_equal(decode.load(GREY, SIZE), drawn(Image.fromarray(GREY)))


def test_load_turns_a_pillow_image_and_leaves_it_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", turned(bird(1, 1200, 800), 6), exif=exif({ORIENTATION: 6}))
    with Image.open(path) as image:
        pixels = decode.load(image, (64, 64))
        assert image.size == (800, 1200)
    assert difference(pixels, decode.load(path, (64, 64))) < 2


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 20, 30), np.uint8), r"np\.moveaxis"),
        (np.zeros((2, 20, 30, 3), np.uint8), r"shape"),
        (np.zeros((20, 30, 2), np.uint8), r"shape"),
        (np.zeros((0, 30, 3), np.uint8), r"shape"),
        (np.full((20, 30, 3), 200.0), r"from 0 to 1"),
        (np.full((20, 30), np.nan), r"from 0 to 1"),
        (np.zeros((20, 30), np.int64), r"int64"),
    ],
)
def test_load_says_what_is_wrong_with_an_array(array: npt.NDArray[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decode.load(array, SIZE)


def test_load_says_what_is_wrong_with_a_path(tmp_path: Path) -> None:
    write(tmp_path / "robin.jpg", bird())
    (tmp_path / "notes.txt").write_text("a robin")
    (tmp_path / "raw.nef").write_bytes(saved("TIFF"))
    (tmp_path / "broken.jpg").write_bytes(saved("JPEG")[:900])
    with pytest.raises(PhotoMissingError, match=r"no such file: .*robbin\.jpg\. Did you mean .*robin\.jpg\?"):
        decode.load(tmp_path / "robbin.jpg", SIZE)
    with pytest.raises(PhotoMissingError, match="download the picture"):
        decode.load("ftp://example.org/robin.jpg", SIZE)
    with pytest.raises(PhotoUnreadableError, match=r"a folder, which `birdsearch index` takes\. Name a JPEG"):
        decode.load(tmp_path, SIZE)
    with pytest.raises(PhotoUnreadableError, match=r"notes\.txt: not an image \(text\)"):
        decode.load(tmp_path / "notes.txt", SIZE)
    with pytest.raises(PhotoUnreadableError, match=r"raw\.nef: no JPEG in it, and LibRaw cannot develop it: "):
        decode.load(tmp_path / "raw.nef", SIZE)
    with pytest.raises(PhotoUnreadableError, match=r"broken\.jpg: truncated JPEG\. Try another copy"):
        decode.load(tmp_path / "broken.jpg", SIZE)
    with pytest.raises(PhotoUnreadableError, match=r"cannot use this picture"):
        decode.load(b"no picture", SIZE)
    for impossible in ("a\0.jpg", f"{tmp_path}\0/a.jpg", "a\ud800.jpg"):
        with pytest.raises(PhotoMissingError, match="cannot be the path of a file"):
            decode.load(impossible, SIZE)
    with pytest.raises(PhotoMissingError, match="is empty: name a file"):
        decode.load("", SIZE)
    spent = io.BytesIO(saved("JPEG"))
    spent.read()
    with pytest.raises(PhotoUnreadableError, match=r"call its seek\(0\) first"):
        decode.load(spent, SIZE)
    with (tmp_path / "robin.jpg").open() as text, pytest.raises(TypeError, match="open the file in binary mode"):
        decode.load(text, SIZE)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not a int"):
        decode.load(7, SIZE)  # type: ignore[arg-type]


def test_picture_keeps_the_aspect_and_never_grows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", turned(bird(1, 1600, 800), 8), exif=exif({ORIENTATION: 8}))
    assert decode.picture(path, 400).shape == (200, 400, 3)
    assert decode.picture(bird(1, 30, 20)).shape == (20, 30, 3)
    assert decode.picture(Image.new("RGB", (9000, 1)), 100).shape == (1, 100, 3)
    assert difference(decode.picture(path, 400), drawn(bird(1, 1600, 800), (200, 400))) < 3


def test_thumbnail_and_encode_write_files(tmp_path: Path) -> None:
    small = decode.thumbnail(bird(1, 1000, 500), 64)
    assert small.startswith(b"\xff\xd8\xff")
    assert decode.picture(small).shape == (32, 64, 3)
    pixels = np.asarray(bird(2), dtype=np.uint8)
    np.testing.assert_array_equal(decode.picture(decode.encode(pixels)), pixels)


def test_decode_of_real_photos_equals_pillow() -> None:
    folder = REAL_PHOTOS
    if not folder.is_dir():
        pytest.skip("the real photos of shared/data/birds300 are not here")
    for path in sorted(folder.rglob("*.jpg"))[:40]:
        with Image.open(path) as image:
            result = decoded(path)
            np.testing.assert_array_equal(result.pixels, drawn(image))
            assert result.photo == replace(result.photo, path=str(path), width=image.width, height=image.height)

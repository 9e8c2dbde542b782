"""How much memory one picture may take, and what becomes of those that would take more."""

import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from birdsearch.errors import PhotoUnreadableError
from birdsearch.photos import decode, jpeg, memory, rgb
from birdsearch.records import Photo
from tests.support.drawing import ORIENTATION, bird, exif
from tests.support.strange_files import saved


def decoded(data: bytes) -> decode.Decoded:
    """A file's bytes as a photo of 64 x 64 pixels."""
    return decode.decode(data, Photo(None, "photo"), (64, 64))


def zeros(count: int) -> bytes:
    """So many zeros, compressed by zlib in next to no time."""
    block = 1 << 22
    many, rest = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.compressobj(9, zlib.DEFLATED, -15)
    one = many.compress(bytes(block)) + many.flush(zlib.Z_FULL_FLUSH)
    end = rest.compress(bytes(count % block)) + rest.flush()
    return b"\x78\xda" + one * (count // block) + end + struct.pack(">I", ((count % 65521) << 16) | 1)


def black_png(width: int, height: int, depth: int = 8, kind: int = 0, channels: int = 1) -> bytes:
    """A black picture of any size in few bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    data = zeros(height * (1 + (width * depth * channels + 7) // 8))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "size",
    [(22_000, 22_000, 16, 0, 1), (22_000, 22_000, 8, 6, 4), (1, 90_000_000, 8, 0, 1), (90_000_000, 1, 8, 0, 1)],
    ids=["grey of 16 bits", "transparent", "one column", "one row"],
)
def test_a_small_file_of_a_giant_picture_is_refused(size: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(PhotoUnreadableError, match="GB of memory to decode, more than the 1 GB"):
        decoded(black_png(*size))


def test_a_fingerprint_of_a_giant_picture_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "tall.png").write_bytes(black_png(1, 90_000_000))
    with pytest.raises(PhotoUnreadableError, match="GB of memory"):
        decode.fingerprint(tmp_path / "tall.png")


def test_a_picture_in_strips_is_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.asarray(bird(3, 211, 160).convert("L"))
    pictures = [bird(1, 211, 160), bird(2, 211, 160).convert("RGBA"), bird(3, 211, 160).convert("P")]
    pictures += [Image.fromarray(grey.astype(np.uint16) * 257), Image.fromarray(grey.astype(np.float32) / 255)]
    pictures += [Image.fromarray(grey.astype(np.int32) - 40), bird(4, 211, 160).convert("CMYK")]
    for picture in pictures:
        for orientation in range(1, 9):
            whole = rgb.upright(picture, orientation)
            digest = rgb.sha256(picture, orientation)
            with monkeypatch.context() as patch:
                patch.setattr(rgb, "PIXELS_AT_ONCE", 1000)
                patch.setattr(rgb, "STRIP", 3000)
                assert np.array_equal(np.asarray(rgb.upright(picture, orientation)), np.asarray(whole))
                assert rgb.sha256(picture, orientation) == digest
                small = rgb.upright(picture, orientation, 40)
            assert small.size == whole.reduce(4).size
            assert np.abs(np.asarray(small).astype(int) - np.asarray(whole.reduce(4))).max() <= 1


def test_a_large_picture_gives_nearly_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved("PNG", bird(5, 900, 600), exif=exif({ORIENTATION: 6}))
    plain = decoded(data)
    monkeypatch.setattr(rgb, "PIXELS_AT_ONCE", 1000)
    strips = decoded(data)
    assert (strips.photo.width, strips.photo.height) == (plain.photo.width, plain.photo.height) == (600, 900)
    assert np.abs(strips.pixels.astype(int) - plain.pixels).mean() < 2


def test_a_jpeg_of_many_scans_is_refused() -> None:
    data = saved("JPEG", Image.new("L", (400, 300), 128), progressive=True)
    last = [each for each in jpeg.segments(data) if each.marker == jpeg.SOS][-1]
    scan = data[last.start - 4 : last.data_end]
    assert decoded(data[:-2] + scan * 20 + data[-2:]).photo.width == 400
    with pytest.raises(PhotoUnreadableError, match=r"2,0\d\d scans, more than the 100"):
        decoded(data[:-2] + scan * 2000 + data[-2:])


def test_the_memory_of_a_progressive_jpeg_is_counted() -> None:
    picture = Image.new("RGB", (1600, 1200))
    assert jpeg.coefficient_bytes(saved("JPEG", picture)) == 0
    assert jpeg.coefficient_bytes(saved("JPEG", picture, progressive=True)) == pytest.approx(1600 * 1200 * 3, rel=0.1)
    full = saved("JPEG", picture, progressive=True, subsampling=0)
    assert jpeg.coefficient_bytes(full) == pytest.approx(1600 * 1200 * 6, rel=0.1)


def test_threads_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved("PNG", bird(1))
    with decode.opened(data, "PNG") as image:
        one = memory.needed(image, "PNG", data)
    monkeypatch.setattr(memory, "BUDGET", int(1.5 * one))
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with decode.opened(data, "PNG") as image, memory.room(image, "PNG", data):
            inside.append(1)
            most.append(len(inside))
            image.load()
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_a_decode_may_be_put_off() -> None:
    data = saved("PNG", bird(1))
    with pytest.raises(memory.CostlyError, match="GB of memory"):
        decode.decode(data, Photo(None, "photo"), (64, 64), most=1000)
    assert decode.decode(data, Photo(None, "photo"), (64, 64), most=10**9).photo.width == 320


def test_twelve_bits_are_called_unsupported() -> None:
    data = bytearray(saved("JPEG", bird(1)))
    frame = next(each for each in jpeg.segments(bytes(data)) if each.marker in jpeg.FRAMES)
    data[frame.start] = 12
    with pytest.raises(PhotoUnreadableError, match=r"^unsupported JPEG of 12 bits"):
        decoded(bytes(data))

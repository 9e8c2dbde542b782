"""Writes one of each kind of broken or strange file that a folder of photos can hold."""

import bz2
import gzip
import io
import os
import socket
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.drawing import ORIENTATION, bird, camera_exif, exif, tiff, write

PHOTO, FAILED, IGNORED, HIDDEN = "photo", "failed", "ignored", "hidden"


def write_strange_files(folder: Path) -> dict[str, str]:
    """Fill a folder; name (relative; undecodable bytes as surrogates) -> "photo", "failed", "ignored" or "hidden".

    What is hidden is not counted. A name that the file system does not take is left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return (
        _good_but_strange(folder)
        | _strange_names(folder)
        | _broken(folder)
        | _wrong_numbers(folder)
        | _not_photos(folder)
        | _raw(folder)
        | _not_files(folder)
        | _hidden(folder)
    )


def saved(format: str, picture: Image.Image | None = None, **options: object) -> bytes:
    """A picture as the bytes of a file."""
    buffer = io.BytesIO()
    (picture or bird(7)).save(buffer, format, **options)
    return buffer.getvalue()


def _noise(count: int) -> bytes:
    """Bytes without a meaning, the same on every run."""
    return np.random.default_rng(count).bytes(count)


def _all(folder: Path, outcome: str, files: dict[str, bytes]) -> dict[str, str]:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return dict.fromkeys(files, outcome)


def _good_but_strange(folder: Path) -> dict[str, str]:
    jpeg = saved("JPEG", bird(1))
    huge_exif = b"Exif\0\0II*\0\x08\0\0\0" + b"\xff\xff" + _noise(2000)
    frames = [bird(seed, 64, 48) for seed in (2, 3)]
    picture = bird(4)
    files = {
        "png called jpg.jpg": saved("PNG", bird(2)),
        "jpeg called nef.nef": saved("JPEG", bird(3)),
        "no suffix": saved("WEBP", bird(4)),
        "called text.txt": saved("JPEG", bird(5)),
        "garbage behind.jpg": jpeg + _noise(5000),
        "garbage exif.jpg": saved("JPEG", bird(6), exif=huge_exif),
        "exif of bad rationals.jpg": saved("JPEG", bird(8), exif=camera_exif().tobytes()[:-40]),
        "orientation 99.jpg": saved("JPEG", bird(9), exif=exif({ORIENTATION: 99})),
        "one pixel.png": saved("PNG", Image.new("RGB", (1, 1), "red")),
        "thin.png": saved("PNG", Image.new("RGB", (3000, 1), "blue")),
        "cmyk.jpg": saved("JPEG", picture.convert("CMYK")),
        "one bit.tif": saved("TIFF", picture.convert("1"), compression="group4"),
        "grey 16 bit.png": saved("PNG", Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)),
        "float.tif": saved("TIFF", Image.fromarray(np.asarray(picture.convert("L")).astype(np.float32) / 255)),
        "palette transparent.gif": saved("GIF", picture.convert("P"), transparency=3),
        "animated.gif": saved("GIF", frames[0], save_all=True, append_images=frames[1:]),
        "animated.webp": saved("WEBP", frames[0], save_all=True, append_images=frames[1:]),
        "pages.tif": saved("TIFF", frames[0], save_all=True, append_images=frames[1:]),
        "two pictures.mpo": saved("MPO", frames[0], save_all=True, append_images=frames[1:]),
        "all transparent.png": saved("PNG", Image.new("RGBA", (50, 50), (0, 0, 0, 0))),
        "progressive.jpg": saved("JPEG", picture, progressive=True),
        "scan.jp2": saved("JPEG2000", picture),
        "old.ppm": saved("PPM", picture),
        "picture.avif": saved("AVIF", picture),
    }
    result = _all(folder, PHOTO, files)
    os.link(folder / "cmyk.jpg", folder / "hard link.jpg")
    os.symlink("cmyk.jpg", folder / "symlink.jpg")
    return result | {"hard link.jpg": PHOTO, "symlink.jpg": PHOTO}


def _strange_names(folder: Path) -> dict[str, str]:
    names = [
        b"  spaces  .jpg",
        b"new\nline.jpg",
        "Gartenrötel übt.JPG".encode(),
        "Gartenro\u0308tel.jpg".encode(),
        "\u9ce5\U0001f426.jpeg".encode(),
        b"undecodable \xff\xfe.jpg",
        b"-rf.jpg",
        b"quote'\"$(x)`;&.jpg",
        b"%s {0}.jpg",
        b"x" * 251 + b".jpg",
        b"back\\slash.jpg",
    ]
    result = {}
    for seed, name in enumerate(names):
        try:
            with open(os.path.join(os.fsencode(folder), name), "xb") as file:
                file.write(saved("JPEG", bird(100 + seed)))
        except OSError:
            continue
        result[os.fsdecode(name)] = PHOTO
    deep = folder / "/".join(f"level {level}" for level in range(30))
    write(deep / "deep.jpg", bird(120))
    write(folder / "folder.jpg" / "inside.jpg", bird(121))
    return {**result, "folder.jpg/inside.jpg": PHOTO, str((deep / "deep.jpg").relative_to(folder)): PHOTO}


def _broken(folder: Path) -> dict[str, str]:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    halves = {}
    for format in ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"):
        data = saved(format, noise)
        halves[f"half.{format.lower()}"] = data[: len(data) // 2]
    deflated = saved("TIFF", noise, compression="tiff_adobe_deflate")
    halves["a hole.tif"] = deflated[:1000] + bytes(100_000) + deflated[101_000:]
    files = {
        "empty.jpg": b"",
        "zeros.jpg": bytes(20_000),
        "random.jpg": b"\x9d\x81" + _noise(5000),
        "three bytes.jpg": b"\xff\xd8\xff",
        "header only.png": saved("PNG")[:33],
        "signature only.png": saved("PNG")[:8],
        "signature only.webp": b"RIFF\x10\0\0\0WEBP",
        "heic header only.heic": struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic",
        "half tiff header.tif": b"II*\0\x08\0\0\0",
        "tiff that points nowhere.tif": b"MM\0*" + b"\xff\xff\xff\xf0" + bytes(100),
        "tiff that points at itself.tif": b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 256, 4, 1, 8) + b"\x08\0\0\0",
        "checksum wrong.png": _png_with_a_wrong_checksum(),
        "start overwritten.jpg": b"\xff\xd8\xff\xe0" + _noise(3000),
        "no frames.gif": b"GIF89a\x10\0\x10\0\0\0\0;",
    }
    return _all(folder, FAILED, halves | files)


def _png(width: int, height: int, data: bytes, depth: int = 8) -> bytes:
    """A PNG with these numbers in its header, whatever the data behind it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def _png_with_a_wrong_checksum() -> bytes:
    data = bytearray(saved("PNG"))
    data[-20] ^= 0xFF
    data[60] ^= 0xFF
    return bytes(data)


def _wrong_numbers(folder: Path) -> dict[str, str]:
    bomb_gif = bytearray(saved("GIF"))
    bomb_gif[6:10] = b"\xff\xff\xff\xff"
    bmp = bytearray(saved("BMP"))
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    # 8-bit grey in one strip, whose bytes are not there
    layout = [(258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 200), (277, 3, 1, 1), (279, 4, 1, 100)]
    files = {
        "bomb.png": _png(100_000, 100_000, bytes(1000)),
        "largest bomb.png": _png(2**31 - 1, 2**31 - 1, b""),
        "no width.png": _png(0, 10, b""),
        "depth of 3.png": _png(10, 10, bytes(1000), depth=3),
        "bomb.gif": bytes(bomb_gif),
        "bomb.bmp": bytes(bmp),
        "bomb.tif": tiff([(256, 4, 1, 90_000), (257, 4, 1, 90_000), *layout]),
    }
    return _all(folder, FAILED, files)


def _not_photos(folder: Path) -> dict[str, str]:
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("bird.jpg", saved("JPEG"))
    with tarfile.open(fileobj=tarred, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("bird.jpg"), io.BytesIO(b""))
    files = {
        "notes.txt": "Rotkehlchen, früh am Morgen\n".encode(),
        "utf-16.txt": "Rotkehlchen".encode("utf-16"),
        "page called jpg.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "carefree.txt": b"carefree birds",
        "sidecar.xmp": b'<?xml version="1.0"?><x:xmpmeta xmlns:x="adobe:ns:meta/"/>',
        "drawing.svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "guide.pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "layers.psd": b"8BPS\0\1" + bytes(100),
        "icon.ico": saved("ICO", bird(0, 32, 32)),
        "next.jxl": b"\xff\x0a" + bytes(range(100)),
        "film.mp4": struct.pack(">I", 24) + b"ftypisom\0\0\2\0isomiso2" + bytes(100),
        "film.mov": struct.pack(">I", 20) + b"ftypqt  \0\0\2\0qt  " + bytes(100),
        "film called jpg.jpg": b"RIFF\x24\0\0\0AVI LIST" + bytes(100),
        "song.mp3": b"ID3\4\0\0\0\0\0\0" + bytes(100),
        "call.wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(100),
        "photos.zip": zipped.getvalue(),
        "photos.tar": tarred.getvalue(),
        "photos.gz": gzip.compress(saved("JPEG")),
        "photos.bz2": bz2.compress(b"photos"),
        "program": b"\x7fELF\2\1\1" + bytes(100),
        "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        "desktop.ini": b"[.ShellClassInfo]\r\n",
        "empty": b"",
        "empty.txt": b"",
        "random.bin": b"\x9d\x81" + _noise(5000),
    }
    database = sqlite3.connect(folder / "catalog.sqlite")
    database.execute("create table birds (name)")
    database.commit()
    database.close()
    return _all(folder, IGNORED, files) | {"catalog.sqlite": IGNORED}


def _raw(folder: Path) -> dict[str, str]:
    thumbnail = saved("TIFF", bird(1, 32, 24))
    files = {
        "canon.CR2": b"II*\0\x10\0\0\0CR\2\0" + bytes(200),
        "canon.cr3": struct.pack(">I", 24) + b"ftypcrx \0\0\0\1crx isom" + bytes(100),
        "fuji.raf": b"FUJIFILMCCD-RAW 0201" + bytes(100),
        "olympus.orf": b"IIRO\x08\0\0\0" + bytes(100),
        "panasonic.rw2": b"IIU\0\x18\0\0\0" + bytes(100),
        "nikon.NEF": thumbnail,
        "sony.arw": thumbnail,
        "pentax.PEF": thumbnail,
        "adobe.dng": thumbnail,
        "raw called tif.tif": _dng(),
        "unknown.3fr": b"\x9d\x81" + _noise(500),
    }
    return _all(folder, FAILED, files)


def _dng() -> bytes:
    """A whole small TIFF that calls itself a DNG."""
    picture = bird(1, 32, 24)
    return saved("TIFF", picture, tiffinfo={0xC612: b"\1\4\0\0"})


def _not_files(folder: Path) -> dict[str, str]:
    os.mkfifo(folder / "pipe.jpg")
    os.symlink("nowhere.jpg", folder / "broken link.jpg")
    os.symlink("self link.jpg", folder / "self link.jpg")
    os.symlink(".", folder / "loop")
    result = {"pipe.jpg": IGNORED, "broken link.jpg": FAILED, "self link.jpg": FAILED}
    here = os.open(folder, os.O_RDONLY)
    try:
        # A socket's path may hold about 100 bytes: named from within its folder it always fits.
        with socket.socket(socket.AF_UNIX) as plug:
            plug.bind(f"/proc/self/fd/{here}/socket.jpg")
        result["socket.jpg"] = IGNORED
    except OSError:
        pass
    finally:
        os.close(here)
    if os.path.exists("/dev/zero"):
        os.symlink("/dev/zero", folder / "device.jpg")
        result["device.jpg"] = IGNORED
    return result


def _hidden(folder: Path) -> dict[str, str]:
    (folder / ".trash").mkdir()
    files = {".hidden.jpg": saved("JPEG"), "._apple double.jpg": b"\0\5\x16\7", ".trash/thrown away.jpg": saved("JPEG")}
    return _all(folder, HIDDEN, files)

"""Files as cameras lay them on a card: JPEGs with a RAW beside them, sidecars, movies, sounds."""

from pathlib import Path

from PIL import Image

from tests.support.camera_raw import write_dng
from tests.support.drawing import bird, exif, write

CAMERA = "Canon EOS R5"
MOVIE = b"\0\0\0\x14ftypqt  " + bytes(100)
SOUND = b"RIFF\x64\0\0\0WAVEfmt " + bytes(100)


def facts(taken_at: str = "2024:05:17 06:07:08", fraction: str = "42", camera: str = CAMERA) -> Image.Exif:
    """What a camera writes of an exposure."""
    return exif({0x010F: camera.split()[0], 0x0110: camera}, {0x9003: taken_at, 0x9291: fraction})


def front(path: Path, seed: int, taken_at: str = "2024:05:17 06:07:08", **more: str) -> Path:
    """A picture that a camera wrote."""
    return write(path, bird(seed, 60, 44), exif=facts(taken_at, **more))


def raw_header(path: Path, taken_at: str = "2024:05:17 06:07:08", **more: str) -> Path:
    """The beginning of a RAW file: it says what camera and time it is of, and shows nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(facts(taken_at, **more).tobytes().removeprefix(b"Exif\0\0") + path.name.encode() + bytes(500))
    return path


def pair(
    folder: Path, name: str, seed: int, taken_at: str = "2024:05:17 06:07:08", raw: str = "CR2"
) -> tuple[Path, Path]:
    """A JPEG and its RAW."""
    return front(folder / f"{name}.JPG", seed, taken_at), raw_header(folder / f"{name}.{raw}", taken_at)


def raw(path: Path, seed: int, taken_at: str = "2024:05:17 06:07:08") -> Path:
    """A RAW file that can be developed, of the camera that `raw_front` is of."""
    return write_dng(path, bird(seed, 320, 240), tags=((0x9003, 2, 0, taken_at, True),))


def raw_front(path: Path, seed: int, taken_at: str = "2024:05:17 06:07:08") -> Path:
    """The picture that the same camera wrote of the same bird."""
    return write(path, bird(seed, 320, 240), exif=facts(taken_at, camera="Birdsearch Test"))

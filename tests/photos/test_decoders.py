"""The registry of decoders: one for each format, and a new one in a few lines."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from birdsearch.errors import PhotoUnreadableError
from birdsearch.photos import decode, filetype, scan
from birdsearch.photos.decoders import DECODERS


def test_every_known_format_has_a_decoder_and_every_decoder_a_format() -> None:
    known = (
        {format for _, format in filetype.SIGNATURES}
        | set(filetype.RAW_FORMATS)
        | {filetype.identify(b"\0\0\0\x18ftyp" + brand + bytes(12), "a").format for brand in (b"avif", b"heic")}
    )
    assert known == set(DECODERS)


class GreyDecoder:
    """The word GREY, then width, height and as many bytes of grey."""

    def open(self, data: bytes, shortest: int = 0) -> Image.Image:
        return Image.frombytes("L", (data[4], data[5]), data[6:])


def test_a_new_format_is_a_decoder_and_a_signature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DECODERS, "GREY", GreyDecoder())
    monkeypatch.setattr(filetype, "SIGNATURES", (*filetype.SIGNATURES, (re.compile(b"GREY"), "GREY")))
    path = tmp_path / "wren.grey"
    path.write_bytes(b"GREY\x03\x02" + bytes(range(0, 60, 10)))
    (found,) = scan.scan([tmp_path])
    assert isinstance(found, scan.FoundFile)
    file = scan.read(found)
    photo = decode.decode(file.data, file.photo, (2, 3), file.format).photo
    assert (photo.format, photo.width, photo.height, photo.size) == ("GREY", 3, 2, 12)
    assert decode.picture(path)[..., 0].tolist() == [[0, 10, 20], [30, 40, 50]]
    np.testing.assert_array_equal(decode.load(path.read_bytes(), (2, 3)), decode.picture(path))
    path.write_bytes(b"GREY\x03\x02")
    with pytest.raises(PhotoUnreadableError, match=r"wren\.grey: broken GREY"):
        decode.picture(path)

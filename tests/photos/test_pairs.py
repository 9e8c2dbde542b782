"""Which RAW is the other half of which JPEG or HEIC."""

import pytest

from birdsearch.photos.pairs import pairs, stem
from birdsearch.records import Photo

NOON = "2024-05-17T12:00:00"
FORMATS = {"jpg": "JPEG", "jpeg": "JPEG", "heic": "HEIF", "hif": "HEIF", "png": "PNG", "tif": "TIFF"}


def shot(
    name: str, taken_at: str | None = NOON, camera: str | None = "Canon EOS R5", serial: str | None = None
) -> Photo:
    """A picture as far as pairing looks at it."""
    suffix = name.rpartition(".")[2].lower()
    format = FORMATS.get(suffix, suffix.upper())
    return Photo(None, f"/card/{name}", format=format, taken_at=taken_at, camera=camera, camera_serial=serial)


def found(*shots: Photo) -> dict[str, str]:
    """RAW -> front, by their names; the order of the pictures does not count."""
    made = pairs(shots)
    assert pairs(shots[::-1]) == made
    return {raw.removeprefix("/card/"): front.removeprefix("/card/") for raw, front in made.items()}


@pytest.mark.parametrize(
    ("front", "raw"),
    [
        ("IMG_1.JPG", "IMG_1.CR2"),
        ("img_1.jpeg", "IMG_1.cr3"),
        ("DSC_1.HIF", "DSC_1.NEF"),
        ("IMG_0001.HEIC", "IMG_0001.DNG"),
        ("20240517_120000.jpg", "20240517_120000.dng"),
        ("PXL_20240517.RAW-01.COVER.jpg", "PXL_20240517.RAW-02.ORIGINAL.dng"),
        ("PXL_20240517.RAW-01.MP.COVER.jpg", "PXL_20240517.RAW-02.ORIGINAL.dng"),
        ("PXL_20240517.jpg", "PXL_20240517.RAW-02.ORIGINAL.dng"),
        ("IMG_E0001.JPG", "IMG_0001.DNG"),  # the picture that was edited is not there
        ("été.jpg", "ÉTÉ.RAF"),
    ],
)
def test_names_of_a_pair(front: str, raw: str) -> None:
    assert found(shot(front), shot(raw)) == {raw: front}


@pytest.mark.parametrize(
    ("front", "raw"),
    [
        ("IMG_1.JPG", "IMG_2.CR2"),
        ("IMG_1-edited.jpg", "IMG_1.CR2"),
        ("IMG_1 (1).JPG", "IMG_1.CR2"),
        ("IMG_1-2.jpg", "IMG_1.CR2"),
        ("IMG_E1.JPG", "IMG_1.DNG"),  # no iPhone writes such a number
        ("PXL_1.RAW-01.COVER~2.jpg", "PXL_1.RAW-02.ORIGINAL.dng"),  # an edit
        ("IMG_1.png", "IMG_1.CR2"),
        ("IMG_1.tif", "IMG_1.CR2"),
        ("IMG_1.JPG", "IMG_1.JPEG"),
    ],
)
def test_names_of_no_pair(front: str, raw: str) -> None:
    assert found(shot(front), shot(raw)) == {}


@pytest.mark.parametrize(
    ("front", "raw", "is_pair"),
    [
        ({"taken_at": f"{NOON}.42"}, {"taken_at": f"{NOON}.42"}, True),
        ({"taken_at": f"{NOON}.42"}, {"taken_at": f"{NOON}.420"}, True),
        ({"taken_at": f"{NOON}.42"}, {"taken_at": NOON}, True),
        ({"taken_at": f"{NOON}.42"}, {"taken_at": f"{NOON}.43"}, False),
        ({"taken_at": NOON}, {"taken_at": "2024-05-17T12:00:01"}, False),
        ({"taken_at": NOON}, {"taken_at": "2021-05-17T12:00:00"}, False),
        ({"taken_at": None}, {"taken_at": None}, False),
        ({"taken_at": NOON}, {"taken_at": None}, False),
        ({"taken_at": "2024-05-17"}, {"taken_at": "2024-05-17"}, False),  # one day is not one moment
        ({"camera": "Canon EOS R6"}, {"camera": "Canon EOS R5"}, False),
        ({"camera": None}, {"camera": "Canon EOS R5"}, False),
        ({"camera": "CANON eos  R5"}, {"camera": "Canon EOS R5"}, True),
        ({"camera": None}, {"camera": None}, True),
        ({"serial": "1"}, {"serial": "2"}, False),
        ({"serial": "1"}, {"serial": "1"}, True),
        ({"serial": "1"}, {"serial": None}, True),
    ],
)
def test_camera_and_time_have_to_agree(front: dict[str, str], raw: dict[str, str], is_pair: bool) -> None:
    assert bool(found(shot("IMG_1.JPG", **front), shot("IMG_1.CR2", **raw))) is is_pair


def test_what_could_be_two_pairs_is_none() -> None:
    assert found(shot("IMG_1.JPG"), shot("IMG_1.HEIC"), shot("IMG_1.CR2")) == {}
    assert found(shot("IMG_1.JPG"), shot("IMG_1.CR2"), shot("IMG_1.DNG")) == {}
    assert found(shot("IMG_1.JPG"), shot("img_1.jpg"), shot("IMG_1.CR2")) == {}
    assert found(shot("IMG_1.JPG", f"{NOON}.1"), shot("IMG_1.DNG"), shot("IMG_1.CR2", f"{NOON}.1")) == {}


def test_another_picture_of_the_name_is_in_nobodys_way() -> None:
    later = "2024-06-01T09:00:00"
    pair = {"IMG_1.CR2": "IMG_1.JPG"}
    assert found(shot("IMG_1.JPG"), shot("IMG_1.CR2"), shot("IMG_1.HEIC", later)) == pair
    assert found(shot("IMG_1.JPG"), shot("IMG_1.CR2"), shot("IMG_1.DNG", later)) == pair
    assert found(shot("IMG_1.JPG"), shot("IMG_1.CR2"), shot("IMG_1.tif")) == pair
    both = found(shot("a.JPG"), shot("a.CR2"), shot("a.heic", later), shot("a.dng", later))
    assert both == {"a.CR2": "a.JPG", "a.dng": "a.heic"}
    edited = found(shot("IMG_0001.HEIC"), shot("IMG_E0001.HEIC"), shot("IMG_0001.DNG"))
    assert edited == {"IMG_0001.DNG": "IMG_0001.HEIC"}


def test_a_jpeg_called_raw_is_no_raw() -> None:
    front, called = (
        shot("IMG_1.JPG"),
        Photo(None, "/card/IMG_1.NEF", format="JPEG", taken_at=NOON, camera="Canon EOS R5"),
    )
    assert found(front, called) == {}


def test_the_stem_is_what_the_names_share() -> None:
    assert stem(b"/card/IMG_E0001.JPG") == stem("IMG_0001.heic") == "img_0001"
    assert stem("PXL_1.RAW-01.COVER.jpg") == stem("PXL_1.RAW-02.ORIGINAL.dng") == "pxl_1"

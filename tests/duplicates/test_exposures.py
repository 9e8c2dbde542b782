"""Two exposures of one view, and one exposure in two files."""

from dataclasses import replace

import pytest

from birdsearch.duplicates.alignment import Alignment
from birdsearch.duplicates.exposures import FileNumber, Shot, file_number, near_in_series, two_exposures
from birdsearch.photos.provenance import Provenance
from birdsearch.records import Photo

PLAIN = Alignment(1.0, 1.0, 200, "as it is", (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
Z8 = Provenance(make="NIKON CORPORATION", model="NIKON Z 8", taken_at="2024-05-17T07:25:00", taken_offset="+02:00")


def shot(name: str = "wren.jpg", said: Provenance = Z8, width: int = 6000, format: str = "JPEG") -> Shot:
    return Shot(Photo(1, f"/birds/{name}", width=width, height=width * 2 // 3, format=format), said)


def apart(one: Shot, other: Shot, alignment: Alignment = PLAIN) -> bool:
    """Whether they are two exposures, in either order."""
    assert two_exposures(one, other, alignment) == two_exposures(other, one, alignment)
    return two_exposures(one, other, alignment)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("IMG_0001.JPG", FileNumber("img_4", 1)),
        ("DSC01234.ARW", FileNumber("dsc5", 1234)),
        ("_MG_1234.jpg", FileNumber("_mg_4", 1234)),
        ("100_1234.jpg", FileNumber("100_4", 1234)),
        ("05170001.JPG", FileNumber("8", 5_170_001)),
        ("PXL_20240517_072500123.jpg", FileNumber("pxl_20240517_0725003", 123)),
        ("20240517_072500_002.jpg", FileNumber("20240517_0725003", 2)),
        ("00000IMG_00000_BURST20240517.jpg", None),
        ("IMG_1 (1).jpg", None),
        ("IMG_0001-edit.jpg", None),
        ("IMG_0001 small.jpg", None),
        ("IMG-20240517-WA0001.jpg", None),
        ("12.jpg", None),
        ("wren.jpg", None),
    ],
)
def test_numbers_in_names(name: str, number: FileNumber | None) -> None:
    assert file_number(f"/x/{name}") == number


def test_file_numbers_tell_frames_of_one_second_apart() -> None:
    assert apart(shot("IMG_0001.JPG"), shot("IMG_0002.JPG"))
    assert not apart(shot("IMG_0001.JPG"), shot("other/IMG_0001.JPG"))
    assert not apart(shot("IMG_0001.JPG"), shot("DSC_0002.JPG"))
    assert not apart(shot("IMG_0001.JPG"), shot("IMG_0002.JPG", width=600))
    assert not apart(shot("IMG_0001.JPG"), shot("IMG_0002.JPG", replace(Z8, programs=("GIMP 2.10",))))
    unknown = replace(Z8, model=None)
    assert not apart(shot("IMG_0001.JPG", unknown), shot("IMG_0002.JPG", unknown))
    fine = replace(Z8, taken_at="2024-05-17T07:25:00.42")
    assert not apart(shot("IMG_0001.JPG", fine), shot("IMG_0002.JPG", fine))
    zeros = replace(Z8, taken_at="2024-05-17T07:25:00.00")
    assert apart(shot("IMG_0001.JPG", zeros), shot("IMG_0002.JPG", zeros))


@pytest.mark.parametrize("name", ["image number", "shutter count", "unique id", "burst"])
def test_what_the_camera_counted_tells_frames_apart(name: str) -> None:
    one, other = (replace(Z8, frame=((name, number),)) for number in "12")
    assert apart(shot(said=one), shot(said=other))
    assert not apart(shot(said=one), shot(said=one, width=600))
    assert not apart(shot(said=one), shot(said=Z8))


def test_an_equal_shutter_count_is_one_exposure_whatever_the_names() -> None:
    counted = replace(Z8, frame=(("shutter count", "4711"),))
    assert not apart(shot("IMG_0001.JPG", counted), shot("IMG_0002.JPG", counted))
    in_one_burst = replace(Z8, frame=(("burst", "A"),))
    assert apart(shot("IMG_0001.JPG", in_one_burst), shot("IMG_0002.JPG", in_one_burst))


@pytest.mark.parametrize(
    "other",
    [
        replace(Z8, model="Nikon Z 8"),
        replace(Z8, model="Z 8"),
        replace(Z8, make=None),
        replace(Z8, make="NIKON"),
        replace(Z8, model=None),
        replace(Z8, taken_at="2024-05-17T05:25:00", taken_offset="+00:00"),
        replace(Z8, taken_offset="+00:00"),
        replace(Z8, taken_at=None, modified_at="2024-06-02T20:11:00"),
        replace(Z8, taken_at="2024-05-17T14:25:00"),
        replace(Z8, taken_at="2024-05-17T07:25:00.31"),
        replace(Z8, serial="0012"),
    ],
)
def test_other_texts_of_the_same_moment_and_camera_hide_no_copy(other: Provenance) -> None:
    assert not apart(shot(said=Z8), shot("wren small.jpg", other, width=600))


@pytest.mark.parametrize(
    "other",
    [
        replace(Z8, model="NIKON Z 9"),
        replace(Z8, model="NIKON Z 8 II"),
        replace(Z8, taken_at="2024-05-17T07:25:07"),
        replace(Z8, taken_at="2024-05-17T14:25:01"),
    ],
)
def test_another_camera_or_moment_is_another_exposure(other: Provenance) -> None:
    assert apart(shot(said=Z8), shot("wren small.jpg", other, width=600))


def test_a_clock_set_right_needs_one_number_or_a_copy_and_nothing_moved() -> None:
    later = replace(Z8, taken_at="2024-05-17T08:25:00")
    assert not apart(shot("IMG_0001.JPG"), shot("IMG_0001.JPG", later))
    assert apart(shot("IMG_0001.JPG"), shot("IMG_0002.JPG", later))
    assert apart(shot("a.jpg"), shot("b.jpg", later))
    moved = replace(PLAIN, agreement=0.9)
    assert apart(shot("IMG_0001.JPG"), shot("IMG_0001.JPG", later), moved)
    assert apart(shot(), shot("small.jpg", later, width=600), moved)


def test_two_bodies_of_one_model_are_two_cameras() -> None:
    assert apart(shot(said=replace(Z8, serial="12")), shot(said=replace(Z8, serial="13"), width=600))
    assert not apart(shot(said=replace(Z8, serial="0012")), shot(said=replace(Z8, serial="12"), width=600))


def test_numbers_of_a_few_seconds_lie_close() -> None:
    assert near_in_series(FileNumber("img_4", 1), FileNumber("img_4", 7))
    assert near_in_series(FileNumber("img_4", 9998), FileNumber("img_4", 3))
    assert near_in_series(FileNumber("img_4", 1), None)
    assert not near_in_series(FileNumber("img_4", 1), FileNumber("img_4", 4000))
    assert not near_in_series(FileNumber("img_4", 1), FileNumber("dsc_4", 2))

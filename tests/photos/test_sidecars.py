"""What belongs to a photo, by the names that cameras, phones and photo programs give."""

from pathlib import Path

import pytest

from birdsearch.photos.filetype import IMAGE_SUFFIXES, RAW_SUFFIXES
from birdsearch.photos.sidecars import FolderListing, companions_of

LONG = "Screenshot_2024-05-01-08-30-00-123_org.mozilla.firefox.jpg"  # longer than the names that Takeout writes


@pytest.mark.parametrize(
    ("photo", "sidecar"),
    [
        ("IMG_1.jpg", "IMG_1.jpg.xmp"),
        ("IMG_1.jpg", "IMG_1.JPG.XMP"),
        ("IMG_1.jpg", "img_1.xmp"),
        ("IMG_1.jpg", "IMG_1_01.jpg.xmp"),
        ("IMG_1.jpg", "IMG_1_12.jpg.xmp"),
        *(("IMG_1.jpg", f"IMG_1.jpg{suffix}") for suffix in (".pp3", ".dop", ".on1", ".cos", ".nksc", ".aae", ".arp")),
        *(
            ("IMG_1.HEIC", f"IMG_1{suffix}")
            for suffix in (".AAE", ".MOV", ".mp4", ".WAV", ".m4a", ".mp3", ".THM", ".txt")
        ),
        ("IMG_1.jpg", "IMG_1.jpg.txt"),
        ("IMG_1.jpg", "NKSC_PARAM/IMG_1.jpg.nksc"),
        ("IMG_1.jpg", "CaptureOne/Settings153/IMG_1.jpg.cos"),
        ("IMG_1.jpg", "SILKYPIX_DS/IMG_1.jpg.11.spd"),
        ("IMG_1.jpg", "IMG_1.jpg.json"),
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1.jpg", "IMG_1.jpg.suppl.json"),
        ("IMG_1.jpg", "IMG_1.jpg..json"),
        ("IMG_1(1).jpg", "IMG_1.jpg(1).json"),
        ("IMG_1(1).jpg", "IMG_1(1).jpg.json"),
        ("IMG_1(1).jpg", "IMG_1.jpg.supplemental-metadata(1).json"),
        ("IMG_1(1).jpg", "IMG_1.jpg.supplem(1).json"),
        (LONG, f"{LONG[:46]}.json"),
        ("MVIMG_20200101_120000.jpg", "MVIMG_20200101_120000"),
        ("PXL_20240101_120000123.MP.jpg", "PXL_20240101_120000123.MP"),
        ("PXL_20240101_120000123.MP~2.jpg", "PXL_20240101_120000123.MP~2"),
        ("IMG_E1234.JPG", "IMG_O1234.AAE"),
        ("IMG_E1234.JPG", "IMG_E1234.MOV"),
        ("no suffix", "no suffix.xmp"),
        ("odd.dat", "odd.json"),
    ],
)
def test_a_sidecar_belongs_to_its_photo_alone(photo: str, sidecar: str) -> None:
    others = ["IMG_2.jpg", "IMG_11.jpg", "IMG_1x.jpg", "DSC.jpg", "other"]
    listing = FolderListing([photo, sidecar, *others])
    assert listing.sidecars(photo) == {sidecar: [photo]}
    assert not any(listing.sidecars(other) for other in others)


@pytest.mark.parametrize(
    ("photos", "sidecar", "owners"),
    [
        (["IMG_1.jpg", "IMG_1_01.jpg"], "IMG_1_01.jpg.xmp", ["IMG_1_01.jpg"]),
        (["IMG_1.jpg", "IMG_1.CR2"], "IMG_1.jpg.xmp", ["IMG_1.jpg"]),
        (["IMG_1.jpg", "IMG_1.CR2"], "IMG_1.xmp", ["IMG_1.jpg", "IMG_1.CR2"]),
        (["IMG_1.jpg", "IMG_1.HEIC"], "IMG_1.MOV", ["IMG_1.jpg", "IMG_1.HEIC"]),
        (["IMG_1.jpg", "IMG_1(1).jpg"], "IMG_1.jpg.json", ["IMG_1.jpg"]),
        (["IMG_1.jpg", "IMG_1(1).jpg"], "IMG_1.jpg(1).json", ["IMG_1(1).jpg"]),
        (["IMG_1.jpg", "IMG_1-edited.jpg"], "IMG_1.jpg.json", ["IMG_1.jpg", "IMG_1-edited.jpg"]),
        (["IMG_1234.HEIC", "IMG_E1234.HEIC"], "IMG_1234.AAE", ["IMG_1234.HEIC", "IMG_E1234.HEIC"]),
        (["IMG_1234.HEIC", "IMG_E1234.HEIC"], "IMG_O1234.AAE", ["IMG_1234.HEIC", "IMG_E1234.HEIC"]),
        (["IMG_1234.HEIC", "IMG_E1234.HEIC"], "IMG_1234.MOV", ["IMG_1234.HEIC"]),
        (["a.jpg", "A.JPG"], "a.jpg.xmp", ["a.jpg", "A.JPG"]),
        ([f"{LONG[:50]}1.jpg", f"{LONG[:50]}2.jpg"], f"{LONG[:46]}.json", [f"{LONG[:50]}1.jpg", f"{LONG[:50]}2.jpg"]),
    ],
)
def test_who_shares_a_sidecar(photos: list[str], sidecar: str, owners: list[str]) -> None:
    listing = FolderListing([*photos, sidecar])
    for photo in photos:
        assert listing.sidecars(photo) == ({sidecar: owners} if photo in owners else {})


@pytest.mark.parametrize("suffix", sorted(RAW_SUFFIXES | IMAGE_SUFFIXES - {".jpg"}))
def test_a_sidecar_stays_while_another_picture_of_its_stem_stays(suffix: str) -> None:
    beside = FolderListing(["IMG.jpg", f"IMG{suffix}", "IMG.xmp"])
    assert set(beside.sidecars("IMG.jpg")["IMG.xmp"]) == {"IMG.jpg", f"IMG{suffix}"}
    assert beside.same_stem_images("IMG.jpg") == [f"IMG{suffix}"]


def test_companions_are_sidecars_and_the_raw(tmp_path: Path) -> None:
    names = ["a.jpg", "a.CR3", "a.jpg.xmp", "a.heic", "b.jpg", "NKSC_PARAM/a.CR3.nksc", "NKSC_PARAM/b.jpg", "raw.dng"]
    (tmp_path / "NKSC_PARAM").mkdir()
    (tmp_path / "b.json").mkdir()
    for name in names:
        (tmp_path / name).touch()
    found = companions_of([str(tmp_path / name) for name in ("a.jpg", "a.CR3", "b.jpg", "raw.dng")])
    assert [sorted(Path(path).relative_to(tmp_path).as_posix() for path in beside) for beside in found.values()] == [
        ["a.CR3", "a.jpg.xmp"],
        ["NKSC_PARAM/a.CR3.nksc"],
        [],
        [],
    ]
    assert companions_of([str(tmp_path / "nowhere/a.jpg")]) == {str(tmp_path / "nowhere/a.jpg"): ()}

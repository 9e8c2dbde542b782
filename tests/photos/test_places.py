"""Places that hold no photos of a person: recognised by their names alone, wherever they lie."""

import pytest

from birdsearch.photos.places import system_place

BINS: tuple[str, ...] = (
    "#recycle/1.jpg",
    "$RECYCLE.BIN/S-1-5/$R1.jpg",
    "@Recycle/1.jpg",
    "RECYCLER/1.jpg",
    ".Trash-1000/files/1.jpg",
)
BINS += (".Trashes/501/1.jpg", ".birdsearch-trash/0001/1.jpg", "Session/Trash/1.jpg", "Network Recycle Bin 1/1.jpg")
SNAPSHOTS: tuple[str, ...] = (
    "#snapshot/GMT-2024.05.20/1.jpg",
    "@Recently-Snapshot/1.jpg",
    ".zfs/snapshot/day/1.jpg",
    "@GMT-1/1.jpg",
)
THUMBNAILS: tuple[str, ...] = (
    "@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg",
    ".@__thumb/1.jpg",
    "Birds Previews.lrdata/0/1.jpg",
    "a/GOPR.THM",
)
THUMBNAILS += (
    "PRIVATE/M4ROOT/THMBNL/1.JPG",
    "upload/thumbs/1.webp",
    "MISC/THM/100/DJI_1.SCR",
    "1/SYNOPHOTO_THUMB_M.jpg",
)
THUMBNAILS += ("CaptureOne/Cache/Thumbnails/1.jpg", "appdata_oc1/preview/1.jpg", "mipmaps-12ab.d/3/1.jpg")
LIBRARIES = ("P.photoslibrary/resources/derivatives/1.jpg", "P.aplibrary/Attachments/1.jpg", "P.cocatalog/Cache/1.jpg")
SYSTEM = (
    "System Volume Information/1.jpg",
    "lost+found/1.jpg",
    "__MACOSX/a/1.jpg",
    "found.000/1.jpg",
    "AVF_INFO/1.jpg",
)
NO_PLACES: tuple[str, ...] = (
    "Wren/1.jpg",
    "P.photoslibrary/originals/0/1.jpg",
    "P.photolibrary/Masters/2012/1.jpg",
    "MISC/1.jpg",
)
NO_PLACES += ("THM/1.jpg", "Cache/1.jpg", "preview/1.jpg", "Thumbs.jpg", "Trash.jpg", "Snapshots/1.jpg", "found/1.jpg")
NO_PLACES += ("DCIM/100GOPRO/1.JPG", "[Originals]/1.jpg", ".picasaoriginals/1.jpg", "GOPR.THM/1.jpg")


@pytest.mark.parametrize(
    ("reason", "paths"),
    [
        ("in a recycle bin", BINS),
        ("in a snapshot", SNAPSHOTS),
        ("among thumbnails", THUMBNAILS),
        ("among a photo library's own files", LIBRARIES),
        ("in a system folder", SYSTEM[:-1]),
        ("in an index folder of a memory card", SYSTEM[-1:]),
        (None, NO_PLACES),
    ],
)
def test_a_place_of_the_system_is_known_by_its_path(reason: str | None, paths: tuple[str, ...]) -> None:
    assert {path: system_place(f"/photos/{path}") for path in paths} == dict.fromkeys(paths, reason)
    assert {path: system_place(f"/photos/{path.upper()}") for path in paths} == dict.fromkeys(paths, reason)
    assert system_place(b"/\xff/#recycle/\xff.jpg") == "in a recycle bin"

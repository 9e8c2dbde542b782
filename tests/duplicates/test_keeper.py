"""Which photo of a group is kept, and whether what is said about it is true."""

import itertools
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageFilter

from birdsearch.duplicates import keeper
from birdsearch.duplicates.keeper import Choice, KeeperOptions, policy_order
from birdsearch.duplicates.members import FolderSet
from birdsearch.photos import decode
from birdsearch.photos.provenance import Provenance
from birdsearch.records import POLICY, Photo
from tests.support.drawing import bird, write


def shot(photo_id: int, path: str = "", **known: object) -> Photo:
    """A JPEG of 2 megapixels and no camera."""
    usual = {"width": 2000, "height": 1000, "format": "JPEG", "size": 500_000, "mtime_ns": 10**18}
    return Photo(photo_id, path or f"/birds/{photo_id}.jpg", **{**usual, **known})  # type: ignore[arg-type]


def camera(photo_id: int, **known: object) -> Photo:
    """What a camera writes: 24 megapixels, with the camera's name."""
    return shot(photo_id, **{"width": 6000, "height": 4000, "camera": "Canon EOS R5", "size": 9_000_000, **known})  # type: ignore[arg-type]


class Known(keeper.Evidence):
    """What a test says of its photos, by their ids."""

    def __init__(self, **known: Any) -> None:
        self._known = known

    def said(self, photo: Photo) -> Provenance | None:
        return self._known.get("said", {}).get(photo.id)  # type: ignore[no-any-return]

    def made_from(self, photo: Photo, other: Photo) -> str | None:
        return self._known.get("made_from", {}).get((photo.id, other.id))  # type: ignore[no-any-return]

    def beyond(self, photo: Photo, other: Photo) -> tuple[str, ...]:
        return self._known.get("beyond", {}).get((photo.id, other.id), ())  # type: ignore[no-any-return]

    def sharpness(self, photo: Photo) -> float:
        return float(self._known["sharpness"](photo.id)) if "sharpness" in self._known else 0.0

    def companions(self, photo: Photo) -> tuple[str, ...]:
        return self._known.get("companions", {}).get(photo.id, ())  # type: ignore[no-any-return]

    def root(self, photo: Photo) -> int:
        return self._known.get("root", {}).get(photo.id, 0)  # type: ignore[no-any-return]


def best(photos: Sequence[Photo], **options: Any) -> Choice:
    """The choice by these options; what is no option is evidence."""
    chosen = {name: tuple(options.pop(name)) for name in ("prefer", "protect", "policy") if name in options}
    asked = {name: options.pop(name) for name in ("relation", "pictures") if name in options}
    return keeper.best(photos, KeeperOptions(**chosen), evidence=Known(**options), **asked)


def in_any_order(*group: Photo, **options: Any) -> Choice:
    """The choice, which must not depend on the order of the photos."""
    choices = [best(order, **options) for order in itertools.permutations(group)]
    assert {choice.keep for choice in choices} == {choices[0].keep}
    assert {choice.reason for choice in choices} == {choices[0].reason}
    return choices[0]


def never(photo_id: int) -> float:
    raise AssertionError(f"the sharpness of {photo_id} decides nothing")


def test_original_is_kept_over_its_copy_and_says_why() -> None:
    choice = in_any_order(shot(1), camera(2), sharpness=never)
    assert choice.keep == 2
    assert choice.reason == (
        "original: has camera EXIF (Canon EOS R5), 24 MP; the other is a 2.0 MP copy without camera EXIF"
    )
    assert choice.reasons == ("a 2.0 MP copy without camera EXIF",)


def test_original_is_kept_over_an_enlarged_copy_but_not_a_thumbnail_over_the_picture() -> None:
    assert in_any_order(camera(1, width=3000, height=2000), shot(2, width=6000, height=4000)).keep == 1
    assert in_any_order(camera(1, width=320, height=240), shot(2, width=6000, height=4000)).keep == 2


def test_of_a_heic_and_a_jpeg_the_one_that_the_camera_writes_is_kept() -> None:
    phone = {"camera": "Apple iPhone 15", "size": 2_000_000}
    choice = in_any_order(camera(1, **phone), camera(2, format="HEIF", **phone))
    assert choice.keep == 2
    assert choice.reason == "original: HEIC with camera EXIF (Apple iPhone 15); the other is a JPEG"
    assert choice.reasons == ("a JPEG, the kept photo is the HEIC",)
    assert in_any_order(camera(1, path="/birds/a.HIF", format="HEIF"), camera(2)).keep == 1
    assert in_any_order(camera(1), camera(2, format="HEIF")).keep == 1
    untouched = Provenance(maker_note=True, exif_first=True, tables=((3,) * 64,))
    assert in_any_order(camera(1, **phone), camera(2, format="HEIF", **phone), said={1: untouched}).keep == 1


def test_a_heic_made_from_something_larger_or_without_a_camera_is_no_original() -> None:
    phone = {"camera": "Apple iPhone 15"}
    assert in_any_order(camera(1, **phone), camera(2, format="HEIF", width=3000, height=2000, **phone)).keep == 1
    assert in_any_order(shot(1), shot(2, format="HEIF", mtime_ns=2 * 10**18)).keep == 1
    assert in_any_order(camera(1), camera(2, format="PNG", size=30_000_000)).keep == 1


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Provenance(programs=("Adobe Photoshop 25.0 (Windows)",)), "written by Adobe Photoshop 25.0 (Windows)"),
        (Provenance(derived=True), "made from another file, as its XMP says"),
        (
            Provenance(taken_at="2024-05-17T06:07:08", modified_at="2024-06-01T10:00:00"),
            "changed 2024-06-01 10:00:00, after it was taken",
        ),
        (
            Provenance(size=(9000, 6000), camera_size=(6000, 4000)),
            "resized or cropped to 9000 x 6000, its EXIF speaks of 6000 x 4000",
        ),
    ],
)
def test_what_tells_of_an_edit_counts_before_resolution_sharpness_and_size(said: Provenance, words: str) -> None:
    edited = camera(2, width=9000, height=6000, size=30_000_000)
    choice = in_any_order(camera(1), edited, said={1: Provenance(), 2: said}, sharpness=never)
    assert choice.keep == 1
    assert choice.reason == f"original: nothing tells of an edit (Canon EOS R5); the other was {words}"
    assert choice.reasons == (f"no original: {words}",)


def test_firmware_is_no_editor_and_a_camera_may_take_a_while_to_write() -> None:
    own = Provenance(
        programs=("Firmware Version 1.3.1", "17.4.1", "HDR+ 1.0.345"),
        taken_at="2024-05-17T06:07:08",
        taken_offset="+02:00",
        modified_at="2024-05-17T04:07:18",
        modified_offset="+00:00",
        size=(4000, 6000),
        camera_size=(6000, 4000),
    )
    assert in_any_order(camera(1), camera(2, size=20_000_000), said={1: Provenance(), 2: own}).keep == 2


@pytest.mark.parametrize(
    "name",
    [
        "IMG_1 (edited)", "IMG_1-edit", "IMG_1_export", "IMG_1 bearbeitet", "IMG-20240517-WA0007", "IMG_1 - Kopie",
        "Screenshot_20240517", "WhatsApp Image 2024-05-17", "copy of IMG_1", "IMG_E0001", "IMG_1-modifié", "IMG_1 x2",
    ],
)  # fmt: skip
def test_names_of_exports_and_messengers_are_no_originals(name: str) -> None:
    choice = in_any_order(camera(1, path="/birds/wren.jpg"), camera(2, path=f"/a/{name}.jpg", size=20_000_000),
                          said={1: Provenance(), 2: Provenance()})  # fmt: skip
    assert choice.keep == 1
    assert f"named as a copy or an export ({name}.jpg)" in choice.reason


def test_pixels_that_lie_in_an_untouched_file_too_were_not_edited() -> None:
    tagged = Provenance(programs=("digiKam-8.0",))
    photos = [camera(1, path="/DCIM/100CANON/IMG_1.JPG"), camera(2, label="Wren"), camera(3)]
    said = {1: Provenance(), 2: tagged, 3: tagged}
    choice = best(photos, said=said, pictures=[1, 1, 3])
    assert choice.keep == 2
    assert choice.reasons == ("not in a labelled folder", "no original: written by digiKam-8.0")


def test_what_pixels_show_counts_where_nothing_is_said() -> None:
    made = {(2, 1): "enlarged from 6000 x 4000"}
    large = camera(2, width=20_000, height=13_333)
    choice = in_any_order(camera(1), large, made_from=made, sharpness=never)
    assert choice.keep == 1
    assert choice.reason.endswith("the other was enlarged from 6000 x 4000")
    assert in_any_order(camera(1), camera(2, size=20_000_000), made_from={(2, 1): "compressed again"}).keep == 1
    assert in_any_order(camera(1, path="/b/IMG_1.jpg"), camera(2, path="/a/IMG_1 bright.jpg")).keep == 1


def test_traces_of_a_program_count_between_files_of_one_format() -> None:
    own = Provenance(maker_note=True, exif_first=True, tables=((3,) * 64,))
    again = Provenance(maker_note=True, exif_first=False, tables=((3,) * 64,))
    choice = in_any_order(camera(1), camera(2, size=20_000_000), said={1: own, 2: again})
    assert choice.keep == 1
    assert choice.reasons == ("no original: without its camera's file header",)
    assert best([camera(1), camera(2, size=20_000_000)], said={1: own, 2: again}, relation="pixels").keep == 2


def test_a_damaged_photo_never_wins() -> None:
    broken = camera(1, path="/safe/a.jpg", damaged="the end is missing", rating=5)
    choice = in_any_order(broken, shot(2), protect=["/safe"], policy=["resolution"])
    assert choice.keep == 2
    assert choice.reason == "safe: a whole picture; the other is damaged (the end is missing)"
    assert best([broken, shot(2)], protect=["/safe"]).protected == (1,)
    assert in_any_order(broken, camera(2, damaged="zeros")).keep == 1


def test_what_was_thrown_away_never_wins_over_what_is_whole() -> None:
    thrown = camera(1, path="/v/#recycle/a.jpg")
    choice = in_any_order(thrown, shot(2))
    assert choice.keep == 2
    assert choice.reason == "safe: in a folder where photos stay; the other is in a recycle bin"
    assert choice.reasons == ("in a recycle bin",)
    assert in_any_order(thrown, shot(2, damaged="zeros")).keep == 1


def test_a_labelled_folder_and_an_older_root_win_over_a_card() -> None:
    card = camera(1, path="/card/DCIM/100CANON/IMG_1.JPG", photographer="Ana", rating=3, size=9_100_000)
    labelled = in_any_order(card, camera(2, label="Wren"))
    assert (labelled.keep, labelled.reason) == (2, "place: in a labelled folder (Wren); the other has no label")
    settled = in_any_order(card, camera(2))
    assert settled.keep == 2
    assert settled.reasons == ("on a memory card or among downloads",)
    older = in_any_order(camera(1, photographer="Ana", size=9_100_000), camera(2), root={1: 2, 2: 1})
    assert (older.keep, older.reasons) == (2, ("in a folder that was indexed later",))
    assert in_any_order(camera(1, rating=3), camera(2), root={1: 2, 2: 1}).keep == 1


def test_a_labelled_photo_goes_only_with_a_loud_word() -> None:
    (reason,) = best([camera(1), shot(2, label="Wren")]).reasons
    assert reason == "LABELLED Wren, the kept photo is not; a 2.0 MP copy without camera EXIF"


def test_a_few_per_cent_of_size_decide_nothing() -> None:
    assert in_any_order(shot(1, size=500_000, mtime_ns=1), shot(2, size=540_000)).keep == 1


def test_companions_count_before_metadata() -> None:
    choice = in_any_order(shot(1, rating=3), shot(2), companions={2: ("/birds/2.jpg.xmp", "/birds/2.wav")})
    assert choice.keep == 2
    assert choice.reason == "companions: has 2.jpg.xmp, 2.wav beside it; the other does not"


def test_the_fuller_file_is_kept() -> None:
    more = {(1, 2): ("16 bits a channel", "a movie behind the picture")}
    choice = in_any_order(shot(1), shot(2, size=900_000, rating=5), beyond=more, sharpness=never)
    assert choice.keep == 1
    assert choice.reason == "contents: keeps 16 bits a channel and a movie behind the picture; the other does not"
    assert choice.reasons == ("holds less: lacks 16 bits a channel and a movie behind the picture",)
    both = {(1, 2): ("a depth map",), (2, 1): ("sound",)}
    assert in_any_order(shot(1), shot(2, size=900_000), beyond=both).keep == 2


def test_resolution_then_sharpness_then_metadata_then_size_then_age() -> None:
    smaller = in_any_order(shot(1, width=1000), shot(2), sharpness=never)
    assert (smaller.keep, smaller.reason) == (2, "resolution: 2.0 MP; the other has 1.0 MP")
    sharper = in_any_order(shot(1), shot(2), sharpness={1: 0.5, 2: 1.0}.__getitem__)
    assert (sharper.keep, sharper.reason) == (2, "sharpness: the sharpest; the other is 50 % as sharp")
    richer = in_any_order(shot(1, size=900_000), shot(2, notes="windy", rating=3), sharpness={1: 1.0, 2: 0.95}.get)
    assert (richer.keep, richer.reason) == (2, "notes: knows notes, rating; the other does not")
    assert richer.reasons == ("poorer notes: lacks notes, rating",)
    known = in_any_order(shot(1), shot(2, taken_at="2024-05-01T08:30:00"))
    assert (known.keep, known.reason) == (2, "metadata: knows time; the other does not")
    larger = in_any_order(shot(1), shot(2, size=900_000))
    assert (larger.keep, larger.reason) == (2, "size: 900 kB; the other has 500 kB")
    older = in_any_order(shot(1), shot(2, mtime_ns=9 * 10**17))
    assert (older.keep, older.reason) == (2, "oldest: file of 1998-07-09; the other is of 2001-09-09")


@pytest.mark.parametrize(
    ("later", "sentence"),
    [
        (86_400 * 10**9, "oldest: file of 2001-09-09; the other is of 2001-09-10"),
        (60 * 10**9, "oldest: file of 2001-09-09 01:46 UTC; the other is of 2001-09-09 01:47 UTC"),
        (10**9, "oldest: file of 2001-09-09 01:46:40 UTC; the other is of 2001-09-09 01:46:41 UTC"),
        (1, "oldest: file written a moment earlier; the other is newer"),
    ],
)
def test_times_are_given_as_people_give_them(later: int, sentence: str) -> None:
    assert in_any_order(shot(1), shot(2, mtime_ns=10**18 + later)).reason == sentence


def test_sizes_of_two_formats_say_nothing() -> None:
    assert in_any_order(shot(1), shot(2, format="PNG", size=9_000_000, mtime_ns=2 * 10**18)).keep == 1


def test_a_trimmed_line_of_pixels_decides_nothing() -> None:
    assert in_any_order(shot(1, width=1990, size=900_000), shot(2)).keep == 1


def test_the_moment_counts_before_the_age_of_the_file() -> None:
    first = shot(1, taken_at="2024-05-01T08:30:00.10", mtime_ns=2 * 10**18)
    choice = in_any_order(first, shot(2, taken_at="2024-05-01T08:30:00.90"))
    assert choice.keep == 1
    assert "taken 2024-05-01 08:30:00.10" in choice.reason


def test_the_shorter_path_decides_where_nothing_differs() -> None:
    choice = in_any_order(
        shot(1, path="/b/wren (1).jpg"),
        shot(2, path="/b/wren.jpg"),
        shot(3, path="/b/wren copy.jpg"),
        relation="pixels",
    )
    assert choice.keep == 2
    assert choice.reason == "path: the shorter one, nothing else differs; 2 others are as good"
    assert in_any_order(shot(1, path="/b/b.jpg"), shot(2, path="/b/a.jpg")).keep == 2


def test_reasons_follow_the_photos_and_name_what_decided_each() -> None:
    group = [shot(1), camera(2, rating=5), camera(3), camera(4, width=3000, height=2000)]
    choice = best(group)
    assert choice.keep == 2
    assert [reason.split(":")[0] for reason in choice.reasons] == [
        "a 2.0 MP copy without camera EXIF", "poorer notes", "lower resolution",
    ]  # fmt: skip
    assert choice.reason == (
        "original: has camera EXIF (Canon EOS R5), 24 MP; one other is a 2.0 MP copy without camera EXIF; "
        "resolution: 24 MP; one other has 6.0 MP; notes: knows rating; one other does not"
    )


def test_several_others_are_counted_and_the_reason_holds_for_all() -> None:
    group = (shot(1, rating=3, notes="windy"), shot(2, rating=2), shot(3, notes="calm"), shot(4))
    choice = in_any_order(*group)
    assert choice.reason == "notes: knows notes; 3 others know less"


def test_protected_comes_first_and_is_never_removed() -> None:
    group = [camera(1), shot(2, path="/safe/a.jpg"), shot(3, path="/safe/b.jpg", size=1), shot(4, path="/safer/c.jpg")]
    choice = best(group, protect=["/safe"])
    assert choice.keep == 2
    assert choice.reason.startswith("protected: it lies in /safe; 2 others do not")
    assert [reason.startswith("protected: ") for reason in choice.reasons] == [False, True, False]
    assert choice.protected == (3,)
    # Even where something else counts first, it must be marked.
    other = best(group, protect=["/safe"], policy=["resolution"])
    assert other.keep == 1
    assert [reason.startswith("protected: ") for reason in other.reasons] == [True, True, False]
    assert other.protected == (2, 3)


def test_preferred_folders_come_right_after_protected_ones() -> None:
    group = [camera(1), shot(2, path="/second/a.jpg"), shot(3, path="/first/b.jpg")]
    choice = best(group, prefer=["/first", "/second"])
    assert (choice.keep, choice.reason) == (3, "preferred: it lies in /first; 2 others do not")
    assert best(group, prefer=["/first"], protect=["/second"]).keep == 2
    assert best(group, prefer=["/nowhere"]).keep == 1
    assert best(group, prefer=["/first"], policy=["original"]).keep == 1


def test_folders_are_compared_by_components_and_bytes(tmp_path: Path) -> None:
    assert "/birds/wren/1.jpg" in FolderSet(["/birds"])
    assert "/birds/1.jpg" in FolderSet(["/birds/"])
    assert "/1.jpg" in FolderSet(["/"])
    assert "/birds2/1.jpg" not in FolderSet(["/birds"])
    assert "/birds/1.jpg" not in FolderSet([])
    assert "/birds/../safe/1.jpg" in FolderSet(["/safe"])
    odd = os.fsdecode(b"/w\xe4ren\n")
    assert odd + "/1.jpg" in FolderSet([odd])
    assert os.fsdecode(b"/w\xf6ren\n/1.jpg") not in FolderSet([odd])


def test_links_do_not_lead_around_protection(tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "safe")
    assert str(tmp_path / "link/1.jpg") in FolderSet([str(tmp_path / "safe")])
    assert str(tmp_path / "safe/1.jpg") in FolderSet([str(tmp_path / "link")])


def test_policy_names_what_counts_first() -> None:
    assert policy_order(POLICY) == ("safe", "protected", "preferred", *POLICY[2:])
    assert policy_order(["resolution", "oldest"])[:4] == ("safe", "resolution", "oldest", "protected")
    assert sorted(policy_order(["oldest", "oldest"])) == sorted(("preferred", *POLICY))
    assert policy_order(POLICY, "burst")[:4] == ("safe", "protected", "preferred", "sharpness")
    assert policy_order(["oldest"], "burst")[:5] == ("safe", "oldest", "protected", "preferred", "sharpness")
    with pytest.raises(ValueError, match=r"'biggest'.*safe, protected, original"):
        policy_order(["biggest"])
    group = [camera(1), shot(2, width=8000, height=6000)]
    assert best(group).keep == 1
    assert best(group, policy=["resolution"]).keep == 2


def test_of_a_burst_the_sharpest_is_proposed() -> None:
    group = [camera(1, rating=5), camera(2), camera(3)]
    choice = in_any_order(*group, sharpness={1: 0.98, 2: 1.0, 3: 0.5}.get, relation="burst")
    assert choice.keep == 2
    assert choice.reason == "sharpness: the sharpest; 2 others are less sharp"
    assert "50 % as sharp" in best(group, sharpness={1: 0.98, 2: 1.0, 3: 0.5}.get, relation="burst").reasons[1]


def test_sharpness_is_measured_once_for_each_content_and_never_among_equal_ones() -> None:
    asked: list[int] = []

    def measure(photo_id: int) -> float:
        asked.append(photo_id)
        return 1.0

    best([shot(n, sha256="ab") for n in (1, 2, 3)], sharpness=measure)
    best([shot(1), shot(2)], sharpness=measure, relation="pixels")
    assert asked == []
    best([shot(1, sha256="ab"), shot(2, sha256="ab"), shot(3, sha256="cd")], sharpness=measure)
    assert asked == [1, 3]


def test_a_picture_that_cannot_be_read_is_not_kept_for_its_sharpness() -> None:
    choice = in_any_order(shot(1, size=900_000), shot(2), sharpness={1: math.nan, 2: 0.4}.get)
    assert choice.keep == 2
    assert choice.reasons == ("its picture cannot be read",)
    assert best([shot(1), shot(2, size=900_000)], sharpness=lambda _: math.nan).keep == 2


def test_one_photo_and_none() -> None:
    assert best([shot(1)]) == Choice(1, "the only photo", ())
    with pytest.raises(ValueError, match="no photo"):
        best([])
    with pytest.raises(ValueError, match="no id"):
        best([Photo(None, "/a.jpg"), shot(1)])


def test_sharpness_sees_blur_noise_free_and_at_any_size(tmp_path: Path) -> None:
    picture = bird(3, 1200, 900)

    def measured(name: str, image: object) -> float:
        path = write(tmp_path / f"{name}.png", image)  # type: ignore[arg-type]
        return keeper.sharpness(decode.picture(path, keeper.SHARPNESS_LONGEST))

    sharp = measured("sharp", picture)
    assert measured("blurred", picture.filter(ImageFilter.GaussianBlur(3))) < 0.6 * sharp
    # A copy of half the size shows less, though its edges are steeper from pixel to pixel.
    assert measured("small", picture.resize((600, 450))) < sharp
    assert measured("darker", picture.point(lambda value: value // 2)) == pytest.approx(sharp, rel=0.1)
    assert measured("plain", picture.resize((1, 1)).resize((300, 200))) == 0


def test_sharpness_of_odd_shapes() -> None:
    for shape in ((1, 1, 3), (1, 2000, 3), (2048, 5, 3)):
        pixels = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
        assert keeper.sharpness(pixels) >= 0
    with pytest.raises(ValueError, match="2048"):
        keeper.sharpness(np.zeros((10, 3000, 3), np.uint8))

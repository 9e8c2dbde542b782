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
from birdsearch.records import POLICY, Photo
from tests.support.drawing import bird, write


def shot(photo_id: int, path: str = "", **known: object) -> Photo:
    """A JPEG of 2 megapixels and no camera."""
    usual = {"width": 2000, "height": 1000, "format": "JPEG", "size": 500_000, "mtime_ns": 10**18}
    return Photo(photo_id, path or f"/birds/{photo_id}.jpg", **{**usual, **known})  # type: ignore[arg-type]


def camera(photo_id: int, **known: object) -> Photo:
    """What a camera writes: 24 megapixels, with the camera's name."""
    return shot(photo_id, **{"width": 6000, "height": 4000, "camera": "Canon EOS R5", "size": 9_000_000, **known})  # type: ignore[arg-type]


def best(photos: Sequence[Photo], **options: Any) -> Choice:
    """The choice by these options."""
    chosen = {name: tuple(options.pop(name)) for name in ("prefer", "protect", "policy") if name in options}
    return keeper.best(photos, KeeperOptions(**chosen), **options)


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


def test_heic_is_kept_over_the_jpeg_made_from_it() -> None:
    choice = in_any_order(camera(1), camera(2, format="HEIF", size=2_000_000))
    assert choice.keep == 2
    assert choice.reason == "original: HEIC with camera EXIF (Canon EOS R5); the other is a JPEG"
    assert choice.reasons == ("a JPEG, the kept photo is the HEIC",)


def test_a_heic_made_from_something_larger_or_without_a_camera_is_no_original() -> None:
    assert in_any_order(camera(1), camera(2, format="HEIF", width=3000, height=2000)).keep == 1
    assert in_any_order(shot(1), shot(2, format="HEIF", mtime_ns=2 * 10**18)).keep == 1
    assert in_any_order(camera(1), camera(2, format="PNG", size=30_000_000)).keep == 1


def test_only_the_format_tells_what_a_file_is() -> None:
    assert in_any_order(camera(1, path="/birds/a.heic"), camera(2, path="/birds/a.jpg", format="HEIF")).keep == 2


def test_resolution_then_sharpness_then_metadata_then_size_then_age() -> None:
    smaller = in_any_order(shot(1, width=1000), shot(2), sharpness=never)
    assert (smaller.keep, smaller.reason) == (2, "resolution: 2.0 MP; the other has 1.0 MP")
    sharper = in_any_order(shot(1), shot(2), sharpness={1: 0.5, 2: 1.0}.__getitem__)
    assert (sharper.keep, sharper.reason) == (2, "sharpness: the sharpest; the other is 50 % as sharp")
    richer = in_any_order(shot(1, size=900_000), shot(2, notes="windy", rating=3), sharpness={1: 1.0, 2: 0.95}.get)
    assert (richer.keep, richer.reason) == (2, "metadata: knows notes, rating; the other does not")
    assert richer.reasons == ("poorer metadata: lacks notes, rating",)
    larger = in_any_order(shot(1), shot(2, size=900_000))
    assert (larger.keep, larger.reason) == (2, "size: 900 kB; the other has 500 kB")
    older = in_any_order(shot(1), shot(2, mtime_ns=9 * 10**17))
    assert (older.keep, older.reason) == (2, "oldest: file of 1998-07-09; the other is of 2001-09-09")


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
        shot(1, path="/b/wren (1).jpg"), shot(2, path="/b/wren.jpg"), shot(3, path="/b/wren copy.jpg")
    )
    assert choice.keep == 2
    assert choice.reason == "path: the shorter one, nothing else differs; 2 others are as good"
    assert in_any_order(shot(1, path="/b/b.jpg"), shot(2, path="/b/a.jpg")).keep == 2


def test_reasons_follow_the_photos_and_name_what_decided_each() -> None:
    group = [shot(1), camera(2, rating=5), camera(3), camera(4, width=3000, height=2000)]
    choice = best(group)
    assert choice.keep == 2
    assert [reason.split(":")[0] for reason in choice.reasons] == [
        "a 2.0 MP copy without camera EXIF", "poorer metadata", "lower resolution",
    ]  # fmt: skip
    assert choice.reason == (
        "original: has camera EXIF (Canon EOS R5), 24 MP; one other is a 2.0 MP copy without camera EXIF; "
        "resolution: 24 MP; one other has 6.0 MP; metadata: knows rating; one other does not"
    )


def test_several_others_are_counted_and_the_reason_holds_for_all() -> None:
    group = (shot(1, rating=3, notes="windy"), shot(2, rating=2), shot(3, notes="calm"), shot(4))
    choice = in_any_order(*group)
    assert choice.reason == "metadata: knows notes; 3 others know less"


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
    assert policy_order(POLICY) == ("protected", "preferred", *POLICY[1:])
    assert policy_order(["resolution", "oldest"])[:4] == ("resolution", "oldest", "protected", "preferred")
    assert sorted(policy_order(["oldest", "oldest"])) == sorted(("preferred", *POLICY))
    assert policy_order(POLICY, "burst")[:3] == ("protected", "preferred", "sharpness")
    assert policy_order(["oldest"], "burst")[:4] == ("oldest", "protected", "preferred", "sharpness")
    with pytest.raises(ValueError, match=r"'biggest'.*protected, original, resolution"):
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

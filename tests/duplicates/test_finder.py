"""Duplicates of a real index of drawn photos, edited in known ways."""

import os
import shutil
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageEnhance, ImageOps

import birdsearch
from birdsearch import Filter, Index
from birdsearch.duplicates import finder
from birdsearch.duplicates.candidates import Proposals
from birdsearch.photos import overlap, scan
from birdsearch.records import POLICY, RELATIONS, DuplicateReport, Plan
from birdsearch.storage.store import Store
from tests.support.alone import alone
from tests.support.fake_backbone import FakeBackbone
from tests.support.painting import samples


def photo(path: Path, number: int, taken: str | None = None, camera: str = "Kestrel") -> Path:
    """A drawn photo as a camera would have stored it."""
    image = Image.fromarray(samples.cached_picture(samples.SPECIES[number % 6], number // 6))
    exif = Image.Exif()
    if taken is not None:
        exif[0x010F], exif[0x0110] = camera, "One"
        moment, _, fraction = taken.partition(".")
        exif.get_ifd(0x8769)[0x9003] = moment
        if fraction:
            exif.get_ifd(0x8769)[0x9291] = fraction
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=92, exif=exif)
    return path


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos; one of them again with other metadata, copied, edited in three ways, and two of a burst."""
    folder = tmp_path_factory.mktemp("painted") / "photos"
    for number in range(8):
        photo(folder / f"{number}.jpg", number, f"2024:05:0{number + 1} 08:00:00")
    original = Image.open(folder / "1.jpg")
    shutil.copy(folder / "1.jpg", folder / "copy of 1.jpg")
    original.save(folder / "lossless 1.png")
    ImageOps.mirror(original).save(folder / "mirrored 1.jpg", quality=80)
    original.resize((320, 240)).save(folder / "small 1.jpg", quality=40)
    ImageEnhance.Color(original.crop((60, 40, 600, 480))).enhance(0.2).save(folder / "crop of 1.webp", quality=70)
    photo(folder / "burst a.jpg", 14, "2024:06:01 09:00:00.20")
    photo(folder / "burst b.jpg", 20, "2024:06:01 09:00:01.90")
    return folder


@pytest.fixture
def place(painted: Path, tmp_path: Path) -> Path:
    """The same photos in a folder of the test's own."""
    return shutil.copytree(painted, tmp_path / "photos")


@pytest.fixture
def index(place: Path) -> Iterator[Index]:
    with birdsearch.create(place.parent / "index", backbone=FakeBackbone()) as made:
        made.add(place)
        yield made


def names(index: Index, report: DuplicateReport, relation: str) -> set[frozenset[str]]:
    """The pairs of a relation by the names of their files."""
    known = {photo.id: Path(photo.path).name for photo in index.photos()}
    return {frozenset((known[pair.a], known[pair.b])) for pair in report.pairs if pair.relation == relation}


VARIANTS = ("mirrored 1.jpg", "small 1.jpg", "crop of 1.webp")
SAME = ("1.jpg", "copy of 1.jpg", "lossless 1.png")


def test_every_relation_is_found_and_nothing_else(index: Index) -> None:
    report = index.duplicates()
    assert names(index, report, "identical") == {frozenset(SAME[:2])}
    assert names(index, report, "pixels") == {frozenset((SAME[0], SAME[2])), frozenset((SAME[1], SAME[2]))}
    wanted = {frozenset((a, b)) for a in (*SAME, *VARIANTS) for b in VARIANTS if a != b}
    assert names(index, report, "variant") == wanted
    assert names(index, report, "burst") == {frozenset(("burst a.jpg", "burst b.jpg"))}
    assert report.counts["photos"] == 15
    assert report.counts["variant"] == len(wanted)
    known = {photo.id: Path(photo.path).name for photo in index.photos()}
    groups = {(group.relation, known[group.keep], len(group.others)) for group in report.groups}
    assert groups in (
        {("variant", "1.jpg", 5), ("burst", "burst a.jpg", 1)},
        {("variant", "1.jpg", 5), ("burst", "burst b.jpg", 1)},
    )


def test_pairs_keep_their_evidence(index: Index) -> None:
    report = index.duplicates(relations=("variant",))
    assert {pair.relation for pair in report.pairs} == {"variant"}
    direct = [pair for pair in report.pairs if "through" not in pair.evidence]
    assert direct
    for pair in direct:
        assert {"overlap", "agreement", "inliers", "transform", "matrix", "hash_distance"} <= set(pair.evidence)
        assert pair.score is not None
        assert pair.score <= 1


def test_only_what_was_asked_for(index: Index) -> None:
    report = index.duplicates(relations=("identical",))
    assert [pair.relation for pair in report.pairs] == ["identical"]
    assert report.counts["candidates"] == 0
    with pytest.raises(ValueError, match="no relation 'same': there are identical, pixels, variant, burst"):
        index.duplicates(relations=("same",))


def test_a_filter_limits_the_photos_compared(index: Index, place: Path) -> None:
    assert index.duplicates(where=Filter(taken_before="2024-05-02")).pairs == ()
    assert len(index.duplicates(where=Filter(under=str(place))).pairs) == len(index.duplicates().pairs) > 0


def test_two_exposures_are_no_variant(index: Index, place: Path) -> None:
    """The same view twice, minutes apart, by one camera: a tripod, not an edited copy."""
    photo(place / "again.jpg", 3, "2024:05:04 08:07:00")
    assert index.add(place).added == 1
    variants = names(index, index.duplicates(), "variant")
    assert frozenset(VARIANTS[:2]) in variants
    assert not any("again.jpg" in pair for pair in variants)


def test_one_file_under_two_names_is_no_duplicate(index: Index, place: Path) -> None:
    os.link(place / "5.jpg", place / "five.jpg")
    index.add(place)
    known = {photo.id: Path(photo.path).name for photo in index.photos()}
    assert {"5.jpg", "five.jpg"} <= set(known.values())
    report = index.duplicates()
    assert report.pairs
    assert "five.jpg" not in {known[photo_id] for pair in report.pairs for photo_id in (pair.a, pair.b)}


def test_photos_marked_different_are_no_pair(index: Index) -> None:
    ids = {Path(photo.path).name: photo.id or 0 for photo in index.photos()}
    index.not_duplicates(ids["small 1.jpg"], ids["1.jpg"])
    index.not_duplicates(ids["1.jpg"], ids["copy of 1.jpg"])
    report = index.duplicates()
    assert frozenset(("mirrored 1.jpg", "1.jpg")) in names(index, report, "variant")
    assert frozenset(("small 1.jpg", "1.jpg")) not in names(index, report, "variant")
    assert names(index, report, "identical") == set()
    with pytest.raises(ValueError, match="duplicate of itself"):
        index.not_duplicates(3, 3)


def test_plan_apply_and_undo(index: Index, place: Path) -> None:
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    photos = index.photos()
    plan = index.plan(index.duplicates())
    done = index.apply(plan, "trash", relations=("identical", "pixels", "variant"))
    assert done.done == 5
    assert {path.name for path in place.glob("*.*")} & {*SAME[1:], *VARIANTS} == set()
    assert len(index) == 10
    assert index.verify().ok
    index.undo()
    assert {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} == before
    assert index.photos() == photos
    assert index.verify().ok
    assert index.search((place / "3.jpg").read_bytes(), 1)[0].score > 0.99


def test_photos_marked_different_share_no_group(index: Index) -> None:
    ids = {Path(photo.path).name: photo.id or 0 for photo in index.photos()}
    index.not_duplicates(ids["1.jpg"], ids["small 1.jpg"])
    index.not_duplicates(ids["1.jpg"], ids["copy of 1.jpg"])
    groups = [{group.keep, *group.others} for group in index.duplicates().groups]
    assert [members for members in groups if ids["1.jpg"] in members]
    for group, members in zip(index.duplicates().groups, groups, strict=True):
        if group.keep in (ids["1.jpg"], ids["small 1.jpg"], ids["copy of 1.jpg"]):
            assert ids["1.jpg"] not in members or not members & {ids["small 1.jpg"], ids["copy of 1.jpg"]}


def test_pixels_lose_no_depth_no_transparency_and_no_frame(place: Path, index: Index) -> None:
    deep = (np.asarray(Image.open(place / "2.jpg").convert("L"), dtype=np.uint16) * 257) + 3
    Image.fromarray(deep).save(place / "deep.tif")
    Image.open(place / "deep.tif").save(place / "deep.png")
    Image.fromarray((deep // 257).astype(np.uint8)).save(place / "shallow.png")
    frames = [Image.open(place / f"{number}.jpg").convert("P") for number in (4, 5)]
    frames[0].save(place / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(place / "still.gif")
    clear = Image.open(place / "6.jpg").convert("RGBA")
    clear.save(place / "opaque.png")
    clear.putalpha(200)
    clear.save(place / "clear.png")
    index.add(place)
    pixels = names(index, index.duplicates(), "pixels")
    assert frozenset(("deep.tif", "deep.png")) in pixels
    for strange in ("deep.tif", "deep.png", "moving.gif", "clear.png"):
        assert not any(strange in pair and pair != frozenset(("deep.tif", "deep.png")) for pair in pixels), strange


def test_a_file_that_holds_more_than_the_same_pixels_is_a_variant(place: Path, index: Index) -> None:
    movie = struct.pack(">I", 24) + b"ftypmp42\0\0\0\0isommp42" + bytes(range(200))
    (place / "moving 3.jpg").write_bytes((place / "3.jpg").read_bytes() + movie)
    flat = Image.new("RGB", (64, 48), "navy")
    flat.save(place / "flat.png")
    flat.save(place / "tagged.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes())
    index.add(place)
    report = index.duplicates()
    variants = names(index, report, "variant")
    assert frozenset(("3.jpg", "moving 3.jpg")) in variants
    assert frozenset(("flat.png", "tagged.png")) in variants
    said = [each for pair in report.pairs for end in "ab" for each in pair.evidence.get(f"more_in_{end}", ())]
    assert "a movie behind the picture" in said
    assert any("profile" in each for each in said)


@alone
def test_ctrl_c_does_not_wait_for_a_file_that_never_answers(
    index: Index, ctrl_c: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    back, waited = threading.Event(), list[bool]()

    def hanging(*_: object) -> bytes:
        ctrl_c()
        waited.append(back.wait(30))
        return b""

    monkeypatch.setattr(scan, "read_up_to", hanging)
    monkeypatch.setattr(overlap, "LEAVE_SECONDS", 0.1)
    with pytest.raises(KeyboardInterrupt):
        index.duplicates()
    assert not waited
    back.set()


def test_a_copy_whose_file_is_gone_is_no_duplicate(index: Index, place: Path) -> None:
    (place / "copy of 1.jpg").unlink()
    report = index.duplicates(relations=("identical",))
    assert (report.pairs, report.counts["unreadable"]) == ((), 1)


def test_a_file_that_is_no_photo_any_more_is_no_duplicate(index: Index, place: Path) -> None:
    assert frozenset(("1.jpg", "lossless 1.png")) in names(index, index.duplicates(), "pixels")
    (place / "lossless 1.png").write_text("These are only words.")
    report = index.duplicates()
    assert not any("lossless 1.png" in pair for relation in RELATIONS for pair in names(index, report, relation))
    assert report.counts["unreadable"] == 1


def test_a_writer_at_work_changes_nothing(index: Index, place: Path) -> None:
    alone = index.duplicates().pairs
    written: list[int] = []

    def write(stage: str, *_: object) -> None:
        if stage == "propose" and not written:
            with birdsearch.open(index.path, backbone=FakeBackbone()) as writer:
                photo(place / "new.jpg", 33)
                written.append(writer.add(place).added)
                writer.remove(Filter(taken_before="2024-05-01T09:00"))

    with closing(Store.open(index.path, FakeBackbone())) as store:
        assert finder.find(store, finder.DuplicateOptions(), write).pairs == alone != ()
    assert written == [1]
    assert len(index) == 15


def test_few_photos_and_none(tmp_path: Path) -> None:
    for count in (0, 1, 2):
        folder = tmp_path / f"{count}"
        folder.mkdir()
        for number in range(count):
            photo(folder / f"{number}.jpg", number)
        with birdsearch.create(tmp_path / f"index {count}", backbone=FakeBackbone()) as index:
            index.add(folder)
            report = index.duplicates()
            assert (report.pairs, report.groups, report.counts["photos"]) == ((), (), count)


def test_many_copies_of_one_file_are_one_group(tmp_path: Path) -> None:
    first = photo(tmp_path / "photos/0.jpg", 2)
    for number in range(1, 400):
        shutil.copy(first, tmp_path / f"photos/{number}.jpg")
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos")
        report = index.duplicates()
        assert [(group.relation, len(group.others)) for group in report.groups] == [("identical", 399)]
        assert len(report.pairs) == 399


def test_a_plan_by_another_policy_keeps_other_photos(place: Path, index: Index) -> None:
    Image.open(place / "1.jpg").resize((960, 720)).save(place / "large 1.jpg", quality=90)
    index.add(place)
    report = index.duplicates()

    def kept(plan: Plan) -> str:
        return next(Path(step.path).name for step in plan.steps if not step.relation)

    assert index.plan(report, policy=POLICY) == index.plan(report)
    assert kept(index.plan(report)) == "1.jpg"
    largest = index.plan(report, policy=["resolution"])
    assert kept(largest) == "large 1.jpg"
    # Each is told how it is related to that one, and the burst is a group still.
    assert sorted(step.relation for step in largest.steps if step.relation) == ["burst", *["variant"] * 6]
    with pytest.raises(ValueError, match="biggest"):
        index.plan(report, policy=["biggest"])


def test_pairs_that_are_read_in_small_blocks_are_found_as_well(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    held = index.duplicates()
    monkeypatch.setattr("birdsearch.duplicates.finder.Proposals", partial(Proposals, 5))
    spilled = index.duplicates()
    assert spilled.pairs == held.pairs != ()
    assert spilled.groups == held.groups
    assert spilled.counts == held.counts


def test_many_copies_of_one_picture_are_read_once_each(tmp_path: Path) -> None:
    data = photo(tmp_path / "photos/0.jpg", 1).read_bytes()
    for number in range(1, 60):
        (tmp_path / f"photos/{number}.jpg").write_bytes(data + b"%d" % number)
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos")
        report = index.duplicates()
    assert report.counts["candidates"] == 0
    assert [(group.relation, len(group.others)) for group in report.groups] == [("pixels", 59)]


def test_many_edits_of_one_picture_are_one_group_without_all_their_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finder, "VERIFIED_AT_ONCE", 8)
    monkeypatch.setattr(finder, "ALL_WITH_ALL", 5)
    original = Image.open(photo(tmp_path / "photos/0.jpg", 1))
    for number in range(1, 13):
        original.save(tmp_path / f"photos/{number}.jpg", quality=60 + number)
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos")
        report = index.duplicates()
    assert [(group.relation, len(group.others)) for group in report.groups] == [("variant", 12)]
    assert report.counts["candidates"] < 13 * 12 / 2


def test_the_photo_of_the_camera_is_kept_over_what_was_made_from_it(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    original = photo(folder / "later in order/wren.jpg", 1, "2024:05:01 08:00:00")
    with Image.open(original) as opened:
        picture, exif = opened.convert("RGB"), opened.getexif()
    picture.resize((1280, 960), Image.Resampling.LANCZOS).save(folder / "a.jpg", quality=90, exif=exif)
    picture.save(folder / "b.png", exif=exif)
    exif[0x0131] = "GIMP 2.10"
    ImageEnhance.Contrast(picture).enhance(1.2).save(folder / "c.jpg", quality=97, exif=exif)
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(folder)
        (group,) = index.duplicates().groups
        known = {each.id: Path(each.path).name for each in index.photos()}
    assert known[group.keep] == "wren.jpg"
    assert {known[other]: reason for other, reason in zip(group.others, group.reasons, strict=True)} == {
        "a.jpg": "no original: enlarged from 640 x 480",
        "b.png": "a PNG, the kept photo is the JPEG",
        "c.jpg": "no original: written by GIMP 2.10",
    }


def test_frames_of_one_second_are_a_burst(tmp_path: Path) -> None:
    for number in (1, 2):
        photo(tmp_path / f"photos/IMG_000{number}.JPG", 1, "2024:05:01 08:00:00")
        with Image.open(tmp_path / f"photos/IMG_000{number}.JPG") as opened:
            picture, exif = opened.convert("RGB"), opened.getexif()
        picture.putpixel((number, 5), (255, 0, 0))
        picture.save(tmp_path / f"photos/IMG_000{number}.JPG", quality=92, exif=exif)
    with birdsearch.create(tmp_path / "index", backbone=FakeBackbone()) as index:
        index.add(tmp_path / "photos")
        assert {pair.relation for pair in index.duplicates().pairs} == {"burst"}
        # A copy that lost its EXIF may be one of either, and makes them no copies of each other.
        picture.resize((320, 240)).save(tmp_path / "photos/web.jpg")
        index.add(tmp_path / "photos")
        report = index.duplicates()
        assert names(index, report, "burst") == {frozenset(("IMG_0001.JPG", "IMG_0002.JPG"))}
        assert frozenset(("IMG_0001.JPG", "IMG_0002.JPG")) not in names(index, report, "variant")

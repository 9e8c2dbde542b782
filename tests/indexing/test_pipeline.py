"""Indexing: what becomes of every file, and that nothing is embedded which need not be."""

import io
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import birdsearch
from benchmarks import listing
from birdsearch import AddReport, Cancelled, Filter, Index
from birdsearch.errors import (
    BackboneError,
    BackboneUnavailableError,
    InputFileError,
    PhotoMissingError,
    PhotoUnreadableError,
    PruneRefusedError,
)
from birdsearch.indexing import committer, embedder, pipeline
from birdsearch.photos import decode, overlap, scan
from birdsearch.records import Failure, Photo, Pixels, Vectors
from birdsearch.storage.catalog.catalog import Catalog
from birdsearch.storage.folder import Folder
from birdsearch.storage.store import Store
from tests.support.alone import alone
from tests.support.catalogs import on_sqlite
from tests.support.drawing import STORED, bird, exif, turned, write
from tests.support.fake_backbone import FakeBackbone
from tests.support.strange_files import write_strange_files


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of six photos of two species."""
    folder = tmp_path / "photos"
    for seed in range(6):
        write(folder / ("Wren" if seed < 3 else "Robin") / f"{seed}.jpg", bird(seed, 80, 60))
    return folder


def counts(report: AddReport) -> dict[str, int]:
    """The counts that are not zero."""
    every = {name: getattr(report, name) for name in ("added", "changed", "unchanged", "moved", "missing")}
    every |= {"ignored": sum(report.ignored.values()), "failed": len(report.failed)}
    return {name: count for name, count in every.items() if count}


def files(report: AddReport) -> int:
    """How many files a report counts."""
    return sum(count for name, count in counts(report).items() if name != "missing")


def names(index: Index, where: Filter | None = None) -> list[str]:
    """The file names of the photos that an index shows."""
    return sorted(Path(photo.path).name for photo in index.photos(where))


def replace_bytes(path: Path, data: bytes) -> None:
    """Other bytes under an old name, with a time that no clock's coarseness can hide."""
    later = path.stat().st_mtime_ns + 10**9
    path.write_bytes(data)
    os.utime(path, ns=(later, later))


def is_sound(index: Index) -> bool:
    """Whether the index keeps every promise, and each photo the vector of what its file shows."""
    assert index.verify().problems == ()
    here = [photo for photo in index.photos() if os.path.exists(photo.path)]
    fresh = index.backbone.embed([photo.path for photo in here])
    stored = index.vectors([photo.id for photo in here if photo.id is not None])
    return bool((np.einsum("nd,nd->n", fresh, stored) > 0.9999).all()) if here else True


# Adding


def test_add_counts_embeds_once_and_costs_nothing_the_second_time(
    photos: Path, index: Index, fake: FakeBackbone
) -> None:
    write(photos / "notes.txt", bird(0), format="PNG")
    (photos / "real notes.txt").write_text("a wren, early")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    assert counts(index.add(photos)) == {"added": 7, "ignored": 1, "failed": 1}
    assert fake.embedded == 7
    assert counts(index.add(photos)) == {"unchanged": 7, "ignored": 1, "failed": 1}
    assert fake.embedded == 7
    assert len(index) == 7
    assert is_sound(index)


def test_add_of_nothing_new_decodes_nothing(photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(100))
    first = index.add(photos)
    monkeypatch.setattr("birdsearch.indexing.pipeline.decode.decode", lambda *_: pytest.fail("decoded again"))
    again = index.add(photos)
    assert again.unchanged == 6
    assert again.failed == first.failed
    assert index.failures() == list(first.failed)


def keep_time(path: Path, data: bytes) -> None:
    """Put a new file of the same size in the place of one, with its time."""
    before, other = path.stat(), path.with_name("temporary")
    assert len(data) == before.st_size
    other.write_bytes(data)
    other.replace(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_that_kept_size_and_time_is_read_again(tmp_path: Path, index: Index, fake: FakeBackbone) -> None:
    path = write(tmp_path / "photos/1.jpg", bird(1, 80, 60), exif=exif({}, {0x9003: "2024:05:17 07:25:00"}))
    os.utime(path, (1_715_923_500, 1_715_923_500))
    index.add(tmp_path / "photos")
    keep_time(path, path.read_bytes().replace(b"2024:05:17 07", b"2024:05:17 08"))
    assert counts(index.add(tmp_path / "photos")) == {"changed": 1}
    assert index.photos()[0].taken_at == "2024-05-17T08:25:00"
    seen = fake.embedded
    keep_time(path, path.read_bytes())
    assert counts(index.add(tmp_path / "photos")) == {"unchanged": 1}
    assert fake.embedded == seen
    assert counts(index.add(tmp_path / "photos")) == {"unchanged": 1}


def test_failures_go_with_their_folder(tmp_path: Path, photos: Path, index: Index) -> None:
    (photos / "Wren/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0broken")
    index.add(photos)
    photos.rename(tmp_path / "renamed")
    index.add(tmp_path / "renamed")
    assert [failure.path for failure in index.failures()] == [str(tmp_path / "renamed/Wren/broken.jpg")]
    (tmp_path / "renamed").rename(tmp_path / "away")
    (tmp_path / "renamed").mkdir()  # where a disk was mounted
    index.add(write(tmp_path / "card/7.jpg", bird(7, 80, 60)).parent)
    assert len(index.failures()) == 1


def test_reread_renews_what_is_known_and_keeps_the_vectors(
    photos: Path, index: Index, fake: FakeBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(decode, "describe", lambda photo, _metadata: replace(photo, rating=1))
        index.add(photos)
    assert {photo.rating for photo in index.photos()} == {1}
    seen, ids = fake.embedded, [photo.id for photo in index.photos()]
    assert counts(index.add(photos)) == {"unchanged": 6}
    assert {photo.rating for photo in index.photos()} == {1}
    assert counts(index.add(photos, reread=True)) == {"unchanged": 6}
    assert {photo.rating for photo in index.photos()} == {None}
    assert (fake.embedded, [photo.id for photo in index.photos()]) == (seen, ids)
    assert is_sound(index)


def test_add_without_folders_looks_through_those_of_the_index(
    tmp_path: Path, photos: Path, index: Index, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(PhotoMissingError, match="no folder to look through"):
        index.add()
    index.add(photos)
    index.add(write(tmp_path / "card/7.jpg", bird(7, 80, 60)).parent)
    write(photos / "Wren/8.jpg", bird(8, 80, 60))
    (tmp_path / "card").rename(tmp_path / "away")
    assert counts(index.add()) == {"added": 1, "unchanged": 6}
    assert "card is not there: its photos stay as they are" in caplog.text
    assert index.count() == 8


@pytest.mark.parametrize("first", ["link", "photos"])
def test_one_folder_is_one_root_however_it_is_named(tmp_path: Path, photos: Path, index: Index, first: str) -> None:
    (tmp_path / "link").symlink_to(photos)
    (photos / "again").symlink_to(photos / "Wren")
    index.add(tmp_path / first)
    for other in ("photos", "link", "link/Wren", "photos/again", "photos/Wren/0.jpg", "link/Wren/0.jpg"):
        report = index.add(tmp_path / other)
        assert set(counts(report)) == {"unchanged"}, other
        where = Filter(under=str(tmp_path / other))
        assert index.count(where) == (6 if other in ("photos", "link") else 1 if other.endswith("jpg") else 3), other
    assert index.count() == 6
    assert index.find(photos / "Wren/0.jpg").id == index.find(tmp_path / "link/Wren/0.jpg").id
    assert set(counts(index.add(tmp_path))) == {"unchanged", "ignored"}  # above the root, with the index in it
    assert index.count() == 6
    (tmp_path / "card").mkdir()
    (tmp_path / "card/link").symlink_to(photos)
    assert counts(index.add(tmp_path / "card")) == {"ignored": 7}
    assert set(counts(index.add(tmp_path))) == {"unchanged", "ignored"}
    assert index.count() == 6


def test_a_folder_above_one_that_was_named_by_a_link_spells_it_as_before(
    tmp_path: Path, photos: Path, index: Index
) -> None:
    (tmp_path / "link").symlink_to(photos)
    index.add(tmp_path / "link/Wren")
    assert counts(index.add(photos)) == {"unchanged": 3, "added": 3}
    assert {Path(photo.path).parts[-3] for photo in index.photos()} == {"link"}


def test_reopened_index_shows_the_same(photos: Path, index: Index, fake: FakeBackbone) -> None:
    index.add(photos, labels="folder")
    before = index.photos()
    vectors = index.vectors([photo.id for photo in before if photo.id])
    index.close()
    with birdsearch.open(index.path, backbone=fake) as again:
        assert again.photos() == before
        assert np.array_equal(again.vectors([photo.id for photo in before if photo.id]), vectors)
        assert counts(again.add(photos)) == {"unchanged": 6}
        assert {photo.label for photo in again.photos()} == {"Wren", "Robin"}
    assert fake.embedded == 6


def test_opening_and_asking_needs_no_backbone(photos: Path, index: Index) -> None:
    index.add(photos)
    with birdsearch.open(index.path) as again:
        first = again.photos()[0]
        assert len(again.search(first, 3)) == 3
        with pytest.raises(BackboneUnavailableError, match="open it with birdsearch"):
            again.search(Path(first.path).read_bytes())


def test_every_strange_file_ends_in_exactly_one_count(tmp_path: Path, index: Index) -> None:
    expected = write_strange_files(tmp_path / "strange")
    assert len(expected) >= 45
    first = index.add(tmp_path / "strange")
    wanted = {kind: sum(end == kind for end in expected.values()) for kind in ("photo", "failed", "ignored")}
    assert counts(first) == {"added": wanted["photo"], "ignored": wanted["ignored"], "failed": wanted["failed"]}
    assert files(first) == sum(end != "hidden" for end in expected.values())
    assert {os.path.relpath(f.path, tmp_path / "strange") for f in first.failed} == {
        name for name, end in expected.items() if end == "failed"
    }
    assert all(failure.reason and "Traceback" not in failure.reason for failure in first.failed)
    again = index.add(tmp_path / "strange")
    assert files(again) == files(first)
    assert (again.added, again.unchanged, again.failed) == (0, first.added, first.failed)
    assert index.verify().ok


@pytest.mark.network
def test_orientations_of_one_photo_are_the_same_photo(tmp_path: Path) -> None:
    picture = bird(11, 400, 300)
    for orientation in STORED:
        path = tmp_path / "photos" / f"{orientation}.jpg"
        write(path, turned(picture, orientation), exif=exif({0x0112: orientation}))
    with birdsearch.create(tmp_path / "index") as index:
        index.add(tmp_path / "photos")
        upright = next(photo for photo in index.photos() if photo.path.endswith("1.jpg"))
        matches = index.search(upright, 7)
    assert len(matches) == 7
    assert min(match.score for match in matches) >= 0.995


def test_index_inside_the_photo_folder_counts_no_file_of_its_own_as_photo(photos: Path, fake: FakeBackbone) -> None:
    with birdsearch.create(photos / "index", backbone=fake) as index:
        first = index.add(photos)
        assert (first.added, first.failed) == (6, ())
        again = index.add(photos)
        assert (again.unchanged, again.added, again.failed) == (6, 0, ())
        assert index.verify().ok


def test_photos_inside_the_index_folder_are_photos(tmp_path: Path, index: Index) -> None:
    write(index.path / "photos" / "1.jpg", bird(1, 80, 60))
    assert counts(index.add(index.path / "photos")) == {"added": 1}
    assert index.verify().ok


def test_foreign_files_among_the_parts_are_left_alone(photos: Path, index: Index) -> None:
    (index.path / "vectors" / "@eaDir").mkdir()
    (index.path / "vectors" / "my notes.txt").write_text("mine")
    assert index.add(photos).added == 6
    assert (index.path / "vectors" / "my notes.txt").read_text() == "mine"


def test_a_file_that_is_named_and_is_no_photo_fails(tmp_path: Path, photos: Path, index: Index) -> None:
    """In its folder it is ignored, as any other file there."""
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    for _ in range(2):
        report = index.add([photos, broken])
        assert str(broken) in [failure.path for failure in report.failed if "not an image (text)" in failure.reason]
    given = index.add_vectors([broken], np.ones((1, FakeBackbone.dim)))
    assert [failure.path for failure in given.failed] == [str(broken)]
    assert str(broken) in [failure.path for failure in index.failures()]
    in_folder = index.add(tmp_path)
    assert in_folder.ignored["not an image (text)"] >= 1
    assert str(broken) not in [failure.path for failure in (*in_folder.failed, *index.failures())]


def test_what_a_shell_names_beside_photos_is_ignored(tmp_path: Path, photos: Path, index: Index) -> None:
    movie, notes = tmp_path / "MVI_1.MP4", tmp_path / "wren.xmp"
    movie.write_bytes(b"\0\0\0\x18ftypmp42")
    notes.write_text("<x:xmpmeta/>")
    report = index.add([photos, movie, notes])
    assert report.failed == ()
    assert sum(report.ignored.values()) >= 2


def test_one_file_by_its_name(photos: Path, index: Index) -> None:
    assert counts(index.add(photos / "Wren" / "0.jpg")) == {"added": 1}
    assert counts(index.add([photos / "Wren" / "0.jpg", photos / "Wren" / "1.jpg"])) == {"added": 1, "unchanged": 1}
    assert names(index) == ["0.jpg", "1.jpg"]


@pytest.mark.parametrize("order", [("Wren", ""), ("", "Wren"), ("Wren", "", "Wren", "Robin/3.jpg")])
def test_nested_folders_in_any_order_count_each_file_once(photos: Path, index: Index, order: tuple[str, ...]) -> None:
    assert counts(index.add([photos / name for name in order])) == {"added": 6}
    assert counts(index.add(photos)) == {"unchanged": 6}
    for name in order:
        index.add(photos / name)
    assert len(index) == 6
    assert is_sound(index)


def test_folder_named_alone_first_then_with_the_one_above(photos: Path, index: Index, fake: FakeBackbone) -> None:
    assert counts(index.add(photos / "Wren")) == {"added": 3}
    assert counts(index.add(photos)) == {"added": 3, "unchanged": 3}
    assert counts(index.add(photos.parent / "photos" / ".." / "photos" / "Wren")) == {"unchanged": 3}
    assert fake.embedded == 6
    assert index.info()["folders"] == [str(photos)]


def test_links_and_loops_end(photos: Path, index: Index) -> None:
    (photos / "loop").symlink_to(photos)
    (photos / "Wren" / "again.jpg").symlink_to(photos / "Wren" / "0.jpg")
    (photos / "elsewhere").symlink_to(photos / "Wren")
    assert counts(index.add(photos)) == {"added": 7}
    assert counts(index.add(photos)) == {"unchanged": 7}


def test_relative_folders_survive_a_change_of_folder(
    photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    index.add("photos")
    monkeypatch.chdir("/")
    assert all(os.path.exists(photo.path) for photo in index.photos())
    assert counts(index.add(photos)) == {"unchanged": 6}


def test_folder_without_photos(tmp_path: Path, index: Index) -> None:
    (tmp_path / "none").mkdir()
    assert counts(index.add(tmp_path / "none")) == {}
    assert len(index) == 0
    assert index.search_vectors(np.ones((1, 16), np.float32)) == [[]]
    assert index.verify().ok


def test_missing_folder_changes_nothing(photos: Path, index: Index) -> None:
    index.add(photos)
    with pytest.raises(PhotoMissingError, match="Did you mean"):
        index.add([photos, photos.parent / "photoss"])
    assert len(index) == 6


def test_ten_copies_of_one_file_share_one_embedding(
    photos: Path, index: Index, fake: FakeBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "COMMIT_PHOTOS", 3)
    source = photos / "Wren" / "0.jpg"
    for number in range(10):
        shutil.copy(source, photos / f"copy {number}.jpg")
    assert counts(index.add(photos)) == {"added": 16}
    assert fake.embedded == 6
    shutil.copy(source, photos / "late copy.jpg")
    assert counts(index.add(photos)) == {"added": 1, "unchanged": 16}
    assert fake.embedded == 6
    twins = index.photos(Filter(under=str(source)))
    assert [match.score for match in index.search(twins[0], 11)] == pytest.approx([1.0] * 11)
    copy = next(photo for photo in index.photos() if photo.path.endswith("late copy.jpg"))
    assert (copy.phash, copy.width, copy.sha256) == (twins[0].phash, 80, twins[0].sha256)
    assert is_sound(index)


def test_asking_for_the_bytes_of_many_copies_is_not_repeated_for_each(
    photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add(photos)
    for number in range(20):
        shutil.copy(photos / "Wren" / "0.jpg", photos / f"{number} copy.jpg")
    asked: list[str] = []
    paths_with_bytes = Catalog.paths_with_bytes

    def counted(catalog: Catalog, sha256: str) -> dict[int, bytes]:
        asked.append(sha256)
        return paths_with_bytes(catalog, sha256)

    monkeypatch.setattr(Catalog, "paths_with_bytes", counted)
    assert index.add(photos).added == 20
    assert len(asked) <= 3


# Changes


def test_changed_photo_is_embedded_again_and_keeps_its_id(photos: Path, index: Index, fake: FakeBackbone) -> None:
    index.add(photos)
    before = {photo.path: photo for photo in index.photos()}
    path = photos / "Wren" / "1.jpg"
    write(path, bird(50, 100, 70))
    assert counts(index.add(photos)) == {"changed": 1, "unchanged": 5}
    after = {photo.path: photo for photo in index.photos()}
    assert after[str(path)].id == before[str(path)].id
    assert (after[str(path)].width, before[str(path)].width) == (100, 80)
    assert fake.embedded == 7
    assert is_sound(index)
    # The old vector must not answer any more.
    matches = index.search(after[str(path)], 10)
    assert len(matches) == 5


def test_touched_photo_is_unchanged(photos: Path, index: Index, fake: FakeBackbone) -> None:
    index.add(photos)
    path = photos / "Wren" / "1.jpg"
    replace_bytes(path, path.read_bytes())
    assert counts(index.add(photos)) == {"unchanged": 6}
    assert fake.embedded == 6


@pytest.mark.parametrize("commit_photos", [1, 1000])
def test_two_files_that_swap_names_are_changed_without_the_network(
    photos: Path, index: Index, fake: FakeBackbone, monkeypatch: pytest.MonkeyPatch, commit_photos: int
) -> None:
    index.add(photos, labels="folder")
    monkeypatch.setattr(committer, "COMMIT_PHOTOS", commit_photos)
    a, b = photos / "Wren" / "0.jpg", photos / "Robin" / "5.jpg"
    a.rename(photos / "aside")
    b.rename(a)
    (photos / "aside").rename(b)
    report = index.add(photos)
    assert counts(report) == {"changed": 2, "unchanged": 4}
    assert {photo.label for photo in index.photos(Filter(under=str(photos / "Wren")))} == {"Wren"}
    assert is_sound(index)


def test_renumbered_files_are_all_found_again(
    photos: Path, index: Index, fake: FakeBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        write(photos / f"img{number}.jpg", bird(20 + number, 80, 60))
    index.add(photos)
    monkeypatch.setattr(committer, "COMMIT_PHOTOS", 2)
    for number in reversed(range(8)):
        (photos / f"img{number}.jpg").rename(photos / f"img{number + 1}.jpg")
    write(photos / "img0.jpg", bird(99, 80, 60))
    report = index.add(photos)
    assert (report.failed, files(report), report.missing) == ((), 15, 0)
    assert is_sound(index)


def test_a_photo_replaced_by_a_broken_file_is_hidden_and_comes_back(
    photos: Path, index: Index, fake: FakeBackbone
) -> None:
    index.add(photos)
    path = photos / "Wren" / "1.jpg"
    good = path.read_bytes()
    replace_bytes(path, good[: len(good) // 2])
    report = index.add(photos)
    assert counts(report) == {"unchanged": 5, "failed": 1}
    assert len(index) == 5
    assert counts(index.add(photos)) == {"unchanged": 5, "failed": 1}
    assert [failure.path for failure in index.failures()] == [str(path)]
    replace_bytes(path, good)
    os.utime(path, ns=(10**18, 10**18))
    assert counts(index.add(photos)) == {"unchanged": 6}
    assert (len(index), index.failures()) == (6, [])
    assert fake.embedded == 6
    assert is_sound(index)


def test_a_photo_replaced_by_a_text_is_missing(photos: Path, index: Index) -> None:
    index.add(photos)
    replace_bytes(photos / "Wren" / "1.jpg", b"<!DOCTYPE html><html></html>")
    report = index.add(photos)
    assert files(report) == 6
    assert report.unchanged == 5
    assert len(index) == 5


def damaged(data: bytes) -> bytes:
    """A JPEG with a hole."""
    at = len(data) * 3 // 4
    return data[:at] + bytes(64) + data[at + 64 :]


def test_a_damaged_photo_is_in_the_index_and_told_in_every_run(photos: Path, index: Index) -> None:
    whole = (photos / "Wren" / "0.jpg").read_bytes()
    for copy in (photos / "Wren" / "0.jpg", photos / "copy.jpg"):
        copy.write_bytes(damaged(whole))
    for expected in ({"added": 5, "failed": 2}, {"unchanged": 5, "failed": 2}):
        report = index.add(photos)
        assert counts(report) == expected
        assert [(Path(failure.path).name, failure.stage) for failure in report.failed] == [
            ("0.jpg", "damaged"),
            ("copy.jpg", "damaged"),
        ]
        assert index.failures() == list(report.failed)
    assert len(index) == 7
    assert all(index.find(failure.path).damaged for failure in report.failed)
    os.utime(photos / "copy.jpg")  # touched, and the same
    assert counts(index.add(photos)) == {"unchanged": 5, "failed": 2}
    replace_bytes(photos / "Wren" / "0.jpg", whole)
    assert counts(index.add(photos)) == {"changed": 1, "unchanged": 5, "failed": 1}
    assert index.find(photos / "Wren" / "0.jpg").damaged is None
    (photos / "copy.jpg").unlink()
    assert counts(index.add(photos)) == {"unchanged": 6, "missing": 1}
    assert index.failures() == []


@on_sqlite
def test_a_costly_photo_comes_last_and_is_noted_before(
    photos: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "COSTLY", 10**6)
    write(photos / "Robin" / "large.png", bird(8, 800, 600))
    order: list[str] = []
    noted: list[list[Failure]] = []
    real = decode.decode

    def watched(data: bytes, photo: Photo, *rest: Any, most: int | None = None, **more: Any) -> decode.Decoded:
        result = real(data, photo, *rest, most=most, **more)
        order.append(Path(photo.path).name)
        with birdsearch.open(tmp_path / "index", backbone=FakeBackbone()) as other:
            noted.append(other.failures())
            if most is None:
                shutil.copytree(tmp_path / "index", tmp_path / "killed")  # what a killed run leaves
        return result

    with monkeypatch.context() as patch:
        patch.setattr(decode, "decode", watched)
        assert counts(index.add(photos)) == {"added": 7}
    assert order[-1] == "large.png"
    assert [bool(each) for each in noted] == [False] * 6 + [True]
    assert (noted[-1][0].stage, Path(noted[-1][0].path).name) == ("decode", "large.png")
    assert "the program ended" in noted[-1][0].reason
    assert index.failures() == []
    with birdsearch.open(tmp_path / "killed", backbone=FakeBackbone()) as again:
        monkeypatch.setattr(decode, "decode", lambda *_, **__: pytest.fail("decoded"))
        assert counts(again.add(photos)) == {"unchanged": 6, "failed": 1}


def test_ctrl_c_at_a_costly_photo_leaves_no_note(photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "COSTLY", 10**6)
    write(photos / "large.png", bird(8, 800, 600))
    real = decode.decode

    def stopped(*given: Any, most: int | None = None, **more: Any) -> decode.Decoded:
        if most is None:
            raise KeyboardInterrupt
        return real(*given, most=most, **more)

    with monkeypatch.context() as patch:
        patch.setattr(decode, "decode", stopped)
        with pytest.raises(KeyboardInterrupt):
            index.add(photos)
    assert len(index) == 6
    assert index.failures() == []
    assert counts(index.add(photos)) == {"added": 1, "unchanged": 6}


def test_a_costly_file_that_is_broken_fails_with_its_reason(
    photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "COSTLY", 10**6)
    write(photos / "large.png", bird(8, 800, 600))
    data = (photos / "large.png").read_bytes()
    (photos / "large.png").write_bytes(data[: len(data) // 2])
    for expected in ({"added": 6, "failed": 1}, {"unchanged": 6, "failed": 1}):
        report = index.add(photos)
        assert counts(report) == expected
        assert [failure.reason for failure in report.failed] == ["truncated PNG"]
        assert [failure.reason for failure in index.failures()] == ["truncated PNG"]


def dead_disk(monkeypatch: pytest.MonkeyPatch, name: str, then: Callable[[], None] = lambda: None) -> threading.Event:
    """Make a file hang when it is read, and call `then`; the event brings it back."""
    back = threading.Event()
    real = scan.read_up_to

    def hanging(file: io.FileIO, *rest: Any) -> bytes:
        if os.path.realpath(f"/proc/self/fd/{file.fileno()}").endswith(name):
            then()
            back.wait(60)
        return real(file, *rest)

    monkeypatch.setattr(scan, "read_up_to", hanging)
    return back


def test_a_file_that_never_answers_costs_only_itself(
    photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = dead_disk(monkeypatch, "1.jpg")
    monkeypatch.setattr(scan, "ANSWER_SECONDS", 1.5)
    report = index.add(photos)
    assert counts(report) == {"added": 5, "failed": 1}
    assert [(failure.stage, Path(failure.path).name) for failure in report.failed] == [("read", "1.jpg")]
    assert "has not answered" in report.failed[0].reason
    with pytest.raises(PhotoUnreadableError, match="has not answered"):
        index.search(photos / "Wren" / "1.jpg")
    back.set()
    assert counts(index.add(photos)) == {"added": 1, "unchanged": 5}


@alone
def test_ctrl_c_does_not_wait_for_a_file_that_never_answers(
    photos: Path, index: Index, ctrl_c: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    back = dead_disk(monkeypatch, "2.jpg", then=ctrl_c)
    monkeypatch.setattr(overlap, "LEAVE_SECONDS", 0.1)
    monkeypatch.setattr(embedder, "NETWORK_BATCH", 1)
    with pytest.raises(KeyboardInterrupt):
        index.add(photos)
    assert any(thread.name == "birdsearch-read" for thread in threading.enumerate())  # left behind, still waiting
    assert names(index) == ["0.jpg", "1.jpg", "3.jpg", "4.jpg", "5.jpg"]
    back.set()


def test_a_broken_file_that_goes_is_no_failure_any_more(photos: Path, index: Index) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(100))
    index.add(photos)
    (photos / "broken.jpg").unlink()
    assert counts(index.add(photos)) == {"unchanged": 6}
    assert index.failures() == []


def test_a_broken_file_elsewhere_stays_a_failure(photos: Path, index: Index) -> None:
    (photos / "Robin" / "broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(100))
    index.add(photos)
    index.add(photos / "Wren")
    assert len(index.failures()) == 1


# Moves


def test_renamed_photo_is_linked_again(photos: Path, index: Index, fake: FakeBackbone) -> None:
    index.add(photos)
    before = {photo.id for photo in index.photos()}
    (photos / "Wren" / "0.jpg").rename(photos / "Wren" / "früh \udcff.jpg")
    assert counts(index.add(photos)) == {"moved": 1, "unchanged": 5}
    assert {photo.id for photo in index.photos()} == before
    assert all(os.path.exists(photo.path) for photo in index.photos())
    assert fake.embedded == 6
    assert is_sound(index)


def test_moved_folder_embeds_nothing_and_keeps_its_labels(photos: Path, index: Index, fake: FakeBackbone) -> None:
    index.add(photos, labels="folder")
    photos.rename(photos.parent / "pictures")
    assert counts(index.add(photos.parent / "pictures")) == {"moved": 6}
    assert fake.embedded == 6
    assert {photo.label for photo in index.photos()} == {"Wren", "Robin"}
    write(photos.parent / "pictures" / "Kite" / "9.jpg", bird(9, 80, 60))
    index.add(photos.parent / "pictures")
    assert {photo.label for photo in index.photos()} == {"Wren", "Robin", "Kite"}
    assert index.info()["folders"] == [str(photos.parent / "pictures")]
    assert index.info()["missing"] == 0


def test_photo_moved_to_another_species_takes_its_name(photos: Path, index: Index, fake: FakeBackbone) -> None:
    index.add(photos, labels="folder")
    (photos / "Wren" / "0.jpg").rename(photos / "Robin" / "0.jpg")
    assert counts(index.add(photos)) == {"moved": 1, "unchanged": 5}
    assert len(index.photos(Filter(label="Robin"))) == 4
    assert fake.embedded == 6


def test_one_of_two_copies_moves(photos: Path, index: Index, fake: FakeBackbone) -> None:
    shutil.copy(photos / "Wren" / "0.jpg", photos / "Wren" / "copy.jpg")
    index.add(photos)
    (photos / "Wren" / "copy.jpg").rename(photos / "moved copy.jpg")
    assert counts(index.add(photos)) == {"moved": 1, "unchanged": 6}
    assert len(index) == 7
    assert is_sound(index)


def test_two_copies_move_and_a_third_is_new(photos: Path, index: Index, fake: FakeBackbone) -> None:
    shutil.copy(photos / "Wren" / "0.jpg", photos / "Wren" / "copy.jpg")
    index.add(photos)
    (photos / "Wren").rename(photos / "Zaunkönig")
    shutil.copy(photos / "Zaunkönig" / "0.jpg", photos / "Zaunkönig" / "third.jpg")
    report = index.add(photos)
    assert counts(report) == {"moved": 4, "added": 1, "unchanged": 3}
    assert len(index) == 8
    assert fake.embedded == 6
    assert is_sound(index)


def test_photo_moved_out_of_the_named_folder_is_missing_until_found(
    photos: Path, index: Index, fake: FakeBackbone
) -> None:
    index.add(photos)
    away = photos.parent / "away"
    away.mkdir()
    (photos / "Wren" / "0.jpg").rename(away / "0.jpg")
    assert counts(index.add(photos)) == {"unchanged": 5, "missing": 1}
    assert counts(index.add(away)) == {"moved": 1}
    assert (len(index), index.info()["missing"], fake.embedded) == (6, 0, 6)


# Missing


def test_missing_photo_is_hidden_and_comes_back(photos: Path, index: Index, fake: FakeBackbone) -> None:
    index.add(photos)
    (photos / "Wren").rename(photos.parent / "unmounted")
    assert counts(index.add(photos)) == {"unchanged": 3, "missing": 3}
    assert counts(index.add(photos)) == {"unchanged": 3, "missing": 3}
    assert (len(index), index.info()["missing"]) == (3, 3)
    assert len(index.search_vectors(np.ones((1, 16), np.float32), 10)[0]) == 3
    (photos.parent / "unmounted").rename(photos / "Wren")
    assert counts(index.add(photos)) == {"unchanged": 6}
    assert (len(index), fake.embedded) == (6, 6)


def test_many_changes_come_in_several_commits(
    photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of photos that come back, go, are left out or get another label, and files that are asked for two at a time."""
    monkeypatch.setattr(pipeline, "COMMIT_CHANGES", 2)
    monkeypatch.setattr(pipeline, "TOGETHER", 2)
    index.add(photos, labels="folder")
    assert {photo.label for photo in index.photos()} == {"Wren", "Robin"}
    (photos / "Wren").rename(tmp_path / "Wren")
    assert counts(index.add(photos)) == {"unchanged": 3, "missing": 3}
    (tmp_path / "Wren").rename(photos / "Wren")
    assert counts(index.add(photos, labels="none")) == {"unchanged": 6}
    assert (index.info()["missing"], {photo.label for photo in index.photos()}) == (0, {None})
    report = index.add(photos, exclude=["[0-4].jpg"])
    assert counts(report) == {"unchanged": 1, "ignored": 5, "missing": 5}
    assert counts(index.add(photos, prune=True, force=True)) == {"unchanged": 1, "ignored": 5, "missing": 5}
    assert (len(index), index.info()["missing"]) == (1, 0)
    assert counts(index.add(photos, exclude=[])) == {"unchanged": 1, "added": 5}


@pytest.mark.slow
@on_sqlite
def test_the_memory_of_a_run_does_not_grow_with_the_photos_that_it_finds_again(tmp_path: Path) -> None:
    counts = (40_000, 160_000)
    for count in counts:
        listing.fill(tmp_path / str(count), count)
    few, many = (listing.again(tmp_path / str(count), count)["peak_mb"] for count in counts)
    assert many < few + 8


def test_missing_is_judged_only_under_the_named_folders(photos: Path, index: Index) -> None:
    index.add(photos)
    shutil.rmtree(photos / "Robin")
    assert counts(index.add(photos / "Wren")) == {"unchanged": 3}
    assert len(index) == 6


def test_only_prune_forgets_what_is_missing(photos: Path, index: Index, fake: FakeBackbone) -> None:
    index.add(photos)
    kept = (photos / "Wren" / "0.jpg").read_bytes()
    (photos / "Wren" / "0.jpg").unlink()
    assert counts(index.add(photos, prune=True)) == {"unchanged": 5, "missing": 1}
    assert (len(index), index.info()["missing"], index.info()["regions"]) == (5, 0, 5)
    (photos / "Wren" / "0.jpg").write_bytes(kept)
    assert counts(index.add(photos)) == {"unchanged": 5, "added": 1}
    assert fake.embedded == 7
    assert is_sound(index)


def test_an_empty_folder_hides_and_prunes_nothing(photos: Path, index: Index, caplog: pytest.LogCaptureFixture) -> None:
    index.add(photos)
    photos.rename(photos.parent / "unmounted")
    photos.mkdir()
    assert (counts(index.add(photos)), len(index)) == ({}, 6)
    assert "is empty: its 6 photos stay as they are" in caplog.text
    with pytest.raises(PruneRefusedError, match=r"photos is empty .* holds 6 photos of it.*--force"):
        index.add(photos, prune=True)
    assert len(index) == 6
    assert (counts(index.add(photos, prune=True, force=True)), len(index)) == ({"missing": 6}, 0)


def test_prune_refuses_where_most_photos_of_a_folder_are_gone(tmp_path: Path, photos: Path, index: Index) -> None:
    for seed in range(6, 12):
        write(photos / "Wren" / f"{seed}.jpg", bird(seed, 80, 60))
    index.add([photos, tmp_path])
    shutil.rmtree(photos / "Wren")
    write(photos / "new.jpg", bird(20, 80, 60))
    with pytest.raises(PruneRefusedError, match=r"nothing was pruned: 9 of 12 photos of .*photos are gone"):
        index.add([photos, tmp_path], prune=True)
    assert (len(index), index.info()["missing"]) == (4, 9)  # all but the pruning was done
    with pytest.raises(PruneRefusedError):
        index.add(photos, prune=True)
    assert counts(index.add(photos, prune=True, force=True)) == {"unchanged": 4, "missing": 9}
    assert index.info()["missing"] == 0


def test_prune_spares_a_photo_that_is_only_broken_now(photos: Path, index: Index) -> None:
    index.add(photos)
    replace_bytes(photos / "Wren" / "1.jpg", b"\xff\xd8\xff" + bytes(100))
    assert counts(index.add(photos, prune=True)) == {"unchanged": 5, "failed": 1}
    assert index.info()["missing"] == 1


def test_folder_that_cannot_be_listed_costs_no_photo(
    photos: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add(photos)
    listed = os.scandir

    def scandir(path: bytes) -> object:
        if os.fsdecode(path).endswith("Robin"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert counts(index.add(photos, prune=True)) == {"unchanged": 3, "failed": 1}
    monkeypatch.undo()
    assert len(index) == 6
    assert counts(index.add(photos)) == {"unchanged": 6}
    assert index.failures() == []


def test_removed_photos_are_gone_for_good_and_the_files_stay(photos: Path, index: Index, fake: FakeBackbone) -> None:
    index.add(photos, labels="folder")
    gone = index.photos(Filter(label="Wren"))
    assert index.remove(Filter(label="wren")) == 3
    assert names(index) == ["3.jpg", "4.jpg", "5.jpg"]
    assert all(os.path.exists(photo.path) for photo in gone)
    assert len(index.search_vectors(np.ones((1, 16), np.float32), 10)[0]) == 3
    assert index.verify().ok
    assert counts(index.add(photos)) == {"added": 3, "unchanged": 3}
    assert not {photo.id for photo in gone} & {photo.id for photo in index.photos()}


# Stops and failures


@pytest.mark.parametrize("stopped", [Cancelled, KeyboardInterrupt])
def test_an_interrupted_run_keeps_what_was_embedded(
    photos: Path, index: Index, fake: FakeBackbone, monkeypatch: pytest.MonkeyPatch, stopped: type[BaseException]
) -> None:
    monkeypatch.setattr(embedder, "NETWORK_BATCH", 2)

    def stop(stage: str, done: int, _total: int | None, _path: str) -> None:
        if stage == "index" and done == 5:
            raise stopped

    with pytest.raises(stopped):
        index.add(photos, progress=stop)
    assert len(index) == 4
    assert counts(index.add(photos)) == {"added": 2, "unchanged": 4}
    assert fake.embedded == 6
    assert is_sound(index)


class _Picky(FakeBackbone):
    """Gives no number for red pictures."""

    def embed(self, images: Pixels) -> Vectors:
        vectors = super().embed(images)
        vectors[images[:, 0, 0, 0] > 250] = np.nan
        return vectors


def test_a_photo_that_the_network_cannot_take_fails_alone(photos: Path, tmp_path: Path) -> None:
    red = write(photos / "red.png", Image.new("RGB", (50, 50), "red"))
    shutil.copy(red, photos / "red twin.png")
    with birdsearch.create(tmp_path / "index", backbone=_Picky()) as index:
        report = index.add(photos)
        assert counts(report) == {"added": 6, "failed": 2}
        assert {failure.stage for failure in report.failed} == {"embed"}
        assert len(index.failures()) == 2
        assert index.add(photos).unchanged == 6
        assert is_sound(index)


def test_a_backbone_that_takes_nothing_stops_the_run(photos: Path, tmp_path: Path) -> None:
    shutil.rmtree(photos)
    write(photos / "red.png", Image.new("RGB", (50, 50), "red"))
    with (
        birdsearch.create(tmp_path / "index", backbone=_Picky()) as index,
        pytest.raises(BackboneError, match="usable"),
    ):
        index.add(photos)


def test_the_backbone_is_loaded_once_however_many_threads_want_it(
    photos: Path, index: Index, fake: FakeBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    from birdsearch import backbones

    made = backbones.load_backbone(fake)
    loads = []

    def load(*_: object, **__: object) -> backbones.Backbone:
        loads.append(1)
        time.sleep(0.05)
        return made

    monkeypatch.setattr(backbones, "load_backbone", load)
    folder = Folder(index.path)
    with Index(Store(folder, replace(folder.read_identity(), source="somewhere"))) as opened:
        assert opened.add(photos).added == 6
    assert len(loads) == 1


def test_progress_names_stage_and_counts(photos: Path, index: Index) -> None:
    told: list[tuple[str, int, int | None]] = []
    index.add(photos, progress=lambda stage, done, total, _path: told.append((stage, done, total)))
    assert [call for call in told if call[0] == "index"] == [("index", n, 6) for n in range(7)]


# Places


@on_sqlite
@pytest.mark.parametrize("name", ["plain", "with space", "per%cent?#&;'", "Vögel", "undecodable \udcff", "new\nline"])
def test_an_index_may_lie_anywhere_and_be_moved(photos: Path, tmp_path: Path, fake: FakeBackbone, name: str) -> None:
    with birdsearch.create(tmp_path / name / "index", backbone=fake) as index:
        index.add(photos)
    moved = (tmp_path / name).rename(tmp_path / f"{name} moved") / "index"
    (tmp_path / "link").symlink_to(moved)
    for path in (moved, str(moved), tmp_path / "link"):
        with birdsearch.open(path, backbone=fake) as again:
            assert len(again.search((photos / "Wren" / "0.jpg").read_bytes(), 10)) == 6
            assert counts(again.add(photos)) == {"unchanged": 6}
            assert again.verify().ok
            assert repr(again).startswith("<Index ")
    assert fake.embedded == 9


@pytest.mark.parametrize("name", ["per%cent?#&;'", "undecodable \udcff", "new\nline", " "])
def test_photos_may_lie_anywhere(photos: Path, index: Index, fake: FakeBackbone, name: str) -> None:
    strange = photos.rename(photos.parent / name)
    (strange / "labels.csv").write_text("path,species\nWren/0.jpg,Wren\n")
    assert counts(index.add(strange, labels=str(strange / "labels.csv"))) == {"added": 6, "ignored": 1}
    assert counts(index.add(strange)) == {"unchanged": 6, "ignored": 1}
    assert [photo.label for photo in index.photos(Filter(under=str(strange), label="wren"))] == ["Wren"]
    (strange / "Wren").rename(strange / "Zaunkönig \udcff")
    assert counts(index.add(strange)) == {"moved": 3, "unchanged": 3, "ignored": 1}
    assert len(index.info()["labels"]) == 1
    assert index.verify().ok


# What is left out


def test_what_is_excluded_stays_out_and_what_was_indexed_before_is_hidden(
    photos: Path, index: Index, caplog: pytest.LogCaptureFixture
) -> None:
    index.add(photos, labels="folder")
    index.label({1: "Dunnock"})
    report = index.add(photos, exclude=["Wren/", ""])
    assert (counts(report), report.ignored) == (
        {"unchanged": 3, "ignored": 3, "missing": 3}, {"excluded by --exclude": 3}
    )  # fmt: skip
    assert "photos that are left out now: 3. They stay in the index with their labels, hidden" in caplog.text
    caplog.clear()
    assert counts(index.add(photos)) == {"unchanged": 3, "ignored": 3, "missing": 3}  # remembered
    assert counts(index.add(photos / "Wren")) == {"unchanged": 3}  # named
    assert (len(index), caplog.text) == (6, "")
    index.add(photos)
    assert counts(index.add(photos, exclude=[])) == {"unchanged": 6}
    assert counts(index.add(photos)) == {"unchanged": 6}
    assert {photo.label for photo in index.photos()} == {"Wren", "Robin", "Dunnock"}


def test_a_pattern_that_means_nothing_changes_nothing(photos: Path, index: Index) -> None:
    with pytest.raises(InputFileError, match='"!" is no pattern'):
        index.add(photos, exclude=["*.png", "!"])
    assert counts(index.add(photos)) == {"added": 6}

"""Sidecars and RAW files of photos in a store of objects count as those of a folder do, and cost no request a photo."""

import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import birdsearch
from birdsearch import AddReport, Index, objects
from birdsearch.errors import RemoteError
from birdsearch.records import Photo
from tests.support.card import MOVIE, SOUND, front, pair, raw, raw_front, raw_header
from tests.support.fake_backbone import FakeBackbone
from tests.support.object_store import Bucket
from tests.support.sidecar_shapes import SHAPES


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """Three pairs, a lonely RAW, a lonely JPEG, sidecars of several names, a movie, a sound and a note."""
    folder = tmp_path / "card"
    for n in range(3):
        pair(folder, f"IMG_{n}", n, f"2024:05:17 06:07:0{n}")
    raw(folder / "alone.dng", 7)
    front(folder / "deeper/IMG_9.JPG", 9)
    (folder / "IMG_0.JPG.xmp").write_text(SHAPES["f-stop"])
    (folder / "img_1.xmp").write_text(SHAPES["aphotomanager"])
    (folder / "IMG_2.CR2.xmp").write_text(SHAPES["f-stop"])
    (folder / "IMG_1.MOV").write_bytes(MOVIE)
    (folder / "IMG_1.WAV").write_bytes(SOUND)
    (folder / "NKSC_PARAM").mkdir()
    (folder / "NKSC_PARAM/IMG_2.CR2.nksc").write_text("of the RAW of a photo")
    (folder / "notes.txt").write_text("of no photo")
    (folder / "deeper/IMG_1.xmp").write_text(SHAPES["f-stop"])  # whose photo lies elsewhere
    return folder


@pytest.fixture
def indexes(tmp_path: Path) -> Iterator[tuple[Index, Index]]:
    """Of the folder, and of the bucket."""
    with (
        birdsearch.create(tmp_path / "folder", backbone=FakeBackbone()) as one,
        birdsearch.create(tmp_path / "store", backbone=FakeBackbone()) as other,
    ):
        yield one, other


def told(report: AddReport, root: str) -> AddReport:
    """A report without its time and the place of the photos."""
    failed = tuple(replace(one, path=one.path.removeprefix(root)) for one in report.failed)
    return replace(report, seconds=0.0, failed=failed)


def known(index: Index, root: str) -> list[Photo]:
    """The photos by their paths from a root, without what a store has no word for."""
    photos = [
        replace(
            photo,
            id=None,
            path=photo.path.removeprefix(root),
            mtime_ns=0,
            companions=tuple(path.removeprefix(root) for path in photo.companions),
        )
        for photo in index.photos()
    ]
    return sorted(photos, key=lambda photo: photo.path)


def both(indexes: tuple[Index, Index], card: Path, bucket: Bucket) -> AddReport:
    """The folder and a bucket with the same files are indexed alike; the report."""
    bucket.delete(*bucket.keys())
    bucket.put_folder(card, "card")
    roots = str(card), f"{bucket.url}/card"
    reports = [told(index.add(root), root) for index, root in zip(indexes, roots, strict=True)]
    assert reports[0] == reports[1]
    assert known(indexes[0], roots[0]) == known(indexes[1], roots[1])
    assert indexes[1].verify().ok
    return reports[1]


@contextmanager
def requests() -> Iterator[list[str]]:
    """What is asked of a single object meanwhile."""
    asked: list[str] = []

    def noting(call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(url: str, *more: Any) -> Any:
            asked.append(url.rpartition("/")[2])
            return call(url, *more)

        return noted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "opened", noting(objects.opened))
        patch.setattr(objects, "state_of", noting(objects.state_of))
        yield asked


def test_a_bucket_is_indexed_as_the_same_folder_is(indexes: tuple[Index, Index], card: Path, bucket: Bucket) -> None:
    report = both(indexes, card, bucket)
    assert (report.added, report.paired) == (5, 9)
    photo = indexes[1].find(f"{bucket.url}/card/IMG_1.JPG")
    assert (photo.rating, photo.keywords) == (2, ("Great Crested Grebe",))
    again = both(indexes, card, bucket)
    assert (again.unchanged, again.paired) == (5, 9)

    # A sidecar of the same length says something else; others come and go; halves of pairs go and come.
    sidecar = card / "IMG_0.JPG.xmp"
    text = sidecar.read_text()
    assert "balcony" in text
    sidecar.write_text(text.replace("balcony", "kitchen"))
    (card / "img_1.xmp").unlink()
    (card / "IMG_0.JPG").rename(card / "deeper/IMG_0.JPG")
    (card / "deeper/IMG_9.xmp").write_text(SHAPES["f-stop"])
    shutil.copy(card / "IMG_1.CR2", card / "IMG_1.DNG")  # which of the two is it?
    raw_front(card / "alone.jpg", 7)
    bucket.delete(*bucket.keys())
    bucket.put_folder(card, "card")
    roots = str(card), f"{bucket.url}/card"
    for index, root in zip(indexes, roots, strict=True):
        index.add(root, moved=True)
    assert known(indexes[0], roots[0]) == known(indexes[1], roots[1])
    assert "IMG_2.CR2" in " ".join(indexes[1].find(f"{bucket.url}/card/IMG_2.JPG").companions)


def test_a_sidecar_of_the_same_length_is_read_anew(indexes: tuple[Index, Index], card: Path, bucket: Bucket) -> None:
    both(indexes, card, bucket)
    text = (card / "IMG_0.JPG.xmp").read_text()
    (card / "IMG_0.JPG.xmp").write_text(text.replace("balcony", "kitchen"))
    os.utime(card / "IMG_0.JPG.xmp")
    both(indexes, card, bucket)
    assert "kitchen" in (indexes[1].find(f"{bucket.url}/card/IMG_0.JPG").keywords or ())


def test_nothing_is_asked_of_a_photo_for_its_sidecars(index: Index, card: Path, bucket: Bucket) -> None:
    bucket.put_folder(card, "card")
    for number in range(20):
        bucket.put(f"card/many/{number}.jpg", (card / "IMG_0.JPG").read_bytes() + bytes([number]))
    with requests() as asked:
        index.add(f"{bucket.url}/card")
    photos = [name for name in asked if name.endswith((".JPG", ".jpg"))]
    assert len(photos) == len(set(photos)) == 24  # each was read once
    with requests() as asked:
        index.add(f"{bucket.url}/card")
    # Whether the prefix itself is an object; and what is nobody's is looked at again, as in a folder.
    assert set(asked) == {"card", "notes.txt", "IMG_1.xmp"}


def test_a_photo_that_is_named_by_itself_has_its_sidecars(index: Index, card: Path, bucket: Bucket) -> None:
    bucket.put_folder(card, "card")
    bucket.put("card/IMG_00.xmp", b"of another photo")
    named = f"{bucket.url}/card/IMG_0.JPG"
    assert (index.add(named).added, index.find(named).rating) == (1, 5)
    assert [path.rpartition("/")[2] for path in index.find(named).companions] == ["IMG_0.CR2", "IMG_0.JPG.xmp"]
    front(card / "IMG_0.JPG", 70, "2024:05:17 06:07:00")
    bucket.put("card/IMG_0.JPG", (card / "IMG_0.JPG").read_bytes())
    assert (index.add(named).changed, index.find(named).rating) == (1, 5)


def test_a_listing_that_breaks_off_parts_no_pair(
    index: Index, card: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_folder(card, "card")
    prefix = f"{bucket.url}/card"
    index.add(prefix)
    before = known(index, prefix)

    def broken(url: str, after: str = "") -> Iterator[objects.StoredObject]:
        for one in listed(url, after):
            if one.url.endswith("IMG_1.JPG"):
                raise RemoteError(5, "it does not answer in time", url)
            yield one

    listed = objects.listed
    with monkeypatch.context() as patch:
        patch.setattr(objects, "listed", broken)
        assert [one.stage for one in index.add(prefix).failed] == ["scan"]
    assert known(index, prefix) == before


def test_raw_files_that_were_photos_of_a_store_join_their_jpegs(index: Index, tmp_path: Path, bucket: Bucket) -> None:
    raw(tmp_path / "IMG_1.dng", 3)
    raw_front(tmp_path / "IMG_1.jpg", 3)
    bucket.put("card/IMG_1.dng", (tmp_path / "IMG_1.dng").read_bytes())
    index.add(f"{bucket.url}/card")
    index.label({1: "Wren"})
    bucket.put("card/IMG_1.jpg", (tmp_path / "IMG_1.jpg").read_bytes())
    assert index.add(f"{bucket.url}/card").paired == 1
    (photo,) = index.photos()
    assert (photo.path, photo.label) == (f"{bucket.url}/card/IMG_1.jpg", "Wren")


def test_sidecars_in_a_tar_file_are_read(index: Index, card: Path, bucket: Bucket) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(card.rglob("*")):
            if path.is_file():
                archive.add(path, str(path.relative_to(card.parent)))
    shard = bucket.put("shards/0.tar", packed.getvalue())
    report = index.add(f"{bucket.url}/shards")
    assert (report.added, report.paired) == (5, 9)
    assert index.find(f"{shard}#card/IMG_0.JPG").rating == 5
    assert index.add(f"{bucket.url}/shards").paired == 9


def test_a_sidecar_that_may_not_be_read_costs_itself_alone(
    index: Index, card: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_folder(card, "card")

    @contextmanager
    def refused(url: str, *more: Any) -> Iterator[Any]:
        if url.endswith("img_1.xmp"):
            raise RemoteError(13, "no permission (403)", url)
        with opened(url, *more) as found:
            yield found

    opened = objects.opened
    with monkeypatch.context() as patch:
        patch.setattr(objects, "opened", refused)
        report = index.add(f"{bucket.url}/card")
    assert (report.added, [one.reason for one in report.failed]) == (5, ["no permission (403)"])
    assert index.find(f"{bucket.url}/card/IMG_1.JPG").rating is None
    index.add(f"{bucket.url}/card")
    assert index.find(f"{bucket.url}/card/IMG_1.JPG").rating == 2


def test_a_bucket_of_nothing_but_raw_files(indexes: tuple[Index, Index], tmp_path: Path, bucket: Bucket) -> None:
    for number in range(3):
        raw(tmp_path / f"raws/{number}.dng", number)
    raw_header(tmp_path / "raws/broken.CR2")
    report = both(indexes, tmp_path / "raws", bucket)
    assert (report.added, len(report.failed)) == (3, 1)
    assert both(indexes, tmp_path / "raws", bucket).unchanged == 3

"""Photos in stores of objects: found, read, and unchanged by what their store says of them."""

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import birdsearch
from birdsearch import AddReport, Filter, Index, objects
from birdsearch.errors import PhotoMissingError, PruneRefusedError, RemoteError
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone
from tests.support.object_store import Bucket, web_server


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, bytes]:
    """Six photos of two species, by the folder and name of each."""
    drawn = {}
    for seed in range(6):
        name = f"{'Wren' if seed < 3 else 'Robin'}/{seed}.jpg"
        drawn[name] = write(tmp_path / "drawn" / name, bird(seed, 80, 60)).read_bytes()
    return drawn


def put(bucket: Bucket, files: Mapping[str, bytes], prefix: str = "raw") -> str:
    """Put files below a prefix; its URL."""
    for name, data in files.items():
        bucket.put(f"{prefix}/{name}", data)
    return f"{bucket.url}/{prefix}"


def counts(report: AddReport) -> dict[str, int]:
    """The counts that are not zero."""
    every = {name: getattr(report, name) for name in ("added", "changed", "unchanged", "moved", "paired", "missing")}
    every |= {"ignored": sum(report.ignored.values()), "failed": len(report.failed)}
    return {name: count for name, count in every.items() if count}


def tar(files: Mapping[str, bytes]) -> bytes:
    """A tar file of these."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return packed.getvalue()


def test_a_prefix_is_indexed_as_a_folder_is(
    index: Index, bucket: Bucket, photos: dict[str, bytes], fake: FakeBackbone
) -> None:
    prefix = put(bucket, photos | {"notes.txt": b"a wren", ".hidden.jpg": photos["Wren/0.jpg"], "Wren/": b""})
    assert counts(index.add(prefix, labels="folder")) == {"added": 6, "ignored": 2}
    assert {photo.path: photo.label for photo in index.photos()} == {
        f"{prefix}/{name}": name.partition("/")[0] for name in photos
    }
    assert index.info()["folders"] == [prefix]
    assert index.count(Filter(under=f"{prefix}/Wren")) == 3
    assert index.find(f"{prefix}/Wren/1.jpg").size == len(photos["Wren/1.jpg"])
    seen = fake.embedded
    assert counts(index.add()) == {"unchanged": 6, "ignored": 2}
    assert fake.embedded == seen


def test_marks_of_folders_are_no_photos(index: Index, bucket: Bucket, photos: dict[str, bytes]) -> None:
    marks = dict.fromkeys(("", "Wren/", "2024.05.17/", "2024.05.18/"), b"")  # as consoles of clouds make them
    prefix = put(bucket, photos | marks | {"2024.05.17/9.jpg": b""})
    report = index.add(prefix)
    assert (report.added, report.ignored) == (6, {"empty file": 2, "the mark of a folder": 1})
    assert [(one.path, one.reason) for one in report.failed] == [(f"{prefix}/2024.05.17/9.jpg", "empty file")]


def test_an_object_of_the_same_length_has_changed_by_its_etag(
    index: Index, bucket: Bucket, photos: dict[str, bytes]
) -> None:
    prefix = put(bucket, photos)
    index.add(prefix)
    padded = photos["Wren/1.jpg"] + bytes(len(photos["Wren/0.jpg"]))
    bucket.put("raw/Wren/0.jpg", padded[: len(photos["Wren/0.jpg"])])
    assert counts(index.add(prefix)) in ({"changed": 1, "unchanged": 5}, {"failed": 1, "unchanged": 5})
    bucket.put("raw/Robin/4.jpg", photos["Robin/4.jpg"])  # the same again: its store has a new time for it
    assert counts(index.add(prefix))["unchanged"] == 5


def test_what_is_gone_is_missing_only_where_the_listing_ended_well(
    index: Index, bucket: Bucket, photos: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = put(bucket, photos)
    index.add(prefix)
    bucket.delete("raw/Wren/0.jpg")
    assert counts(index.add(prefix)) == {"unchanged": 5, "missing": 1}
    put(bucket, photos)
    assert counts(index.add(prefix)) == {"unchanged": 6}

    def half(url: str) -> Iterator[objects.StoredObject]:
        yield from list(listed(url))[:2]
        raise RemoteError(5, "it does not answer in time", url)

    listed = objects.listed
    monkeypatch.setattr(objects, "listed", half)
    report = index.add(prefix)
    assert (report.unchanged, report.missing) == (2, 0)
    assert [(one.path, one.stage, one.reason) for one in report.failed] == [
        (prefix, "scan", "it does not answer in time")
    ]
    assert len(index) == 6
    monkeypatch.undo()


def test_an_empty_prefix_loses_no_photo(index: Index, bucket: Bucket, photos: dict[str, bytes]) -> None:
    prefix = put(bucket, photos | {"Wren/9.jpg": photos["Wren/1.jpg"]})
    index.add(prefix)
    bucket.delete(*bucket.keys())
    with pytest.raises(PhotoMissingError, match=r"nothing lies at s3://.*/raw or below it"):
        index.add(prefix)
    bucket.put("raw/Wren/0.jpg", photos["Wren/0.jpg"])
    with pytest.raises(PruneRefusedError, match=r"6 of 7 photos of s3://.*/raw are gone"):
        index.add(prefix, prune=True)
    assert counts(index.add(prefix, prune=True, force=True)) == {"unchanged": 1, "missing": 6}


def test_an_object_that_goes_between_listing_and_reading_is_one_failure(
    index: Index, bucket: Bucket, photos: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = put(bucket, photos)

    def lists_then_loses(url: str) -> Iterator[objects.StoredObject]:
        yield from list(listed(url))
        bucket.delete("raw/Wren/1.jpg")

    listed = objects.listed
    monkeypatch.setattr(objects, "listed", lists_then_loses)
    report = index.add(prefix)
    assert report.added == 5
    assert [(one.path, one.stage, one.reason) for one in report.failed] == [
        (f"{prefix}/Wren/1.jpg", "read", "no longer there")
    ]


def test_the_same_bytes_elsewhere_in_a_store_are_another_copy_and_are_not_embedded_again(
    index: Index, bucket: Bucket, photos: dict[str, bytes], fake: FakeBackbone
) -> None:
    index.add(put(bucket, photos))
    seen = fake.embedded
    put(bucket, photos, "sorted")
    bucket.delete(*bucket.keys("raw/Wren"))
    assert counts(index.add(bucket.url)) == {"added": 6, "unchanged": 3, "missing": 3}
    assert fake.embedded == seen


def test_named_objects_and_prefixes_inside_each_other_are_indexed_once(
    index: Index, bucket: Bucket, photos: dict[str, bytes]
) -> None:
    prefix = put(bucket, photos)
    one = f"{prefix}/Wren/1.jpg"
    assert counts(index.add(one)) == {"added": 1}
    assert counts(index.add([one, f"{prefix}/Wren", prefix, bucket.url])) == {"unchanged": 1, "added": 5}
    assert index.info()["folders"] == [bucket.url]


def test_patterns_leave_objects_out(index: Index, bucket: Bucket, photos: dict[str, bytes]) -> None:
    prefix = put(bucket, photos | {"Wren/thumbs/0.jpg": photos["Wren/0.jpg"]})
    report = index.add(prefix, exclude=["Robin/"])
    assert report.added == 3
    assert report.ignored == {"among thumbnails": 1, "excluded by --exclude": 3}


def test_the_photos_of_a_tar_file_are_read_at_their_place(
    index: Index, bucket: Bucket, photos: dict[str, bytes], fake: FakeBackbone
) -> None:
    shard = bucket.put("shards/000.tar", tar(photos | {"Wren/0.json": b'{"a": 1}'}))
    assert counts(index.add(f"{bucket.url}/shards", labels="folder")) == {"added": 6, "paired": 1}
    photo = index.find(f"{shard}#Robin/4.jpg")
    assert (photo.label, photo.size) == ("Robin", len(photos["Robin/4.jpg"]))
    assert index.open_original(photo.id or 0).read() == photos["Robin/4.jpg"]
    assert index.thumbnail(photo.id or 0, 64).bytes
    seen = fake.embedded
    assert counts(index.add(f"{bucket.url}/shards")) == {"unchanged": 6, "paired": 1}
    assert fake.embedded == seen
    assert index.count(Filter(under=shard)) == 6
    bucket.put("shards/000.tar", tar({name: data for name, data in photos.items() if name != "Wren/0.jpg"}))
    assert counts(index.add(shard)) == {"unchanged": 5, "missing": 1}


def test_of_files_of_one_name_in_a_tar_file_the_last_counts(
    index: Index, bucket: Bucket, photos: dict[str, bytes]
) -> None:
    first, last = tar({"1.jpg": photos["Wren/0.jpg"]}), tar({"1.jpg": photos["Wren/1.jpg"]})
    end = len(photos["Wren/0.jpg"]) // 512 * 512 + 1024
    shard = bucket.put("shards/000.tar", first[:end] + last)
    assert counts(index.add(f"{bucket.url}/shards")) == {"added": 1}
    assert index.open_original(1).read() == photos["Wren/1.jpg"]
    assert index.find(f"{shard}#1.jpg").id == 1


@pytest.mark.parametrize("cut", ["no tar file", "in a photo", "between photos"])
def test_a_broken_tar_file_is_one_failure_and_hides_nothing(
    index: Index, bucket: Bucket, photos: dict[str, bytes], cut: str
) -> None:
    whole = tar(photos)
    shard = bucket.put("shards/000.tar", whole)
    bucket.put("shards/001.jpg", photos["Wren/0.jpg"])
    index.add(f"{bucket.url}/shards")
    used = len(whole.rstrip(b"\0"))  # what follows marks the end
    left = {"no tar file": b"no tar file" * 100, "in a photo": whole[: used - 900]}
    bucket.put("shards/000.tar", left.get(cut, whole[: used + -used % 512]))
    report = index.add(f"{bucket.url}/shards")
    assert [(one.path, one.reason) for one in report.failed] == [(shard, "not a whole tar file")]
    assert (report.unchanged, report.missing) == (1, 0)


def test_a_photo_on_the_web_is_indexed_by_its_address(index: Index, tmp_path: Path, photos: dict[str, bytes]) -> None:
    with web_server(tmp_path / "drawn") as site:
        assert counts(index.add(f"{site}/Wren/1.jpg")) == {"added": 1}
        assert counts(index.add(f"{site}/Wren/1.jpg")) == {"unchanged": 1}
        with pytest.raises(PhotoMissingError, match="nothing lies at"):
            index.add(f"{site}/Wren/9.jpg")
        assert index.thumbnail(1, 64).bytes
    with pytest.raises(PhotoMissingError, match="nothing answers there"):
        index.add(f"{site}/Wren/1.jpg")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://no-such-bucket/raw", "there is no such bucket"),
        ("ftp://example.org/raw", "addresses that are read begin with s3://"),
        ("s3://", "a bucket is missing"),
    ],
)
def test_a_place_that_cannot_be_read_is_told_in_words(index: Index, bucket: Bucket, url: str, words: str) -> None:
    with pytest.raises(PhotoMissingError, match=words):
        index.add(url)


def test_objects_that_moved_are_followed_where_the_user_wants_that(
    index: Index, bucket: Bucket, photos: dict[str, bytes]
) -> None:
    index.add(put(bucket, photos))
    index.label({1: "Wren"})
    kept = index.photo(1)
    put(bucket, photos, "sorted")
    bucket.delete(*bucket.keys("raw"))
    assert counts(index.add(f"{bucket.url}/sorted", moved=True)) == {"moved": 6}
    assert index.photo(1).label == "Wren"
    assert index.photo(1).path == kept.path.replace("/raw/", "/sorted/")


def test_a_file_of_this_computer_takes_no_photo_from_a_store(
    index: Index, bucket: Bucket, photos: dict[str, bytes], tmp_path: Path
) -> None:
    index.add(put(bucket, photos))
    assert counts(index.add(tmp_path / "drawn")) == {"added": 6}
    assert len(index) == 12


def test_photos_in_a_store_are_shown_compared_and_explained(
    index: Index, bucket: Bucket, photos: dict[str, bytes]
) -> None:
    from birdsearch.export.html.pages import photos_page

    prefix = put(bucket, photos | {"copy.jpg": photos["Wren/0.jpg"]})
    index.add(prefix)
    report = index.duplicates()
    assert [pair.relation for pair in report.pairs] == ["identical"]
    assert index.open_original(1).read() == bucket.get(index.photo(1).path.removeprefix(f"{bucket.url}/"))
    assert index.original(1).type == "image/jpeg"
    own = f"{prefix}/Wren/1.jpg"
    assert own not in [match.photo.path for match in index.search(own, k=7)]  # as a Photo never finds itself
    page = photos_page(index.photos())
    assert "data:image/jpeg" in page
    assert f'href="{prefix}' not in page


def test_photos_in_a_store_leave_and_come_back_by_an_export(
    index: Index, bucket: Bucket, photos: dict[str, bytes], tmp_path: Path, fake: FakeBackbone
) -> None:
    prefix = put(bucket, photos)
    index.add(prefix)
    index.export(tmp_path / "out.parquet")
    with birdsearch.create(tmp_path / "other", backbone=fake) as other:
        assert other.import_photos(tmp_path / "out.parquet").added == 6
        seen = fake.embedded
        assert counts(other.add(prefix)) == {"unchanged": 6}
        assert fake.embedded == seen

"""What a user can do wrong: each case raises the error of its kind, and the message says what, where and what next."""

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import birdsearch
from birdsearch import BirdsearchError, Index, errors
from birdsearch.errors import (
    BackboneMismatchError,
    BackboneUnavailableError,
    BackboneUnknownError,
    IndexDamagedError,
    IndexExistsError,
    IndexLockedError,
    IndexMissingError,
    IndexUnwritableError,
    IndexVersionError,
    PhotoMissingError,
    PhotoUnknownError,
    missing_file_error,
)
from birdsearch.storage.catalog.sqlite_database import SQLiteCatalog
from birdsearch.storage.folder import FORMAT, Folder
from tests.conftest import Garden
from tests.support.drawing import bird, write
from tests.support.engine_file import engine_of
from tests.support.fake_backbone import FakeBackbone


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three photos."""
    for seed in range(3):
        write(tmp_path / "photos" / f"{seed}.jpg", bird(seed, 80, 60))
    return tmp_path / "photos"


@pytest.fixture
def index(tmp_path: Path, photos: Path, fake: FakeBackbone) -> Iterator[Index]:
    """Their index, at indexes/garden."""
    with birdsearch.create(tmp_path / "indexes" / "garden", backbone=fake) as made:
        made.add(photos)
        yield made


def edit(index: Index, **values: object) -> None:
    """Change entries of index.json."""
    path = index.path / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


# The tree


def test_the_docstring_draws_the_tree_that_there_is() -> None:
    drawn = set(re.findall(r"\w+Error", errors.__doc__ or "")) - {"FileNotFoundError", "KeyError"}
    drawn -= {"ValueError", "TypeError"}
    made = {name for name, thing in vars(errors).items() if isinstance(thing, type)}
    assert drawn | {"Cancelled"} == made  # which is no error
    assert all(issubclass(getattr(errors, name), BirdsearchError) for name in made)
    assert all(getattr(errors, name).__doc__ for name in made)


def test_errors_of_what_is_not_there_are_also_the_builtin_ones() -> None:
    assert issubclass(IndexMissingError, FileNotFoundError)
    assert issubclass(PhotoMissingError, FileNotFoundError)
    assert issubclass(PhotoUnknownError, KeyError)
    assert str(PhotoUnknownError("no photo")) == "no photo"


# The index


def test_wrong_index_name_suggests_the_right_one(index: Index) -> None:
    with pytest.raises(IndexMissingError, match=r"no index at .*indexes/gardn\. Did you mean .*indexes/garden\?"):
        birdsearch.open(index.path.parent / "gardn")
    with pytest.raises(
        IndexMissingError, match=r"Make it with `birdsearch index DIR --index '/.*quite something else'`"
    ):
        birdsearch.open(index.path.parent / "quite something else")


def test_paths_that_can_be_no_index(index: Index, photos: Path) -> None:
    for path in (photos, photos / "0.jpg", photos / "0.jpg" / "index", photos / "no" / "where"):
        with pytest.raises(IndexMissingError, match="no index at"):
            birdsearch.open(path)
    assert sorted(path.name for path in photos.iterdir()) == ["0.jpg", "1.jpg", "2.jpg"]


def test_an_index_is_never_made_over_something_else(index: Index, photos: Path, fake: FakeBackbone) -> None:
    before = sorted(photos.rglob("*"))
    for path, words in (
        (index.path, "an index at .* already: open it, or choose another name"),
        (photos, r"holds other files \(0.jpg\): choose a new or empty folder"),
        (photos / "0.jpg", "is a file: choose another"),
        (photos / "0.jpg" / "deep" / "index", "0.jpg is a file: choose another"),
    ):
        with pytest.raises(IndexExistsError, match=words):
            birdsearch.create(path, backbone=fake)
    assert sorted(photos.rglob("*")) == before


def test_an_index_may_be_made_in_an_empty_folder(tmp_path: Path, fake: FakeBackbone) -> None:
    (tmp_path / "empty").mkdir()
    with birdsearch.create(tmp_path / "empty", backbone=fake) as index:
        assert len(index) == 0


def test_an_index_of_a_newer_format(index: Index) -> None:
    edit(index, format=FORMAT + 1)
    with pytest.raises(
        IndexVersionError, match=rf"format {FORMAT + 1}, this birdsearch reads up to {FORMAT}.*pip install"
    ):
        birdsearch.open(index.path)


def test_an_index_with_newer_tables(index: Index, fake: FakeBackbone) -> None:
    with sqlite3.connect(index.path / "catalog.sqlite") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(IndexVersionError, match=r"newer birdsearch \(tables 9999\)"):
        birdsearch.open(index.path)


def test_an_index_without_its_catalog(index: Index) -> None:
    index.close()
    (index.path / "catalog.sqlite").unlink()
    with pytest.raises(IndexDamagedError, match=r"catalog.sqlite is missing: restore it from a backup"):
        birdsearch.open(index.path)
    assert not (index.path / "catalog.sqlite").exists()


@pytest.mark.parametrize("data", [b"", b"nothing like a database, but long enough to be one" * 100])
def test_an_index_whose_catalog_is_no_database(index: Index, data: bytes) -> None:
    index.close()
    (index.path / "catalog.sqlite").write_bytes(data)
    with pytest.raises(IndexDamagedError, match=r"[Rr]estore it from a backup"):
        birdsearch.open(index.path)


def test_an_index_with_a_lost_part(index: Index) -> None:
    (index.path / "vectors" / "00000001.parquet").unlink()
    engine_of(index.path).unlink()
    with birdsearch.open(index.path) as again:
        photo = again.photos()[0]
        for ask in (
            lambda: again.search(photo),
            lambda: again.vectors([1]),
            lambda: again.export(index.path.parent / "a.parquet"),
        ):
            with pytest.raises(IndexDamagedError, match="birdsearch repair"):
                ask()


def test_an_index_that_somebody_else_writes(index: Index, photos: Path) -> None:
    with Folder(index.path).writing(), birdsearch.open(index.path, backbone=index.backbone) as second:
        for write_ in (lambda: second.add(photos), lambda: second.remove(birdsearch.Filter(under="/")), second.repair):
            with pytest.raises(IndexLockedError, match=rf"written by process {os.getpid()} on .* since .*: wait"):
                write_()
        assert len(second) == 3
    assert index.add(photos).unchanged == 3


def test_an_index_that_cannot_be_written(index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(photos / "new.jpg", bird(9, 80, 60))

    def refuse(self: Path, *_: object, **__: object) -> object:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("birdsearch.storage.locks.FolderLock.sign", lambda self: refuse(self.writer))
    with pytest.raises(
        IndexUnwritableError, match=r"cannot write .*writer.json: Permission denied.*run the same command"
    ):
        index.add(photos)
    monkeypatch.undo()
    assert index.add(photos).added == 1


# Backbones


@pytest.mark.network
def test_wrong_backbone_name_suggests_the_right_one_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(BackboneUnknownError, match="efficientnet_lite0_imagenet"):
        birdsearch.create(tmp_path / "index", backbone="efficientnet_lite0_imagnet")
    assert not (tmp_path / "index").exists()


@pytest.mark.network
def test_weights_that_cannot_be_had_are_named_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from birder.model_registry import registry

    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    name = "rope_deit3_reg4_m14_arabian-peninsula"
    entry = registry.get_pretrained_metadata(name)
    monkeypatch.setitem(entry, "url", (tmp_path / "nowhere").as_uri())
    with pytest.raises(BackboneUnavailableError) as caught:
        birdsearch.create(tmp_path / "index", backbone=name)
    for words in ("file://", "sha256", str(tmp_path / "cache"), "efficientnet_lite0_imagenet"):
        assert words in str(caught.value)
    assert not (tmp_path / "index").exists()


def test_checkpoint_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(BackboneUnavailableError, match=r"no checkpoint at .*nowhere\.pt.*birdsearch backbones"):
        birdsearch.create(tmp_path / "index", backbone=tmp_path / "nowhere.pt")


class _Other(FakeBackbone):
    name = "other"


class _Wider(FakeBackbone):
    input_size = (96, 96)


def test_an_index_is_never_mixed_with_another_backbone(index: Index, photos: Path) -> None:
    for backbone in (_Other(), _Wider(), "efficientnet_lite0_imagenet"):
        with pytest.raises(BackboneMismatchError, match=r"made with .*fake.*leave the backbone out"):
            birdsearch.open(index.path, backbone=backbone)
    with pytest.raises(BackboneMismatchError, match=r"with another fake, of size \[64, 64\] and not \[96, 96\]: leave"):
        birdsearch.open(index.path, backbone=_Wider())


def test_an_index_of_your_own_backbone_says_how_to_open_it(index: Index, photos: Path) -> None:
    write(photos / "new.jpg", bird(9, 80, 60))
    with birdsearch.open(index.path) as again:
        with pytest.raises(BackboneUnavailableError, match=r"birdsearch.open\(path, backbone=that_object\)"):
            again.add(photos)
        assert len(again) == 3


def test_copies_need_no_backbone_at_all(index: Index, photos: Path) -> None:
    shutil.copy(photos / "0.jpg", photos / "copy.jpg")
    with birdsearch.open(index.path) as again:
        assert again.add(photos).added == 1
        assert again.verify().ok


def test_weights_that_have_changed_are_noticed(garden: Garden, tmp_path: Path, photos: Path) -> None:
    shutil.copytree(garden.index, tmp_path / "index")
    path = tmp_path / "index" / "index.json"
    identity = json.loads(path.read_text())
    identity["backbone"]["weights_sha256"] = "0" * 64
    path.write_text(json.dumps(identity))
    with closing(SQLiteCatalog(tmp_path / "index" / "catalog.sqlite")) as catalog:
        catalog.set_state("identity", identity)
    with birdsearch.open(tmp_path / "index") as again:
        with pytest.raises(BackboneMismatchError, match=r"other weights or other preprocessing.*make another index"):
            again.add(photos)
        assert len(again) == 6


def test_what_is_no_backbone_is_a_type_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="name, dim and embed"):
        birdsearch.create(tmp_path / "index", backbone=object())


# Photos


def test_a_missing_photo_folder_suggests_another(index: Index, photos: Path) -> None:
    (photos.parent / "card").mkdir()
    assert "Did you mean" not in str(missing_file_error(str(photos.parent / "cardd"), "file"))
    assert "Did you mean" in str(missing_file_error(str(photos.parent / "cardd"), "folder"))
    with pytest.raises(PhotoMissingError, match=r"no such file or folder: .*photo\. Did you mean .*photos\?"):
        index.add(photos.parent / "photo")


def test_an_unknown_photo(index: Index) -> None:
    with pytest.raises(
        PhotoUnknownError, match=r"^no photo with id 99 in .*garden: `birdsearch photos` lists the ids\.$"
    ):
        index.photo(99)
    with pytest.raises(PhotoUnknownError):
        index.vectors([1, 99])


def test_every_message_says_what_next(index: Index, photos: Path, tmp_path: Path, fake: FakeBackbone) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: birdsearch.open(tmp_path / "nowhere"),
        lambda: birdsearch.create(photos, backbone=fake),
        lambda: index.add(tmp_path / "nowhere"),
        lambda: index.add(photos, labels="nowhere.csv"),
        lambda: index.import_photos(tmp_path / "nowhere"),
        lambda: index.export(tmp_path),
        lambda: index.search(tmp_path / "nowhere.jpg"),
        lambda: index.classify(photos / "0.jpg"),
        lambda: index.photo(99),
    ]
    for attempt in attempts:
        with pytest.raises(BirdsearchError) as caught:
            attempt()
        message = str(caught.value)
        assert "Traceback" not in message
        assert "\n" not in message
        assert any(sign in message for sign in (". ", ": ", "`")), message
        assert len(message) > 40, message

"""A catalog that is damaged, or that a stranger made, is refused in words; nothing in it runs."""

import random
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

import birdsearch
from birdsearch import Filter
from birdsearch.errors import BirdsearchError, IndexDamagedError, PhotoUnknownError
from birdsearch.records import Photo
from tests.support import frozen_index
from tests.support.drawing import bird, write

QUESTION = np.ones((1, 16), np.float32)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """The folder of a closed index of three labelled photos."""
    for seed in range(3):
        write(tmp_path / f"photos/Wren/{seed}.jpg", bird(seed, 60, 40))
    with birdsearch.create(tmp_path / "index", backbone=frozen_index.backbone()) as made:
        made.add(tmp_path / "photos", labels="folder")
    return tmp_path / "index"


def change(index: Path, *statements: str) -> None:
    """Alter the catalog behind birdsearch's back."""
    database = sqlite3.connect(index / "catalog.sqlite")
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


def ask(path: Path) -> None:
    """Read everything once."""
    with birdsearch.open(path, backbone=frozen_index.backbone()) as index:
        index.search_vectors(QUESTION, k=2)
        photos = index.photos(Filter(label="Wren"))
        index.vectors([photo.id for photo in photos if photo.id])
        index.info()
        index.failures()
        index.duplicates()
        index.classify(index.photo(1), source="neighbours")
        assert all(isinstance(photo, Photo) for photo in photos)


def refused(path: Path) -> str:
    """What is said of an index."""
    with pytest.raises(BirdsearchError) as caught:
        ask(path)
    return str(caught.value)


WRONG = {
    "alembic_version": ["version_num = ''", "version_num = x'ff'", "version_num = '0001'", "version_num = '12'"],
    "state": [
        *(f"value = '{value}' WHERE key = 'generation'" for value in ('"x"', "{", "-1", "1e99", "[[[", "true", "2e70")),
        *(f"value = '{value}' WHERE key = 'identity'" for value in ("5", "[]", "{}", '{"backbone": 5}')),
    ],
    "photos": [
        *(f"{name} = cast(x'ff' AS text)" for name in ("species", "label", "sha256", "taken_at", "width")),
        "relative = cast(x'ff' AS text) WHERE id = 1",
        *(f"{name} = 'words'" for name in ("width", "size", "mtime_ns", "phash", "latitude", "missing", "root_id")),
        *(f"{name} = x'00'" for name in ("species", "width", "sha256")),
        *(f"{name} = 0.5" for name in ("size", "phash")),
        "root_id = 77",
    ],
    "regions": [
        *(
            "row = -1",
            "row = 1099511627776",
            "row = 2 - row",
            "part_id = 99",
            "row = 'x'",
            "photo_id = 'x' WHERE id = 1",
        ),
        *(
            "kind = 'words' WHERE id = 1",
            "x = 'words'",
            "width = 0",
            "height = 2",
            "confidence = 'x'",
            "source = x'00'",
        ),
    ],
    "parts": ["sha256 = x'00'", "sha256 = 'x'", "rows = 'x'", "id = 7"],
    "roots": ["path = 'text'"],
}


@pytest.mark.parametrize("table", WRONG)
def test_a_wrong_value_is_refused_in_words(index: Path, tmp_path: Path, table: str) -> None:
    for number, wrong in enumerate(WRONG[table]):
        copy = shutil.copytree(index, tmp_path / f"copy {number}")
        change(copy, f"UPDATE {table} SET {wrong}")
        try:
            said = refused(copy)
        except BaseException as error:
            raise AssertionError(f"UPDATE {table} SET {wrong}") from error
        assert len(said) < 400, said


@pytest.mark.parametrize(
    "value", ["5", '{"sha256": "../../x"}', '{"sha256": 5}', '{"file": "../../x"}', '{"name": "zzz", "recall": 5}']
)
def test_a_state_that_cannot_be_is_refused_or_made_anew(index: Path, value: str) -> None:
    for key in ("whitening", "engine_file", "engine"):
        change(index, f"INSERT OR REPLACE INTO state VALUES ('{key}', '{value}')")
        with birdsearch.open(index, backbone=frozen_index.backbone()) as opened:
            if key == "whitening":
                with pytest.raises(IndexDamagedError):
                    opened.search_vectors(QUESTION)
                change(index, "DELETE FROM state WHERE key = 'whitening'")
            assert len(opened.search_vectors(QUESTION, k=3)[0]) == 3
    with birdsearch.open(index, backbone=frozen_index.backbone()) as opened:
        opened.label({1: "Robin"})
        assert opened.verify().ok


@pytest.mark.parametrize("value", ["5", '"x"', "[1]", '{"/": 5}', '{"/": ["a", 5]}'])
@pytest.mark.parametrize("key", ["names", "exclude"])
def test_what_users_said_is_refused_in_words_where_it_is_something_else(index: Path, key: str, value: str) -> None:
    change(index, f"INSERT OR REPLACE INTO state VALUES ('{key}', '{value}')")
    with birdsearch.open(index, backbone=frozen_index.backbone()) as opened:
        with pytest.raises(IndexDamagedError, match=rf"state\.{key} is "):
            opened.add(index.parent / "photos", labels="folder")
        if key == "names":
            for ask in (opened.names, lambda: opened.photos(Filter(species="Wren"))):
                with pytest.raises(IndexDamagedError, match=r"state\.names is "):
                    ask()


SCHEMAS = {
    "trigger": ["CREATE TRIGGER t AFTER UPDATE ON photos BEGIN DELETE FROM photos; END"],
    "view": ["ALTER TABLE photos RENAME TO p2", "CREATE VIEW photos AS SELECT * FROM p2"],
    "endless view": [
        "ALTER TABLE failures RENAME TO f2",
        "CREATE VIEW failures AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x path FROM c",
    ],
    "computed column": ["ALTER TABLE photos ADD COLUMN more TEXT AS (hex(species)) VIRTUAL"],
    "virtual table": ["DROP TABLE failures", "CREATE VIRTUAL TABLE failures USING fts5(path, size, mtime_ns)"],
    "another table": ["CREATE TABLE more (x)"],
    "table gone": ["DROP TABLE not_duplicates"],
    "index on an expression": ["DROP INDEX photos_species", "CREATE INDEX photos_species ON photos (hex(species))"],
}


@pytest.mark.parametrize("what", SCHEMAS)
def test_tables_that_birdsearch_does_not_make_are_refused(index: Path, what: str) -> None:
    change(index, *SCHEMAS[what])
    assert "birdsearch" in refused(index)
    with pytest.raises(BirdsearchError), birdsearch.open(index, backbone=frozen_index.backbone()) as opened:
        opened.label({1: "Robin"})


def test_numbers_that_sqlite_cannot_hold_name_no_photo(index: Path) -> None:
    with birdsearch.open(index, backbone=frozen_index.backbone()) as opened:
        for number in (2**63, -(2**63) - 1, 10**400):
            for question in (opened.photo, lambda n: opened.label({n: "Wren"}), lambda n: opened.not_duplicates(1, n)):
                with pytest.raises(PhotoUnknownError):
                    question(number)
        assert opened.photos(Filter(min_width=10**30)) == []


def test_repair_mends_rows_that_are_not_the_parts(index: Path) -> None:
    change(index, "UPDATE regions SET row = 2 - row")
    refused(index)
    with birdsearch.open(index, backbone=frozen_index.backbone()) as opened:
        assert not opened.verify().ok
        opened.repair()
        assert opened.verify().ok
    ask(index)


def test_flipped_bits_never_end_in_a_traceback(index: Path) -> None:
    chance, data = random.Random(5), (index / "catalog.sqlite").read_bytes()
    used = [at for at in range(len(data)) if data[at]]
    for _ in range(60):
        flipped, at = bytearray(data), chance.choice(used)
        flipped[at] ^= 1 << chance.randrange(8)
        (index / "catalog.sqlite").write_bytes(flipped)
        for question in (ask, _verify):
            try:
                question(index)
            except BirdsearchError:
                continue
            except Exception as error:
                raise AssertionError(f"byte {at}: {data[at]} -> {flipped[at]}") from error


def _verify(path: Path) -> None:
    with birdsearch.open(path, backbone=frozen_index.backbone()) as index:
        index.verify()

"""The catalog: its migrations make its tables, its folders may grow together, and old formats open for ever."""

import json
import logging
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import birdsearch
from birdsearch import Filter, Photo
from birdsearch.errors import BirdsearchError, IndexDamagedError, IndexUnwritableError, PhotoUnknownError
from birdsearch.files import FileState, PathSet
from birdsearch.records import ORDERS, Failure, Label, Prediction
from birdsearch.storage.catalog import migrations
from birdsearch.storage.catalog.catalog import KnownFile
from birdsearch.storage.catalog.commits import Batch, Entry, PartRow, PhotoUpdate, Said
from birdsearch.storage.catalog.database import BLOCK, NEWEST
from birdsearch.storage.catalog.filters import conditions
from birdsearch.storage.catalog.orders import stretches
from birdsearch.storage.catalog.sql import SQLCatalog
from birdsearch.storage.catalog.sqlite_database import SQLiteCatalog
from birdsearch.storage.catalog.tables import metadata, photos
from birdsearch.storage.folder import FORMAT
from tests.support import DATA, frozen_index
from tests.support.catalogs import catalog_at, new_catalog, on_sqlite
from tests.support.drawing import bird, write

FORMATS = sorted(DATA.glob("format-*.zip"))


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SQLCatalog]:
    """An empty catalog."""
    with closing(new_catalog(tmp_path)) as made:
        yield made


def entry(photo_id: int, path: str, **values: object) -> Entry:
    """A photo as a run commits it."""
    photo = Photo(photo_id, path, sha256=f"{photo_id:064x}", **values)  # type: ignore[arg-type]
    return Entry(photo, known=False, region_id=photo_id)


def commit(catalog: SQLCatalog, *entries: Entry, part: int = 1) -> None:
    """Commit photos whose roots are settled."""
    catalog.commit(Batch(entries=list(entries), part=PartRow(part, len(entries), "", "torch fp32 on cpu")))


def paths(catalog: SQLCatalog) -> dict[int | None, str]:
    """Id -> path."""
    return {photo.id: photo.path for photo in catalog.photos(catalog.photo_ids())}


# Tables


def test_the_migrations_make_exactly_the_tables_of_the_code(catalog: SQLCatalog) -> None:
    with catalog.transaction() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


@on_sqlite
def test_constraints_that_a_comparison_does_not_see_are_there_too(catalog: SQLCatalog) -> None:
    with catalog.transaction() as connection:
        made: dict[str, str] = dict(
            connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").all()
        )
        columns = {name: connection.exec_driver_sql(f"PRAGMA table_info({name})").all() for name in metadata.tables}
    for name in ("photos", "parts", "regions"):
        assert "AUTOINCREMENT" in made[name]
    for name in ("regions", "labels", "predictions"):
        assert "ON DELETE CASCADE" in made[name]
    for table in metadata.tables.values():
        key = {column[1] for column in columns[table.name] if column[5]}
        assert key == {column.name for column in table.primary_key}


def test_newest_is_the_last_migration_and_they_form_one_line() -> None:
    steps = []
    for path in sorted((Path(migrations.__file__).parent / "versions").glob("[0-9]*.py")):
        text = path.read_text()
        before = re.search(r'^down_revision = (?:"(\w+)"|None)$', text, re.MULTILINE)
        steps.append((re.findall(r'^revision = "(\w+)"$', text, re.MULTILINE)[0], before and before.group(1)))
    assert [revision for revision, _ in steps] == sorted({revision for revision, _ in steps})
    assert [before for _, before in steps] == [None, *(revision for revision, _ in steps[:-1])]
    assert steps[-1][0] == NEWEST


@on_sqlite
def test_regions_of_before_become_frames_and_their_ids_are_never_used_again(tmp_path: Path) -> None:
    path = thawed(FORMATS[0], tmp_path) / "index"
    with closing(sqlite3.connect(path / "catalog.sqlite")) as connection, connection:
        photos = connection.execute("SELECT count(*) FROM photos").fetchone()[0]
        connection.execute("UPDATE sqlite_sequence SET seq = 500 WHERE name = 'regions'")
    with birdsearch.open(path, backbone=frozen_index.backbone()) as index:
        assert (index.info()["regions"], index.info()["boxes"]) == (photos, 0)
        found = index.search_vectors(frozen_index.QUESTION, 1)[0][0]
        assert found.region is not None
        assert found.region.kind == "frame"
        assert index.verify().ok
    catalog = catalog_at(path)
    assert catalog.new_ids()[1] == 501
    second_frame = "INSERT INTO regions SELECT 600, photo_id, part_id, row, x, y, width, height, kind, category, "
    with pytest.raises(IndexDamagedError), catalog.transaction() as changing:
        changing.exec_driver_sql(f"{second_frame} confidence, source FROM regions LIMIT 1")


def test_upgrade_twice_changes_nothing(catalog: SQLCatalog) -> None:
    assert catalog.version() == NEWEST
    catalog.upgrade()
    assert catalog.version() == NEWEST
    assert catalog.integrity_problems() == []


@on_sqlite
def test_a_catalog_is_a_wal_database_that_syncs(catalog: SQLCatalog) -> None:
    with catalog.transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


# Folders


def test_a_folder_above_takes_over_those_below(catalog: SQLCatalog) -> None:
    for folder in (b"/photos/2024", b"/photos/2023/may", b"/photos2"):
        catalog.ensure_root(folder)
    commit(
        catalog,
        entry(1, "/photos/2024/a.jpg"),
        entry(2, "/photos/2023/may/a.jpg"),
        entry(3, "/photos2/a.jpg"),
        entry(4, "/photos/2024/deep/b \udcff.jpg"),
    )
    before = paths(catalog)
    catalog.ensure_root(b"/photos")
    assert sorted(catalog.roots().values()) == [b"/photos", b"/photos2"]
    assert paths(catalog) == before
    catalog.ensure_root(b"/photos/2024")
    assert sorted(catalog.roots().values()) == [b"/photos", b"/photos2"]
    assert catalog.photo_ids(Filter(under="/photos/2024")) == [1, 4]
    catalog.ensure_root(b"/")
    assert list(catalog.roots().values()) == [b"/"]
    assert paths(catalog) == before
    assert catalog.photo_ids(Filter(under="/photos")) == [1, 2, 4]
    assert catalog.integrity_problems() == []


def test_roots_in_use_are_those_with_photos(catalog: SQLCatalog) -> None:
    catalog.ensure_root(b"/photos")
    catalog.ensure_root(b"/empty")
    commit(catalog, entry(1, "/photos/a.jpg"))
    assert catalog.roots_in_use() == [b"/photos"]


@pytest.mark.parametrize("block", [1, 2, 100])
def test_photos_are_walked_through_by_path_in_the_folders_alone(
    catalog: SQLCatalog, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("birdsearch.storage.catalog.sql.BLOCK", block)
    names = ["/p/a/1.jpg", "/p/a/b/2.jpg", "/p/a-old/3.jpg", "/p/a.jpg", "/p/b/4.jpg", "/q/5.jpg", "/p/\udcff.jpg"]
    for folder in (b"/p", b"/q"):
        catalog.ensure_root(folder)
    commit(catalog, *(entry(number, name) for number, name in enumerate(names, start=1)))
    catalog.commit(Batch(updates=[PhotoUpdate(2, {"missing": True})], labels={1: Said("folder", "Wren")}))

    def under(*folders: bytes) -> list[str]:
        return [os.fsdecode(photo.path) for photo in catalog.photos_under(folders)]

    assert under(b"/p/a") == ["/p/a/1.jpg", "/p/a/b/2.jpg"]
    assert under(b"/p/a", b"/p/a/b", b"/p/a") == ["/p/a/1.jpg", "/p/a/b/2.jpg"]
    assert under(b"/p/a.jpg", b"/q") == ["/p/a.jpg", "/q/5.jpg"]
    assert under(b"/p/a/b", b"/p/b") == ["/p/a/b/2.jpg", "/p/b/4.jpg"]
    assert under(b"/") == under(b"/q", b"/p") == sorted(names, key=os.fsencode)
    assert under(*(os.fsencode(name) for name in names), *(b"/p/%d.jpg" % n for n in range(50))) == under(b"/")
    assert under(b"/nothing", b"/p/a/1") == []
    assert [photo.id for photo in catalog.photos_under([b"/p"]) if photo.missing] == [2]
    labelled = [(one.photo_id, one.label) for one in catalog.folder_labels([b"/p/a"])]
    assert labelled == [(1, Said("folder", "Wren")), (2, None)]


def test_bytes_are_known_where_they_have_a_vector(catalog: SQLCatalog) -> None:
    catalog.ensure_root(b"/photos")
    commit(catalog, entry(1, "/photos/a.jpg"), entry(2, "/photos/b.jpg"))
    assert catalog.has_bytes(f"{1:064x}")
    assert not catalog.has_bytes(f"{3:064x}")
    catalog.drop_part(1)
    assert not catalog.has_bytes(f"{1:064x}")
    assert catalog.newest_photo() == 2


def test_photos_without_a_label_are_counted(catalog: SQLCatalog) -> None:
    catalog.ensure_root(b"/photos")
    assert (catalog.newest_photo(), catalog.count_unlabelled()) == (0, 0)
    commit(catalog, *(entry(number, f"/photos/{number}.jpg") for number in (1, 2, 3)))
    catalog.commit(Batch(labels={1: Said("folder", "Wren")}, updates=[PhotoUpdate(2, {"missing": True})]))
    assert catalog.count_unlabelled() == 1
    assert catalog.count_unlabelled(Filter(under="/photos/2.jpg")) == 0


def test_files_are_known_by_their_paths_alone(catalog: SQLCatalog) -> None:
    catalog.ensure_root(b"/photos")
    catalog.ensure_root(b"/more")
    commit(catalog, entry(1, "/photos/a.jpg"), entry(2, "/more/b/a.jpg", damaged="cut off"), entry(3, "/photos/c.jpg"))
    failures = [Failure("/photos/c.jpg", "decode", "broken"), Failure("/photos/d.jpg", "decode", "worse")]
    catalog.commit(Batch(failed=[(FileState(size), one) for size, one in enumerate(failures)]))
    known = catalog.files_at([b"/photos/a.jpg", b"/more/b/a.jpg", b"/photos/c.jpg", b"/photos/d.jpg", b"/b/a.jpg"])
    assert known == {
        b"/photos/a.jpg": KnownFile(1, FileState(0, 0)),
        b"/more/b/a.jpg": KnownFile(2, FileState(0, 0), damaged="cut off"),
        b"/photos/c.jpg": KnownFile(3, FileState(0), missing=True, failure=failures[0]),
        b"/photos/d.jpg": KnownFile(None, FileState(1), failure=failures[1]),
    }
    assert catalog.files_at([]) == {}


def test_under_knows_folders_files_and_the_root() -> None:
    under = PathSet([b"/photos", b"/a/b.jpg"])
    for path in (b"/photos", b"/photos/x/y.jpg", b"/a/b.jpg"):
        assert path in under
    for path in (b"/photos2/x.jpg", b"/a", b"/", b"/a/b.jpg2"):
        assert path not in under
    assert b"/anything" in PathSet([b"/"])


# Photos


@pytest.fixture
def ordered(catalog: SQLCatalog) -> SQLCatalog:
    """Photos whose orders differ, with values that several share and that some lack; 8 is missing."""
    for folder in (b"/a", b"/a b", b"/c"):
        catalog.ensure_root(folder)
    facts: list[tuple[str, str | None, str | None]] = [
        ("/c/x.jpg", "2024-05-01", "Wren"), ("/a/z.jpg", None, "Robin"), ("/a b/1.jpg", "2023", None),
        ("/a/b/c.jpg", "2024-05-01", "Wren"), ("/c/\udcff.jpg", None, None), ("/a/b.jpg", "2025", "Robin"),
        ("/c/k.jpg", "2024-05-01", "Wren"), ("/a/gone.jpg", "2024-05-01", "Wren"),
    ]  # fmt: skip
    commit(catalog, *(entry(n, path, taken_at=taken_at) for n, (path, taken_at, _) in enumerate(facts, 1)))
    catalog.commit(Batch(labels={n: Said("folder", species) for n, (_, _, species) in enumerate(facts, 1) if species}))
    catalog.commit(Batch(updates=[PhotoUpdate(8, {"missing": True})]))
    return catalog


IN_ORDER = {
    "id": [1, 2, 3, 4, 5, 6, 7], "newest": [6, 7, 4, 1, 3, 5, 2], "oldest": [3, 1, 4, 7, 6, 2, 5],
    "path": [3, 6, 4, 2, 7, 1, 5], "species": [2, 6, 1, 4, 7, 3, 5],
}  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
def test_photos_come_in_an_order_page_by_page(ordered: SQLCatalog, order: str) -> None:
    assert ordered.photo_ids(order=order) == IN_ORDER[order]
    wrens = Filter(label="Wren")
    for where, expected in ((None, IN_ORDER[order]), (wrens, [n for n in IN_ORDER[order] if n in (1, 4, 7)])):
        for size in (1, 2, 3, 100):
            pages, after = list[int](), None
            while page := ordered.photo_ids(where, size, order=order, after=after):
                assert len(page) <= size
                pages += page
                after = page[-1]
            assert pages == expected
    assert ordered.photo_ids(limit=0, order=order) == []


@pytest.mark.parametrize("order", ORDERS)
def test_a_page_goes_on_behind_a_photo_that_is_hidden_or_left_out_now(ordered: SQLCatalog, order: str) -> None:
    behind = {"id": [], "newest": [7, 4, 1, 3, 5, 2], "oldest": [6, 2, 5], "path": [2, 7, 1, 5], "species": [3, 5]}
    assert ordered.photo_ids(order=order, after=8) == behind[order]
    assert ordered.photo_ids(Filter(ids=[]), order=order, after=1) == []
    for unknown in (99, 2**70):
        with pytest.raises(PhotoUnknownError, match=f"no photo with id {unknown}"):
            ordered.photo_ids(order=order, after=unknown)


@on_sqlite
@pytest.mark.parametrize("order", ORDERS)
def test_no_order_sorts_all_photos_for_a_page(ordered: SQLCatalog, order: str) -> None:
    somewhere = {"id": 1, "relative": b"x", "taken_at": "2024", "species": "Wren"}
    with ordered.transaction() as connection:
        for stretch in stretches(connection, order):
            for last in (None, [somewhere[column.name] for column in stretch.by]):
                steps = _steps(connection, stretch.query(conditions(None, connection), last, 200))
                assert not [step for step in steps if "TEMP B-TREE" in step], steps


def _steps(connection: sa.Connection, query: sa.Select[Any]) -> list[str]:
    """What SQLite does to answer a query."""
    text = query.compile(connection.engine, compile_kwargs={"literal_binds": True})
    return [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]


@on_sqlite
def test_a_question_about_all_photos_reads_them_as_they_lie(ordered: SQLCatalog) -> None:
    with ordered.transaction() as connection:
        query = sa.select(sa.func.count(photos.c.label)).where(*conditions(None, connection))
        assert _steps(connection, query) == ["SCAN photos"]


def test_a_photo_comes_back_as_it_was(catalog: SQLCatalog) -> None:
    catalog.ensure_root(b"/photos")
    guesses = (Prediction("Wren", 0.75, 1, "species", "01_wren"), Prediction(None, 0.25, 2, "ImageNet", "kite"))
    wanted = Photo(
        1,
        "/photos/Zaunk\udcf6nig.jpg",
        sha256="a" * 64,
        phash="ffffffffffffffff",
        size=2**40,
        mtime_ns=1_700_000_000_123_456_789,
        width=8000,
        height=6000,
        format="JPEG",
        taken_at="2024-05-17T06:07:08.42",
        taken_offset="+02:00",
        camera="Canon EOS R5",
        camera_serial="0123",
        lens="100-500",
        latitude=-33.858,
        longitude=151.21,
        photographer="Ana Núñez",
        notes="windy",
        rating=4,
        species="Wren",
        species_source="prediction",
        predictions=guesses,
    )
    commit(catalog, Entry(wanted, False, 1))
    assert catalog.photos([1]) == [wanted]


@pytest.mark.parametrize(
    "phash", ["0000000000000000", "7fffffffffffffff", "8000000000000000", "ffffffffffffffff", None]
)
def test_hashes_of_64_bits_fit(catalog: SQLCatalog, phash: str | None) -> None:
    catalog.ensure_root(b"/photos")
    commit(catalog, entry(1, "/photos/a.jpg", phash=phash))
    assert catalog.photos([1])[0].phash == phash


def test_ids_are_never_used_twice(catalog: SQLCatalog) -> None:
    catalog.ensure_root(b"/photos")
    first, frame = catalog.new_ids(2, 2)
    photos = [Photo(first + n, f"/photos/{n}.jpg", sha256=f"{n:064x}") for n in range(2)]
    batch = Batch([Entry(photo, known=False, region_id=frame + n) for n, photo in enumerate(photos)])
    catalog.commit(batch, lambda part_id: PartRow(part_id, 2, "", "torch fp32 on cpu"))
    (part,) = catalog.parts()
    catalog.remove([first, first + 1])
    catalog.drop_part(part.id)
    again, frame_again = catalog.new_ids(1, 1)
    assert again > first + 1
    assert frame_again > frame + 1
    catalog.commit(Batch(), lambda part_id: PartRow(part_id, 0, "", "torch fp32 on cpu"))
    assert [one.id for one in catalog.parts()] > [part.id]


def test_removal_takes_everything_of_a_photo_along(catalog: SQLCatalog) -> None:
    catalog.ensure_root(b"/photos")
    guess = Prediction("Wren", 0.75, 1, "species", "01_wren")
    commit(catalog, entry(1, "/photos/a.jpg", predictions=(guess,)), entry(2, "/photos/b.jpg"))
    catalog.commit(Batch(labels={1: Said("csv", "Wren")}))
    catalog.remove([1])
    with catalog.transaction() as connection:
        for name in ("photos", "regions", "labels", "predictions"):
            key = "id" if name == "photos" else "photo_id"
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {name} WHERE {key} = 1").scalar() == 0


def test_labels_count_in_order_of_authority(catalog: SQLCatalog) -> None:
    catalog.ensure_root(b"/photos")
    guess = Prediction("Kite", 0.75, 1, "species", "kite")
    commit(catalog, entry(1, "/photos/a.jpg", predictions=(guess,)))

    def species() -> tuple[str | None, str | None, str | None]:
        photo = catalog.photos([1])[0]
        return photo.label, photo.species, photo.species_source

    assert species() == (None, "Kite", "prediction")
    catalog.commit(Batch(labels={1: Said("folder", "Wren")}))
    assert species() == ("Wren", "Wren", "label")
    catalog.correct_labels({1: Label(1, "Robin", "correction")})
    catalog.commit(Batch(labels={1: Said("csv", "Marsh Wren")}))
    assert species() == ("Robin", "Robin", "label")
    assert catalog.labels_of([1]) == catalog.labels() == {1: Label(1, "Robin", "correction")}
    catalog.commit(Batch(labels={1: None}))
    assert species() == ("Robin", "Robin", "label")
    assert catalog.stale_species() == []


def test_many_ids_at_once(catalog: SQLCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("birdsearch.storage.catalog.database.MAX_IN", 7)
    catalog.ensure_root(b"/photos")
    commit(catalog, *(entry(n, f"/photos/{n}.jpg") for n in range(1, 31)))
    wanted = [30, 1, 15, 15, 2]
    assert [photo.id for photo in catalog.photos(wanted)] == wanted
    assert catalog.visible(range(1, 31)) == {n: n for n in range(1, 31)}
    catalog.remove(list(range(1, 21)))
    assert catalog.count() == 10


def test_a_commit_is_all_or_nothing(catalog: SQLCatalog) -> None:
    catalog.ensure_root(b"/photos")
    commit(catalog, entry(1, "/photos/a.jpg"))
    generation = catalog.get_state("generation")
    with pytest.raises(BirdsearchError, match=r"UNIQUE|at the same moment"):
        commit(catalog, entry(2, "/photos/b.jpg"), entry(3, "/photos/b.jpg"), part=2)
    assert (catalog.photo_ids(), len(catalog.parts()), catalog.get_state("generation")) == ([1], 1, generation)


def test_the_making_of_a_catalog_is_nothing_to_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), closing(SQLiteCatalog(tmp_path / "new.sqlite")) as made:
        made.create({"id": "0"})
    assert not caplog.records


@on_sqlite
def test_a_full_disk_is_told_as_such(catalog: SQLCatalog) -> None:
    catalog.ensure_root(b"/photos")
    with catalog.transaction() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(IndexUnwritableError, match=r"full.*make room"):
        commit(catalog, *(entry(n, f"/photos/{n}.jpg", notes="x" * 500) for n in range(1, 1000)))
    assert catalog.photo_ids() == []


# Formats


def thawed(path: Path, target: Path) -> Path:
    """Unpack a frozen index."""
    shutil.unpack_archive(path, target)
    return target


def test_there_is_a_frozen_index_of_every_format() -> None:
    assert [path.name for path in FORMATS] == [f"format-{n}.zip" for n in range(1, FORMAT + 1)]
    assert all(path.stat().st_size < 100_000 for path in FORMATS)


def renamed(value: Any) -> Any:
    """What an index said in the words of before tables 0003, in today's."""
    if isinstance(value, list):
        return [renamed(one) for one in value]
    if not isinstance(value, dict):
        return value
    names = {"observer": "photographer"}
    names |= {"rank": "position", "level": "rank"} if "level" in value else {}
    return {names.get(name, name): renamed(one) for name, one in value.items()}


def without_later_fields(found: Any, expected: Any) -> Any:
    """What was found, but for fields of records that came later."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return {name: without_later_fields(found[name], expected[name]) for name in found if name in expected}
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        return [without_later_fields(one, other) for one, other in zip(found, expected, strict=True)]
    return found


@on_sqlite
@pytest.mark.parametrize("path", FORMATS, ids=lambda path: path.stem)
def test_an_index_of_an_old_format_answers_as_it_did(path: Path, tmp_path: Path) -> None:
    place = thawed(path, tmp_path)
    expected = renamed(json.loads((place / "expected.json").read_text()))
    with birdsearch.open(place / "index", backbone=frozen_index.backbone()) as index:
        found = json.loads(json.dumps(frozen_index.answers(index)))
        assert np.allclose(found.pop("probabilities"), expected.pop("probabilities"), atol=1e-4)
        matches, wanted = found.pop("matches"), expected.pop("matches")
        assert [photo_id for photo_id, _ in matches] == [photo_id for photo_id, _ in wanted]
        assert np.allclose([score for _, score in matches], [score for _, score in wanted], atol=1e-4)
        assert without_later_fields(found, expected) == expected
        assert index.verify().problems == ()
        assert "\udcff" in "".join(photo.path for photo in index.photos())
        assert not any(os.path.exists(photo.path) for photo in index.photos())


@on_sqlite
@pytest.mark.parametrize("path", FORMATS, ids=lambda path: path.stem)
def test_an_index_of_an_old_format_takes_new_photos(path: Path, tmp_path: Path) -> None:
    place = thawed(path, tmp_path)
    photo = write(tmp_path / "photos" / "new.jpg", bird(50, 80, 60))
    with birdsearch.open(place / "index", backbone=frozen_index.backbone()) as index:
        before = len(index)
        assert index.add(photo).added == 1
        assert len(index) == before + 1
        assert index.search(photo.read_bytes(), 1)[0].photo.path == str(photo)
        assert index.verify().problems == ()


@on_sqlite
def test_a_whitened_index_of_before_tables_0003_answers_as_it_did(tmp_path: Path) -> None:
    """520 photos with a refined space (now: whitening), a correction and a pair that somebody said is different."""
    place = thawed(DATA / "whitened-1.zip", tmp_path)
    expected = renamed(json.loads((place / "expected.json").read_text()))
    with birdsearch.open(place / "index", backbone=frozen_index.backbone()) as index:
        found = json.loads(json.dumps(frozen_index.answers(index)))
        assert np.allclose(found.pop("probabilities"), expected.pop("probabilities"), atol=1e-4)
        matches, wanted = found.pop("matches"), expected.pop("matches")
        assert [photo_id for photo_id, _ in matches] == [photo_id for photo_id, _ in wanted]
        assert np.allclose([score for _, score in matches], [score for _, score in wanted], atol=1e-3)
        expected.pop("duplicates")  # the files are not there any more
        assert without_later_fields(found, expected) == expected
        assert index.info()["whitened"] is True
        assert index.verify().problems == ()


# Large answers


def test_answers_as_long_as_the_collection_are_fetched_in_blocks(catalog: SQLCatalog, tmp_path: Path) -> None:
    catalog.ensure_root(os.fsencode(tmp_path))
    fetched: dict[str, int | None] = {}

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def note(_c: Any, _r: Any, statement: str, _p: Any, context: Any, _m: bool) -> None:
        fetched[statement] = context.execution_options.get("yield_per")

    long: dict[str, Callable[[], Any]] = {
        "frames": lambda: catalog.frames(None),
        "region ids": lambda: catalog.region_ids(Filter(taken_after="2020")),
        "labels and classes": lambda: list(catalog.labels_and_classes()),
        "summaries": lambda: catalog.summaries(),
        "labels": lambda: catalog.labels(),
        "ids": lambda: catalog.photo_ids(order="newest"),
        "companions": lambda: catalog.companions_under([b"/"]),
        "hashes": lambda: catalog.hashes(),
        "copies": lambda: catalog.copies(),
    }
    try:
        for what, ask in long.items():
            fetched.clear()
            ask()
            assert BLOCK in fetched.values(), what
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)

"""An index whose catalog lies in PostgreSQL."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

import birdsearch
from birdsearch import Filter
from birdsearch.errors import (
    IndexAddressError,
    IndexExistsError,
    IndexMissingError,
    IndexUnwritableError,
    InstallationError,
)
from birdsearch.storage.address import Address
from birdsearch.storage.catalog.postgresql_database import PostgreSQL
from birdsearch.storage.folder import Folder
from tests.conftest import write_garden_photos
from tests.support.drawing import bird, write
from tests.support.fake_backbone import FakeBackbone, classifying
from tests.support.postgresql import USER, Server


@pytest.fixture
def address(postgresql: Server, tmp_path: Path) -> str:
    """Of an index that is not made yet."""
    return postgresql.address(tmp_path / "index", database=postgresql.new_database())


def test_an_index_is_made_filled_asked_and_opened_again(address: str, tmp_path: Path, fake: FakeBackbone) -> None:
    write_garden_photos(tmp_path / "photos")
    with birdsearch.create(address, backbone=fake) as index:
        assert index.add(tmp_path / "photos", labels="folder").added == 6
        assert index.verify().ok
    with birdsearch.open(address, backbone=fake) as index:
        assert index.add(tmp_path / "photos").unchanged == 6
        near_berlin = Filter(near=(52.5, 13.4, 10))
        assert [photo.species for photo in index.photos(near_berlin)] == ["Wren"] * 3
        assert index.photos(Filter(ids=(2, 3, 2**70))) == index.photos(ids=[2, 3])
        assert index.info()["path"] == address
        assert [match.photo.species for match in index.search(index.photo(1), 2)] == ["Robin", "Robin"]


def test_the_indexes_of_a_database_are_listed(
    address: str, tmp_path: Path, fake: FakeBackbone, postgresql: Server
) -> None:
    database = address.partition("?")[0] + "?" + address.partition("&host=")[2].join(("host=", ""))
    assert birdsearch.list_indexes(database) == []
    write(tmp_path / "photos/1.jpg", bird(1, 80, 60))
    with birdsearch.create(address, backbone=fake) as index:
        index.add(tmp_path / "photos")
    other = address.replace("index=garden", "index=lake").replace("/index&", "/other&")
    birdsearch.create(other, backbone=fake).close()
    name = sa.make_url(Address.parse(address).catalog).database or ""
    with postgresql.engine(name).connect() as connection:
        connection.execute(sa.text("INSERT INTO birdsearch_indexes VALUES ('marsh', 'birds_that_are_gone')"))
    for asked in (database, address):
        found = birdsearch.list_indexes(asked)
        assert [(one.name, one.photos, one.backbone) for one in found] == [
            ("garden", 1, "fake"), ("lake", 0, "fake"), ("marsh", None, None)
        ]  # fmt: skip
        assert found[0].bytes > 1000
        assert found[0].path.endswith(f"?index=garden&{database.partition('?')[2]}")
        assert "removed or replaced" in (found[2].problem or "")
    with pytest.raises(IndexUnwritableError, match="cannot use"):
        birdsearch.list_indexes("birds+postgresql://localhost:1/birds")
    for none in ("garden", str(tmp_path), "birds+sqlite:///photos"):
        with pytest.raises(IndexAddressError, match="names no database"):
            birdsearch.list_indexes(none)


def test_what_is_not_there_or_there_already_is_said(
    address: str, tmp_path: Path, fake: FakeBackbone, postgresql: Server
) -> None:
    with pytest.raises(IndexMissingError, match=r"no index at birds\+postgresql://"):
        birdsearch.open(address)
    birdsearch.create(address, backbone=fake).close()
    with pytest.raises(IndexExistsError, match="there is an index at"):
        birdsearch.create(address, backbone=fake)
    elsewhere = address.replace("/index&", "/elsewhere&")
    with pytest.raises(IndexExistsError, match=r"there is an index at birds\+"):
        birdsearch.create(elsewhere, backbone=fake)
    with pytest.raises(IndexExistsError, match=r"there is an index at /.*/index already: .* choose another parts="):
        birdsearch.create(address.replace("index=garden", "index=museum"), backbone=fake)
    with pytest.raises(IndexMissingError, match="The database holds garden"):
        birdsearch.open(address.replace("index=garden", "index=museum"))
    with pytest.raises(IndexAddressError, match="name the index by its address"):
        birdsearch.open(tmp_path / "index")


def test_index_json_is_written_again_from_the_database(address: str, tmp_path: Path, fake: FakeBackbone) -> None:
    birdsearch.create(address, backbone=fake).close()
    (tmp_path / "index" / "index.json").unlink()
    with pytest.raises(birdsearch.BirdsearchError, match=r"index\.json is missing.*birdsearch repair --index 'birds\+"):
        birdsearch.open(address)
    assert birdsearch.restore(address) == ["wrote index.json again from the catalog"]
    birdsearch.open(address, backbone=fake).close()


def test_a_catalog_that_came_back_by_a_dump_is_listed_again(
    postgresql: Server, tmp_path: Path, fake: FakeBackbone
) -> None:
    pg_dump, psql = shutil.which("pg_dump"), shutil.which("psql")
    if pg_dump is None or psql is None:
        pytest.skip("pg_dump and psql are not installed: apt-get install postgresql-client")
    before = postgresql.new_database()
    address = postgresql.address(tmp_path / "index", database=before)
    with birdsearch.create(address, backbone=fake) as index:
        index.add(bird_at(tmp_path / "photos"))
        index.label({1: "Wren"})
        schema = f"birds_{index.provenance.index_id}"
    connect = [f"--host={postgresql.folder}", f"--username={USER}"]
    dump = [pg_dump, *connect, f"--schema={schema}", before]
    script = subprocess.run(dump, capture_output=True, check=True).stdout
    after = postgresql.new_database()
    restore = [psql, *connect, "--quiet", "--set=ON_ERROR_STOP=1", after]
    restored = address.replace(before, after)
    with pytest.raises(IndexMissingError, match="Make it with"):
        birdsearch.open(restored)
    subprocess.run(restore, input=script, capture_output=True, check=True)
    with pytest.raises(
        IndexMissingError, match="as a dump brings it back, and does not list it: run `birdsearch repair"
    ):
        birdsearch.open(restored)
    assert birdsearch.restore(restored) == ["listed the index in its database again"]
    with birdsearch.open(restored, backbone=fake) as index:
        assert index.photo(1).label == "Wren"
        assert index.verify().ok
        assert index.add(tmp_path / "photos").unchanged == 1
    with pytest.raises(IndexMissingError, match="The database holds garden"):  # it has a name: nobody gives it another
        birdsearch.restore(restored.replace("index=garden", "index=mine"))


def test_where_parts_names_another_place_nothing_is_repaired_there(
    address: str, tmp_path: Path, fake: FakeBackbone, caplog: pytest.LogCaptureFixture
) -> None:
    write_garden_photos(tmp_path / "photos")
    with birdsearch.create(address, backbone=fake) as index:
        index.add(tmp_path / "photos")
    birdsearch.create(address.replace("garden", "museum").replace("/index&", "/museum&"), backbone=fake).close()
    for place, words in (
        (
            "indx",
            r"indx holds no index: the parts of garden lie in .*/index, as its catalog knows. Write parts=/.*/index",
        ),
        ("museum", r"museum holds the parts of another index than garden, which lie in .*/index: correct"),
    ):
        for use in (birdsearch.open, birdsearch.restore):
            with pytest.raises(IndexAddressError, match=words):
                use(address.replace("/index&", f"/{place}&"))
    assert not (tmp_path / "indx").exists()

    (tmp_path / "index").rename(tmp_path / "moved")
    moved = address.replace("/index&", "/moved&")
    with birdsearch.open(moved, backbone=fake) as index:
        assert index.verify().ok
        index.label({1: "Wren"})
    assert f"of garden are written in {tmp_path}/moved from now on; they lay in {tmp_path}/index before" in caplog.text
    with pytest.raises(IndexAddressError, match=r"lie in .*/moved"):
        birdsearch.open(address)


def test_verify_repair_and_the_list_of_indexes_know_such_an_index(
    address: str, tmp_path: Path, fake: FakeBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_garden_photos(tmp_path / "photos")
    with birdsearch.create(address, backbone=fake) as index:
        index.add(tmp_path / "photos", labels="folder")
        (part,) = (tmp_path / "index" / "vectors").iterdir()
        part.write_bytes(part.read_bytes()[:-20])
        assert not index.verify().ok
        assert any("embedded 6 photos again" in line for line in index.repair())
        assert index.verify().ok
    monkeypatch.setenv("BIRDSEARCH_DATA", str(tmp_path))
    (tmp_path / "indexes").mkdir()
    (tmp_path / "index").rename(tmp_path / "indexes" / "garden")
    (listed,) = [one for one in birdsearch.list_indexes() if one.name == "garden" and str(tmp_path) in one.path]
    assert listed.problem is not None
    assert "name the index by its address" in listed.problem


def test_an_index_of_some_rows_holds_no_others(postgresql: Server, tmp_path: Path, fake: FakeBackbone) -> None:
    database = postgresql.new_database()
    birdsearch.create(postgresql.address(tmp_path / "index", database=database), backbone=fake).close()
    asked = sa.text("SELECT indexdef FROM pg_indexes WHERE indexname IN ('photos_taken_at', 'regions_frame')")
    with postgresql.engine(database).connect() as connection:
        found = [definition.partition(" WHERE ")[2] for definition in connection.scalars(asked)]
    assert sorted(found) == ["((kind)::text = 'frame'::text)", "(NOT missing)"]


def test_what_the_server_finds_wrong_is_said_of_the_address(
    address: str, fake: FakeBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgreSQL, "problems", lambda self, connection: ["item order invariant violated"])
    with birdsearch.create(address, backbone=fake) as index:
        assert index.verify().problems == (f"{address}: item order invariant violated",)


def test_a_folder_of_photos_that_holds_the_parts_of_an_index_is_indexed_without_them(
    postgresql: Server, tmp_path: Path, fake: FakeBackbone
) -> None:
    write_garden_photos(tmp_path / "photos")
    inside = postgresql.address(tmp_path / "photos" / "index", database=postgresql.new_database())
    with birdsearch.create(inside, backbone=fake) as index:
        report = index.add(tmp_path / "photos")
        assert (report.added, report.failed) == (6, ())
        assert index.add(tmp_path / "photos").unchanged == 6


def test_texts_and_names_that_only_sqlite_takes(address: str, tmp_path: Path, fake: FakeBackbone) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/photos \xff %s"))
    path = folder / "a\n' \" \\ \udcfe ü 🐦.png"
    write(path, bird(1, 80, 60))
    with birdsearch.create(address, backbone=fake) as index:
        assert index.add(folder).added == 1
        photo = index.photos()[0]
        assert photo.path == str(path)
        index.label({photo.id or 0: "Wren'; DROP TABLE photos; --%s :x"})
        assert index.photos(Filter(under=folder))[0].label == "Wren'; DROP TABLE photos; --%s :x"
        index.label({photo.id or 0: "Wr\0en"})
        assert index.photo(photo.id or 0).label == "Wren"
        for name in ("Zebra Finch", "alder flycatcher", "Älpler", "eider", "Eider"):
            index.label({photo.id or 0: name})
        assert index.verify().ok


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("@/", "@127.0.0.1:1/"),
            "cannot use birds.*Connection refused.*Check host, port, .*run the same command again",
        ),
        (("birds@", "nobody_here@"), 'cannot use birds.*"nobody_here" does not exist. Check .* user of the address'),
        (("@/test", "@/no"), "cannot use birds.*does not exist. Check .* database"),
    ],
)
def test_a_server_that_does_not_let_in_is_said(address: str, change: tuple[str, str], words: str) -> None:
    wrong = address.replace(*change)
    if "127" in wrong:  # no socket then
        wrong = wrong.partition("&host=")[0]
    with pytest.raises(IndexUnwritableError, match=words):
        birdsearch.open(wrong)


def test_rights_that_a_role_lacks_and_those_that_it_is_granted(
    address: str, tmp_path: Path, fake: FakeBackbone, postgresql: Server
) -> None:
    reader = f"reader_{os.getpid()}"
    database = address.partition("@/")[2].partition("?")[0]
    with postgresql.engine(database).connect() as connection, birdsearch.create(address, backbone=fake) as index:
        index.add(bird_at(tmp_path / "photos"))

        def grant(*rights: str) -> None:
            for right in rights:
                connection.execute(sa.text(right))

        grant(f"CREATE ROLE {reader} LOGIN")
        theirs = address.replace("birds@", f"{reader}@")
        with pytest.raises(IndexUnwritableError, match=r"permission denied for table birdsearch_indexes. Let the role"):
            birdsearch.open(theirs)
        schema = f"birds_{index.provenance.index_id}"
        grant(
            f"GRANT SELECT ON birdsearch_indexes TO {reader}",
            f"GRANT USAGE ON SCHEMA {schema} TO {reader}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}",
        )
        with birdsearch.open(theirs, backbone=fake) as read:
            assert len(read.search(read.photo(1), 1)) == 0
            assert read.photos(Filter(near=(0, 0, 10))) == []
            with pytest.raises(IndexUnwritableError, match="permission denied for table"):
                read.label({1: "Wren"})
        with pytest.raises(IndexUnwritableError, match=r"permission denied for database [a-z0-9_]+\. Let the role"):
            birdsearch.create(theirs.replace("index=garden", "index=mine").replace("/index&", "/mine&"), backbone=fake)
        grant(f"GRANT birds TO {reader}")
        with birdsearch.open(theirs, backbone=fake) as written:
            written.label({1: "Wren"})
        assert index.photo(1).label == "Wren"
        grant(f"REVOKE birds FROM {reader}", f"DROP OWNED BY {reader}", f"DROP ROLE {reader}")


def bird_at(folder: Path) -> Path:
    """A folder with one photo."""
    write(folder / "1.png", bird(1, 80, 60))
    return folder


def test_the_driver_that_is_missing_is_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InstallationError, match=r'pip install "birdsearch\[cluster\]"'):
        birdsearch.open(address)


def test_a_lock_is_given_back_before_its_connection_is_closed(address: str, fake: FakeBackbone) -> None:
    """The server notices in its own time that a connection was closed, and the next writer may be there before."""
    birdsearch.create(address, backbone=fake).close()
    held = []

    def look(connection: Any, _record: Any) -> None:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        held.extend(connection.execute(query).fetchone())

    sa.event.listen(sa.pool.Pool, "checkin", look)
    try:
        for shared in (False, True):
            with Folder(address).writing(shared=shared):
                pass
    finally:
        sa.event.remove(sa.pool.Pool, "checkin", look)
    assert held == [0, 0]


def test_files_of_an_index_without_its_index_json_are_left_alone(address: str, tmp_path: Path) -> None:
    named = classifying(("Wren", "Robin"), np.ones((2, 16), np.float32), np.zeros(2, np.float32))
    birdsearch.create(address, backbone=named).close()
    (tmp_path / "index/index.json").unlink()
    classes = (tmp_path / "index/classifier.npz").read_bytes()
    with pytest.raises(IndexExistsError, match="there is an index at"):
        birdsearch.create(address, backbone=FakeBackbone())
    assert (tmp_path / "index/classifier.npz").read_bytes() == classes

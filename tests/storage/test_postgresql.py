"""An index whose catalog lies in PostgreSQL."""

from pathlib import Path

import pytest

import birdsearch
from birdsearch import Filter
from birdsearch.errors import IndexAddressError, IndexExistsError, IndexMissingError
from tests.conftest import write_garden_photos
from tests.support.fake_backbone import FakeBackbone
from tests.support.postgresql import Server


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


def test_what_is_not_there_or_there_already_is_said(
    address: str, tmp_path: Path, fake: FakeBackbone, postgresql: Server
) -> None:
    with pytest.raises(IndexMissingError, match=r"no index at birds\+postgresql://"):
        birdsearch.open(address)
    birdsearch.create(address, backbone=fake).close()
    with pytest.raises(IndexExistsError, match="there is an index at"):
        birdsearch.create(address, backbone=fake)
    elsewhere = address.replace("/index&", "/elsewhere&")
    with pytest.raises(IndexExistsError, match="there is an index at"):
        birdsearch.create(elsewhere, backbone=fake)
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

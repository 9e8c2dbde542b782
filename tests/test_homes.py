"""Where an index with a name is opened from and made."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import birdsearch
from birdsearch import homes
from birdsearch.errors import IndexMissingError
from tests.support.fake_backbone import FakeBackbone


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's data folder, and a project with a folder below it, in which the user stands."""
    monkeypatch.setenv("BIRDSEARCH_DATA", str(tmp_path / "data"))
    deep = tmp_path / "project" / "photos" / "2024"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)


def make(folder: Path) -> Path:
    with birdsearch.create(folder, backbone=FakeBackbone()):
        return folder


def test_a_name_is_made_in_the_data_folder_where_no_folder_indexes_is_near(tmp_path: Path) -> None:
    assert birdsearch.find_index("garden") == tmp_path / "data" / "indexes" / "garden"


def test_a_name_is_made_and_opened_in_the_nearest_folder_indexes_upwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "indexes").mkdir()
    home = tmp_path / "project" / "indexes"
    home.mkdir()
    assert birdsearch.find_index("garden") == home / "garden"
    make(home / "garden")
    for folder in (tmp_path / "project", tmp_path / "project" / "photos"):
        monkeypatch.chdir(folder)
        assert birdsearch.find_index("garden") == home / "garden"
    monkeypatch.chdir(tmp_path)
    assert birdsearch.find_index("garden") == tmp_path / "indexes" / "garden"


def test_a_name_of_the_data_folder_opens_everywhere(tmp_path: Path) -> None:
    (tmp_path / "project" / "indexes").mkdir()
    garden = make(tmp_path / "data" / "indexes" / "garden")
    assert birdsearch.find_index("garden") == garden


def test_two_indexes_with_one_name_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    near, users = tmp_path / "project" / "indexes" / "garden", tmp_path / "data" / "indexes" / "garden"
    make(users)
    make(near)
    with caplog.at_level(logging.WARNING, "birdsearch"):
        assert birdsearch.find_index("garden") == near
    assert [f"{near} is used; another index named garden lies at {users}"] == caplog.messages


def test_a_file_named_indexes_is_no_home(tmp_path: Path) -> None:
    Path("indexes").write_text("a file")
    assert birdsearch.find_index("garden") == tmp_path / "data" / "indexes" / "garden"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gardn", "no index named gardn in .*project/indexes or .*data/indexes. Did you mean garden?"),
        ("x y", "`birdsearch indexes` lists those that are there. Make it with `birdsearch index DIR --index 'x y'`."),
        ("default", "There is one named garden: --index garden."),
        ("local", "One lies in the current folder: --index ./local."),
    ],
)
def test_a_missing_index_names_what_is_near_and_the_whole_command(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "project" / "indexes").mkdir()
    make(tmp_path / "data" / "indexes" / "garden")
    make(Path("local"))
    with pytest.raises(IndexMissingError, match=words.replace("?", r"\?")):
        birdsearch.open(birdsearch.find_index(name))


def test_a_name_that_is_opened_as_a_path_is_told_how_it_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: FakeBackbone
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "indexes").mkdir()
    birdsearch.create("indexes/garden", backbone=fake).close()
    with pytest.raises(IndexMissingError, match=r"no index at .*birdsearch\.find_index\('garden'\) finds it"):
        birdsearch.open("garden")


def test_the_list_of_indexes_tells_what_each_holds(tmp_path: Path) -> None:
    near, users = tmp_path / "project" / "indexes", tmp_path / "data" / "indexes"
    make(users / "garden")
    make(near / "meadow")
    (make(near / "broken") / "index.json").write_text("{")
    (near / "notes").mkdir()
    broken, meadow, garden = birdsearch.list_indexes()
    assert [one.name for one in (broken, meadow, garden)] == ["broken", "meadow", "garden"]
    assert (meadow.photos, meadow.backbone, meadow.path) == (0, "fake", str(near / "meadow"))
    assert meadow.bytes > 0
    assert (meadow.changed or "").startswith("20")
    assert "birdsearch repair --index" in (broken.problem or "")
    assert broken.photos is None


def test_the_key_of_a_user_is_made_once_and_is_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDSEARCH_DATA", str(tmp_path / "ana"))
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: homes.user_key(), range(8)))
    assert len(keys) == 1
    assert len(homes.user_key()) == 32
    assert [path.name for path in (tmp_path / "ana").iterdir()] == ["user.key"]
    monkeypatch.setenv("BIRDSEARCH_DATA", str(tmp_path / "ben"))
    assert homes.user_key() not in keys


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_indexes_of_another_user_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    planted = tmp_path / "project" / "indexes"
    planted.mkdir()
    os.chown(planted, 12345, 12345)
    assert homes.find_index("garden") == tmp_path / "data" / "indexes" / "garden"
    assert "belongs to another user" in caplog.text

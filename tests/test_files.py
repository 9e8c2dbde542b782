"""Files of any kind: what is written whole or not at all."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

import pytest

from birdsearch.errors import OutputFileError
from birdsearch.files import UNFINISHED, atomic_write, check_target, new_file


def write(path: Path, text: str, *, force: bool = False) -> None:
    with new_file(path, force=force) as file:
        file.write(text.encode())


def refusal(path: Path, *, force: bool = False) -> str:
    """Why a file must not be written."""
    with pytest.raises(OutputFileError) as caught:
        check_target(path, force=force)
    with pytest.raises(OutputFileError):
        write(path, "new", force=force)
    return str(caught.value)


def test_new_file_replaces_what_birdsearch_wrote_and_nobody_changed(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for text in ("one", "two", "two", "three"):
        write(page, text)
        assert page.read_text() == text
    page.write_text("three, edited")
    assert "is not as birdsearch wrote it. Name another file, or replace it with --force" in refusal(page)
    assert page.read_text() == "three, edited"
    write(page, "four", force=True)
    assert os.listdir(tmp_path) == ["page.html"]
    assert page.read_text() == "four"


def test_new_file_never_replaces_a_folder_a_pipe_or_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    for force in (False, True):
        assert "it is a folder" in refusal(tmp_path / "folder", force=force)
        assert "its folder does not exist" in refusal(tmp_path / "no" / "file", force=force)
        for name in ("pipe", "link", "dangling"):
            assert "not a regular file" in refusal(tmp_path / name, force=force)
        assert "not a regular file" in refusal(Path(os.devnull), force=force)
    assert not (tmp_path / "nowhere").exists()


def test_new_file_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("photo")
    (tmp_path / "link").symlink_to("photo.jpg")
    assert "is not as birdsearch wrote it" in refusal(tmp_path / "link")
    write(tmp_path / "link", "page", force=True)
    assert ((tmp_path / "photo.jpg").read_text(), (tmp_path / "link").read_text()) == ("photo", "page")


def test_new_file_never_writes_into_an_index(tmp_path: Path) -> None:
    for name in ("index.json", "catalog.sqlite", "vectors/00000001.parquet"):
        (tmp_path / "index" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "index" / name).write_text("ours")
    (tmp_path / "shortcut").symlink_to("index/vectors")
    for force in (False, True):
        for name in ("index/catalog.sqlite", "index/page.html", "index/vectors/9.parquet", "shortcut/9.parquet"):
            assert "it would lie in the index" in refusal(tmp_path / name, force=force)


def test_an_unfinished_file_follows_no_link_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_text("mine")
    monkeypatch.setattr(secrets, "token_hex", lambda size: "ab" * size)
    unfinished = tmp_path / f"part.{'ab' * 8}{UNFINISHED}"
    unfinished.symlink_to("mine")
    with pytest.raises(FileExistsError), atomic_write(tmp_path / "part"):
        pass
    assert (tmp_path / "mine").read_text() == "mine"
    monkeypatch.undo()
    left = []
    with suppress(ZeroDivisionError), atomic_write(tmp_path / "part") as file:
        left = [path.name for path in tmp_path.glob(f"*{UNFINISHED}") if path != unfinished]
        file.write(b"half")
        raise ZeroDivisionError
    assert [name.startswith("part.") for name in left] == [True]
    assert sorted(os.listdir(tmp_path)) == ["mine", unfinished.name]

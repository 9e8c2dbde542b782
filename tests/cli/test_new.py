"""The command new."""

import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import Garden
from tests.support import drawing
from tests.support.command_line import run


@pytest.fixture
def card(garden: Garden, tmp_path: Path) -> Path:
    """A photo that the garden has, one that is new, one that cannot be read."""
    drawing.write(tmp_path / "card" / os.fsdecode(b"n\xe4w\n.jpg"), drawing.bird(3))
    shutil.copy(garden.photos / "Wren" / "1.jpg", tmp_path / "card" / "DSC_1.jpg")
    (tmp_path / "card" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    return tmp_path / "card"


def test_new_ones_come_first_then_those_that_are_there(garden: Garden, card: Path) -> None:
    answer = run("new", card, "--index", garden.index)
    lines = answer.out.splitlines()
    assert lines[1].startswith("new ")
    assert "n\\xe4w\\n.jpg" in lines[1]
    assert lines[4].split()[:3] == ["identical", str(card / "DSC_1.jpg"), "4"]
    assert lines[4].endswith("Wren/1.jpg")
    assert f"of 2 photos in {card} you have 1 (1 identical); 1 is new" in answer.out
    assert "unreadable: " in answer.err


def test_csv_json_and_page(garden: Garden, card: Path, tmp_path: Path) -> None:
    rows = run("new", card, "--index", garden.index, "--csv", "--copy-to", "into").rows
    assert [row["status"] for row in rows] == ["new", "known", "not on this computer"]
    assert rows[1]["indexed"] == str(garden.photos / "Wren" / "1.jpg")
    assert "into" in rows[0]["copy"]
    answer = run("new", card, "--index", garden.index, "--json", "--copy-to", "into", "--html", "new.html")
    assert (len(answer.json["compared"]["new"]), len(answer.json["copied"]["present"])) == (1, 1)
    assert "What is new" in (tmp_path / "new.html").read_text(encoding="utf-8")


def test_copying_is_said_and_what_fails_ends_with_1(garden: Garden, card: Path, tmp_path: Path) -> None:
    answer = run("new", card, "--index", garden.index, "--copy-to", "into")
    assert "copied 1 photo and 1 other file (" in answer.out
    assert f"Next: birdsearch index {tmp_path}/into --index {garden.index}" in answer.err
    spaced = run("new", card, "--index", garden.index, "--copy-to", "my birds").err
    assert f"Next: birdsearch index '{tmp_path}/my birds' --index {garden.index}" in spaced
    assert "Next:" not in run("new", card, "--index", garden.index).err
    assert "lies in" in run("new", card, "--index", garden.index, "--copy-to", card / "x", code=2).err
    (tmp_path / "file").write_text("")
    missing = run("new", "nowhere", "--index", garden.index, code=1).err
    assert missing == f"birdsearch: no such file or folder: {tmp_path}/nowhere. Look in {tmp_path}. Is the card in?\n"
    (tmp_path / "empty").mkdir()
    assert "no photos in" in run("new", "empty", "--index", garden.index).out


def test_a_card_is_done_only_when_its_raw_files_and_movies_are_here_too(garden: Garden, tmp_path: Path) -> None:
    card = tmp_path / "card"
    shutil.copy(garden.photos / "Wren" / "1.jpg", drawing.write(card / "1.JPG", drawing.bird()))
    assert f"all of {card} is on this computer" in run("new", card, "--index", garden.index).out
    (card / "1.CR3").write_bytes(b"II*\0 raw")
    (card / "2.MP4").write_bytes((24).to_bytes(4, "big") + b"ftypmp42\0\0\0\0isommp42")
    answer = run("new", card, "--index", garden.index, "--html", "new.html")
    assert (
        "of 2 other files there (1 camera RAW, 1 video) 0 are there already; 2 are not on this computer" in answer.out
    )
    assert f"2 files of {card} are not on this computer" in answer.out
    assert "2 files are not on this computer." in (tmp_path / "new.html").read_text(encoding="utf-8")
    answer = run("new", card, "--index", garden.index, "--copy-to", "into", "--html", "new.html")
    assert "copied 0 photos and 2 other files" in answer.out
    assert f"all of {card} is on this computer" in answer.out
    assert "All of it is on this computer." in (tmp_path / "new.html").read_text(encoding="utf-8")
    (card / "lost.CR3").symlink_to(tmp_path / "nowhere")
    answer = run("new", card, "--index", garden.index, "--copy-to", "into", code=1)
    assert f"1 file of {card} is still not on this computer" in answer.out

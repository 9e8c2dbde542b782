"""The page of what is new on a card."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from birdsearch.export.html import new_photos, pictures
from birdsearch.records import CopyReport, Failure, FolderReport, KnownPhoto, OtherFile, Photo


@pytest.fixture
def report(tmp_path: Path) -> FolderReport:
    for name in ("new.jpg", "own.jpg", "indexed.jpg"):
        Image.new("RGB", (64, 48), (200, 120, 40)).save(tmp_path / name)
    own, indexed = (Photo(number, str(tmp_path / f"{name}.jpg")) for number, name in ((None, "own"), (7, "indexed")))
    known = KnownPhoto(own, indexed, "pixels", 0.99, ("more pixels",), False)
    new = (Photo(None, str(tmp_path / "new.jpg")), Photo(None, str(tmp_path / "<gone>.jpg")))
    return FolderReport("/card", new, (known,), (Failure("/card/b.jpg", "decode", "truncated"),), {"a video": 2})


def test_only_new_photos_are_called_new(report: FolderReport) -> None:
    page = new_photos.new_photos_page(report)
    assert "Of 3 photos in /card you have 1; 2 are new." in page
    assert page.count(">new</span>") == 2
    assert page.index('id="new"') < page.index('id="known"')
    assert "in the index · id 7" in page
    assert "/card/b.jpg <small>truncated" in page
    assert "2 a video" in page
    assert "more pixels here, the folder in which you have it is not there now" in page
    assert page.count("data:image/jpeg") == 3
    assert "&lt;gone&gt;" in page
    assert not re.search(r"<script|<link|url\(|https?://|@import", page)


def test_photos_without_room_for_a_picture_are_named(report: FolderReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 0)
    page = new_photos.new_photos_page(report)
    assert "2 more without a picture" in page
    assert "birdsearch new --csv" in page
    assert "No photos there" in new_photos.new_photos_page(FolderReport("/card"))


def test_all_is_there_only_when_nothing_is_on_the_card_alone(report: FolderReport) -> None:
    known = (replace(report.known[0], more=()),)
    page = new_photos.new_photos_page(FolderReport("/card", (), known))
    assert "You have all of these photos." in page
    assert "All of it is on this computer; 1 photo is in a folder that is not there now." in page
    raw = OtherFile("/card/1.CR3", "camera RAW", 9_000)
    page = new_photos.new_photos_page(FolderReport("/card", (), known, others=(raw,)))
    assert "1 file is not on this computer." in page
    assert "You have all" not in page
    assert page.count(">not on this computer<") == 1
    copied = CopyReport("/pictures", others=((raw.path, "/pictures/1.CR3"),))
    page = new_photos.new_photos_page(FolderReport("/card", (), known, others=(raw,)), copied)
    assert "All of it is on this computer" in page
    assert "pictures/<wbr>1.CR3" in page
    assert "1 file is not" in new_photos.new_photos_page(FolderReport("/card", (), report.known))  # more pixels


def test_paths_break_between_folders(report: FolderReport, tmp_path: Path) -> None:
    assert f"{tmp_path.name}/<wbr>new.jpg</a>" in new_photos.new_photos_page(report)

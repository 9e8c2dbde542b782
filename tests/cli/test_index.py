"""The command index."""

import gc
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import birdsearch
from birdsearch.records import AS_BIRDER
from tests.conftest import Garden, write_garden_photos
from tests.support import drawing, fake_backbone
from tests.support.command_line import Answer, run


def test_index_creates_adds_and_counts_every_file_once(tmp_path: Path) -> None:
    write_garden_photos(tmp_path / "pics")
    (tmp_path / "pics" / "notes.txt").write_text("no photo")
    (tmp_path / "pics" / "broken.jpg").write_bytes((tmp_path / "pics/Wren/1.jpg").read_bytes()[:500])
    first = run("index", "pics", "--index", "garden")
    assert (tmp_path / "data" / "indexes" / "garden").is_dir()
    assert "built-in backbone" in first.err
    assert "rope_vit_reg4_b14_capi-inat21" in first.err
    counts = summary_of(first)
    assert (counts["added"], counts["failed"], counts["ignored"], counts["files"]) == (6, 1, 1, 8)
    assert "broken.jpg" in first.err
    assert "birdsearch failures --index garden" in first.err

    (tmp_path / "pics/Wren/1.jpg").rename(tmp_path / "pics/Wren/moved.jpg")
    again = run("index", "pics", "--index", "garden")
    assert "built-in" not in again.err
    counts = summary_of(again)
    assert (counts["added"], counts["unchanged"], counts["moved"], counts["failed"], counts["files"]) == (0, 5, 1, 1, 8)
    assert "broken.jpg" in run("failures", "--index", "garden").out

    (tmp_path / "pics/Wren/moved.jpg").unlink()
    report = run("index", "pics", "--index", "garden", "--json").json
    assert report["missing"] == 1
    assert report["unchanged"] == 5
    assert run("index", "pics", "--index", "garden", "--prune", "--json", "--strict", code=1).json["failed"]


def summary_of(answer: Answer) -> dict[str, int]:
    lines = [line.split() for line in answer.out.splitlines()]
    return {words[0]: int(words[1].replace(",", "")) for words in lines}


def test_garbage_of_photos_is_collected_soon(own: Garden) -> None:
    usual = gc.get_threshold()
    gc.set_threshold(200_000)  # as the command line does for short commands
    try:
        run("index", str(own.photos), "--index", str(own.index))
        assert gc.get_threshold()[0] < 10_000
    finally:
        gc.set_threshold(*usual)


def test_what_is_odd_about_a_file_of_labels_is_said_once(tmp_path: Path) -> None:
    drawing.write(tmp_path / "pics/1.jpg", drawing.bird(1, 80, 60))
    (tmp_path / "labels.csv").write_bytes("path,species\npics/1.jpg,Grünspecht\n".encode("cp1252"))
    told = run("index", "pics", "--labels", "labels.csv", "--index", "garden")
    assert told.err.count("labels.csv is not UTF-8") == 1


def test_how_many_photos_got_no_label_is_said_once(tmp_path: Path) -> None:
    drawing.write(tmp_path / "pics" / "2024" / "1.jpg", drawing.bird(1, 80, 60))
    for labels in (["--labels", "folder"], []):
        told = run("index", "pics", "--index", f"garden{len(labels)}", *labels).err
        assert told.count("1 photo got no label") == 1
        assert told.count("birdsearch classify pics --csv") == 1


def test_index_of_a_missing_folder_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    assert "nowhere" in run("index", "nowhere", code=1).err
    assert "Did you mean" in run("index", "pictures", "picture", code=1).err
    assert run("indexes", "--json").json == []


def test_a_table_is_no_photo_and_what_to_do_with_it_is_said(tmp_path: Path) -> None:
    for name, what in (
        ("a b.csv", "birdsearch index DIR --labels 'a b.csv'"),
        ("boxes.json", "--regions boxes.json"),
        ("all.parquet", "birdsearch import all.parquet"),
    ):
        Path(name).write_text("path,species\n", encoding="utf-8")
        answer = run("index", name, "--index", "garden", code=2)
        told = " ".join(answer.err.replace("│", "").split())
        assert f"{name} is no photo: " in told
        assert what in told
    assert run("indexes", "--json").json == []
    drawing.write(tmp_path / "wren.jpg", drawing.bird(1, 80, 60))
    beside = run("index", tmp_path / "wren.jpg", "all.parquet", "--index", "garden", "--json").json
    assert (beside["added"], sum(beside["ignored"].values())) == (1, 1)


def test_a_folder_that_cannot_become_an_index_is_not_called_a_new_one(garden: Garden, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("notes")
    answer = run("index", garden.photos, "--index", "./taken", code=1)
    what = f"{tmp_path}/taken holds other files (notes.txt): choose a new or empty folder for the index."
    assert answer.err == f"birdsearch: {what}\n"


def test_index_of_a_folder_without_photos_says_so(own: Garden, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "No photos there" in run("index", "empty", "--index", "own").err


def test_labels_come_from_the_folders_and_are_kept(own: Garden) -> None:
    listed = run("photos", "--index", "own", "--label", "wren", "--json").json
    assert {photo["label"] for photo in listed} == {"Wren"}
    run("index", own.photos, "--index", "own")
    assert len(run("photos", "--index", "own", "--label", "wren", "--json").json) == 3


@pytest.mark.network
def test_another_backbone_is_refused(own: Garden) -> None:
    message = run("index", own.photos, "--index", "own", "--backbone", "rope_vit_reg4_b14_capi-inat21", code=1).err
    assert message.startswith("birdsearch: ")


@pytest.mark.network
def test_unknown_backbone_suggests_a_name(tmp_path: Path) -> None:
    write_garden_photos(tmp_path / "pics")
    assert "efficientnet_lite0_imagenet" in run("index", "pics", "--backbone", "efficientnet_lite_imagenet", code=1).err


def test_library_warnings_are_notes(own: Garden, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,species\nnowhere.jpg,Wren\n")
    assert "note: " in run("index", own.photos, "--index", "own", "--labels", "labels.csv").err
    assert "--labels" in run("index", own.photos, "--index", "own", "--labels", "foldr", code=2).err


def test_exclude_is_remembered_until_it_is_cleared(own: Garden) -> None:
    command = ("index", own.photos, "--index", "own", "--json")
    assert run(*command, "--exclude", "Wren/", "--exclude", "[").json["ignored"] == {"excluded by --exclude": 3}
    assert run(*command).json["ignored"] == {"excluded by --exclude": 3}
    assert run(*command, "--exclude", "").json["unchanged"] == 6
    assert '"!" is no pattern' in run(*command, "--exclude", "!", code=1).err


def test_prune_asks_for_force_where_most_photos_are_gone(own: Garden, tmp_path: Path) -> None:
    write_garden_photos(tmp_path / "pics")
    command = ("index", "pics", "--index", "own", "--json")
    run(*command)
    shutil.rmtree(tmp_path / "pics")
    (tmp_path / "pics").mkdir()
    assert "add --force" in run(*command, "--prune", code=1).err
    assert run(*command, "--prune", "--force").json["missing"] == 6
    assert "needs --prune" in run(*command, "--force", code=2).err


def test_reembed_is_proposed_once_and_makes_an_old_index_a_new_one(tmp_path: Path, fake_built_in: None) -> None:
    write_garden_photos(tmp_path / "pics")
    old = replace(fake_backbone.built_in(), recipe=AS_BIRDER)
    with birdsearch.create(tmp_path / "old", backbone=old) as index:
        index.add(tmp_path / "pics", labels="folder")
        photos = [(photo.path, photo.label) for photo in index.photos()]
    asked = run("query", "pics/Wren/1.jpg", "--index", tmp_path / "old")
    assert asked.err.count("--reembed") == 1
    assert "Wren" in asked.out
    done = run("index", "--index", tmp_path / "old", "--reembed")
    assert f"{len(photos)} photos embedded anew" in done.err
    with birdsearch.open(tmp_path / "old") as index:
        assert [(photo.path, photo.label) for photo in index.photos()] == photos
    assert "reembed" not in run("query", "pics/Wren/1.jpg", "--index", tmp_path / "old").err
    again = run("index", "--index", tmp_path / "old", "--reembed", "--json")
    assert again.json["reembedded"]["embedded"] == 0
    assert "nothing to embed anew" in again.err
    assert "--force" in run("index", "--index", tmp_path / "old", "--force", code=2).err

"""Plans that people edit, apply and undo: only what was checked goes, sidecars travel, everything comes back."""

import errno
import json
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

import birdsearch
from birdsearch import Cancelled, Index
from birdsearch.actions import filesystem, renames
from birdsearch.actions.filesystem import TRASH
from birdsearch.actions.runs import runs
from birdsearch.duplicates.cleanup.plan import escaped, read_plan, unescaped, write_plan
from birdsearch.errors import IndexDamagedError, IndexLockedError, InputFileError, PlanError
from birdsearch.files import sha256_of
from birdsearch.records import Plan, Step
from birdsearch.storage.catalog.tables import labels, not_duplicates, photos
from birdsearch.storage.folder import Folder
from tests.support import command_line
from tests.support.catalogs import catalog_at, on_sqlite
from tests.support.disks import call_where_disks_mount, other_disk
from tests.support.drawing import bird, write
from tests.support.engine_file import engine_of
from tests.support.fake_backbone import FakeBackbone
from tests.support.photo_library import SMALL, Library, contents, copy, files, indexed, small

STRANGE = 'Wren/new\nline, "quoted" \\x41 \x1b \udcff ü \u202e.jpg'
SHA = "a" * 64
NOBODY = 2**32 - 1


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Three photos and a copy of each."""
    return small(tmp_path)


def step(do: str, path: str, group: int = 1, relation: str = "identical") -> Step:
    return Step(group, do, "" if do == "keep" else relation, path, SHA, 3, "because")


# Stopped


@pytest.mark.parametrize("action", ["trash", "hardlink"])
def test_whoever_stops_a_run_is_told_what_was_done(
    library: Library, tmp_path: Path, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(library.photos)
    write_plan(library.plan(*SMALL), tmp_path / "plan.csv")
    word = "move" if action == "trash" else "link"
    carry_out = getattr(filesystem, word)
    done: list[None] = []

    def stopped(*arguments: Any) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(carry_out(*arguments))

    command = ("dedupe", "--index", library.index, "--apply", tmp_path / "plan.csv", "--action", action)
    with monkeypatch.context() as patch:
        patch.setattr(filesystem, word, stopped)
        answer = command_line.run(*command, code=130)
    with library.open() as index:
        (run,) = index.runs()
    assert (run.state, run.photos) == ("stopped", 2)
    words = "moved 2 photos to the trash" if action == "trash" else "replaced 2 photos by hard links"
    assert answer.err.splitlines() == [
        f"{words} before the stop",
        f"To restore the files: birdsearch undo {run.run} --index {library.index}",
        "birdsearch: stopped",
    ]
    assert library.undo().done == 2
    assert contents(library.photos) == before


def test_a_stop_after_the_last_file_is_told_too(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plan(library.plan(*SMALL), tmp_path / "plan.csv")
    apply_all = Index.apply

    def stopped(*arguments: Any, **options: Any) -> None:
        apply_all(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Index, "apply", stopped)
    command = ("dedupe", "--index", library.index, "--apply", tmp_path / "plan.csv")
    assert "moved 3 photos to the trash before the stop" in command_line.run(*command, code=130).err


# The file of a plan


@pytest.mark.parametrize("text", [STRANGE, "\\n", "\\\\x", "a\tb\r", "\x85\u2028\ufeff\U000e0001", "plain ü"])
def test_every_text_comes_back_from_one_printable_line(text: str) -> None:
    assert escaped(text).isprintable()
    assert unescaped(escaped(text)) == text


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    plan = Plan((step("keep", "/p/a.jpg"), step("remove", f"/p/{STRANGE}"), step("skip", "/p/c;d.jpg")))
    write_plan(plan, tmp_path / "plan.csv")
    assert read_plan(tmp_path / "plan.csv") == plan
    lines = (tmp_path / "plan.csv").read_text("utf-8-sig").splitlines()
    assert lines[0] == "group,do,relation,path,sha256,size,reason"
    assert len(lines) == 4
    # as a spreadsheet of another country writes it
    simple = Plan((step("keep", "/p/a.jpg"), step("remove", "/p/b.jpg")))
    write_plan(simple, tmp_path / "simple.csv")
    changed = (tmp_path / "simple.csv").read_text().replace(",", ";").replace("keep", " KEEP ").replace("\n", "\r\n")
    (tmp_path / "simple.csv").write_text("\ufeff" + changed + ";;;;;;\r\n", "utf-8")
    assert read_plan(tmp_path / "simple.csv") == simple


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("remove", "delete", 'line 3: do is "delete"'),
        ("keep", "remove", "line 2: nothing of group 1 would be kept"),
        ("keep", "skip", "line 3: nothing of group 1 would be kept"),
        (",size", "", "line 1: no column size"),
        ("identical", "similar", 'line 3: relation is "similar"'),
        ("identical", "", "line 3: a second photo of the group without a relation"),
        ("/p/b.jpg", "b.jpg", "line 3: .* is not an absolute path"),
        ("/p/b.jpg", "/p/../b.jpg", "line 3: .* is not an absolute path"),
        ("/p/b.jpg", "/p/a.jpg", "line 3: /p/a.jpg comes twice"),
        ("/p/b.jpg", "/p/b\\q.jpg", "line 3: .* means nothing"),
        (SHA, "abc", "line 2: sha256 is not 64 hex digits"),
        (",3,", ",three,", "line 2: size is"),
    ],
)
def test_a_plan_that_makes_no_sense_says_in_which_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "plan.csv"
    write_plan(Plan((step("keep", "/p/a.jpg"), step("remove", "/p/b.jpg"))), path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputFileError, match=said):
        read_plan(path)


def test_a_file_kept_in_one_group_is_not_removed_in_another(tmp_path: Path, library: Library) -> None:
    names = [library.path(name) for name in SMALL[0]]
    circle = Plan(
        (step("keep", names[0]), step("remove", names[1]), step("keep", names[1], 2), step("remove", names[0], 2))
    )
    write_plan(circle, tmp_path / "plan.csv")
    with pytest.raises(InputFileError, match=r"line 3: .* is kept in group 2 and removed in group 1"):
        read_plan(tmp_path / "plan.csv")
    with pytest.raises(PlanError, match="is kept in group"):
        library.apply(circle)


def test_a_burst_is_a_group_to_choose_from(library: Library) -> None:
    assert {s.do for s in library.plan(*SMALL, relation="burst").steps} == {"skip"}


# What is left alone


def test_only_what_the_plan_saw_goes(library: Library, tmp_path: Path) -> None:
    plan = library.plan(*SMALL)
    Path(library.path("copies/0.jpg")).write_bytes(b"edited")
    Path(library.path("copies/1.jpg")).unlink()
    Path(library.path("Wren/2.jpg")).write_bytes(b"edited too")
    before = files(library.photos)
    report = library.apply(plan)
    assert report.done == 0
    said = {os.path.relpath(path, library.photos): reason for path, reason in report.skipped}
    assert said["copies/0.jpg"] == "changed since the plan was made"
    assert said["copies/1.jpg"] == "no longer there"
    assert "Wren/2.jpg has changed" in said["copies/2.jpg"]
    assert files(library.photos) == before


def test_a_weaker_relation_must_be_named(library: Library) -> None:
    plan = library.plan(*SMALL)
    # As if it had other bytes; by its sha256 a copy is identical whatever the plan says.
    write(library.photos / "copies/0.jpg", bird(50, 60, 40))
    with library.open() as index:
        index.add(library.photos)
    plan = library.plan(SMALL[0], relation="variant")
    report = library.apply(plan)
    assert report.done == 0
    assert "--relation variant" in report.skipped[0][1]
    swapped = Plan(tuple(replace(s, do="remove" if s.do == "keep" else "keep") for s in plan.steps))
    assert "--relation variant" in library.apply(swapped).skipped[0][1]
    lied = Plan(tuple(replace(s, relation=s.relation and "identical") for s in plan.steps))
    assert "said to be identical" in library.apply(lied).skipped[0][1]
    assert library.apply(plan, relations=("variant",)).done == 1
    assert library.undo().done == 1
    assert "hard links are for identical" in library.apply(plan, "hardlink", relations=("variant",)).skipped[0][1]


def test_links_and_other_names_of_a_kept_file_stay(library: Library, tmp_path: Path) -> None:
    plan = library.plan(*SMALL)
    one, two, three = (Path(library.path(f"copies/{n}.jpg")) for n in range(3))
    one.unlink()
    one.symlink_to(library.path("Wren/0.jpg"))
    two.unlink()
    os.link(library.path("Wren/1.jpg"), two)
    Path(library.path("Wren/2.jpg")).unlink()
    Path(library.path("Wren/2.jpg")).symlink_to(three)
    before = files(library.photos)
    report = library.apply(plan)
    assert [reason.split(":")[0] for _, reason in report.skipped] == [
        "a symbolic link",
        "another name of a file that is kept",
        "another name of a file that is kept",
    ]
    assert files(library.photos) == before


def test_nothing_protected_is_touched(library: Library) -> None:
    (library.photos / "door").symlink_to(library.photos / "copies")
    before = files(library.photos)
    for folder in (library.path("copies"), library.path("door")):
        report = library.apply(library.plan(*SMALL), protect=(folder,))
        assert (report.skipped[0][1], report.as_told) == ("protected", ("protected",))
    assert library.apply(library.plan(*SMALL), protect=(library.path("cop"),)).done == 3
    library.undo()
    assert files(library.photos) == before


def test_actions_that_do_not_exist(library: Library) -> None:
    for action in ("delete", "move", "move:", "trash:x", f"move:{library.path('Wren/0.jpg')}"):
        with pytest.raises(PlanError):
            library.apply(library.plan(*SMALL), action)


# What travels along


@pytest.mark.parametrize("word", ["trash", "move"])
def test_sidecars_travel_with_the_last_photo_they_belong_to(word: str, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for n in range(4):
        write(folder / f"Wren/{n}.jpg", bird(n, 60, 40))
        copy(folder, f"Wren/{n}.jpg", f"copies/{n}.jpg")
    moving = [
        "0.XMP",
        "0.jpg.xmp",
        "0.aae",
        "0.MOV",
        "0.txt",
        "0_01.jpg.xmp",
        "0.jpg.json",
        "0.wav",
        "1.jpg.xmp",
        "3.xmp",
        "3.cr2",
    ]
    staying = ["1.xmp", "1.cr2", "2.xmp", "2.psd", "00.xmp"]
    for name in moving + staying:
        (folder / "copies" / name).write_bytes(b"beside " + name.encode())
    shutil.copy(folder / "copies/3.cr2", folder / "Wren/3.CR2")  # the kept photo has this RAW as well
    (folder / "Wren/1.cr2").write_bytes(b"another RAW")
    library = indexed(tmp_path)
    before, rows, had = files(folder), library.rows(), contents(folder)
    action = "trash" if word == "trash" else f"move:{tmp_path / 'away'}"
    report = library.apply(library.plan(*((f"Wren/{n}.jpg", f"copies/{n}.jpg") for n in range(4))), action)
    assert (report.done, report.skipped) == (4, ())
    assert sorted(os.listdir(folder / "copies")) == sorted(staying)
    assert contents(folder, *([tmp_path / "away"] if word == "move" else [])) == had
    assert library.undo().skipped == ()
    assert files(folder) == before
    assert library.rows() == rows


def test_a_journal_of_format_1_has_its_columns_renamed(library: Library) -> None:
    """Written before tables 0003: a run that today's main had applied is undone with every row as it is called now."""
    rows = library.rows()
    run = library.apply(library.plan(*SMALL)).run
    path = library.index / "actions" / f"{run}.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    entries[0]["format"] = 1
    for entry in entries:
        for row in entry.get("intent", {}).get("rows", {}).get("photos", []):
            row["observer"] = row.pop("photographer")
        for row in entry.get("intent", {}).get("rows", {}).get("predictions", []):
            row["level"], row["rank"] = row.pop("rank"), row.pop("position")
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert library.undo().skipped == ()
    assert library.rows() == rows


@pytest.mark.parametrize(
    "damage",
    [
        {"intent": {"number": 1}},
        {"intent": [1]},
        {"intent": {"number": 0, "kind": "move", "made": None, "owner": [0, 0], "kept_inode": [0, 0]}},
        {"merged": [{"number": 0}]},
        {"done": 7},
    ],
)
def test_a_journal_that_birdsearch_did_not_write_is_named_with_its_line(library: Library, damage: object) -> None:
    run = library.apply(library.plan(*SMALL)).run
    path = library.index / "actions" / f"{run}.jsonl"
    with path.open("a") as file:
        file.write(json.dumps(damage) + "\n")
    line = len(path.read_text().splitlines())
    with pytest.raises(IndexDamagedError, match=f"line {line} is not what birdsearch wrote"):
        library.undo()


def test_a_strangers_journal_moves_and_deletes_nothing(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, before = library.rows(), files(library.photos)
    run = library.apply(library.plan(*SMALL)).run
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("BIRDSEARCH_DATA", str(tmp_path / "another user"))
        with birdsearch.open(library.index, backbone=FakeBackbone()) as index:
            with pytest.raises(PlanError, match=f"birdsearch undo {run} --foreign"):
                index.undo()
            assert index.trash() == []
            assert index.empty_trash().done == 0
            assert index.undo(foreign=True).skipped == ()
    assert (library.rows(), files(library.photos)) == (rows, before)
    library.apply(library.plan(*SMALL))
    assert library.undo().skipped == ()


def test_names_that_are_taken_are_never_overwritten(library: Library, tmp_path: Path) -> None:
    away = tmp_path / "away"
    (away / "copies").mkdir(parents=True)
    (away / "copies/0.jpg").write_bytes(b"somebody's")
    before = files(library.photos, away)
    report = library.apply(library.plan(*SMALL), f"move:{away}")
    assert (report.done, report.skipped) == (3, ())
    assert (away / "copies/0.jpg").read_bytes() == b"somebody's"
    assert (away / str(report.run) / "copies/0.jpg").exists()
    # another photo in the old place: it stays, and the run can still be undone
    Path(library.path("copies/1.jpg")).write_bytes(b"new")
    undone = library.undo()
    assert [os.path.basename(path) for path, _ in undone.skipped] == ["1.jpg"]
    assert Path(library.path("copies/1.jpg")).read_bytes() == b"new"
    Path(library.path("copies/1.jpg")).unlink()
    assert library.undo().done == 1
    assert files(library.photos, away) == before


# What a plan may name


@on_sqlite
@pytest.mark.parametrize("relation", ["pixels", "variant"])
def test_only_photos_of_the_index_go(relation: str, library: Library, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("not a photo")
    other = small(tmp_path / "other")
    beside = library.photos / "new.jpg"
    shutil.copy(library.path("copies/0.jpg"), beside)
    victims = [library.index / "lock", library.index / "index.json", library.index / "catalog.sqlite"]
    victims += [thesis, beside, Path(other.path("copies/0.jpg")), *other.index.glob("*.sqlite")]
    kept = Path(library.path("Wren/0.jpg"))
    for victim in victims:
        steps = (Step(1, "keep", "", str(kept), sha256_of(kept), 1, ""), a_step(victim, relation))
        report = library.apply(Plan(steps), relations=("identical", "pixels", "variant"))
        assert (report.done, report.failed, victim.exists()) == (0, 1, True)
        assert "index" in report.skipped[0][1]


def a_step(path: Path, relation: str) -> Step:
    return Step(1, "remove", relation, str(path), sha256_of(path), 1, "")


def test_pixels_are_compared_again(library: Library) -> None:
    kept = Path(library.path("Wren/0.jpg"))
    with Image.open(kept) as image:
        image.save(library.photos / "same pixels.png")
    with library.open() as index:
        index.add(library.photos)
    more = library.photos / "with a movie.jpg"
    more.write_bytes(kept.read_bytes() + b"\0\0\0\x14ftypqt  \0\0\0\0qt  " * 100)
    with library.open() as index:
        index.add(library.photos)
    other, same = Path(library.path("copies/1.jpg")), library.photos / "same pixels.png"
    steps = [Step(1, "keep", "", str(kept), sha256_of(kept), 1, "")]
    steps += [a_step(path, "pixels") for path in (other, more, same)]
    report = library.apply(Plan(tuple(steps)))
    assert (report.done, other.exists(), more.exists(), same.exists()) == (1, True, True, False)
    assert ["the same pixels" in reason for _, reason in report.skipped] == [True, True]
    # a kept file whose pixels nobody can see any more
    library.undo()
    kept.write_bytes(b"no picture")
    steps[0] = Step(1, "keep", "", str(kept), sha256_of(kept), 1, "")
    assert "cannot be compared" in library.apply(Plan((steps[0], steps[3]))).skipped[0][1]


def test_a_photo_is_not_kept_as_something_else(library: Library, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("not a photo")
    for kept in (thesis, library.index / "index.json"):
        keep = Step(1, "keep", "", str(kept), sha256_of(kept), 1, "")
        report = library.apply(
            Plan((keep, a_step(Path(library.path("copies/0.jpg")), "variant"))), relations=("variant",)
        )
        assert (report.done, report.failed) == (0, 1)


@pytest.mark.parametrize("kept", ["fifo", "/dev/zero", "folder", "socket"])
def test_a_kept_file_that_is_not_a_regular_one_is_not_read(kept: str, library: Library) -> None:
    path = Path(kept) if kept.startswith("/") else library.photos / kept
    if kept == "fifo":
        os.mkfifo(path)
    elif kept == "folder":
        path.mkdir()
    elif kept == "socket":
        with closing(socket.socket(socket.AF_UNIX)) as made:
            os.chdir(library.photos)
            made.bind(kept)
    gone = Path(library.path("copies/0.jpg"))
    keep = Step(1, "keep", "", str(path), sha256_of(gone), 1, "")
    report = library.apply(Plan((keep, a_step(gone, "identical"))))
    assert report.done == 0
    assert "not a regular file" in report.skipped[0][1]


# A photo and its companions are one


def test_companions_come_to_a_kept_photo_that_lacks_them(library: Library) -> None:
    for name in ("0.MOV", "0.jpg.xmp", "1.jpg.json", "1.wav"):
        (library.photos / "copies" / name).write_text(name)
    (library.photos / "Wren/0.xmp").write_text("the kept photo has edits of its own")
    (library.photos / "Wren/1.cr2").write_text("what has its stem would be taken for the RAW's")
    before = files(library.photos)
    assert library.apply(library.plan(*SMALL)).failed == 0
    assert sorted(os.listdir(library.photos / "Wren")) == [
        "0.MOV", "0.jpg", "0.xmp", "1.cr2", "1.jpg", "1.jpg.json", "2.jpg",
    ]  # fmt: skip
    assert os.listdir(library.photos / "copies") == []
    assert library.undo().failed == 0
    assert files(library.photos) == before


def test_a_photo_stays_where_its_companion_must(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("0.xmp", "1.mov", "1.wav"):
        (library.photos / "copies" / name).write_text(name)
    before, rows = files(library.photos), library.rows()
    real = renames.rename_noreplace

    def call(source: str, target: str) -> None:
        if source.endswith(("0.xmp", "1.wav")):
            raise OSError(5, "Input/output error")
        real(source, target)

    with monkeypatch.context() as failing:
        failing.setattr(renames, "rename_noreplace", call)
        report = library.apply(library.plan(*SMALL))
    assert report.done == 1
    assert sorted(os.listdir(library.photos / "copies")) == ["0.jpg", "0.xmp", "1.jpg", "1.mov", "1.wav"]
    library.undo()
    assert (files(library.photos), library.rows()) == (before, rows)


def test_trash_and_target_are_no_more_open_than_the_photos(library: Library, tmp_path: Path) -> None:
    (library.photos / "copies").chmod(0o700)
    for folder in (tmp_path, library.photos, library.photos / "Wren"):
        folder.chmod(0o755)
    away = tmp_path / "away"
    (away / "copies").mkdir(parents=True)
    for folder in (away, away / "copies"):
        folder.chmod(0o777)
    old = os.umask(0)
    try:
        for action in ("trash", f"move:{away}"):
            library.apply(library.plan(*SMALL), action)
            top = library.photos / TRASH if action == "trash" else away
            moved = [Path(path) for path in files(top) if os.path.isfile(path)]
            assert len([path for path in moved if path.suffix == ".jpg"]) == 3
            for path in moved:
                above = [folder.stat().st_mode & 0o077 for folder in path.parents if folder.is_relative_to(top)]
                assert 0 in above, path
            library.undo()
    finally:
        os.umask(old)
    assert os.listdir(away / "copies") == []


# By way of another disk


def test_what_another_disk_cannot_keep_comes_back_and_is_said_before(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(library.path("copies/0.jpg"))
    acl = struct.pack("<IHHIHHIHHIHHIHHI", 2, 1, 6, NOBODY, 2, 4, 1234, 4, 4, NOBODY, 16, 4, NOBODY, 32, 0, NOBODY)
    try:
        os.setxattr(path, "user.tags", b"wren")
        os.setxattr(path, "system.posix_acl_access", acl)
    except OSError:
        pytest.skip("no extended attributes here")
    os.utime(path, ns=(1, 1_234_567_890_123_456_789))
    before = files(library.photos)
    with other_disk(tmp_path) as disk:
        real = os.setxattr

        def refuse(where: Any, *given: Any) -> None:
            if isinstance(where, int) or str(where).startswith(str(disk)):
                raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
            real(where, *given)

        monkeypatch.setattr(os, "setxattr", refuse)
        report = library.apply(library.plan(*SMALL), f"move:{disk}")
        assert (report.done, report.failed) == (3, 0)
        assert [record.getMessage() for record in caplog.records] == [
            f"the disk of {disk} cannot keep extended attributes (tags, ACLs): `undo` restores them"
        ]
        assert not any(one.attributes for one in files(disk).values())
        assert library.undo().failed == 0
        assert files(disk) == {}
    assert files(library.photos) == before


def test_a_copy_on_another_disk_keeps_holes(library: Library, tmp_path: Path) -> None:
    for name in SMALL[0]:
        with open(library.path(name), "ab") as file:
            file.truncate(50_000_000)
            file.seek(20_000_000)
            file.write(b"something")
    with library.open() as index:
        index.add(library.photos)
    before, blocks = files(library.photos), os.stat(library.path(SMALL[0][1])).st_blocks
    with other_disk(tmp_path) as disk:
        assert library.apply(library.plan(SMALL[0]), f"move:{disk}").done == 1
        assert library.undo().done == 1
    assert files(library.photos) == before
    assert os.stat(library.path(SMALL[0][1])).st_blocks < 2 * blocks + 1000


def test_a_file_of_several_names_stays_on_its_disk(library: Library, tmp_path: Path) -> None:
    path = Path(library.path("copies/0.jpg"))
    os.link(path, tmp_path / "another name")
    plan, before = library.plan(SMALL[0]), files(library.photos)
    with other_disk(tmp_path) as disk:
        assert "hard links" in library.apply(plan, f"move:{disk}").skipped[0][1]
        assert "hard links" in library.apply(plan, "hardlink").skipped[0][1]
    assert library.apply(plan).done == 1
    assert library.undo().done == 1
    assert files(library.photos) == before
    assert os.path.samefile(path, tmp_path / "another name")


# The catalog follows


def test_the_kept_photo_takes_over_what_it_lacks(library: Library) -> None:
    with library.open() as index:
        ids = {os.path.relpath(p.path, library.photos): p.id for p in index.photos()}
    kept, gone, third = ids["Wren/0.jpg"], ids["copies/0.jpg"], ids["Wren/2.jpg"]
    facts = {"notes": "on a post", "rating": 5, "photographer": "me", "latitude": 0.0, "longitude": 7.5, "camera": "X"}
    library.execute(sa.update(photos).where(photos.c.id == gone).values(facts))
    library.execute(sa.update(photos).where(photos.c.id == kept).values(notes="mine", rating=0))
    said = {"photo_id": gone, "source": "correction", "species": "Robin", "author": "me", "created_at": "2024"}
    library.execute(sa.insert(labels).values(said))
    pair = sorted((int(gone or 0), int(third or 0)))
    library.execute(sa.insert(not_duplicates).values(a=pair[0], b=pair[1], created_at="then"))
    with closing(catalog_at(library.index)) as catalog:
        catalog.derive_species()
    before = library.rows()
    assert library.apply(library.plan(*SMALL)).done == 3
    with library.open() as index:
        assert len(index) == 3
        assert index.verify().ok
        photo = index.photo(int(kept or 0))
        assert (photo.notes, photo.rating, photo.photographer, photo.label) == ("mine", 5, "me", "Robin")
        assert (photo.latitude, photo.longitude, photo.camera) == (0.0, 7.5, "X")
        index.add(library.photos)
        assert index.photo(int(kept or 0)).label == "Robin"
        assert len(index) == 3, "the trash was indexed"
        index.repair()
    engine_of(library.index).unlink()
    with closing(library.store()) as store, store.writing():
        pass  # builds the engine without the photos that went
    library.undo()
    assert library.rows() == before
    with library.open() as index:
        assert index.verify().ok
        assert len(index.search_vectors(index.vectors([int(kept or 0)]), k=9)[0]) == 6


def test_a_label_of_a_folder_survives_the_next_run(library: Library) -> None:
    names = [(b, a) for a, b in SMALL]
    library.execute(sa.delete(labels).where(labels.c.species == "copies"))
    with closing(catalog_at(library.index)) as catalog:
        catalog.derive_species()
    before = library.rows()
    library.apply(library.plan(*names))
    with library.open() as index:
        assert {photo.label for photo in index.photos()} == {"Wren"}
    library.undo()
    assert library.rows() == before


def test_a_later_run_on_the_same_photos_is_undone_first(library: Library) -> None:
    copy(library.photos, "Wren/0.jpg", "more/0.jpg")
    with library.open() as index:
        index.add(library.photos)
    before, rows = files(library.photos), library.rows()
    one = library.apply(library.plan(("copies/0.jpg", "more/0.jpg"))).run
    two = library.apply(library.plan(("Wren/0.jpg", "copies/0.jpg"))).run
    with pytest.raises(PlanError, match=f"undo that one first .*{two}"):
        library.undo(one)
    assert library.undo().run == two
    assert library.undo("1").run == one
    with pytest.raises(PlanError, match="is undone already"):
        library.undo(one)
    with pytest.raises(PlanError, match="no run 77"):
        library.undo("77")
    assert (files(library.photos), library.rows()) == (before, rows)
    assert [run.state for run in runs(Folder(library.index))] == ["undone", "undone"]


def test_two_plans_at_once(library: Library) -> None:
    plan = library.plan(*SMALL)
    with Folder(library.index).writing(), pytest.raises(IndexLockedError):
        library.apply(plan)
    before, rows = files(library.photos), library.rows()
    reverse = library.plan(*((b, a) for a, b in SMALL))
    assert library.apply(plan).done == 3
    report = library.apply(reverse)
    assert report.done == 0
    assert all("is no longer there" in reason for _, reason in report.skipped)
    library.undo()
    assert (files(library.photos), library.rows()) == (before, rows)


# Hard links


def test_a_hard_link_becomes_a_file_of_its_own_again(library: Library) -> None:
    before, rows = files(library.photos), library.rows()
    report = library.apply(library.plan(*SMALL), "hardlink")
    assert (report.done, report.bytes) == (3, sum(len(before[library.path(a)].content) for a, _ in SMALL))
    assert all(os.path.samefile(library.path(a), library.path(b)) for a, b in SMALL)
    assert library.rows() == rows
    library.undo()
    assert not any(os.path.samefile(library.path(a), library.path(b)) for a, b in SMALL)
    assert files(library.photos) == before
    library.apply(library.plan(*SMALL), "hardlink")
    Path(library.path("Wren/0.jpg")).write_bytes(b"both now")
    assert "changed in place" in library.undo().skipped[0][1]


# Many, strange names, full disks


def test_a_thousand_copies_and_strange_names(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    write(folder / STRANGE, bird(1, 30, 20))
    names = [copy(folder, STRANGE, f"{n % 10}/{n} \udcfe\n.jpg", mode=0o600 + n % 64) for n in range(1000)]
    library = indexed(tmp_path)
    before, rows = files(folder), library.rows()
    path = tmp_path / "plan.csv"
    write_plan(library.plan((STRANGE, *names)), path)
    report = library.apply(read_plan(path))
    assert (report.done, report.skipped) == (1000, ())
    assert [p for p in files(folder) if TRASH not in p and not os.path.isdir(p)] == [str(folder / STRANGE)]
    assert library.undo().done == 1000
    assert files(folder) == before
    assert library.rows() == rows


def full_disk(folder: Path) -> None:
    """Called where small file systems may be mounted."""
    library = small(folder)
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)], check=True)
    before, rows, plan = files(library.photos), library.rows(), library.plan(*SMALL)
    report = library.apply(plan, f"move:{disk}")
    assert report.skipped, "there was room"
    assert all("no space" in reason for _, reason in report.skipped), report.skipped
    assert contents(library.photos, disk) >= {one.content for one in before.values()}
    subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
    rest = library.apply(plan, f"move:{disk}")
    assert report.done + rest.done == 3
    for run in runs(Folder(library.index)):
        if run.photos:
            library.undo()
    assert files(library.photos) == before
    assert library.rows() == rows
    assert files(disk) == {}
    subprocess.run(["umount", str(disk)], check=True)


def test_another_disk_and_a_full_one(tmp_path: Path) -> None:
    call_where_disks_mount(full_disk, tmp_path)


def test_a_run_and_its_undo_that_their_caller_ends_stop_between_two_photos(library: Library) -> None:
    before = contents(library.photos)

    def stop_at(number: int) -> Callable[[str, int, int | None, str], None]:
        def stop(stage: str, done: int, total: int | None, path: str) -> None:
            if done == number:
                raise Cancelled

        return stop

    with library.open() as index:
        with pytest.raises(Cancelled):
            index.apply(library.plan(*SMALL), "trash", progress=stop_at(2))
        (run,) = index.runs()
        assert (run.state, run.photos, len(index)) == ("stopped", 2, 4)
        assert index.verify().problems == ()
        with pytest.raises(Cancelled):
            index.undo(progress=stop_at(1))
        (run,) = index.runs()
        assert (run.photos, len(index)) == (1, 5)
        assert index.undo().done == 1
        assert index.verify().problems == ()
        assert index.apply(library.plan(*SMALL), "trash").done == 3
        assert index.undo().done == 3
    assert contents(library.photos) == before

"""The trash: what lies there, and its end, which is the only deletion of a user's file that they ask for."""

import os
import shutil
from pathlib import Path

import pytest

import birdsearch
from birdsearch.actions import filesystem
from birdsearch.actions.filesystem import TRASH
from birdsearch.actions.journal import Intent
from birdsearch.errors import PlanError
from birdsearch.records import bytes_text
from tests.support.command_line import run
from tests.support.photo_library import SMALL, Library, files, small


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Three photos and a copy of each, one with a companion that the kept photo has too."""
    made = small(tmp_path)
    for folder in ("Wren", "copies"):
        (made.photos / folder / "1.xmp").write_text(folder)
    return made


def test_the_trash_is_shown_and_emptied(library: Library, tmp_path: Path) -> None:
    first = library.apply(library.plan(SMALL[0])).run
    second = library.apply(library.plan(SMALL[1], SMALL[2])).run
    library.undo(first)
    with library.open() as index:
        (found,) = index.trash()
        places = (str(library.photos / TRASH / str(second)),)
        assert (found.run, found.photos, found.companions, found.places) == (second, 2, 1, places)
        inside = sum(os.path.getsize(p) for p in files(library.photos) if TRASH in p)
        assert found.bytes == inside
        report = index.empty_trash()
        assert (report.done, report.bytes, report.failed) == (2, inside, 0)
        assert index.trash() == []
        assert [one.state for one in index.runs()] == ["undone", "emptied"]
    assert not (library.photos / TRASH).exists()
    assert Path(library.path("copies/0.jpg")).exists()
    with pytest.raises(PlanError, match="its trash was emptied"):
        library.undo(second)
    with pytest.raises(
        PlanError, match=f"nothing to undo.*the trash of {second} was emptied.*every other run is undone"
    ):
        library.undo()


def test_what_may_be_the_last_of_its_kind_is_not_deleted(library: Library) -> None:
    report = library.apply(library.plan(*SMALL))
    Path(library.path("Wren/0.jpg")).unlink()
    Path(library.path("Wren/1.jpg")).unlink()
    trash = library.photos / TRASH / str(report.run) / "copies"
    (trash / "2.jpg").write_bytes(b"edited in the trash")
    with library.open() as index:
        emptied = index.empty_trash()
    assert (emptied.done, emptied.failed) == (0, 4)
    said = {os.path.basename(path): reason for path, reason in emptied.skipped}
    assert "no longer there" in said["0.jpg"]
    assert "changed" in said["2.jpg"]
    assert "its photo stays" in said["1.xmp"]
    assert library.undo().done == 2


def test_files_that_are_nowhere_else_are_counted(library: Library) -> None:
    report = library.apply(library.plan(*SMALL))
    with library.open() as index:
        (found,) = index.trash()
        assert (found.photos, found.companions, found.only_here) == (3, 1, 1)  # the sidecar
        Path(library.path("Wren/0.jpg")).write_bytes(b"edited in place")
        assert index.trash()[0].only_here == 2
    assert library.undo(report.run).done == 3


def test_what_was_deleted_before_a_stop_is_written_down(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    library.apply(library.plan(*SMALL))
    delete = filesystem.delete
    deleted: list[str] = []

    def stopped(intent: Intent) -> None:
        if deleted:
            raise KeyboardInterrupt
        delete(intent)
        deleted.append(intent.to)

    with monkeypatch.context() as patch, library.open() as index:
        patch.setattr(filesystem, "delete", stopped)
        with pytest.raises(KeyboardInterrupt):
            index.empty_trash()
        assert [one.state for one in index.runs()] == ["partly emptied"]
    assert library.undo().done == 2


def test_a_kept_photo_that_a_later_run_took_counts_as_there(library: Library) -> None:
    shutil.copy(library.path("Wren/0.jpg"), library.path("third.jpg"))
    with library.open() as index:
        index.add(library.photos)
        library.apply(library.plan(("copies/0.jpg", "third.jpg")))
        library.apply(library.plan(("Wren/0.jpg", "copies/0.jpg")))
        assert index.empty_trash().done == 2
    assert Path(library.path("Wren/0.jpg")).exists()


def test_the_command(library: Library) -> None:
    run("trash", "--index", library.index)
    library.apply(library.plan(*SMALL))
    with birdsearch.open(library.index) as index:
        (found,) = index.trash()
    answer = run("trash", "--index", library.index)
    assert str(found.run) in answer.out
    assert bytes_text(found.bytes) in answer.out
    assert "nothing deleted" in run("trash", "--empty", "--index", library.index, input="n\n").err
    assert "give --yes" in run("trash", "--empty", "--index", library.index, code=1).err
    assert "needs --empty" in run("trash", "--yes", "--index", library.index, code=2).err
    with birdsearch.open(library.index) as index:
        assert index.trash() == [found]
    answer = run("trash", "--empty", "--index", library.index, input="y\n")
    assert "Delete 3 photos, 1 companion (" in answer.err
    assert "1 of them nowhere else with the same bytes for good?" in answer.err
    assert "deleted 3 photos" in answer.out
    assert "0 photos" in run("trash", "--empty", "--yes", "--index", library.index).out
    assert "emptied" in run("undo", "--list", "--index", library.index).out
    assert "emptied" in run("undo", "1", "--index", library.index, code=1).err

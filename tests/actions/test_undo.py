"""undo removes nothing but second copies, overwrites nothing, and finds what was moved."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from birdsearch.actions import renames
from birdsearch.actions.filesystem import TRASH
from birdsearch.actions.runs import runs
from birdsearch.errors import PlanError
from birdsearch.storage.folder import Folder
from tests.support.disks import call_where_disks_mount
from tests.support.photo_library import SMALL, Library, contents, files, small


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return small(tmp_path)


def unsupported(*_: object) -> None:
    raise renames.UnsupportedError


@pytest.fixture(params=["renames", "links"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A system with the renames that replace nothing, and one that has links only."""
    if request.param == "links":
        monkeypatch.setattr(renames, "rename_noreplace", unsupported)
        monkeypatch.setattr(renames, "exchange", unsupported)
    return str(request.param)


# One file by two names


def lead_back_by_link(old: Path, new: Path) -> None:
    old.rmdir()
    old.symlink_to(new)


def lead_back_by_links_of_files(old: Path, new: Path) -> None:
    for path in new.iterdir():
        (old / path.name).symlink_to(path)


def bind(old: Path, new: Path) -> None:
    subprocess.run(["mount", "--bind", str(new), str(old)], check=True)


def bind_files(old: Path, new: Path) -> None:
    for path in new.iterdir():
        (old / path.name).touch()
        subprocess.run(["mount", "--bind", str(path), str(old / path.name)], check=True)


def check_names_of_one_file(folder: Path, lead_back: Callable[[Path, Path], None]) -> None:
    """The old folder leads to where the photos were moved: undo takes nothing for a second copy."""
    library = small(folder)
    before, rows = files(library.photos), library.rows()
    library.apply(library.plan(*SMALL), f"move:{folder / 'away'}")
    moved = contents(folder / "away")
    lead_back(library.photos / "copies", folder / "away/copies")
    report = library.undo()
    assert (report.done, report.failed) == (0, 3)
    assert contents(folder / "away") == moved
    assert not [path for path in files(folder / "away") if os.path.basename(path).startswith(".")]
    old = library.photos / "copies"
    for path in [*old.iterdir(), old] if not old.is_symlink() else []:
        subprocess.run(["umount", str(path)], check=False, capture_output=True)
    for path in [old] if old.is_symlink() else [*old.iterdir()]:
        path.unlink()
    assert library.undo().done == 3
    assert files(library.photos) == before
    assert library.rows() == rows


@pytest.mark.parametrize("lead_back", [lead_back_by_link, lead_back_by_links_of_files])
def test_a_link_to_where_photos_were_moved_is_not_a_second_copy(
    lead_back: Callable[[Path, Path], None], system: str, tmp_path: Path
) -> None:
    check_names_of_one_file(tmp_path, lead_back)


def bound(folder: Path) -> None:
    """Called where folders may be bound."""
    check_names_of_one_file(folder / "folders", bind)
    check_names_of_one_file(folder / "files", bind_files)


@pytest.mark.slow
def test_a_bound_folder_is_not_a_second_copy(tmp_path: Path) -> None:
    call_where_disks_mount(bound, tmp_path)


def test_a_second_copy_is_removed_and_the_first_stays(library: Library, system: str) -> None:
    before = files(library.photos)
    run = library.apply(library.plan(*SMALL)).run
    trash = library.photos / TRASH / str(run) / "copies"
    shutil.copy2(trash / "0.jpg", library.path("copies/0.jpg"))  # a person was quicker
    os.link(trash / "1.jpg", library.path("copies/1.jpg"))
    assert library.undo().done == 3
    assert files(library.photos) == before


# A file that is saved meanwhile


def saving(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, path: Path, at: int = 0) -> Path:
    """A program saves a new file under a name just before a call is made for the `at`-th time; the call's name."""
    real, left = getattr(module, name), [at]
    new = path.parent.parent / "saved"
    new.write_bytes(b"an hour of editing")

    def call(*given: Any) -> Any:
        left[0] -= 1
        if left[0] == -1:
            new.rename(path)
        return real(*given)

    monkeypatch.setattr(module, name, call)
    return new


@pytest.mark.parametrize("call", ["exchange", "link", "replace", "unlink", "rename"])
@pytest.mark.parametrize("at", [0, 1])
def test_what_is_saved_while_a_hard_link_is_undone_stays(
    call: str, at: int, system: str, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    had = contents(library.photos)
    library.apply(library.plan(SMALL[0]), "hardlink")
    module = renames if call == "exchange" else os
    if system == "links" and call == "exchange":
        pytest.skip("that system has no such call")
    with monkeypatch.context() as patch:
        new = saving(patch, module, call, library.photos / "copies/0.jpg", at)
        library.undo()
    assert contents(library.photos) >= had
    if not new.exists():
        assert b"an hour of editing" in contents(library.photos)
        assert not [p for p in files(library.photos) if "/.birdsearch-0" in p] or system == "links"


@pytest.mark.parametrize("action", ["trash", "hardlink"])
@pytest.mark.parametrize("call", ["rename_noreplace", "exchange", "link", "unlink", "rename", "open"])
@pytest.mark.parametrize("at", [0, 1])
def test_what_is_saved_while_a_plan_is_applied_stays(
    action: str, call: str, at: int, system: str, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = library.plan(SMALL[0])
    kept = contents(library.photos / "Wren")
    if system == "links" and hasattr(renames, call):
        pytest.skip("that system has no such call")
    with monkeypatch.context() as patch:
        new = saving(patch, renames if hasattr(renames, call) else os, call, library.photos / "copies/0.jpg", at)
        report = library.apply(plan, action)
    assert contents(library.photos) >= kept
    if not new.exists():
        assert b"an hour of editing" in contents(library.photos)
        assert Path(library.path("copies/0.jpg")).read_bytes() == b"an hour of editing" or report.skipped


# Folders that were moved, a trash that was emptied


def test_undo_follows_a_library_that_was_moved_and_indexed_again(library: Library, tmp_path: Path) -> None:
    (library.photos / "copies/1.MOV").write_bytes(b"a movie")
    before = {path.replace("photos", "there"): facts for path, facts in files(library.photos).items()}
    ids = {row[0] for row in library.rows()["photos"]}
    library.apply(library.plan(*SMALL))
    library.photos.rename(tmp_path / "there")
    report = library.undo()
    assert (report.done, report.failed) == (0, 4)
    assert "index it in its new place" in report.skipped[0][1]
    with library.open() as index:
        assert index.add(tmp_path / "there").moved == 3
    assert library.undo().done == 3
    assert files(tmp_path / "there") == before
    assert {row[0] for row in library.rows()["photos"]} == ids
    assert not library.photos.exists()


def test_earlier_runs_stay_reachable_where_a_later_one_cannot_be_undone(library: Library) -> None:
    before = files(library.photos)
    plan = library.plan(*SMALL)
    first = library.apply(library.plan(SMALL[0])).run
    second = library.apply(library.plan(SMALL[1])).run
    shutil.rmtree(library.photos / TRASH / str(second))
    report = library.undo(second)
    assert (report.done, report.failed) == (0, 1)
    assert library.undo().run == first
    assert library.undo().failed == 1  # there is nothing else
    gone = before.pop(library.path("copies/1.jpg"))
    assert files(library.photos) == before
    Path(library.path("copies/1.jpg")).write_bytes(gone.content)
    assert library.undo().run == second
    assert library.apply(plan).done >= 1


def test_a_run_whose_photos_are_gone_for_good_blocks_no_earlier_one(library: Library) -> None:
    shutil.copy(library.path("Wren/0.jpg"), library.path("third.jpg"))
    with library.open() as index:
        index.add(library.photos)
    one = library.apply(library.plan(("copies/0.jpg", "third.jpg"))).run
    two = library.apply(library.plan(("Wren/0.jpg", "copies/0.jpg"))).run
    with pytest.raises(PlanError, match="undo that one first"):
        library.undo(one)
    shutil.rmtree(library.photos / TRASH / str(two))
    assert library.undo(one).done == 1
    assert [run.state for run in runs(Folder(library.index))] == ["undone", "done"]


def test_what_cannot_be_set_again_is_said_and_tried_again(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(library.path("copies/0.jpg"))
    try:
        os.setxattr(path, "user.tags", b"wren")
    except OSError:
        pytest.skip("no extended attributes here")
    before = files(library.photos)
    run = library.apply(library.plan(*SMALL)).run
    os.removexattr(library.photos / TRASH / str(run) / "copies/0.jpg", "user.tags")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "setxattr", full)
        report = library.undo()
    assert (report.done, report.failed) == (2, 1)
    assert "user.tags could not be set" in report.skipped[0][1]
    assert library.undo().done == 1
    assert files(library.photos) == before


def test_a_run_whose_files_were_moved_away_is_passed_over_with_what_to_do(
    library: Library, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = library.apply(library.plan(SMALL[0])).run
    last = library.apply(library.plan(SMALL[1]), f"move:{tmp_path / 'away'}").run
    (tmp_path / "away").rename(tmp_path / "elsewhere")
    assert library.undo().run == first
    assert f"index it in its new place, then `birdsearch undo {last}`" in caplog.text
    (tmp_path / "elsewhere").rename(tmp_path / "away")
    assert library.undo().run == last
    with pytest.raises(PlanError, match=r"nothing to undo.*every run is undone"):
        library.undo()

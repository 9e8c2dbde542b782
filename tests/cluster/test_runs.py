"""What a run on a cluster left is taken up where it still holds, and by one process."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from birdsearch.cluster import results
from birdsearch.cluster.runs import Attempts, Inbox, Run, left_behind, left_results
from birdsearch.files import FileState
from birdsearch.indexing.clusters import Elsewhere
from birdsearch.indexing.embedder import EmbeddedPhoto
from birdsearch.indexing.outcomes import Costly, Rejected
from birdsearch.photos.scan import FoundFile
from birdsearch.storage.address import Address
from birdsearch.storage.folder import Folder
from tests.support.interpreter import python
from tests.support.object_store import Bucket

FILES = [FoundFile(f"/photos/{name}.jpg".encode(), FileState(9, 8, 7, 6)) for name in "abcde"]


def result(file: FoundFile) -> Elsewhere:
    photo = replace(file.photo, sha256="ab" * 32)
    return Elsewhere(EmbeddedPhoto(photo, np.eye(4, dtype=np.float32)[1], 1.0), file.state, "fake")


def new(folder: Path) -> Run:
    of = Folder(folder)
    return Run.new(of, of.place, {"version": "1"})


def add(run: Run, *given: tuple[int, results.Result]) -> Path:
    path = run.results.path / results.new_name()
    results.write(path, given, 4)
    return path


def made(folder: Path, *given: tuple[int, results.Result]) -> Run:
    run = new(folder)
    add(run, *given)
    return run


def test_results_have_the_places_of_their_files(tmp_path: Path) -> None:
    run = made(tmp_path, (3, result(FILES[3])), (0, result(FILES[0])))
    inbox = Inbox(5)
    assert inbox.look(run)
    assert not inbox.look(run)  # nothing else has come
    found = inbox.result(3)
    assert found is not None
    assert found.photo.path == "/photos/d.jpg"
    assert [inbox.result(place) is None for place in range(5)] == [False, True, True, False, True]


def test_the_same_result_twice_counts_once(tmp_path: Path) -> None:
    run = made(tmp_path, (0, result(FILES[0])))
    add(run, (0, result(FILES[0])), (1, result(FILES[1])))
    inbox = Inbox(2)
    inbox.look(run)
    for place in (0, 1):
        found = inbox.result(place)
        assert found is not None
        assert found.photo.path == os.fsdecode(FILES[place].path)


def test_what_is_left_holds_but_for_what_could_not_be_read(tmp_path: Path) -> None:
    unread = Rejected(FILES[2], "read", "Permission denied")
    costly = Costly(FILES[3], "about 1.0 GB of memory")
    broken = Rejected(FILES[4], "decode", "truncated JPEG")
    run = made(tmp_path, (17, result(FILES[0])), (6, unread), (7, costly), (0, broken))
    left = left_results([run])
    assert left.keys() == {FILES[0].path, FILES[4].path}
    inbox = Inbox(1)
    inbox.put(0, left[FILES[4].path].path, left[FILES[4].path].row)  # in another list it has another place
    assert inbox.result(0) == broken
    assert left[FILES[0].path].state == FILES[0].state


def test_half_a_file_of_results_is_none(tmp_path: Path) -> None:
    run = new(tmp_path)
    whole = add(run, (0, result(FILES[0]))).read_bytes()
    (run.results.path / results.new_name()).write_bytes(whole[: len(whole) // 2])
    assert left_results([run]).keys() == {FILES[0].path}


def test_a_run_without_results_leaves_nothing(tmp_path: Path) -> None:
    new(tmp_path).release()
    assert list(tmp_path.iterdir()) == []
    made(tmp_path, (0, result(FILES[0]))).release()
    (left,) = left_behind(Folder(tmp_path))
    assert left_results([left]).keys() == {FILES[0].path}


def test_a_run_belongs_to_one_process_and_is_left_by_a_dead_one(tmp_path: Path) -> None:
    code = f"""
import os
from birdsearch.cluster.runs import Run, left_behind
from birdsearch.storage.folder import Folder
folder = Folder({str(tmp_path)!r})
mine = Run.new(folder, folder.place, {{"version": "1"}})
print(len(left_behind(folder)), flush=True)
os._exit(0)
"""
    assert python(code).strip() == "0"  # its own is not left behind
    (left,) = left_behind(Folder(tmp_path))
    assert left.facts() == {"version": "1"}
    left.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_comes_late_is_found_at_the_end(tmp_path: Path) -> None:
    run = made(tmp_path, (0, result(FILES[0])))
    inbox = Inbox(3)
    inbox.look(run)
    results.write(run.results.path / f"{'1'.zfill(20)}-late.parquet", [(1, result(FILES[1]))], 4)  # of a wrong clock
    assert not inbox.look(run)
    add(run, (2, result(FILES[2])))
    assert inbox.look(run)
    assert inbox.result(1) is None
    assert inbox.look(run, again=True)
    assert inbox.result(1) is not None


def test_a_file_that_kills_whoever_takes_it_is_found() -> None:
    attempts = Attempts()
    for _ in range(2):  # hosts come and go
        assert not attempts.begin("3").careful
    for _ in range(2):
        begun = attempts.begin("3")
        assert (begun.careful, begun.kills) == (True, frozenset())
        for place in (4, 5, 7):
            attempts.note("3", place)
    assert attempts.begin("3").kills == {7}
    assert not attempts.begin("4").careful  # which is other work
    attempts.end("3")
    assert attempts.begin("3").before == 0


def test_a_run_lies_in_the_store_of_its_index(tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BIRDSEARCH_DATA", str(tmp_path / "data"))
    folder = Folder(Address("", "", f"{bucket.url}/index", ""))
    run = Run.new(folder, folder.place, {"version": "1"})
    assert left_behind(folder) == []  # this one is under way
    run.results.publish(add(run, (0, result(FILES[0]))).name)
    run.release()
    (left,) = left_behind(folder)
    assert left.facts() == {"version": "1"}
    assert left_results([left]).keys() == {FILES[0].path}
    left.remove()
    left.release()
    assert bucket.keys() == []
    assert not list(tmp_path.rglob("embedding-*"))

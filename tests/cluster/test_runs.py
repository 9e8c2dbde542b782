"""What a run on a cluster left is taken up where it still holds, and by one process."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from birdsearch.cluster import results
from birdsearch.cluster.runs import Attempts, Inbox, Run, left_behind, left_results
from birdsearch.files import FileState
from birdsearch.indexing.clusters import Elsewhere
from birdsearch.indexing.embedder import EmbeddedPhoto
from birdsearch.indexing.outcomes import Costly, Rejected
from birdsearch.photos.scan import FoundFile
from tests.support.interpreter import python

FILES = [FoundFile(f"/photos/{name}.jpg".encode(), FileState(9, 8, 7, 6)) for name in "abcde"]


def result(file: FoundFile) -> Elsewhere:
    photo = replace(file.photo, sha256="ab" * 32)
    return Elsewhere(EmbeddedPhoto(photo, np.eye(4, dtype=np.float32)[1], 1.0), file.state, "fake")


def made(folder: Path, *given: tuple[int, results.Result], number: int = 1) -> Run:
    run = Run.new(folder, {"version": "1"})
    results.write(run.results / f"{number}.parquet", given, 4)
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
    results.write(run.results / "2.parquet", [(0, result(FILES[0])), (1, result(FILES[1]))], 4)
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
    run = made(tmp_path, (0, result(FILES[0])))
    whole = (run.results / "1.parquet").read_bytes()
    (run.results / "2.parquet").write_bytes(whole[: len(whole) // 2])
    assert left_results([run]).keys() == {FILES[0].path}


def test_a_run_without_results_leaves_nothing(tmp_path: Path) -> None:
    Run.new(tmp_path, {}).release()
    assert list(tmp_path.iterdir()) == []
    made(tmp_path, (0, result(FILES[0]))).release()
    (left,) = left_behind(tmp_path)
    assert left_results([left]).keys() == {FILES[0].path}


def test_a_run_belongs_to_one_process_and_is_left_by_a_dead_one(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from birdsearch.cluster.runs import Run, left_behind
folder = Path({str(tmp_path)!r})
mine = Run.new(folder, {{"version": "1"}})
print(len(left_behind(folder)), flush=True)
os._exit(0)
"""
    assert python(code).strip() == "0"  # its own is not left behind
    (left,) = left_behind(tmp_path)
    assert left.facts() == {"version": "1"}
    left.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_kills_whoever_decodes_it_is_found(tmp_path: Path) -> None:
    listing = tmp_path / "00000003.parquet"
    for _ in range(2):  # hosts come and go
        assert not Attempts(listing).careful
    for _ in range(2):
        attempts = Attempts(listing)
        assert attempts.careful
        for place in (4, 5, 7):
            assert not attempts.kills(place)
            attempts.note(place)
    assert [Attempts(listing).kills(place) for place in (4, 5, 7, 8)] == [False, False, True, False]
